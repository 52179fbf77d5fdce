"""What happened, in one growing sequence, for the live stream of the desk.

Ids are given out by a counter before the rows are visible, so a reader sees a gap when two writers overlap: readers
deliver in order and wait a moment for a gap (`desk.live`). Rows live for three days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.bus import Bus
from base.clock import Clock
from base.mongo import Database, Document, Indexes

KEPT_S = 3 * 24 * 3600
TOPIC = "feed"
INDEXES: Indexes = {"feed": [IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_S)]}


@dataclass(frozen=True)
class Notice:
    """One thing a page may want to show. `channel_id` limits who may see it, `user_ids` who is told at all; None:
    everybody signed in."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    channel_id: str | None = None
    user_ids: tuple[str, ...] | None = None


class Feed:
    """Appends notices and reads them back by position."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self._rows = database.collection("feed")
        self._counters = database.collection("counters")
        self._bus = bus
        self._clock = clock

    async def append(self, notices: Sequence[Notice]) -> None:
        """Number, keep and announce. May run twice for one cause: readers treat a notice as "look again"."""
        if not notices:
            return
        last = await self._reserve(len(notices))
        first = last - len(notices) + 1
        at = self._clock()
        await self._rows.insert_many([_row(first + i, at, notice) for i, notice in enumerate(notices)])
        await self._bus.publish(TOPIC, str(last))

    async def after(self, position: int, *, limit: int = 500) -> list[Document]:
        """Rows `{_id: int, at, type, channel_id, user_ids?, data}` with a greater id, in order."""
        cursor = self._rows.find({"_id": {"$gt": position}}).sort("_id", ASCENDING).limit(limit)
        return await cursor.to_list(limit)

    async def oldest(self) -> int | None:
        """The lowest position still kept; None when the feed is empty."""
        row = await self._rows.find_one({}, {"_id": 1}, sort=[("_id", ASCENDING)])
        return row["_id"] if row else None

    async def position(self) -> int:
        """The last number given out."""
        row = await self._counters.find_one({"_id": "feed"})
        return int(row["value"]) if row else 0

    async def _reserve(self, count: int) -> int:
        row = await self._counters.find_one_and_update(
            {"_id": "feed"}, {"$inc": {"value": count}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int(row["value"])


def _row(position: int, at: datetime, notice: Notice) -> Document:
    row = {"_id": position, "at": at, "type": notice.type, "channel_id": notice.channel_id, "data": notice.data}
    return row if notice.user_ids is None else {**row, "user_ids": list(notice.user_ids)}
