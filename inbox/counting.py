"""Counts of views that are kept: marks are counted in, new views counted once, and at night all is compared."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.metrics import TALLIES_OFF
from base.mongo import Database, Document, ExecutionTimeout, Session
from inbox.signs import folded, key_of, own_key
from inbox.store import MarkStore, ViewStore, ViewTallyStore
from inbox.view_filter import ViewFilter

log = logging.getLogger(__name__)

#: Rows of marks counted in at once, and those that a reader counts in for themselves.
BATCH, READ_ALONG = 50, 40
#: Views counted for the first time in one turn.
BUILDS = 20
#: Hours of the night in which counts are compared.
NIGHT = range(2, 6)
#: Views that everybody has.
BUILT_IN: Mapping[str, ViewFilter] = {
    "mine": ViewFilter(status=("open",), assignee=("me",)),
    "unassigned": ViewFilter(status=("open",), assignee=("none",)),
    "all": ViewFilter(status=("open",)),
    "waiting": ViewFilter(status=("open",), assignee=("me",), waiting=True),
}


class Counting:
    """Keeps how many conversations are in each view. Several may do it at once, and each may die at any time."""

    def __init__(
        self, database: Database, tallies: ViewTallyStore, marks: MarkStore, views: ViewStore, clock: Clock, *,
        time_zone: str = "UTC",
    ) -> None:  # fmt: skip
        self._database = database
        self._tallies = tallies
        self._marks = marks
        self._views = views
        self._clock = clock
        self._zone = ZoneInfo(time_zone)

    async def counts(
        self, views: Mapping[str, ViewFilter], user_id: str, channels: Sequence[str] | None
    ) -> dict[str, int]:  # fmt: skip
        """View → how many this person has in it, of those that are counted: not views by search or people, and no view
        that was saved this second. Reads a row per view and channel, however many conversations there are."""
        keys = {name: key_of(name, view) for name, view in views.items() if view.of_rows}
        kept = await self._tallies.keys()
        keys = {name: key for name, key in keys.items() if key in kept}
        places = [place for key in keys.values() for place in (key, own_key(key, user_id))]
        found = await self._tallies.of(places, channels) if places else {}
        waiting = _marks_of(await self._marks.first(READ_ALONG))
        recent = folded(waiting, {key: views[name] for name, key in keys.items()})
        for (place, channel_id), by in recent.items():
            if place in found and (channels is None or channel_id in channels):
                found[place] += by
        return {name: max(0, found[key] + found[own_key(key, user_id)]) for name, key in keys.items()}

    async def keep(self) -> None:
        """Count marks in, and count views that are new. A chore."""
        while await self._fold() == BATCH:
            pass
        kept = await self._tallies.keys()
        missing = {key: view for key, view in (await self._wanted()).items() if key not in kept}
        for key, view in list(missing.items())[:BUILDS]:
            await self._build(key, view)

    async def compare(self) -> int:
        """Count everything once a night and set right what is not as it was kept, which would be a fault of ours; how
        many views were off. A chore; one of all workers does it."""
        now = self._clock()
        if now.astimezone(self._zone).hour not in NIGHT:
            return 0
        if not await self._tallies.to_compare(now, now - timedelta(hours=12)):
            return 0
        return sum([await self._compared(key, view) for key, view in (await self._wanted()).items()])

    async def _wanted(self, session: Session | None = None) -> dict[str, ViewFilter]:
        """All views that can be counted, by their keys of today."""
        views = dict(BUILT_IN)
        for row in await self._views.all(session):
            views[row["_id"]] = ViewFilter.model_validate(row["filter"])
        return {key_of(name, view): view for name, view in views.items() if view.of_rows}

    async def _fold(self) -> int:
        """Count some marks in; how many rows of them."""
        if not await self._marks.first(1):
            return 0

        async def work(session: Session) -> int:
            keys = await self._tallies.lock(session)
            wanted = await self._wanted(session)
            rows = await self._marks.first(BATCH, session)
            kept = {key: wanted[key] for key in keys if key in wanted}
            if len(kept) < len(keys):  # what nobody has any more is not counted on
                await self._tallies.keep(kept, session)
                await self._tallies.forget(keys - kept.keys(), session)
            await self._tallies.add(folded(_marks_of(rows), kept), session)
            await self._marks.remove(rows, session)
            return len(rows)

        done: int = await self._database.in_transaction(work)
        return done

    async def _build(self, key: str, view: ViewFilter) -> None:
        """Count one view for the first time. What marks will bring is not counted twice."""

        async def work(session: Session) -> None:
            keys = await self._tallies.lock(session)
            if key not in keys:
                await self._set(key, view, session)
                await self._tallies.keep([*keys, key], session)

        try:
            await self._database.in_transaction(work)
        except ExecutionTimeout:
            log.warning("a view could not be counted in time", extra={"view": key})

    async def _compared(self, key: str, view: ViewFilter) -> bool:
        async def work(session: Session) -> bool:
            if key not in await self._tallies.lock(session):
                return False
            before = await self._tallies.all_of(key, session)
            return before != await self._set(key, view, session)

        try:
            is_off: bool = await self._database.in_transaction(work)
        except ExecutionTimeout:
            log.warning("a view could not be compared in time", extra={"view": key})
            return False
        if is_off:
            log.error("a kept count was off and is set right", extra={"view": key})
            TALLIES_OFF.inc()
        return is_off

    async def _set(self, key: str, view: ViewFilter, session: Session) -> dict[tuple[str, str], int]:
        """Write what there is less what waits in marks; what was written."""
        counts = Counter(await self._tallies.counted(key, view, session))
        counts.subtract(folded(_marks_of(await self._marks.first(None, session)), {key: view}))
        fresh = {at: count for at, count in counts.items() if count}
        await self._tallies.forget([key], session)
        await self._tallies.add(fresh, session)
        return fresh


def _marks_of(rows: Sequence[Document]) -> list[Document]:
    return [mark for row in rows for mark in row["marks"]]
