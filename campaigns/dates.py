"""When a date that we know of somebody comes: a birthday, a renewal, so many days after the last order. Pure.

A field may hold a bare day (`2026-05-12`, or midnight UTC in an attribute, which is how days are kept there), a day
without a year (`--05-12`), or a time. A day falls on the calendar of the zone; 29 February is kept on the 28th where
there is none. Clock changes: `wallclock`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.models import DateTrigger
from campaigns.wallclock import Duration, instant, zone_or
from profiles.appraisal import value_at
from profiles.segments.fields import Scope, find_field

#: When a day begins for who names no clock time.
MORNING = time(9)
NO_OFFSET = Duration("PT0S")
_YEARLESS = re.compile(r"(?:--)?(\d{2})-(\d{2})", re.ASCII)
#: Years that the calendar knows how to reckon with.
FIRST_YEAR, LAST_YEAR = 20, 9900


@dataclass(frozen=True)
class Told:
    """What a field says: a day, with a clock time where it told one; `year` None: every year. `at`: the instant that
    it told, if it was one. `text` stays the same as long as the field does."""

    month: int
    day: int
    year: int | None
    clock: time | None
    at: datetime | None
    text: str


@dataclass(frozen=True)
class Occasion:
    """One coming of the date. `key`: the field's value and the year, which stay when zone, offset or hour change."""

    due_at: datetime
    key: str
    #: The person's zone, when there is none of that name: the deployment's own is taken then.
    unknown_zone: str | None = None


def path_of(trigger: DateTrigger) -> str:
    """Where the date stands in a profile's document."""
    return find_field(trigger.field, Scope.PROFILE).path


def occasion(
    trigger: DateTrigger, profile: Mapping[str, Any], project_zone: str, not_before: datetime
) -> Occasion | None:  # fmt: skip
    """The first coming due at or after `not_before`; None when there is none."""
    own = profile.get("time_zone")
    wanted = own if trigger.zone == "profile" else trigger.zone
    zone, unknown = zone_or(wanted if isinstance(wanted, str) else None, project_zone)
    theirs = trigger.field.partition(".")[0] == "attributes"
    told = read_date(value_at(profile, path_of(trigger)), zone, days=theirs)
    if told is None:
        return None
    for year, due in _comings(trigger, told, zone, not_before, from_the_day=theirs):
        if due >= not_before:
            return Occasion(due, f"{told.text}:{year}", str(wanted)[:60] if unknown else None)
    return None


def read_date(value: Any, zone: ZoneInfo, *, days: bool = True) -> Told | None:
    """What a stored value says in that zone; None when it is no date. `days`: midnight UTC means a bare day."""
    if isinstance(value, str):
        value = _from_text(value.strip()[:40])
    if isinstance(value, Told):
        return value
    value = as_meant(value) if days else value
    if isinstance(value, datetime):
        return _from_time(value, zone)
    if isinstance(value, date):
        return _of_day(value)
    return None


def as_meant(value: Any) -> Any:
    """Attributes as people mean them: midnight UTC is the day that is kept so, wherever the person lives. Inside of
    mappings and lists too; everything else stays."""
    if isinstance(value, datetime):
        if value.tzinfo is None or not FIRST_YEAR <= value.year <= LAST_YEAR:
            return value
        at = value.astimezone(UTC)
        return at.date() if at.time() == time() else value
    if isinstance(value, Mapping):
        return {name: as_meant(inside) for name, inside in value.items()}
    return [as_meant(inside) for inside in value] if isinstance(value, list) else value


def _from_text(text: str) -> Any:
    found = _YEARLESS.fullmatch(text)
    try:
        if found is not None:
            day = date(2000, int(found[1]), int(found[2]))
            return Told(day.month, day.day, None, None, None, f"--{day:%m-%d}")
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError:
        return None


def _from_time(value: datetime, zone: ZoneInfo) -> Told | None:
    if value.tzinfo is not None:
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            return None
        at = value.astimezone(UTC)
        local, text = at.astimezone(zone), at.isoformat(timespec="milliseconds")
        return Told(local.month, local.day, local.year, local.time(), at, text)
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        return None
    text = value.isoformat(timespec="milliseconds")
    return Told(value.month, value.day, value.year, value.time(), None, text)


def _of_day(day: date) -> Told | None:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        return None
    return Told(day.month, day.day, day.year, None, None, day.isoformat())


def _comings(
    trigger: DateTrigger, told: Told, zone: ZoneInfo, not_before: datetime, *, from_the_day: bool
) -> Iterator[tuple[int, datetime]]:
    """(year, due) in order. What we note ourselves (a first visit, an order) has its first anniversary a year later;
    a day that somebody told us counts itself."""
    offset = trigger.offset or NO_OFFSET
    if not trigger.yearly:
        if told.year is None:
            return
        if told.at is not None and trigger.at is None:
            yield told.year, offset.after(told.at, zone)
        else:
            yield told.year, _due(trigger, told, told.year, offset, zone)
        return
    first = FIRST_YEAR if told.year is None else told.year if from_the_day else told.year + 1
    around = int(offset.roughly() / timedelta(days=365)) + 1
    nearest = not_before.astimezone(zone).year - around
    for year in range(max(first, nearest), min(max(first, nearest) + 2 * around + 2, LAST_YEAR)):
        yield year, _due(trigger, told, year, offset, zone)


def _due(trigger: DateTrigger, told: Told, year: int, offset: Duration, zone: ZoneInfo) -> datetime:
    clock = trigger.at.at if trigger.at is not None else told.clock or MORNING
    local = datetime.combine(day_in(year, told.month, told.day), clock)
    return offset.after_clock(local, zone) if offset is not NO_OFFSET else instant(local, zone)


def day_in(year: int, month: int, day: int) -> date:
    """That day of the year; 29 February is the 28th in a year without one."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 2, 28)
