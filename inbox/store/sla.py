"""Promises as rows, and what watches over their clocks. No two promises that stand have one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, due_index, settled
from base.mongo import Database, DeleteOne, Document, Indexes, Session, UpdateOne, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
#: The one row of `sla_rounds`.
ROUND = "round"
INDEXES: Indexes = {
    "sla_policies": [
        IndexModel([("folded", ASCENDING)], name="one_name", unique=True, partialFilterExpression={"stands": True}),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ],
    "sla_watch": [due_index()],
    "sla_rounds": [due_index()],
}


class PolicyStore:
    """Rows are `{_id: slp_, place, holds_since, name, folded, …, stands, removed_at?, rev, created_at, updated_at}`;
    the rest is `inbox.sla.models.PolicyInput` as JSON. `place`: the lowest is asked first; of equals the older one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("sla_policies")
        self._clock = clock

    async def add(self, policy_id: str, fields: Mapping[str, Any]) -> Document:
        """A new one, below all others. Raises `DuplicateKeyError` when the name is taken."""
        now, last = self._clock(), await self._rows.find_one({"stands": True}, sort=[("place", -1)])
        row = {
            "_id": policy_id, "place": last["place"] + 1 if last else 0, **fields, "folded": _folded(fields["name"]),
            "stands": True, "holds_since": now, "rev": 1, "created_at": now, "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return row

    async def all(self) -> list[Document]:
        """Those that stand, in their order. There are a handful."""
        return await whole(self._rows.find({"stands": True}).sort([("place", ASCENDING), ("_id", ASCENDING)]))

    async def get(self, policy_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": policy_id, "stands": True})

    async def change(
        self, policy_id: str, rev: int, fields: Mapping[str, Any], *, holds_anew: bool
    ) -> Document | None:  # fmt: skip
        """Replace it where it still has this revision. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        change = {**fields, "folded": _folded(fields["name"]), "updated_at": now}
        change |= {"holds_since": now} if holds_anew else {}
        return await self._rows.find_one_and_update(
            {"_id": policy_id, "rev": rev, "stands": True}, {"$set": change, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def order(self, ids: Sequence[str]) -> None:
        """Ask them in this order."""
        change = [
            UpdateOne({"_id": each, "stands": True}, {"$set": {"place": place}, "$inc": {"rev": 1}})
            for place, each in enumerate(ids)
        ]
        if change:
            await self._rows.bulk_write(change)

    async def remove(self, policy_id: str) -> bool:
        """Take it away; for `KEPT_S` it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": policy_id, "stands": True}, change)).modified_count == 1

    async def restore(self, policy_id: str) -> bool:
        """Put it back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        change: Document = {
            "$set": {"stands": True, "holds_since": self._clock()}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}
        }  # fmt: skip
        return (await self._rows.update_one({"_id": policy_id, "stands": False}, change)).modified_count == 1


class WatchStore:
    """`sla_watch` `{_id: cnv_, state: "pending", due_at, lease?, fence, attempts}`: which conversation is to be looked
    at when; written in the transaction that changes its clocks. `sla_rounds` has one row, `{_id: "round", state,
    due_at, mark, passes, after}`: how far reckoning anew has got after promises or hours changed."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("sla_watch")
        self._rounds = database.collection("sla_rounds")
        self.duties = DutyBook(self._rows)
        self.round_duties = DutyBook(self._rounds)

    async def expect(self, looks: Iterable[tuple[str, datetime | None]], session: Session | None = None) -> None:
        """Look at these conversations then; None: not at all."""
        writes: list[UpdateOne | DeleteOne] = [
            DeleteOne({"_id": conversation_id}) if at is None else UpdateOne(
                {"_id": conversation_id},
                {"$set": {"state": "pending", "due_at": at, "attempts": 0}, "$unset": {"lease": ""}}, upsert=True,
            )
            for conversation_id, at in looks
        ]  # fmt: skip
        if writes:
            await self._rows.bulk_write(writes, ordered=False, session=session)

    async def settle(self, duty: Document, look_at: datetime | None) -> None:
        """A claimed row was looked at: again then, or (None) no more. Nothing when its conversation has another time
        since: that was written without the lease."""
        if look_at is None:
            await self._rows.delete_one({"_id": duty["_id"], "lease": duty["lease"]})
            return
        later: Document = {"$set": {"due_at": look_at, "attempts": 0}, "$unset": {"lease": ""}}
        await self.duties.settle([settled(duty, later)])

    async def watched(self) -> dict[str, datetime]:
        """Conversation → when it is to be looked at. For tests."""
        return {row["_id"]: row["due_at"] async for row in self._rows.find({})}

    async def begin_round(self, mark: str, now: datetime, *, at_all: bool) -> None:
        """All is to be reckoned anew, unless that is done or under way for this `mark` already. `at_all`: whether there
        is anything to reckon by; without, and without a round before, there is nothing to do."""
        known = await self._rounds.find_one({"_id": ROUND}, {"mark": 1})
        if known["mark"] == mark if known else not at_all:
            return
        fresh = {"state": "pending", "due_at": now, "mark": mark, "passes": 0, "after": "", "attempts": 0}
        await self._rounds.update_one(
            {"_id": ROUND, **({"mark": known["mark"]} if known else {})}, {"$set": fresh, "$unset": {"lease": ""}},
            upsert=known is None,
        )  # fmt: skip

    async def round_goes_on(self, duty: Document, fields: Mapping[str, Any], due_at: datetime | None) -> None:
        """A stretch is done; the next one is due then, or (None) there is none. Nothing when all begins anew."""
        change = {**fields, "attempts": 0} | ({"due_at": due_at} if due_at else {"state": "done"})
        await self.round_duties.settle([settled(duty, {"$set": change})])


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
