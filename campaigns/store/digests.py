"""Runs of one person that wait together: one opens a digest, later ones join it, and the one that opened goes on.

Which digest is the person's is said by `pool` and a running `number`, kept apart by a unique index; and no visit of a
run stands in two of them. So two who come at the same moment find the same one, and who comes again finds itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.mongo import Database, Document, DuplicateKeyError, Indexes

INDEXES: Indexes = {
    "digests": [
        IndexModel([("pool", ASCENDING), ("number", ASCENDING)], name="window", unique=True),
        IndexModel([("items.key", ASCENDING)], name="once", unique=True),
        IndexModel([("closed_at", ASCENDING)], name="age", partialFilterExpression={"closed_at": {"$exists": True}}),
    ]
}


class DigestStore:
    """Reads and writes digests. Rows: `{_id, pool, number, owner, owner_run, items: [{key, run_id}], count, closes_at,
    closed_at?}`; `owner`: the key of the visit that goes on."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("digests")

    async def of(self, key: str) -> Document | None:
        """The digest in which this visit stands."""
        return await self._rows.find_one({"items.key": key})

    async def latest(self, pool: str) -> Document | None:
        """The person's last one, open or closed."""
        return await self._rows.find_one({"pool": pool}, sort=[("number", DESCENDING)])

    async def open(self, pool: str, number: int, key: str, run_id: str, closes_at: datetime) -> bool:
        """Begin a new one; False when somebody was quicker."""
        row = {
            "_id": f"{pool}:{number}", "pool": pool, "number": number, "owner": key, "owner_run": run_id,
            "items": [{"key": key, "run_id": run_id}], "count": 1, "closes_at": closes_at,
        }  # fmt: skip
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    async def join(self, digest_id: str, key: str, run_id: str, most: int) -> Document | None:
        """Add this visit to an open one with room; None when it has been closed or filled meanwhile."""
        wanted = {"_id": digest_id, "closed_at": None, "count": {"$lt": most}, "items.key": {"$ne": key}}
        change = {"$push": {"items": {"key": key, "run_id": run_id}}, "$inc": {"count": 1}}
        return await self._changed(wanted, change)

    async def take_over(
        self, digest_id: str, owner: str, key: str, run_id: str, closes_at: datetime
    ) -> Document | None:  # fmt: skip
        """Be the one that goes on, in place of an owner whose run is over; None when it is another one now."""
        change = {"$set": {"owner": key, "owner_run": run_id, "closes_at": closes_at}}
        return await self._changed({"_id": digest_id, "owner": owner, "closed_at": None}, change)

    async def close(self, digest_id: str, owner: str, now: datetime) -> Document | None:
        """Nobody joins any more; the row, also when this owner has closed it before."""
        change = {"$set": {"closed_at": now}}
        closed = await self._changed({"_id": digest_id, "owner": owner, "closed_at": None}, change)
        return closed or await self._rows.find_one({"_id": digest_id, "owner": owner})

    async def closed_before(self, at: datetime, after: str, limit: int) -> list[Document]:
        """Closed digests in the order of their ids, `after` one of them."""
        wanted = {"closed_at": {"$lt": at}, "_id": {"$gt": after}}
        return await self._rows.find(wanted).sort("_id", ASCENDING).limit(limit).to_list(None)

    async def remove(self, ids: Sequence[str]) -> int:
        """Let go of these."""
        return (await self._rows.delete_many({"_id": {"$in": list(ids)}})).deleted_count

    async def _changed(self, wanted: Document, change: Document) -> Document | None:
        row: Document | None = await self._rows.find_one_and_update(
            wanted, change, return_document=ReturnDocument.AFTER
        )
        return row
