"""Many people at once, in the background: dates are planned for everybody, schedules come round, the past is taken in.

Each is a duty (`campaigns.store.intakes`) worked off in stretches; after each stretch it is noted how far it is, so a
worker that died is followed by another one. A stretch may run twice: whoever enters does so under a cause of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.ids import id_before
from base.mongo import UNAVAILABLE, Document
from campaigns.bells import Ringer
from campaigns.entering import Entrance, Entrant
from campaigns.facts import FactReader
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.matching import names_of, recorded_names_of
from campaigns.models import DateTrigger, ScheduleTrigger, SegmentTrigger, Trigger
from campaigns.planning import DatePlanner, dated, wanted_fields
from campaigns.qualifying import Caller, Qualifying, callers_of
from campaigns.store import EnrolmentStore
from campaigns.store.intakes import IntakeStore, intake_row
from campaigns.store.planned import DATE, EVENT, PlannedStore
from campaigns.wallclock import zone_or
from profiles.events import EventStore
from profiles.store.segments import MemberStore, SegmentStore

log = logging.getLogger(__name__)

#: Profiles, events and members of one stretch.
PLANNED, READ, TAKEN = 5000, 10_000, 500
#: An occurrence that nobody worked off for so long is missed.
LATE = timedelta(hours=1)
#: Occurrences that were missed are noted one by one, the latest ones.
MISSED_MAX = 100
SUCCESSION = timedelta(seconds=10)
#: How long a worker stays with one intake before it looks at the others.
TURN_S = 10.0
#: Intakes that failed so often without getting on are given up.
TRIES = 4
#: A paused journey is looked at again after.
PATIENCE = timedelta(seconds=15)
#: How far clocks may be apart, and how long an event may be on its way into the database.
SKEW = timedelta(minutes=5)


class _Lost(Exception):
    """It is somebody else's now, or was called off."""


