"""Bell → drain: claim and work until nothing is due. Shared by the jobs arq starts and by the clockwork."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from base.metrics import JOB_SECONDS
from base.mongo import UNAVAILABLE
from base.queue import Bell, Doorbell

log = logging.getLogger(__name__)

#: Does up to `limit` rows, returns how many.
Drain = Callable[[int], Awaitable[int]]

#: One drain lets others have a turn after this long; the rest is due again at the next ring or sweep.
TURN_S = 15.0


class Drains:
    """Runs at most one drain of a kind at a time in this process; a ring meanwhile makes it look once more."""

    def __init__(self, drains: Mapping[Bell, Drain], doorbell: Doorbell, *, batch: int) -> None:
        self._drains = drains
        self._doorbell = doorbell
        self._batch = batch
        self._busy: set[Bell] = set()
        self._again: set[Bell] = set()
        self.stopping = False

    @property
    def bells(self) -> tuple[Bell, ...]:
        """The kinds of work known here."""
        return tuple(self._drains)

    async def answer(self, bell: Bell) -> int:
        """A bell was rung: look for work. Never raises for a store that is away; the sweep comes again."""
        if bell in self._busy:
            # Else the bell would count as rung for seconds, and what comes after this turn would wait for a sweep.
            await self._doorbell.answered(bell)
            if bell in self._busy:
                self._again.add(bell)
                return 0
        self._busy.add(bell)
        try:
            return await self._turn(bell)
        finally:
            self._busy.discard(bell)

    async def sweep(self, bell: Bell) -> int:
        """As `answer`, without a ring. Returns at once when a drain of this kind is under way."""
        return 0 if bell in self._busy else await self.answer(bell)

    async def idle(self, timeout_s: float) -> None:
        """Return when no drain is under way, or after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while self._busy and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def _turn(self, bell: Bell) -> int:
        started, total = time.monotonic(), 0
        await self._doorbell.answered(bell)
        while not self.stopping:
            self._again.discard(bell)
            done = await self._once(bell)
            total += done
            if time.monotonic() - started > TURN_S:
                break
            if done == 0 and bell not in self._again:
                break
        if total:
            JOB_SECONDS.labels(bell).observe(time.monotonic() - started)
        return total

    async def _once(self, bell: Bell) -> int:
        try:
            return await self._drains[bell](self._batch)
        except UNAVAILABLE as error:
            log.warning("a store is away, trying again", extra={"bell": bell, "error": type(error).__name__})
            await asyncio.sleep(0.5)
            return 0
        except Exception:
            # What failed stays leased and is due again; a bug in one kind of work must not stop the others.
            log.exception("drain failed", extra={"bell": bell})
            await asyncio.sleep(0.5)
            return 0
