"""The calls of a provider that are under way for one claim: how many there may be, and the answers not yet written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass

from base.mongo import Document
from channels.failures import SendFailed
from channels.vocabulary import OutboundMessage, SendReceipt

#: An account that answers quickly has more calls under way: as many as it takes in this time, so that nothing waits
#: for longer between the last look and its call. And how many times the usual number at most.
SOON_S = 0.5
MOST_TIMES = 4


@dataclass(frozen=True)
class Ready:
    """A send that passed all gates."""

    row: Document
    message: OutboundMessage


#: What became of a call. None: it was not made, because the lease was about to end.
Result = SendReceipt | SendFailed | None


class Flight:
    """Calls under way. One task feeds it, another one writes down what landed."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: calls that any account may have under way."""
        self._least, self._most = at_once, at_once * MOST_TIMES
        self._running: dict[asyncio.Task[Result], Ready] = {}
        self._landed: list[tuple[Ready, Result]] = []
        self._begun_at = 0.0
        self._taken = 0
        self._complete = False
        self._room, self._news = asyncio.Event(), asyncio.Event()

    async def room(self, wanted: int) -> int:
        """How many of the `wanted` calls may begin; waits until that is a good part of what is possible at once."""
        while True:
            self._room.clear()
            at_once = self._at_once()
            free = min(at_once - len(self._running), wanted)
            if free >= min(at_once // 2, wanted):
                return free
            await self._room.wait()

    def begin(self, ready: Ready, call: Coroutine[object, object, Result]) -> None:
        """The call is under way from now on. It must not raise."""
        self._begun_at = self._begun_at or time.monotonic()
        task = asyncio.create_task(call)
        self._running[task] = ready
        task.add_done_callback(self._land)

    async def landed(self) -> list[tuple[Ready, Result]]:
        """All answers since the last time, as soon as there is one; none when the flight is over."""
        while not self._landed and (self._running or not self._complete):
            self._news.clear()
            await self._news.wait()
        landed, self._landed = self._landed, []
        return landed

    def complete(self) -> None:
        """No further call begins."""
        self._complete = True
        self._news.set()

    def cancel(self) -> None:
        """Give up what is under way."""
        for task in self._running:
            task.cancel()

    def _at_once(self) -> int:
        taken_soon = self._taken / max(time.monotonic() - self._begun_at, 0.001) * SOON_S
        return max(self._least, min(self._most, int(taken_soon)))

    def _land(self, task: asyncio.Task[Result]) -> None:
        ready = self._running.pop(task)
        if not task.cancelled():
            result = task.result()
            self._taken += isinstance(result, SendReceipt)
            self._landed.append((ready, result))
        self._room.set()
        self._news.set()