class Intakes:
    """Begins what has to be begun, carries it out, and clears up behind journeys that take nobody in any more."""

    def __init__(
        self, store: IntakeStore, planned: PlannedStore, live: LiveJourneys, planner: DatePlanner, entrance: Entrance,
        qualifying: Qualifying, facts: FactReader, runs: EnrolmentStore, events: EventStore, segments: SegmentStore,
        members: MemberStore, doorbell: Ringer, clock: Clock, *, stretch: int = TAKEN,
    ) -> None:  # fmt: skip
        self._store = store
        self._planned = planned
        self._live = live
        self._planner = planner
        self._entrance = entrance
        self._qualifying = qualifying
        self._facts = facts
        self._runs = runs
        self._events = events
        self._segments = segments
        self._members = members
        self._doorbell = doorbell
        self._clock = clock
        self._stretch = stretch
        #: (journey, version) → when its schedule comes next, as far as it has been reckoned; None: never.
        self._next: dict[tuple[str, int], datetime | None] = {}
        self._kinds: Mapping[str, Callable[[Document, LiveJourney], Awaitable[None]]] = {
            "dates": self._plan_dates, "schedule": self._take_members, "backfill": self._take_back,
        }  # fmt: skip

    # -- beginning ---------------------------------------------------------------------------------------------

    async def enlist(self) -> int:
        """Begin what is to be begun by now; how much. A chore: of two who do it at once one begins each."""
        picture, now = await self._live.now(), self._clock()
        planning = [_of_dates(each, picture.heads[each.id], now) for each in dated(picture.journeys)]
        there = await self._store.there(row["key"] for row in planning)
        begun = await self._store.add([row for row in planning if row["key"] not in there])
        for journey in picture.journeys.values():
            if isinstance(journey.definition.trigger, ScheduleTrigger) and journey.status != "draining":
                begun += await self._come_round(journey, journey.definition.trigger, picture.heads[journey.id])
        return begun

    async def _come_round(self, journey: LiveJourney, trigger: ScheduleTrigger, head: Document) -> int:
        """Occurrences whose time has come since the last one. What is older than an hour is noted as missed."""
        now, place = self._clock(), (journey.id, journey.version)
        if place in self._next and ((known := self._next[place]) is None or known > now):
            return 0
        after = _since(head)
        if (last := await self._store.latest(journey.id, "schedule")) is not None:
            after = max(after, last["at"])
        zone, _ = zone_or(trigger.zone, self._facts.project_zone)
        come: list[datetime] = []
        coming = None
        for at in trigger.rrule.times(trigger.start, trigger.clock.at, zone, after):
            if at > now:
                coming = at
                break
            come = [*come[-MISSED_MAX:], at]
        begun = await self._store.add([_occurrence(journey, trigger, at, now) for at in come])
        self._next = {key: at for key, at in self._next.items() if key[0] != journey.id} | {place: coming}
        return begun

    # -- carrying out ------------------------------------------------------------------------------------------

    async def drain(self) -> int:
        """Carry on with what is due; how many were looked at. For the clockwork."""
        done = 0
        while (row := await self._store.claim()) is not None:
            done += 1
            try:
                await self._carry_on(row)
            except _Lost:
                continue
            except UNAVAILABLE:
                raise
            except Exception:
                log.exception("people cannot be taken in", extra={"intake": row["_id"], "attempts": row["attempts"]})
                if row["attempts"] >= TRIES:
                    await self._store.close(row, "failed", "People could not be taken in. See the log of the worker.")
        return done

    async def _carry_on(self, row: Document) -> None:
        picture = await self._live.anew()
        journey = picture.journeys.get(row["journey_id"])
        if journey is None or journey.status == "draining":
            await self._store.close(row, "cancelled", "The journey takes nobody in any more.")
            return
        if row["kind"] != "dates" and journey.status == "paused":
            await self._store.rest(row, self._clock() + PATIENCE)
            return
        if row["kind"] == "schedule" and not row["seen"] and self._clock() - row["at"] > LATE:
            await self._store.close(row, "missed", "Nobody worked on it within an hour.")
            return
        await self._kinds[row["kind"]](row, journey)

    async def _plan_dates(self, row: Document, journey: LiveJourney) -> None:
        trigger = journey.definition.trigger
        if not isinstance(trigger, DateTrigger) or journey.version != row["version"]:
            await self._store.close(row, "cancelled", "Another version was published.")
            return
        fields, began = wanted_fields(trigger), time.monotonic()
        after, seen, count, total = row["after"], row["seen"], row["entered"], await self._members.total()
        while (found := await self._members.stretch(after, PLANNED)) is not None:
            people = await self._members.people((after, found[0]), {fields[0]: {"$exists": True, "$ne": None}}, fields)
            count += await self._planner.look(people, [journey])
            after, seen = found[0], seen + found[1]
            await self._noted(row, after=after, seen=seen, total=max(seen, total), entered=count)
            if time.monotonic() - began > TURN_S:
                await self._store.rest(row, self._clock())
                return
        await self._planner.outdated(journey)
        await self._store.close(row)

    async def _take_members(self, row: Document, journey: LiveJourney) -> None:
        """Members of a segment enter: at an occurrence all of them, by a backfill those who never were in it."""
        segment_id, scheduled = row["segment_id"], row["kind"] == "schedule"
        if scheduled and not isinstance(journey.definition.trigger, ScheduleTrigger):
            await self._store.close(row, "cancelled", "The journey begins with something else now.")
            return
        after, seen, entered, began = row["after"], row["seen"], row["entered"], time.monotonic()
        while True:
            key = (await self._segments.live_keys([segment_id])).get(segment_id)
            if key is None:
                await self._store.close(row, "failed", "There is no such segment any more, or it was never built.")
                return
            ids = await self._members.members(key, after, self._stretch)
            if not ids:
                await self._store.close(row)
                return
            callers = [Caller(journey, profile_id, row["view"]) for profile_id in ids]
            if not scheduled:
                known = await self._runs.briefs(journey.id, ids)
                callers = [each for each in callers if each.profile_id not in known]
            entered += await self._enter(callers, row["view"], None if not scheduled else row["at"])
            after, seen = ids[-1], seen + len(ids)
            await self._noted(row, after=after, seen=seen, total=max(seen, row["total"]), entered=entered)
            if time.monotonic() - began > TURN_S:
                await self._store.rest(row, self._clock())
                return

    async def _enter(self, callers: Sequence[Caller], view: Document, at: datetime | None) -> int:
        answers = await self._qualifying.let_in(callers)
        since, key = at or self._clock(), view["id"].partition(":")[2]
        entrants = [
            Entrant(caller.journey, caller.profile_id, view["id"], since, key, {"event": view})
            for caller, answer in zip(callers, answers, strict=True) if answer
        ]  # fmt: skip
        return await self._admitted(entrants)

    async def _take_back(self, row: Document, journey: LiveJourney) -> None:
        """Events of the past begin what they would have begun; for a segment, its members enter."""
        trigger = journey.definition.trigger
        if isinstance(trigger, SegmentTrigger) and trigger.segment_id == row.get("segment_id"):
            await self._take_members(row, journey)
            return
        if row.get("segment_id") is not None or not recorded_names_of(trigger):
            await self._store.close(row, "cancelled", "The journey begins with something else now.")
            return
        after, seen, entered, began = row["after"] or row["from"], row["seen"], row["entered"], time.monotonic()
        while (last := await self._events.stretch(after, row["until"], READ)) is not None:
            events = await self._events.between(after, last, recorded_names_of(trigger), row["since"])
            for start in range(0, len(events), self._stretch):
                entered += await self._of_events(events[start : start + self._stretch], journey, trigger)
            after, seen = last, seen + len(events)
            await self._noted(row, after=after, seen=seen, total=max(seen, row["total"]), entered=entered)
            if time.monotonic() - began > TURN_S:
                await self._store.rest(row, self._clock())
                return
        await self._store.close(row)

    async def _of_events(self, events: Sequence[Any], journey: LiveJourney, trigger: Trigger) -> int:
        owners = await self._facts.current({str(event.profile_id) for event in events})
        begun_by = {name: [journey] for name in names_of(trigger)}
        found = await self._qualifying.matches(events, owners, begun_by, {}, of_any_age=True)
        answers = await self._qualifying.let_in(callers_of(found))
        return await self._admitted([match.entrant() for match, answer in zip(found, answers, strict=True) if answer])

    async def _admitted(self, entrants: Sequence[Entrant]) -> int:
        created = sum(admission.created for admission in await self._entrance.admit(entrants))
        if created:
            await self._doorbell.ring("advance")
        return created

    async def _noted(self, row: Document, **fields: Any) -> None:
        if not await self._store.duties.advance(row, fields):
            raise _Lost

    # -- clearing up -------------------------------------------------------------------------------------------

    async def tidy(self) -> int:
        """Forget what is planned for journeys that take nobody in any more, or begin with something else; how much. A
        journey that is opened again plans anew."""
        cleared = 0
        for journey_id in await self._planned.journeys():
            for kind in await self._closed(journey_id):
                while count := await self._planned.clear(journey_id, kind, READ):
                    cleared += count
                if kind not in await self._closed(journey_id):  # opened while we cleared up
                    await self._store.forget(journey_id, "dates")
        return cleared

    async def _closed(self, journey_id: str) -> list[str]:
        """Kinds of rows that nobody asks for in this journey."""
        journey = (await self._live.anew()).journeys.get(journey_id)
        if journey is None or journey.status == "draining":
            return [DATE, EVENT]
        return [] if isinstance(journey.definition.trigger, DateTrigger) else [DATE]


