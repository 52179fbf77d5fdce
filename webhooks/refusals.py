"""How many requests an account's webhook refused lately: for a person who sets a channel up with a wrong secret.

What is unsigned leaves nothing in the database. This is a hint in Redis that may be lost, told at most once a second
however many strangers knock.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from base.bus import Bus

#: A figure is forgotten so long after the last refusal.
KEPT_S = 3600
TOLD_EVERY_S = 1.0


class Refusals:
    """Counts in this process, tells all of them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._counts: Counter[str] = Counter()
        self._telling: asyncio.Task[None] | None = None

    def note(self, channel_id: str) -> None:
        """One more."""
        self._counts[channel_id] += 1
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def of(self, channel_id: str) -> int:
        """Refused since the last quiet hour, in all processes."""
        return await self._bus.counted(f"refused:{channel_id}")

    async def close(self) -> None:
        """Tell what is left."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=2 * TOLD_EVERY_S)

    async def _tell(self) -> None:
        while self._counts:
            await asyncio.sleep(TOLD_EVERY_S)
            counts, self._counts = self._counts, Counter()
            for channel_id, count in counts.items():
                await self._bus.count(f"refused:{channel_id}", count, kept_s=KEPT_S)
