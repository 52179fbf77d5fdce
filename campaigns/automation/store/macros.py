"""Macros as rows. Of those that all share, and of those of one person, no two have one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, Indexes, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "macros": [
        IndexModel(
            [("owner_id", ASCENDING), ("folded", ASCENDING)], name="one_name", unique=True,
            partialFilterExpression={"stands": True},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}  # fmt: skip


class MacroStore:
    """Rows are `{_id: mac_, name, folded, owner_id: usr_|null, channel_ids, actions, uses, used_at, stands,
    removed_at?, rev, created_by, created_at, updated_at}`; without an owner a macro is everybody's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("macros")
        self._clock = clock

    async def add(self, macro_id: str, fields: Mapping[str, Any]) -> Document:
        """A new one. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        row = {
            "_id": macro_id, **fields, "uses": 0, "used_at": None, "stands": True, "rev": 1, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return row

    async def seen_by(self, user_id: str) -> list[Document]:
        """Everybody's and this person's own, by name. There are some hundreds at most."""
        wanted = {"owner_id": {"$in": [None, user_id]}, "stands": True}
        return await whole(self._rows.find(wanted).sort([("folded", ASCENDING), ("_id", ASCENDING)]))

    async def count(self, owner_id: str | None) -> int:
        """How many somebody has, or (None) all share."""
        return await self._rows.count_documents({"owner_id": owner_id, "stands": True})

    async def get(self, macro_id: str) -> Document | None:
        """One, also when it was taken away."""
        return await self._rows.find_one({"_id": macro_id})

    async def change(self, macro_id: str, rev: int, fields: Mapping[str, Any]) -> Document | None:
        """Change one where it still has this revision. Raises `DuplicateKeyError` when the name is taken."""
        return await self._rows.find_one_and_update(
            {"_id": macro_id, "rev": rev, "stands": True},
            {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def count_use(self, macro_id: str) -> None:
        """It was run."""
        await self._rows.update_one({"_id": macro_id}, {"$inc": {"uses": 1}, "$max": {"used_at": self._clock()}})

    async def remove(self, macro_id: str) -> None:
        """Take one away; for `KEPT_S` it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        await self._rows.update_one({"_id": macro_id, "stands": True}, change)

    async def restore(self, macro_id: str) -> None:
        """Put one back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        change: Document = {"$set": {"stands": True}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        await self._rows.update_one({"_id": macro_id, "stands": False}, change)
