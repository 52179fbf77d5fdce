"""What people can agree to: one row per consent group. A group that was taken away is kept, and so is its default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.mongo import Database, Document, Indexes

INDEXES: Indexes = {"consent_groups": [IndexModel([("key", ASCENDING)], name="key", unique=True)]}


class ConsentGroupStore:
    """Rows are what `profiles.consent_groups.ConsentGroup` reads."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("consent_groups")

    async def insert(self, row: Document) -> None:
        """Raises `DuplicateKeyError` when a group with this key is there, or was."""
        await self._rows.insert_one(row)

    async def get(self, group_id: str) -> Document | None:
        """One row, taken away or not."""
        return await self._rows.find_one({"_id": group_id})

    async def by_key(self, key: str) -> Document | None:
        """The same by its key."""
        return await self._rows.find_one({"key": key})

    async def keys(self) -> set[str]:
        """Keys of all groups, also of those that were taken away."""
        return set(await self._rows.distinct("key"))

    async def all(self) -> list[Document]:
        """Those that stand, in the order in which people see them. There are a handful."""
        found = self._rows.find({"archived_at": None})
        return await found.sort([("position", ASCENDING), ("_id", ASCENDING)]).to_list(None)

    async def needing_yes(self, keys: Iterable[str]) -> set[str]:
        """Of these keys those without whose yes nothing is sent. One taken away goes on to need it."""
        return set(await self._rows.distinct("key", {"key": {"$in": list(keys)}, "default": "opt_in"}))

    async def change(self, group_id: str, rev: int, fields: Mapping[str, Any]) -> Document | None:
        """Change it when it still has this revision; the row as it is then."""
        return await self._rows.find_one_and_update(
            {"_id": group_id, "rev": rev}, {"$set": dict(fields), "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip
