"""Values that tell nobody apart: one row each, under the key of the identity they would be."""

from __future__ import annotations

from datetime import datetime

from pymongo import ASCENDING, IndexModel

from base.mongo import Database, Document, DuplicateKeyError, Indexes
from base.pages import Page, newest_first

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
        return await newest_first(self._rows, {}, limit, cursor)


def blocked_row(row_id: str, key: str, kind: str, value: str, why: str, by: str | None, at: datetime) -> Document:
    """A row as it is kept."""
    return {"_id": row_id, "key": key, "kind": kind, "value": value, "why": why, "by": by, "at": at}
