"""The approved templates of each account, as last fetched, and when they are fetched again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.operations import ReplaceOne

from base.clock import Clock
from base.duty import DutyBook, due_index, settled
from base.ids import new_id, unique_key
from base.mongo import Database, Document, Indexes
from channels.vocabulary import ApprovedTemplate

INDEXES: Indexes = {
    "approved_templates": [
        IndexModel([("channel_id", ASCENDING), ("name", ASCENDING), ("language", ASCENDING)], name="by_channel")
    ],
    "template_fetches": [due_index()],
}


class ApprovedStore:
    """Reads and replaces them; a fetch is a duty named by its channel."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("approved_templates")
        self._fetches = database.collection("template_fetches")
        self._duties = DutyBook(self._fetches, lease_s=60)
        self._clock = clock

    async def of(self, channel_id: str, *, usable: bool = False) -> list[ApprovedTemplate]:
        """Those of an account, by name; `usable`: only what may be sent now."""
        wanted: dict[str, Any] = {"channel_id": channel_id, **({"status": "approved"} if usable else {})}
        rows = self._rows.find(wanted, {"_id": 0, "channel_id": 0, "seen": 0})
        found = rows.sort([("name", ASCENDING), ("language", ASCENDING)]).limit(1000)
        return [ApprovedTemplate.model_validate(row) async for row in found]

    async def replace(self, channel_id: str, templates: Sequence[ApprovedTemplate]) -> None:
        """Exactly these. May run twice, also at once: each takes away only what was written before it began."""
        seen = new_id("tpl")
        rows = [
            {
                "_id": unique_key(channel_id, each.name, each.language), "channel_id": channel_id, "seen": seen,
                **each.model_dump(mode="json"),
            }
            for each in templates
        ]  # fmt: skip
        if rows:
            await self._rows.bulk_write([ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in rows])
        await self._rows.delete_many({"channel_id": channel_id, "seen": {"$lt": seen}})

    async def want(self, channel_ids: Iterable[str], *, now: bool = False) -> None:
        """See to it that these accounts' templates are fetched; `now`: as soon as possible, else as planned."""
        for channel_id in channel_ids:
            fresh = {"state": "due", "attempts": 0, "fence": 0, **({} if now else {"due_at": self._clock()})}
            change: Document = {"$setOnInsert": fresh, **({"$set": {"due_at": self._clock()}} if now else {})}
            await self._fetches.update_one({"_id": channel_id}, change, upsert=True)

    async def want_now(self, channel_id: str) -> None:
        """The platform says that something changed."""
        await self.want([channel_id], now=True)

    async def claim(self, limit: int) -> list[Document]:
        """Lease fetches that are due."""
        return await self._duties.claim(["due"], self._clock(), limit=limit)

    async def rest(self, row: Document, wait: timedelta) -> None:
        """Done, until then."""
        change = {"$set": {"due_at": self._clock() + wait, "attempts": 0}, "$unset": {"lease": ""}}
        await self._duties.settle([settled(row, change)])

    async def forget(self, channel_id: str) -> None:
        """The account is gone."""
        await self._fetches.delete_one({"_id": channel_id})
        await self._rows.delete_many({"channel_id": channel_id})

    async def next_fetch(self, channel_id: str) -> datetime | None:
        """When they are fetched again."""
        row = await self._fetches.find_one({"_id": channel_id}, {"due_at": 1})
        return row["due_at"] if row else None
