"""How many of a broadcast may be handed over now: the plan spreads the turns, this keeps the limit whatever happens.

Looked at before messages are written, so that nothing is written in vain, and taken at the moment of the hand-over, so
that all workers together never pass it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from base.clock import Clock
from campaigns.broadcasts.models import Broadcast
from campaigns.broadcasts.store import PaceStore
from campaigns.broadcasts.timing import buckets, spacing
from inbox.sources import Defer

#: Who has to wait for the rate comes again in a row; nobody waits longer than this before the next look.
LONGEST_WAIT = timedelta(minutes=10)
_SENTENCE = "It waits for its turn: the broadcast sends at a limited rate."
_RAMP = "It waits for the next day: the broadcast grows day by day."


class Pacer:
    """Keeps rate and ramp."""

    def __init__(self, store: PaceStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def room(self, broadcast_id: str, broadcast: Broadcast, wanted: int, start: datetime) -> int:
        """How many of these could go now; nothing is taken."""
        for bucket in buckets(broadcast.rate):
            level = await self._store.level(f"{broadcast_id}:{bucket.name}", bucket.depth, bucket.per_s)
            wanted = min(wanted, level)
        return min(wanted, await self._left(broadcast_id, broadcast, start)) if broadcast.ramp else wanted

    async def take(self, broadcast_id: str, broadcast: Broadcast, wanted: int, start: datetime) -> int:
        """How many of these go now. What is taken and not used is lost: the limit holds, the rate is a little lower."""
        for bucket in buckets(broadcast.rate):
            if wanted:
                key = f"{broadcast_id}:{bucket.name}"
                wanted = await self._store.take(key, wanted, bucket.depth, bucket.per_s)
        if broadcast.ramp and wanted:
            wanted = await self._store.take_of_day(f"{broadcast_id}:day", wanted, self._day(start), broadcast.ramp)
        return wanted

    async def left_today(self, broadcast_id: str, broadcast: Broadcast, start: datetime) -> int | None:
        """How many more the ramp lets pass today; None without a ramp."""
        return max(0, await self._left(broadcast_id, broadcast, start)) if broadcast.ramp else None

    async def _left(self, broadcast_id: str, broadcast: Broadcast, start: datetime) -> int:
        return await self._store.left_of_day(f"{broadcast_id}:day", self._day(start), broadcast.ramp)

    def _day(self, start: datetime) -> str:
        """Days of the ramp begin at the hour at which the broadcast began."""
        return str((self._clock() - start) // timedelta(days=1))


def turned_away(broadcast: Broadcast, place: int, now: datetime, start: datetime, *, full: bool) -> Defer:
    """When somebody comes again who found no room, as the `place`-th of those (from 0)."""
    if full:
        days = (now - start) // timedelta(days=1) + 1
        return Defer(start + timedelta(days=days) + timedelta(milliseconds=place), "ramp", _RAMP)
    wait = max(spacing(broadcast.rate) * (place + 1), timedelta(seconds=1))
    return Defer(now + min(wait, LONGEST_WAIT), "rate", _SENTENCE)
