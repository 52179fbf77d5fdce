"""Dates that we know of people bring them into journeys: planned as a row each, and planned anew when they change.

Everybody who is looked at by the appraisal is looked at here too (`seen`); a journey that is published plans everybody
there is, stretch by stretch (`campaigns.intakes`). Both go by what is stored at that moment (`look`). When the time has
come the person is read once more, and a date that is another by then is planned anew, not acted upon.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.mongo import Document
from campaigns.bells import Ringer
from campaigns.dates import Occasion, occasion, path_of
from campaigns.entering import Entrance, Entrant
from campaigns.facts import FactReader
from campaigns.late import LateEntries
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.models import DateTrigger
from campaigns.qualifying import Caller, Qualifying
from campaigns.store.planned import DATE, PlannedStore, date_row
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: So late a date still counts, after a time in which nobody worked. A wish for a birthday two days ago helps nobody.
LATE = timedelta(hours=24)
#: Rows handled in one write.
TOGETHER = 1000
_MOMENT = timedelta(milliseconds=1)
#: What of a profile decides when a date comes, beside the field that holds it.
FIELDS = ("time_zone", "rev")


@dataclass(frozen=True)
class _Arrival:
    """A row whose time has come."""

    row: Document
    journey: LiveJourney
    person: Mapping[str, Any]
    occasion: Occasion


class DatePlanner:
    """Plans, and lets in whose date has come. An `Onlooker` of the appraisal."""

    def __init__(
        self, store: PlannedStore, live: LiveJourneys, profiles: ProfileStore, facts: FactReader,
        qualifying: Qualifying, entrance: Entrance, late: LateEntries, doorbell: Ringer, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._live = live
        self._profiles = profiles
        self._facts = facts
        self._qualifying = qualifying
        self._entrance = entrance
        self._late = late
        self._doorbell = doorbell
        self._clock = clock

    # -- planning ----------------------------------------------------------------------------------------------

    async def seen(self, people: Sequence[Mapping[str, Any]]) -> None:
        """See `profiles.appraisal.Onlooker`. The journeys are read after the people were: one that is published later
        finds them as they are by then."""
        journeys = dated((await self._live.anew()).journeys)
        if journeys:
            await self.look(people, journeys)

    async def look(self, people: Sequence[Mapping[str, Any]], journeys: Sequence[LiveJourney]) -> int:
        """Plan for these people as they stand in these documents; how many rows were written. May run twice.

        Whoever was changed, or a journey of which a version was published, between our reading and our writing, is
        looked at again afterwards, so that a plan from what was does not stay.
        """
        now, ids = self._clock(), [str(person["_id"]) for person in people]
        rows = await self._store.dates_of(ids, [journey.id for journey in journeys])
        new, changed, over = [], [], []
        for journey in journeys:
            for person in people:
                row = rows.get((journey.id, person["_id"]))
                if row is not None and row["version"] > journey.version:
                    continue
                fields = self._plan(journey, person, row, now)
                if fields is None:
                    over += [row] if row is not None else []
                elif row is None:
                    new.append(date_row(journey.id, person["_id"], fields, now))
                elif any(row.get(name) != value for name, value in fields.items()):
                    changed.append((row, fields))
        await self._store.plan(new, changed)
        await self._store.drop(over)
        written = {row["profile_id"] for row in (*new, *(row for row, _ in changed), *over)}
        if written:
            await self._check([person for person in people if person["_id"] in written], journeys)
        return len(new) + len(changed) + len(over)

    def _plan(
        self, journey: LiveJourney, person: Mapping[str, Any], row: Document | None, now: datetime
    ) -> Document | None:
        """The fields of the row; None: no date comes. What has come and was not acted upon yet stays."""
        try:
            return self._planned(journey, person, row, now)
        except Exception:  # what stands in one profile must not keep the others waiting
            log.exception("a date cannot be planned", extra={"journey": journey.id, "profile": person["_id"]})
            return None

    def _planned(
        self, journey: LiveJourney, person: Mapping[str, Any], row: Document | None, now: datetime
    ) -> Document | None:
        trigger, zone = journey.definition.trigger, self._facts.project_zone
        if not isinstance(trigger, DateTrigger):
            return None
        if row is not None:
            same = occasion(trigger, person, zone, now - LATE)
            if same is not None and same.key == row["key"]:
                return _fields(same, journey)
        return _planned(occasion(trigger, person, zone, now + _MOMENT), journey)

    async def _check(self, people: Sequence[Mapping[str, Any]], journeys: Sequence[LiveJourney]) -> None:
        today = await self._profiles.revisions(person["_id"] for person in people)
        picture = await self._live.anew()
        moved = any(_version(picture.journeys.get(each.id)) not in (None, each.version) for each in journeys)
        stale = [each["_id"] for each in people if moved or today.get(each["_id"]) != each.get("rev", 0)]
        if stale:
            await self._profiles.appraisals.due(stale)

    async def outdated(self, journey: LiveJourney) -> None:
        """Everybody was planned by this version: who still has a date by an older one is looked at again."""
        while rows := await self._store.outdated(journey.id, journey.version, TOGETHER):
            await self._profiles.appraisals.due({row["profile_id"] for row in rows})
            await self._store.drop(rows)

    # -- letting in --------------------------------------------------------------------------------------------

    async def drain(self, limit: int) -> int:
        """Let in whose date has come, and try late entries again; the number of rows handled."""
        rows = await self._store.claim(limit)
        entered = 0
        if events := [row for row in rows if row["kind"] != DATE]:
            entered += await self._late.try_again(events)
        if dates := [row for row in rows if row["kind"] == DATE]:
            entered += await self._arrive(dates)
        if entered:
            await self._doorbell.ring("advance")
        return len(rows)

    async def next_due(self) -> datetime | None:
        """When the next row is to be worked off; for alarms."""
        return await self._store.duties.next_due(["waiting"])

    async def _arrive(self, rows: Sequence[Document]) -> int:
        picture, now = await self._live.anew(), self._clock()
        people = await self._facts.profiles({row["profile_id"] for row in rows})
        come: list[_Arrival] = []
        later: list[tuple[Document, Document]] = []
        over: list[Document] = []
        for row in rows:
            journey, person = picture.journeys.get(row["journey_id"]), people.get(row["profile_id"])
            fields = None
            if journey is not None and journey.status != "draining" and person is not None:
                fields = self._plan(journey, person, row, now)
            if fields is None or journey is None or person is None:
                over.append(row)
            elif fields["due_at"] > now:
                later.append((row, fields))
            else:
                found = Occasion(fields["due_at"], fields["key"], fields["unknown_zone"])
                come.append(_Arrival(row, journey, person, found))
        entered = await self._let_in(come)
        for each in come:
            fields = self._after(each)
            if fields is None:
                over.append(each.row)
            else:
                later.append((each.row, fields))
        await self._store.move_on(later, over)
        if lost := [row["_id"] for row in over if row["due_at"] < now - LATE]:
            log.warning("dates were not acted upon in time", extra={"entries": len(lost)})
        return entered

    async def _let_in(self, come: Sequence[_Arrival]) -> int:
        views = [_view(each) for each in come]
        callers = [Caller(each.journey, str(each.person["_id"]), view) for each, view in zip(come, views, strict=True)]
        answers = await self._qualifying.let_in(callers)
        entrants = [
            Entrant(each.journey, str(each.person["_id"]), view["id"], each.occasion.due_at, each.occasion.key,
                    {"event": view})
            for each, view, answer in zip(come, views, answers, strict=True) if answer
        ]  # fmt: skip
        return sum(admission.created for admission in await self._entrance.admit(entrants))

    def _after(self, arrival: _Arrival) -> Document | None:
        """The next coming, for who came just now."""
        trigger, journey = arrival.journey.definition.trigger, arrival.journey
        if not isinstance(trigger, DateTrigger) or not trigger.yearly:
            return None
        after = max(arrival.occasion.due_at, self._clock()) + _MOMENT
        found = occasion(trigger, arrival.person, self._facts.project_zone, after)
        return _planned(found, journey)


def dated(journeys: Mapping[str, LiveJourney]) -> list[LiveJourney]:
    """Those that take people in on a date."""
    return [
        journey for journey in journeys.values()
        if isinstance(journey.definition.trigger, DateTrigger) and journey.status != "draining"
    ]  # fmt: skip


def wanted_fields(trigger: DateTrigger) -> list[str]:
    """What is read of a profile in order to plan; the field that holds the date comes first."""
    return [path_of(trigger), *FIELDS]


def _planned(found: Occasion | None, journey: LiveJourney) -> Document | None:
    return _fields(found, journey) if found is not None else None


def _fields(found: Occasion, journey: LiveJourney) -> Document:
    return {
        "due_at": found.due_at, "key": found.key, "unknown_zone": found.unknown_zone, "version": journey.version,
    }  # fmt: skip


def _view(arrival: _Arrival) -> Document:
    """What the run begins with, as an event."""
    trigger, found = arrival.journey.definition.trigger, arrival.occasion
    told: Document = {"field": getattr(trigger, "field", None), "key": found.key}
    if found.unknown_zone is not None:
        told["unknown_zone"] = found.unknown_zone
    return {"id": f"date:{found.key}", "name": "date", "occurred_at": found.due_at, "properties": told}


def _version(journey: LiveJourney | None) -> int | None:
    return journey.version if journey is not None else None
