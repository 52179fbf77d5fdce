"""Events whose entry filter said no are tried again for half an hour: who says a little later who they are counts too.

Kept as `event` rows of `campaigns.store.planned`, tried at growing intervals and whenever the person's profile changes.
Only for `event` triggers, and only where the filter looks at more than the event, which stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from base.clock import Clock
from base.mongo import Document
from campaigns.causes import Causes
from campaigns.entering import Entrance
from campaigns.facts import FactReader
from campaigns.live import LiveJourneys
from campaigns.models import EventTrigger
from campaigns.qualifying import Match, Qualifying, callers_of, may_change
from campaigns.store.planned import PlannedStore, event_row
from profiles.events import EventStore

#: After how long an event is tried again, counted from when it was first acted upon; then no more.
LOOKS = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
)


class LateEntries:
    """Keeps them, and tries them again."""

    def __init__(
        self, store: PlannedStore, events: EventStore, live: LiveJourneys, qualifying: Qualifying, entrance: Entrance,
        facts: FactReader, causes: Causes, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._events = events
        self._live = live
        self._qualifying = qualifying
        self._entrance = entrance
        self._facts = facts
        self._causes = causes
        self._clock = clock

    async def wait(self, matches: Sequence[Match]) -> int:
        """These were turned away; how many are tried again. May run twice for the same."""
        now = self._clock()
        rows = [
            event_row(match.journey.id, match.profile_id, match.event_id, now, due_at=now + LOOKS[0],
                      until=now + LOOKS[-1])
            for match in matches
            if isinstance(match.journey.definition.trigger, EventTrigger) and may_change(match)
            and now - (match.event.received_at or now) < LOOKS[-1]
        ]  # fmt: skip
        return await self._store.wait(rows)

    async def changed(self, profile_ids: Collection[str]) -> None:
        """What we know of these people changed: try their events now."""
        if profile_ids and any(_filters(each.definition.trigger, each.definition.entry_filter)
                               for each in (await self._live.now()).journeys.values()):  # fmt: skip
            await self._store.wake(profile_ids)

    async def try_again(self, rows: Sequence[Document]) -> int:
        """Claimed rows, worked off; how many people entered."""
        picture, now = await self._live.now(), self._clock()
        events = {event.id: event for event in await self._events.many(sorted({row["slot"] for row in rows}))}
        owners = await self._facts.current({str(event.profile_id) for event in events.values()})
        found: dict[str, Match] = {}
        for row in rows:
            journey, event = picture.journeys.get(row["journey_id"]), events.get(row["slot"])
            if journey is not None and journey.status != "draining" and event is not None and event.profile_id:
                begun = await self._qualifying.matches([event], owners, {event.name: [journey]}, {}, of_any_age=True)
                found.update((row["_id"], match) for match in begun)
        pairs = list(found.items())
        answers = await self._qualifying.let_in(callers_of([match for _, match in pairs]))
        entering = [(key, match) for (key, match), answer in zip(pairs, answers, strict=True) if answer]
        led = await self._causes.of([events[key] for key in {match.event_id for _, match in entering}])
        admissions = await self._entrance.admit([match.entrant(led.get(match.event_id, ())) for _, match in entering])
        waiting = {key for (key, _), answer in zip(pairs, answers, strict=True) if answer is False}
        over = [row for row in rows if row["_id"] not in waiting or now >= row["until"]]
        gone = {row["_id"] for row in over}
        later = [
            (row, {"due_at": _next(row, now), "looks": row["looks"] + 1}) for row in rows if row["_id"] not in gone
        ]
        await self._store.move_on(later, over)
        return sum(admission.created for admission in admissions)


def _next(row: Document, now: datetime) -> datetime:
    """The next of the looks that is still to come."""
    until: datetime = row["until"]
    return min((row["at"] + span for span in LOOKS if now < row["at"] + span <= until), default=until)


def _filters(trigger: object, entry_filter: object) -> bool:
    return isinstance(trigger, EventTrigger) and entry_filter is not None
