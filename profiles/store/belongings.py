"""What a collection holds of a person, and how it follows when two people turn out to be one, or two after all.

Every row that moves notes in `moved` which merge took it and from whom, so it finds its way back without a list of
ids. A row that came later goes back with the identity on which it hangs. All of it may run twice, and be cut short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from base.mongo import BY_ID, Collection, Document, Session

#: Rows changed in one write.
BATCH = 1000


@dataclass(frozen=True)
class Joining:
    """All that is `from_id`'s goes to `to_id`."""

    merge_id: str
    from_id: str
    to_id: str


@dataclass(frozen=True)
class Parting:
    """What this merge took from `to_id`, and what came to its identities since, goes back from `from_id`."""

    merge_id: str
    from_id: str
    to_id: str
    identity_ids: Sequence[str] = ()


class Belongings:
    """The rows of one collection that carry a `profile_id`."""

    def __init__(
        self, name: str, collection: Collection, prefix: str, *, counted: bool = False,
        by_identity: Literal["always", "since", "never"] = "since",
    ) -> None:  # fmt: skip
        """`prefix` of the rows' ids. `counted`: each write counts `rev` up. `by_identity`: whether rows go back with
        their `identity_id`: all of them, those made since the merge, or none."""
        self.name = name
        self._rows = collection
        self._prefix = prefix
        self._counted = counted
        self._by_identity = by_identity

    async def count(self, profile_id: str) -> int:
        """How many rows the person has."""
        return await self._rows.count_documents({"profile_id": profile_id})

    async def holders(self, profile_ids: Sequence[str]) -> set[str]:
        """Which of these people have any row."""
        return set(await self._rows.distinct("profile_id", {"profile_id": {"$in": list(profile_ids)}}))

    async def carried(self, joining: Joining) -> int:
        """How many rows this merge has moved."""
        return await self._rows.count_documents({"profile_id": joining.to_id, "moved.by": joining.merge_id})

    async def move(self, joining: Joining) -> int:
        """Give all rows to the survivor; how many were not there yet."""
        change = {"profile_id": joining.to_id, "moved": marked(joining), **self._rev()}
        return await self._change({"profile_id": joining.from_id}, [{"$set": change}])

    async def bring_back(self, parting: Parting) -> int:
        """Give the rows back; how many."""
        change = {"profile_id": parting.to_id, "moved": unmarked(parting.merge_id), **self._rev()}
        return await self._change({"profile_id": parting.from_id, "$or": self._theirs(parting)}, [{"$set": change}])

    def _theirs(self, parting: Parting) -> list[Document]:
        choices: list[Document] = [{"moved.by": parting.merge_id}]
        if self._by_identity != "never" and parting.identity_ids:
            since = {"_id": {"$gt": self._made_at(parting)}} if self._by_identity == "since" else {}
            choices.append({"identity_id": {"$in": list(parting.identity_ids)}, **since})
        return choices

    def _made_at(self, parting: Parting) -> str:
        """Ids of rows made since the merge sort after this one."""
        return f"{self._prefix}_{parting.merge_id.partition('_')[2]}"

    def _rev(self) -> Document:
        return {"rev": {"$add": [{"$ifNull": ["$rev", 0]}, 1]}} if self._counted else {}

    async def _change(self, wanted: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> int:
        """In parts, so that nobody waits long for a person with very many rows."""
        changed = 0
        while True:
            ids = [row["_id"] async for row in self._rows.find(wanted, {"_id": 1}).limit(BATCH)]
            if not ids:
                return changed
            result = await self._rows.update_many({"_id": {"$in": ids}, **wanted}, list(steps), hint=BY_ID)
            changed += result.modified_count


class IdentityBelongings(Belongings):
    """Identities: whoever they belong to, the rest follows them."""

    async def returning(self, parting: Parting, session: Session | None = None) -> list[str]:
        """Those that the merge moved, those that came since on the word of one of them, and those named already."""
        marked_by = {"profile_id": parting.from_id, "moved.by": parting.merge_id, "alias_of": None}
        named = {"_id": {"$in": list(parting.identity_ids)}}
        found = {
            row["_id"]: row["key"]
            async for row in self._rows.find({"$or": [marked_by, named]}, {"key": 1}, session=session)
        }
        edge = list(found.values())
        while edge:
            wanted = {
                "profile_id": parting.from_id, "_id": {"$gt": self._made_at(parting), "$nin": list(found)},
                "evidence.key": {"$in": edge}, "alias_of": None,
            }  # fmt: skip
            more = {row["_id"]: row["key"] async for row in self._rows.find(wanted, {"key": 1}, session=session)}
            found |= more
            edge = list(more.values())
        return sorted(found)

    async def bring_back(self, parting: Parting) -> int:
        """Give back what `returning` names, with all further ids of these identities."""
        parting = Parting(parting.merge_id, parting.from_id, parting.to_id, await self.returning(parting))
        return await super().bring_back(parting)

    def _theirs(self, parting: Parting) -> list[Document]:
        ids = list(parting.identity_ids)
        return [{"moved.by": parting.merge_id}, {"_id": {"$in": ids}}, {"alias_of": {"$in": ids}}]


def marked(joining: Joining, **more: Any) -> Document:
    """`moved` with this merge in it, once. For the pipeline of an update."""
    so_far = {"$ifNull": ["$moved", []]}
    entry = {"by": joining.merge_id, "from": joining.from_id, **more}
    known = {"$in": [joining.merge_id, {"$ifNull": ["$moved.by", []]}]}
    return {"$cond": [known, so_far, {"$concatArrays": [so_far, [entry]]}]}


def unmarked(merge_id: str) -> Document:
    """`moved` without this merge; no field at all when none is left."""
    kept = {"$filter": {"input": {"$ifNull": ["$moved", []]}, "cond": {"$ne": ["$$this.by", merge_id]}}}
    return {"$cond": [{"$eq": [kept, []]}, "$$REMOVE", kept]}
