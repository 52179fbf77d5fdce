"""Business hours as rows. No two that stand have one name, however it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, Indexes, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "business_hours": [
        IndexModel([("folded", ASCENDING)], name="one_name", unique=True, partialFilterExpression={"stands": True}),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}


class HoursStore:
    """Rows are `{_id: hrs_, name, folded, zone, week, holidays, special, stands, removed_at?, rev, created_at,
    updated_at}`; what stands between is `inbox.hours.models.HoursInput` as JSON."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("business_hours")
        self._clock = clock

    async def add(self, hours_id: str, fields: Mapping[str, Any]) -> Document:
        """New ones. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        row = {
            "_id": hours_id, **fields, "folded": _folded(fields["name"]), "stands": True, "rev": 1,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return row

    async def all(self) -> list[Document]:
        """Those that stand, by name. There are a handful."""
        return await whole(self._rows.find({"stands": True}).sort("folded", ASCENDING))

    async def get(self, hours_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": hours_id, "stands": True})

    async def change(self, hours_id: str, rev: int, fields: Mapping[str, Any]) -> Document | None:
        """Replace them where they still have this revision. Raises `DuplicateKeyError` when the name is taken."""
        change = {**fields, "folded": _folded(fields["name"]), "updated_at": self._clock()}
        return await self._rows.find_one_and_update(
            {"_id": hours_id, "rev": rev, "stands": True}, {"$set": change, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def remove(self, hours_id: str) -> bool:
        """Take them away; for `KEPT_S` they can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": hours_id, "stands": True}, change)).modified_count == 1

    async def restore(self, hours_id: str) -> bool:
        """Put them back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        change: Document = {"$set": {"stands": True}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": hours_id, "stands": False}, change)).modified_count == 1


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
