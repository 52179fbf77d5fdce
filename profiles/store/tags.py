"""The tag space: every tag that was ever given, and the duties that rename, join or take one away across people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.duty import DutyBook, due_index
from base.mongo import LOOK_MS, Database, Document, DuplicateKeyError, Indexes, UpdateOne
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.segments.tag_names import TagNames
from profiles.store.terms import TAG_NAMES, tag_names

INDEXES: Indexes = {
    "tag_changes": [
        due_index(),
        # one change at a time for a tag: two at once would chase each other
        IndexModel(
            [("busy", ASCENDING)], name="busy", unique=True, partialFilterExpression={"busy": {"$exists": True}}
        ),
        IndexModel([("at", DESCENDING)], name="latest"),
    ],
    # `person_id`, not `profile_id`: the row says whom a change has found, it belongs to the change and is never moved
    "tag_moves": [
        IndexModel([("change_id", ASCENDING), ("_id", ASCENDING)], name="by_change"),
        IndexModel([("person_id", ASCENDING)], name="by_person"),
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=90 * 24 * 3600),
    ],
}
#: People of one count: beyond that a page says "and more".
COUNT_MAX = 10_000


class TagStore:
    """Reads counts from the index of the profiles; writes names and duties."""

    def __init__(self, database: Database) -> None:
        self._tags = database.collection("tags")
        self._people = database.collection("profiles")
        self._changes = database.collection("tag_changes")
        self._moves = database.collection("tag_moves")
        self._lists = database.collection("term_lists")
        self.duties = DutyBook(self._changes, lease_s=60)

    # -- names --------------------------------------------------------------------------------------------------

    async def note(self, tags: Iterable[str], at: datetime) -> None:
        """Put names into the space. May run twice."""
        wanted = list(dict.fromkeys(tags))
        known = {row["_id"] async for row in self._tags.find({"_id": {"$in": wanted}}, {"_id": 1})} if wanted else set()
        fresh = [
            UpdateOne({"_id": tag}, {"$setOnInsert": {"at": at}}, upsert=True) for tag in wanted if tag not in known
        ]
        if fresh:
            try:
                await self._tags.bulk_write(fresh, ordered=False)
            except Exception as error:
                if not _only_doubles(error):
                    raise

    async def used(self) -> list[str]:
        """Every tag that somebody has now, by skipping through the index."""
        return [str(tag) for tag in await self._people.distinct("tags", {"tags": {"$gt": ""}}) if tag]

    async def page(
        self, *, starting: str = "", limit: int | None = None, cursor: str | None = None
    ) -> Page[str]:  # fmt: skip
        """Names in order of the alphabet."""
        wanted: dict[str, Any] = {}
        if starting:
            wanted |= {"$gte": starting, "$lt": starting + "\U0010ffff"}
        if cursor is not None:
            wanted["$gt"] = read_cursor(cursor, str)[0]
        size = bounded(limit)
        query = {"_id": wanted} if wanted else {}
        rows, more = cut(await self._tags.find(query).sort("_id", ASCENDING).limit(size + 1).to_list(None), size)
        names = [row["_id"] for row in rows]
        return Page(names, write_cursor(names[-1]) if more else None)

    async def count(self, tag: str, cap: int = COUNT_MAX) -> int:
        """How many people have it, counted in the index and no further than `cap`."""
        return await self._people.count_documents({"tags": tag}, limit=cap, maxTimeMS=LOOK_MS)

    async def forget(self, tag: str, *, since: datetime | None = None) -> None:
        """Take a name that nobody has out of the space; `since`: only one that came into it no earlier."""
        if await self.count(tag, 1) == 0:
            await self._tags.delete_one({"_id": tag, **({"at": {"$gte": since}} if since else {})})

    async def holders(self, tag: str, limit: int) -> list[Document]:
        """Some people who have it: `{_id, tags}`."""
        return await self._people.find({"tags": tag}, {"tags": 1}).limit(limit).to_list(limit)

    # -- former names -------------------------------------------------------------------------------------------

    async def names(self) -> TagNames:
        """What tags were called before, as it stands now."""
        return tag_names(await self._lists.find_one({"_id": TAG_NAMES}))

    async def keep_name(self, change: Document) -> None:
        """From now on the tag's name leads to the other. May run twice."""
        entry = {"change_id": change["_id"], "tag": change["tag"], "to": change["to"]}
        wanted = {"_id": TAG_NAMES, "entries.change_id": {"$ne": change["_id"]}}
        try:
            await self._lists.update_one(wanted, {"$push": {"entries": entry}, "$inc": {"rev": 1}}, upsert=True)
        except DuplicateKeyError:
            return  # kept before

    async def drop_name(self, change_id: str) -> None:
        """Its name is its own again. May run twice."""
        wanted = {"_id": TAG_NAMES, "entries.change_id": change_id}
        await self._lists.update_one(wanted, {"$pull": {"entries": {"change_id": change_id}}, "$inc": {"rev": 1}})

    # -- changes ------------------------------------------------------------------------------------------------

    async def add_change(self, row: Document) -> bool:
        """A new duty; False when one of its tags is being changed already."""
        try:
            await self._changes.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    async def change(self, change_id: str) -> Document | None:
        """One."""
        return await self._changes.find_one({"_id": change_id})

    async def standing(self) -> list[Document]:
        """Changes that are done and whose former names lead to another, oldest first."""
        row = await self._lists.find_one({"_id": TAG_NAMES})
        ids = [each["change_id"] for each in row["entries"]] if row else []
        found = self._changes.find({"_id": {"$in": ids}, "state": "done"})
        return await found.sort("at", ASCENDING).to_list(None)

    async def later(self, row: Document) -> Document | None:
        """A later change of one of its tags that stands."""
        tags = [each for each in (row["tag"], row["to"]) if each]
        wanted = {
            "at": {"$gte": row["at"]}, "_id": {"$ne": row["_id"]}, "state": {"$ne": "undone"},
            "$or": [{"tag": {"$in": tags}}, {"to": {"$in": tags}}],
        }  # fmt: skip
        return await self._changes.find_one(wanted)

    async def latest(self, limit: int = 10) -> list[Document]:
        """The latest changes."""
        return await self._changes.find({}).sort("at", DESCENDING).limit(limit).to_list(limit)

    async def turn(self, change_id: str, states: Sequence[str], fields: Mapping[str, Any]) -> Document | None:
        """Set fields when it is in one of these states; the row as it is then."""
        try:
            return await self._changes.find_one_and_update(
                {"_id": change_id, "state": {"$in": list(states)}}, {"$set": dict(fields)},
                return_document=ReturnDocument.AFTER,
            )  # fmt: skip
        except DuplicateKeyError:
            return None

    async def settle(self, row: Document, fields: Mapping[str, Any], gone: Iterable[str] = ()) -> bool:
        """Write back what was done under the lease; False when it was lost."""
        unset = {"$unset": {"lease": "", **dict.fromkeys(gone, "")}}
        wanted = {"_id": row["_id"], "lease": row["lease"]}
        return (await self._changes.update_one(wanted, {"$set": dict(fields), **unset})).matched_count == 1

    async def note_moves(self, change_id: str, people: Mapping[str, bool], at: datetime) -> None:
        """Remember whom the change finds, and whether they had the other tag before. Found twice, the first counts."""
        rows = [
            UpdateOne(
                {"_id": f"{change_id}:{person_id}"},
                {"$setOnInsert": {"change_id": change_id, "person_id": person_id, "had_other": had, "at": at}},
                upsert=True,
            )
            for person_id, had in people.items()
        ]
        if rows:
            await self._moves.bulk_write(rows, ordered=False)

    async def moves(self, change_id: str, limit: int) -> list[Document]:
        """Those not yet taken back."""
        found = self._moves.find({"change_id": change_id}).sort("_id", ASCENDING)
        return await found.limit(limit).to_list(limit)

    async def count_moves(self, change_id: str) -> int:
        """How many people it has found."""
        return await self._moves.count_documents({"change_id": change_id})

    async def forget_move(self, move_id: str) -> None:
        """It is taken back."""
        await self._moves.delete_one({"_id": move_id})


def _only_doubles(error: Exception) -> bool:
    details = getattr(error, "details", None) or {}
    return bool(details) and all(each.get("code") == 11000 for each in details.get("writeErrors", [{}]))