def _since(head: Document) -> datetime:
    """From when on a schedule counts: since the doors were opened, and since the rule was published. Of a rule that
    takes the place of another those count that came right before, when nobody may have looked yet."""
    published: datetime = head["published_at"]
    grace = SUCCESSION if head["live_version"] > 1 else timedelta()
    return max(published - grace, head.get("opened_at") or published - grace)


def _of_dates(journey: LiveJourney, head: Document, now: datetime) -> Document:
    """One per version and time of opening: what changed while the doors were shut was planned by nobody."""
    opened = head.get("opened_at") or head.get("published_at") or head["created_at"]
    key = f"dates:{journey.id}:{journey.version}:{opened:%Y%m%d%H%M%S%f}"
    return intake_row(key, journey.id, "dates", now, now, version=journey.version)


def _occurrence(journey: LiveJourney, trigger: ScheduleTrigger, at: datetime, now: datetime) -> Document:
    instant = at.isoformat().replace("+00:00", "Z")
    late = now - at > LATE
    told = {"segment_id": trigger.segment_id, "rrule": trigger.rrule.text}
    view = {"id": f"schedule:{instant}", "name": "schedule", "occurred_at": at, "properties": told}
    more = {"state": "missed", "reason": "Nobody worked on it within an hour.", "done_at": now} if late else {}
    return intake_row(
        f"schedule:{journey.id}:{instant}", journey.id, "schedule", at, now, version=journey.version,
        segment_id=trigger.segment_id, view=view, **more,
    )  # fmt: skip


def backfill_row(
    key: str, journey: LiveJourney, window: timedelta, now: datetime, by: str | None, total: int
) -> Document:
    """As inserted: members of the segment, or what happened within the window."""
    trigger = journey.definition.trigger
    if isinstance(trigger, SegmentTrigger):
        told = {"segment_id": trigger.segment_id, "backfill": True}
        view = {"id": f"inside:{trigger.segment_id}", "name": "backfill", "occurred_at": now, "properties": told}
        more: Document = {"segment_id": trigger.segment_id, "view": view}
    else:
        since = now - window
        more = {"from": id_before("evt", since - SKEW), "until": id_before("evt", now + SKEW), "since": since}
    return intake_row(
        key, journey.id, "backfill", now, now, version=journey.version, by=by, total=total, **more
    )  # fmt: skip
