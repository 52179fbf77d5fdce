"""What goes by its age: every night, kind by kind, in small batches; cut short, it goes on where it stood."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.errors import FieldError, TooSlow, WrongInput
from base.metrics import AGED_OUT
from base.mongo import Document
from profiles.store.retention import RetentionStore

log = logging.getLogger(__name__)

#: Rows in one batch; seconds of one turn, after which others may work; hour at which the night begins.
BATCH, TURN_S, HOUR = 500, 15.0, 3
PAUSE = timedelta(seconds=5)
DAYS_MAX = 3650


@dataclass(frozen=True)
class Kind:
    """One kind of data. `days`: how long without a choice, None for ever; `least`: fewer would break something."""

    name: str
    days: int | None
    least: int
    count: Callable[[datetime], Awaitable[int]]
    #: Takes up to so many away and says how many; fewer than asked for: none is left.
    remove: Callable[[datetime, int], Awaitable[int]]


@dataclass(frozen=True)
class Outlook:
    """One kind as it stands: how long it is kept, and how many rows would go tonight; None where counting them takes
    too long."""

    name: str
    days: int | None
    least: int
    count: int | None


class Retention:
    """Chooses and carries out."""

    def __init__(self, store: RetentionStore, kinds: Sequence[Kind], clock: Clock, *, time_zone: str = "UTC") -> None:
        self._store = store
        self._kinds = tuple(kinds)
        self._clock = clock
        self._zone = ZoneInfo(time_zone)

    async def days(self) -> dict[str, int | None]:
        """Kind → days; None: for ever."""
        chosen = await self._store.chosen()
        return {kind.name: chosen.get(kind.name, kind.days) for kind in self._kinds}

    async def outlook(self, tried: Mapping[str, int | None] | None = None) -> list[Outlook]:
        """What would go tonight, under the days chosen or under those `tried`. Raises `WrongInput`."""
        days = {**await self.days(), **(self._checked(tried) if tried else {})}
        return [
            Outlook(kind.name, days[kind.name], kind.least, await self._count(kind, days[kind.name]))
            for kind in self._kinds
        ]

    async def choose(self, days: Mapping[str, int | None], by: str) -> None:
        """Keep so long from now on; kinds not named stay. Raises `WrongInput`."""
        await self._store.choose({**await self._store.chosen(), **self._checked(days)}, by, self._clock())

    async def nights(self) -> list[Document]:
        """What went in the last nights."""
        return await self._store.nights()

    async def drain(self) -> int:
        """Carry on with the night, when it is time; how many rows went. A chore, safe to be done by several at once."""
        now = self._clock()
        await self._store.ensure(self._next_night(now))
        row = await self._store.claim(now)
        if row is None:
            return 0
        started, total, days = time.monotonic(), 0, await self.days()
        for kind in self._kinds:
            kept = days[kind.name]
            if kind.name in row["ended"] or kept is None:
                continue
            while True:
                if time.monotonic() - started > TURN_S:
                    await self._store.later(row, self._clock() + PAUSE)
                    return total
                count = await kind.remove(now - timedelta(days=kept), BATCH)
                total += count
                AGED_OUT.labels(kind.name).inc(count)
                if not await self._store.removed(row, kind.name, count):
                    return total
                if count < BATCH:
                    break
            if not await self._store.ended(row, kind.name):
                return total
        counts = await self._store.over(row, now, self._next_night(self._clock()))
        if counts:
            log.info("old rows went", extra={"counts": counts})
        return total

    def faults(self, days: Mapping[str, int | None]) -> list[FieldError]:
        """What stands against keeping each kind so long; the path is `days.` and the kind."""
        known = {kind.name: kind for kind in self._kinds}
        faults = [FieldError(f"days.{name}", "is no kind of data") for name in days if name not in known]
        for name, wanted in days.items():
            if name in known and wanted is not None and not known[name].least <= wanted <= DAYS_MAX:
                faults.append(FieldError(f"days.{name}", f"takes {known[name].least} to {DAYS_MAX} days"))
        return faults

    def _checked(self, days: Mapping[str, int | None]) -> dict[str, int | None]:
        if faults := self.faults(days):
            raise WrongInput("These times cannot be kept.", faults)
        return dict(days)

    async def _count(self, kind: Kind, days: int | None) -> int | None:
        try:
            return 0 if days is None else await kind.count(self._clock() - timedelta(days=days))
        except TooSlow:
            return None

    def _next_night(self, now: datetime) -> datetime:
        there = now.astimezone(self._zone)
        tonight = there.replace(hour=HOUR, minute=0, second=0, microsecond=0)
        return (tonight if tonight > there else tonight + timedelta(days=1)).astimezone(UTC)
