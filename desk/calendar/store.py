"""Links to calendars: one per colleague, known by the fingerprint of its secret alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.mongo import Database, Document, Indexes

INDEXES: Indexes = {"calendars": [IndexModel([("hash", ASCENDING)], name="by_hash", unique=True)]}
#: That a calendar was read is written down at most so often.
NOTED_EVERY = timedelta(minutes=10)


class CalendarStore:
    """`calendars` `{_id: usr_, hash, with_words, created_at, read_at?}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("calendars")
        self._clock = clock

    async def of(self, user_id: str) -> Document | None:
        """The link of somebody."""
        return await self._rows.find_one({"_id": user_id})

    async def put(self, user_id: str, fingerprint: str, *, with_words: bool) -> None:
        """A new link in the place of the one before."""
        row = {"hash": fingerprint, "with_words": with_words, "created_at": self._clock()}
        await self._rows.replace_one({"_id": user_id}, row, upsert=True)

    async def remove(self, user_id: str) -> bool:
        """The link leads nowhere from now on; whether there was one."""
        return (await self._rows.delete_one({"_id": user_id})).deleted_count == 1

    async def by_fingerprint(self, fingerprint: str) -> Document | None:
        """Whose link it is."""
        return await self._rows.find_one({"hash": fingerprint})

    async def read(self, row: Document) -> None:
        """A program has asked."""
        now: datetime = self._clock()
        if "read_at" not in row or now - row["read_at"] >= NOTED_EVERY:
            await self._rows.update_one({"_id": row["_id"], "hash": row["hash"]}, {"$set": {"read_at": now}})
