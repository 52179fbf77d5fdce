"""Values that tell nobody apart: one row each, under the key of the identity they would be."""

from __future__ import annotations

from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.mongo import Database, Document, DuplicateKeyError, Indexes
from base.pages import Page, bounded, cut, read_cursor, write_cursor

INDEXES: Indexes = {"blocked_values": [IndexModel([("key", ASCENDING)], name="key", unique=True)]}


class BlockedStore:
    """Rows `{_id, key, kind, value, why, by, at}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("blocked_values")

    async def add(self, row: Document) -> bool:
        """Keep it; False when it was there."""
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    async def by_key(self, key: str) -> Document | None:
        """One row."""
        return await self._rows.find_one({"key": key})

    async def remove(self, row_id: str) -> Document | None:
        """Take it away; the row as it was."""
        row: Document | None = await self._rows.find_one_and_delete({"_id": row_id})
        return row

    async def keys(self) -> frozenset[str]:
        """All of them: a few hundred at most."""
        return frozenset([row["key"] async for row in self._rows.find({}, {"key": 1, "_id": 0})])

    async def page(self, limit: int | None, cursor: str | None) -> Page[Document]:
        """Newest first."""
        wanted: Document = {} if cursor is None else {"_id": {"$lt": read_cursor(cursor, str)[0]}}
        size = bounded(limit)
        found = await self._rows.find(wanted).sort("_id", DESCENDING).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)


def blocked_row(row_id: str, key: str, kind: str, value: str, why: str, by: str | None, at: datetime) -> Document:
    """A row as it is kept."""
    return {"_id": row_id, "key": key, "kind": kind, "value": value, "why": why, "by": by, "at": at}
