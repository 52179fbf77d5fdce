"""The sweepers: what is due is always found in MongoDB; the queue only shortens the wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from base.mongo import UNAVAILABLE
from worker.drains import Drains

log = logging.getLogger(__name__)

#: Seconds between two looks at each kind of duty. A journey step is at most this late when Redis is away.
SWEEP_S = 1.0


@dataclass(frozen=True)
class Chore:
    """Something done every so often by every worker; safe to be done by several at once."""

    name: str
    every_s: float
    do: Callable[[], Awaitable[object]]


class Clockwork:
    """One task per bell and chore, until stopped."""

    def __init__(self, drains: Drains, chores: list[Chore]) -> None:
        self._drains = drains
        self._chores = chores
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin ticking."""
        sweeps = [Chore(f"sweep {bell}", SWEEP_S, _sweep(self._drains, bell)) for bell in self._drains.bells]
        self._tasks = [asyncio.create_task(_tick(chore), name=chore.name) for chore in [*sweeps, *self._chores]]

    async def stop(self) -> None:
        """Stop ticking at once; drains under way are waited for elsewhere."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _sweep(drains: Drains, bell: str) -> Callable[[], Awaitable[object]]:
    async def sweep() -> None:
        # Shielded: stopping the clock must not cancel work in the middle; the drain ends by its own flag.
        await asyncio.shield(drains.sweep(bell))  # type: ignore[arg-type]

    return sweep


async def _tick(chore: Chore) -> None:
    while True:
        try:
            await chore.do()
        except UNAVAILABLE as error:
            log.warning("a store is away", extra={"chore": chore.name, "error": type(error).__name__})
        except Exception:
            log.exception("chore failed", extra={"chore": chore.name})
        await asyncio.sleep(chore.every_s)
