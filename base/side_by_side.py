"""Duties that ask addresses outside, made side by side: who answers slowly has a few places and holds up nobody."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from base.clock import Clock
from base.duty import MAX_CRASHES, DutyBook, settled
from base.mongo import UNAVAILABLE, Document

log = logging.getLogger(__name__)

#: Calls under way in one process: to one host, and to all.
PER_HOST, IN_ALL = 8, 64
#: Seconds for which a drain waits for room.
LOOK_S = 0.5


class ByHost:
    """Claims of one collection whose rows wait in `state` and each name the `host` they ask."""

    def __init__(self, duties: DutyBook, clock: Clock, state: str = "planned") -> None:
        self._duties = duties
        self._clock = clock
        self._state = state

    async def claim(self, limit: int, busy_hosts: Iterable[str]) -> list[Document]:
        """Lease due rows, but none to hosts that are busy: what waits for these is not even read."""
        hosts = await self._duties.collection.distinct("host", {"state": self._state})
        free = sorted(set(hosts) - set(busy_hosts))
        if not free:
            return []
        return await self._duties.claim((self._state,), self._clock(), limit=limit, where={"host": {"$in": free}})

    async def give_back(self, rows: Sequence[Document]) -> None:
        """These were claimed and not called: due again at once, as if nobody had."""
        change = {"$set": {"due_at": self._clock()}, "$unset": {"lease": ""}, "$inc": {"attempts": -1}}
        await self._duties.settle([settled(row, change) for row in rows])


class SideBySide:
    """Drains such duties. `call` does one; `worn_out` ends one that has taken its worker along too often."""

    def __init__(
        self, claims: ByHost, call: Callable[[Document], Awaitable[None]],
        worn_out: Callable[[Document], Awaitable[object]],
    ) -> None:  # fmt: skip
        self._claims = claims
        self._call = call
        self._worn_out = worn_out
        self._under_way: dict[asyncio.Task[None], str] = {}

    async def drain(self, limit: int) -> int:
        """Begin as many due calls as there is room for; how many. Does not wait for slow answers."""
        begun = await self._begin(limit)
        if not begun and self._under_way:
            await asyncio.wait(list(self._under_way), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            begun = await self._begin(limit)
        return begun

    async def idle(self) -> None:
        """Wait for the calls under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    async def close(self) -> None:
        """Give up what is under way; it is due again when its lease ends."""
        for task in self._under_way:
            task.cancel()
        await self.idle()

    async def _begin(self, limit: int) -> int:
        hosts = Counter(self._under_way.values())
        room = min(limit, IN_ALL - len(self._under_way))
        if room <= 0:
            return 0
        rows = await self._claims.claim(room, [host for host, count in hosts.items() if count >= PER_HOST])
        begun: list[Document] = []
        back: list[Document] = []
        for row in rows:
            taken = hosts[row["host"]] < PER_HOST
            hosts[row["host"]] += taken
            (begun if taken else back).append(row)
        await self._claims.give_back(back)
        for row in begun:
            task = asyncio.create_task(self._one(row), name=f"call {row['_id']}")
            self._under_way[task] = row["host"]
            task.add_done_callback(self._landed)
        return len(begun)

    async def _one(self, row: Document) -> None:
        try:
            await (self._worn_out(row) if row["attempts"] > MAX_CRASHES else self._call(row))
        except UNAVAILABLE:
            log.warning("a store is away, the call comes again", extra={"call": row["_id"]})
        except Exception:  # this call alone: it is due again when its lease ends, and at last set aside
            log.exception("a call could not be made", extra={"call": row["_id"]})

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call failed", exc_info=error)
