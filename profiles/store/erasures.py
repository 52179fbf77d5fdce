"""Erasures: duties that name the person only while they are under way, and afterwards the log that names nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, DuplicateKeyError, Indexes
from base.pages import Page, bounded, cut, read_cursor, write_cursor

#: Longer than the longest single write of an emptied room; renewed while work goes on.
LEASE_S = 60
#: `erasing`: rooms are emptied one after the other; `settling`: looked at once more for what came by those who had not
#: heard of it; `done`: nothing of the person is left in this row.
UNDER_WAY = ("erasing", "settling")
INDEXES: Indexes = {
    "erasures": [
        due_index(),
        IndexModel(
            [("profile_id", ASCENDING)], name="one", unique=True,
            partialFilterExpression={"profile_id": {"$type": "string"}},
        ),
        IndexModel([("asked_at", DESCENDING), ("_id", DESCENDING)], name="log"),
        IndexModel([("hashes", ASCENDING)], name="by_hash"),
        IndexModel([("done_at", ASCENDING)], name="by_end", sparse=True),
    ]
}  # fmt: skip


class ErasureStore:
    """Rows `{_id, state, asked_by, asked_at, source, reason, held, erased, hashes, rooms_done, done_at, scrubbed_at}`;
    while under way also `{profile_id, traces}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("erasures")
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)

    async def add(self, row: Document) -> Document:
        """A new one, or the one under way for the same person."""
        try:
            await self._rows.insert_one(row)
            return row
        except DuplicateKeyError:
            found = await self._rows.find_one({"profile_id": row["profile_id"]})
            return found or await self.add(row)

    async def get(self, erasure_id: str) -> Document | None:
        """One row."""
        return await self._rows.find_one({"_id": erasure_id})

    async def of_profile(self, profile_id: str) -> Document | None:
        """The one under way for this person."""
        return await self._rows.find_one({"profile_id": profile_id})

    async def claim(self, now: datetime, limit: int, only: str | None = None) -> list[Document]:
        """Lease due ones; `only` one, if it is due."""
        return await self.duties.claim(UNDER_WAY, now, limit=limit, where={"_id": only} if only else None)

    async def emptied(self, row: Document, room: str, count: int) -> bool:
        """One room is empty; False when the lease was lost."""
        change = {"$inc": {f"erased.{room}": count}, "$addToSet": {"rooms_done": room}}
        return await self.duties.settle([settled(row, change)]) == 1

    async def turn(self, row: Document, state: str, due_at: datetime | None, fields: Mapping[str, Any]) -> bool:
        """Into another state under the lease; `done` takes the person out of the row."""
        gone = {"lease": ""} if due_at is not None else {"lease": "", "due_at": "", "profile_id": "", "traces": ""}
        due = {"due_at": due_at} if due_at is not None else {}
        change = {"$set": {"state": state, "attempts": 0, "rooms_done": [], **due, **fields}, "$unset": gone}
        return await self.duties.settle([settled(row, change)]) == 1

    async def rest(self, row: Document, until: datetime, waits_for: str | None) -> None:
        """Not yet: look again then."""
        change = {"$set": {"due_at": until, "attempts": 0, "waits_for": waits_for}, "$unset": {"lease": ""}}
        await self.duties.settle([settled(row, change)])

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """The log, newest first, without what still names somebody."""
        wanted: Document = {}
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, str)
            wanted = {"$or": [{"asked_at": {"$lt": at}}, {"asked_at": at, "_id": {"$lt": last}}]}
        size = bounded(limit)
        found = self._rows.find(wanted, {"traces": 0, "profile_id": 0})
        rows, more = cut(
            await found.sort([("asked_at", DESCENDING), ("_id", DESCENDING)]).limit(size + 1).to_list(None), size
        )
        return Page(rows, write_cursor(rows[-1]["asked_at"], rows[-1]["_id"]) if more else None)

    async def with_hash(self, hashes: Sequence[str]) -> list[Document]:
        """Erasures of whoever had one of these identities."""
        found = self._rows.find({"hashes": {"$in": list(hashes)}}, {"traces": 0, "profile_id": 0})
        return await found.sort("asked_at", DESCENDING).limit(50).to_list(None)

    async def named_since(self, hashes: Sequence[str], at: datetime) -> set[str]:
        """Which of these are of somebody whose rooms were emptied after `at`, or are about to be."""
        recent = {"$or": [{"state": {"$in": list(UNDER_WAY)}}, {"done_at": {"$gte": at}}]}
        if await self._rows.find_one(recent, {"_id": 1}) is None:
            return set()
        wanted = {
            "hashes": {"$in": list(hashes)}, "asked_by": {"$ne": "import"},
            "$or": [{"emptied_at": None}, {"emptied_at": {"$gte": at}}],
        }  # fmt: skip
        found = await self._rows.find(wanted, {"hashes": 1}).to_list(None)
        return {each for row in found for each in row["hashes"]} & set(hashes)

    async def unscrubbed(self) -> int:
        """Finished ones whose traces may still lie in the server's files."""
        return await self._rows.count_documents({"done_at": {"$type": "date"}, "scrubbed_at": None})

    async def scrubbed(self, begun: datetime, at: datetime) -> int:
        """The server's files were written anew from what was there at `begun`; how many erasures that completes."""
        wanted = {"done_at": {"$lte": begun}, "scrubbed_at": None}
        return (await self._rows.update_many(wanted, {"$set": {"scrubbed_at": at}})).modified_count
