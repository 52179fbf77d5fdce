"""Those who qualify already are taken in when a person asks: for what happened in a window, or for being in a segment.

What happened begins what it would have begun had the journey been there, under the same causes: whatever is taken in
twice enters once. Of a segment those members are taken who never were in the journey.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import id_before, is_id, new_id
from base.mongo import Document
from base.pages import Page
from campaigns.facts import FactReader
from campaigns.intakes import SKEW, backfill_row
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.matching import names_of, recorded_names_of
from campaigns.models import SegmentTrigger
from campaigns.qualifying import Caller, Qualifying, callers_of
from campaigns.store import EnrolmentStore, IntakeStore, PlannedStore
from campaigns.wallclock import Duration
from profiles.events import EventStore
from profiles.store.segments import MemberStore, SegmentStore

#: How far back it may go, and how far it goes where nothing is said.
WINDOW_MAX, WINDOW = timedelta(days=366), "P30D"
#: A preview looks at so much, newest first, and for so long.
LOOKED_MAX, LOOK_S, STRETCH = 2000, 2.0, 10_000
#: Dates are counted no further.
DATES_MAX = 100_000


@dataclass(frozen=True)
class Outlook:
    """How many people a backfill would take in. `at_least`: not everybody was looked at."""

    people: int
    at_least: bool


@dataclass(frozen=True)
class Planned:
    """How many people have a date in a journey, and when the next one comes."""

    people: int
    at_least: bool
    next_at: datetime | None


class Backfills:
    """The use cases: preview, begin, watch, call off."""

    def __init__(
        self, store: IntakeStore, planned: PlannedStore, live: LiveJourneys, qualifying: Qualifying,
        facts: FactReader, runs: EnrolmentStore, events: EventStore, segments: SegmentStore, members: MemberStore,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._planned = planned
        self._live = live
        self._qualifying = qualifying
        self._facts = facts
        self._runs = runs
        self._events = events
        self._segments = segments
        self._members = members
        self._clock = clock

    async def outlook(self, journey_id: str, window: str = WINDOW) -> Outlook:
        """Whom it would take in now; writes nothing. Raises `NotFound`, `Conflict`, `WrongInput`."""
        journey, span = await self._asked(journey_id, window)
        trigger = journey.definition.trigger
        if isinstance(trigger, SegmentTrigger):
            return await self._inside(journey, trigger.segment_id)
        return await self._happened(journey, span)

    async def begin(
        self, journey_id: str, window: str = WINDOW, *, by: str | None = None, key: str | None = None
    ) -> Document:  # fmt: skip
        """Take them in, in the background; the intake. The same `key` returns the same one. Raises as `outlook`."""
        journey, span = await self._asked(journey_id, window)
        unique = f"backfill:{journey.id}:{key or new_id('itk')}"
        found = await self.outlook(journey_id, window)
        row = backfill_row(unique, journey, span, self._clock(), by, found.people)
        await self._store.add([row])
        return await self._store.by_key(unique) or row

    async def intakes(
        self, journey_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """What takes or took people into a journey in the background, and the occurrences that were missed; newest
        first."""
        return await self._store.page(journey_id, limit=limit, cursor=cursor)

    async def call_off(self, journey_id: str, intake_id: str) -> Document:
        """Stop one; who is in stays in. One that is over stays as it is. Raises `NotFound`, `Conflict` for the planning
        of dates, which ends with the journey."""
        row = await self._store.get(intake_id) if is_id(intake_id, "itk") else None
        if row is None or row["journey_id"] != journey_id:
            raise NotFound("There is no such intake.")
        if row["kind"] == "dates":
            raise Conflict("Dates are planned as long as the journey takes people in.", code="not_stoppable")
        await self._store.call_off(intake_id)
        return await self._store.get(intake_id) or row

    async def planned(self, journey_id: str) -> Planned:
        """Who has a date."""
        count, first = await self._planned.outlook(journey_id, DATES_MAX)
        return Planned(count, count >= DATES_MAX, first)

    # -- the two kinds -----------------------------------------------------------------------------------------

    async def _inside(self, journey: LiveJourney, segment_id: str) -> Outlook:
        key = (await self._segments.live_keys([segment_id])).get(segment_id)
        if key is None:
            raise Conflict("This segment has no members yet: it is still being built.", code="not_built")
        view = {"id": f"inside:{segment_id}", "name": "backfill", "occurred_at": self._clock(), "properties": {}}
        began, after, people, looked = time.monotonic(), "", 0, 0
        while looked < LOOKED_MAX and time.monotonic() - began < LOOK_S:
            ids = await self._members.members(key, after, 500)
            if not ids:
                return Outlook(people, False)
            known = await self._runs.briefs(journey.id, ids)
            callers = [Caller(journey, each, view) for each in ids if each not in known]
            people += sum(bool(answer) for answer in await self._qualifying.let_in(callers))
            after, looked = ids[-1], looked + len(ids)
        return Outlook(people, bool(await self._members.members(key, after, 1)))

    async def _happened(self, journey: LiveJourney, span: timedelta) -> Outlook:
        trigger, now = journey.definition.trigger, self._clock()
        after, until = id_before("evt", now - span - SKEW), id_before("evt", now + SKEW)
        events = await self._events.between(
            after, until, recorded_names_of(trigger), now - span, limit=LOOKED_MAX + 1
        )  # fmt: skip
        at_least, events = len(events) > LOOKED_MAX, events[-LOOKED_MAX:]
        owners = await self._facts.current({str(event.profile_id) for event in events})
        begun_by = {name: [journey] for name in names_of(trigger)}
        found = await self._qualifying.matches(events, owners, begun_by, {}, of_any_age=True)
        answers = await self._qualifying.let_in(callers_of(found))
        wanted = {match.profile_id for match, answer in zip(found, answers, strict=True) if answer}
        known = await self._runs.briefs(journey.id, wanted)
        causes = {(key, run.cause) for key, runs in known.items() for run in runs}
        people = {
            match.profile_id for match, answer in zip(found, answers, strict=True)
            if answer and (match.profile_id, match.entrant().cause) not in causes
        }  # fmt: skip
        once = journey.definition.reentry.mode == "once"
        return Outlook(len(people - known.keys() if once else people), at_least)

    async def _asked(self, journey_id: str, window: str) -> tuple[LiveJourney, timedelta]:
        picture = await self._live.anew()
        if not is_id(journey_id, "jrn"):
            raise NotFound("There is no such journey.")
        journey = picture.journeys.get(journey_id)
        if journey is None or journey.status == "draining":
            raise Conflict("This journey takes nobody in: publish or resume it first.", code="not_running")
        trigger = journey.definition.trigger
        takes = trigger.type == "segment_entered" if isinstance(trigger, SegmentTrigger) else recorded_names_of(trigger)
        if not takes:
            raise Conflict(
                "Nobody qualifies already for a journey that begins like this one: only events of the past and members "
                "of a segment can be taken in.", code="nothing_to_take_in",
            )  # fmt: skip
        try:
            span = Duration.parse(window)
        except ValueError as error:
            raise WrongInput("Say how far back it goes.", [FieldError("window", str(error))]) from None
        if span.sign < 0 or not timedelta() < span.roughly() <= WINDOW_MAX:
            raise WrongInput("Say how far back it goes.", [FieldError("window", "is between a moment and a year")])
        return journey, span.roughly()
