"""How business hours lie in time. Pure.

A day's hours are those of a special day, else of a public holiday (closed), else of its weekday. Spans mean the clock
of the zone, so a day on which clocks change is an hour longer or shorter. A span is open from its first instant to
just before its last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from base.wallclock import WEEKDAYS, instant
from inbox.hours.models import DAY_MIN, DayPlan, HoursInput, minutes_of
from inbox.hours.public_holidays import HolidayYear, holidays_of

#: What does not come within so many days does not come.
HORIZON_DAYS = 3720
#: Days that a calendar remembers.
REMEMBERED = 2000
_NOTHING = timedelta()

Minutes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Open:
    """One time without a break in which somebody is there, in UTC: [opens_at, closes_at)."""

    opens_at: datetime
    closes_at: datetime


class Calendar:
    """The laws, for a ≤ b ≤ c: `worked(a, c) == worked(a, b) + worked(b, c)`; `worked(a, add(a, d)) == d`."""

    def __init__(self, hours: HoursInput) -> None:
        self.zone = ZoneInfo(hours.zone)
        self._week: tuple[Minutes, ...] = tuple(_read(getattr(hours.week, name)) for name in WEEKDAYS)
        self._special = {each.date: DayPlan(_read(each.spans), "special", each.name) for each in hours.special}
        self._choice = hours.holidays
        self._open_on = frozenset(hours.holidays.open_on) if hours.holidays else frozenset()
        #: Without a week nothing comes after the last special day.
        once = [day for day, plan in self._special.items() if plan.spans]
        self._last = date.max if any(self._week) else max(once, default=date.min)
        self._spans = lru_cache(maxsize=REMEMBERED)(self._spans_of)

    def plan(self, day: date) -> DayPlan:
        """What holds on a local day."""
        special = self._special.get(day)
        if special is not None:
            return special
        own = self._week[day.weekday()]
        if self._choice is None or day in self._open_on:
            return DayPlan(own)
        kept = self.holidays(day.year)
        if day in kept.days:
            return DayPlan((), "holiday", kept.days[day])
        if day in kept.workdays:
            return DayPlan(own or next((each for each in self._week[:5] if each), ()), "workday")
        return DayPlan(own)

    def holidays(self, year: int, language: str = "") -> HolidayYear:
        """The public holidays of a year, also those on which these hours hold."""
        if self._choice is None:
            return HolidayYear()
        return holidays_of(self._choice.country, self._choice.subdivision, year, language)

    def spans(self, day: date) -> tuple[Open, ...]:
        """When it is open on a local day."""
        return self._spans(day)

    def between(self, start: datetime, end: datetime) -> Iterator[Open]:
        """The open times of [start, end), cut to it; what touches at midnight is one."""
        held: Open | None = None
        for each in self._from(start, end):
            cut = Open(max(each.opens_at, start), min(each.closes_at, end))
            if held is not None and held.closes_at == cut.opens_at:
                held = Open(held.opens_at, cut.closes_at)
                continue
            if held is not None:
                yield held
            held = cut
        if held is not None:
            yield held

    def is_open(self, at: datetime) -> bool:
        """Whether somebody is there at this instant."""
        return any(each.opens_at <= at < each.closes_at for each in self.spans(at.astimezone(self.zone).date()))

    def opens_at(self, at: datetime) -> datetime | None:
        """`at` while it is open, else its next opening; None when it does not open for `HORIZON_DAYS`."""
        first = next(self._from(at), None)
        return max(first.opens_at, at) if first else None

    def closes_at(self, at: datetime) -> datetime | None:
        """When what is open at this instant closes; None when it is closed. Who never closes closes after
        `HORIZON_DAYS`."""
        first = next(self.between(at, at + timedelta(days=HORIZON_DAYS)), None)
        return first.closes_at if first and first.opens_at <= at else None

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time between two instants is open."""
        return sum((each.closes_at - each.opens_at for each in self.between(start, end)), _NOTHING)

    def add(self, start: datetime, length: timedelta) -> datetime | None:
        """The first instant at which so much open time has gone by since `start`; None when that does not come.
        Raises ValueError for a negative length."""
        if length < _NOTHING:
            raise ValueError("open time is counted forwards alone")
        if not length:
            return start
        left = length
        for each in self._from(start):
            opens_at = max(each.opens_at, start)
            if each.closes_at - opens_at >= left:
                return opens_at + left
            left -= each.closes_at - opens_at
        return None

    def _from(self, start: datetime, end: datetime | None = None) -> Iterator[Open]:
        """What is not over at `start` and has begun before `end`, in order; without an end, for `HORIZON_DAYS`."""
        first = start.astimezone(self.zone).date()
        last = end.astimezone(self.zone).date() if end else first + timedelta(days=HORIZON_DAYS)
        for ahead in range((min(last, self._last) - first).days + 1):
            for each in self.spans(first + timedelta(days=ahead)):
                if each.closes_at > start and (end is None or max(each.opens_at, start) < end):
                    yield each

    def _spans_of(self, day: date) -> tuple[Open, ...]:
        found = (Open(self._at(day, opens), self._at(day, closes)) for opens, closes in self.plan(day).spans)
        return tuple(each for each in found if each.opens_at < each.closes_at)

    def _at(self, day: date, minutes: int) -> datetime:
        if minutes == DAY_MIN:
            day, minutes = day + timedelta(days=1), 0
        return instant(datetime.combine(day, time(minutes // 60, minutes % 60)), self.zone).astimezone(UTC)


def _read(spans: list[tuple[str, str]]) -> Minutes:
    return tuple((minutes_of(opens), minutes_of(closes)) for opens, closes in spans)
