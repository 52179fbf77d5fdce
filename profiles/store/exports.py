"""Exports as duties; what is left of one says for good who took out how many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, Indexes
from base.pages import Page, newest_first
from profiles.holdings import Traces, speaks_of
from profiles.store.sheets import SheetStore

#: Stands in the place of a search that named somebody who was erased.
FORGOTTEN = "…"
INDEXES: Indexes = {
    "exports": [
        due_index(),
        IndexModel(
            [("ended_at", ASCENDING)], name="files", partialFilterExpression={"sheet_id": {"$exists": True}}
        ),
    ]
}  # fmt: skip


class ExportStore:
    """`{_id, state, format, filter, by, by_name, created_at, count, total, sheet_id?, size_bytes?, ended_at?}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("exports")
        self.duties = DutyBook(self._rows, lease_s=60)

    async def add(self, row: Document) -> None:
        """A new one."""
        await self._rows.insert_one(row)

    async def get(self, export_id: str) -> Document | None:
        """One export."""
        return await self._rows.find_one({"_id": export_id})

    async def page(self, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first. Raises `WrongInput` for a foreign cursor."""
        return await newest_first(self._rows, {}, limit, cursor)

    async def change(self, export_id: str, states: Collection[str], change: Mapping[str, Any]) -> bool:
        """Set fields while it is in one of these states; whether it was."""
        wanted = {"_id": export_id, "state": {"$in": list(states)}}
        return (await self._rows.update_one(wanted, {"$set": {**change, "lease": None}})).matched_count == 1

    async def note(self, row: Document, change: Mapping[str, Any]) -> bool:
        """Set fields while the lease is ours; False when it is not any more."""
        return await self.duties.settle([settled(row, {"$set": dict(change)})]) == 1

    async def leave(self, row: Document, change: Mapping[str, Any]) -> bool:
        """Set fields and give the lease back; False when it was lost."""
        return await self.duties.settle([settled(row, {"$set": {**change, "lease": None}})]) == 1

    async def with_files(self, before: datetime | None, limit: int) -> list[Document]:
        """Exports whose file is still there and that ended before then, or at any time."""
        wanted: Document = {"sheet_id": {"$exists": True}, "ended_at": {"$exists": True}}
        if before is not None:
            wanted["ended_at"] = {"$lt": before}
        return await self._rows.find(wanted).limit(limit).to_list(limit)

    async def written_from(self, before: datetime | None, limit: int) -> list[Document]:
        """Exports whose file is still there and was begun before then, or at any time."""
        wanted: Document = {"sheet_id": {"$exists": True}, **_begun(before)}
        return await self._rows.find(wanted).limit(limit).to_list(limit)

    async def begin_anew(self, before: datetime | None) -> int:
        """Those that are being written, and were begun before then, or at any time: whoever writes loses the lease."""
        change = {"$set": {"lease": None, "count": 0}, "$currentDate": {"begun_at": True, "due_at": True}}
        return (await self._rows.update_many({"state": "running", **_begun(before)}, change)).modified_count

    async def asking(self) -> AsyncIterator[Document]:
        """Exports of people who were searched for."""
        async for row in self._rows.find({"filter.q": {"$exists": True}}, {"filter.q": 1}):
            yield row

    async def forget_search(self, export_id: str) -> None:
        """What was searched for is not told any more; one that is still being written is stopped."""
        await self._rows.update_one({"_id": export_id}, {"$set": {"filter.q": FORGOTTEN}})
        await self.change(export_id, ["running"], {"state": "cancelled", "ended_at": datetime.now(UTC)})

    async def forget_file(self, export_id: str) -> None:
        """Its file is gone."""
        await self._rows.update_one({"_id": export_id}, {"$unset": {"sheet_id": ""}, "$set": {"state": "expired"}})


class ExportRoom:
    """The files of lists that were taken out, as `profiles.holdings.Room`.

    Nobody knows who stands in which: with an erasure all that are still here go, and can be asked for again.
    """

    name = "export_files"
    read_whole = False

    def __init__(self, exports: ExportStore, sheets: SheetStore) -> None:
        self._exports = exports
        self._sheets = sheets

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """Nothing: what stands in them is handed out by the rooms it was taken from."""
        nothing: list[Document] = []
        for row in nothing:
            yield row

    async def count(self, traces: Traces) -> int:
        """How many files."""
        return len(await self._exports.written_from(traces.until, 1000))

    async def erase(self, traces: Traces) -> int:
        """Bytes, of what is being written too, and the person's address where it was searched for; that they were
        taken out, by whom, stays."""
        gone = await self._exports.begin_anew(traces.until)
        while rows := await self._exports.written_from(traces.until, 100):
            for row in rows:
                await self._sheets.delete(row["sheet_id"])
                await self._exports.forget_file(row["_id"])
            gone += len(rows)
        async for row in self._exports.asking():
            if speaks_of(row["filter"]["q"], traces):
                await self._exports.forget_search(row["_id"])
        return gone


def _begun(before: datetime | None) -> Document:
    return {"$nor": [{"begun_at": {"$gte": before}}]} if before is not None else {}
