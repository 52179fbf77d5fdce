"""Exports as duties; what is left of one says for good who took out how many."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, Indexes
from base.pages import Page, bounded, cut, read_cursor, write_cursor

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
        size = bounded(limit)
        wanted: Document = {"_id": {"$lt": read_cursor(cursor, str)[0]}} if cursor is not None else {}
        found = await self._rows.find(wanted).sort([("_id", DESCENDING)]).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)

    async def change(self, export_id: str, states: Collection[str], change: Mapping[str, Any]) -> bool:
        """Set fields while it is in one of these states; whether it was."""
        wanted = {"_id": export_id, "state": {"$in": list(states)}}
        return (await self._rows.update_one(wanted, {"$set": {**change, "lease": None}})).matched_count == 1

    async def note(self, row: Document, change: Mapping[str, Any]) -> bool:
        """Set fields while the lease is ours, which begins anew; False when it is not any more."""
        if not await self.duties.renew([row["_id"]], row["lease"]):
            return False
        return await self.duties.settle([settled(row, {"$set": dict(change)})]) == 1

    async def leave(self, row: Document, change: Mapping[str, Any]) -> bool:
        """Set fields and give the lease back; False when it was lost."""
        return await self.duties.settle([settled(row, {"$set": {**change, "lease": None}})]) == 1

    async def with_files(self, before: Any, limit: int) -> list[Document]:
        """Exports that ended before then and whose file is still there."""
        wanted = {"sheet_id": {"$exists": True}, "ended_at": {"$lt": before}}
        return await self._rows.find(wanted).limit(limit).to_list(limit)

    async def forget_file(self, export_id: str) -> None:
        """Its file is gone."""
        await self._rows.update_one({"_id": export_id}, {"$unset": {"sheet_id": ""}, "$set": {"state": "expired"}})
