"""What business hours are made of: a week of spans, public holidays, special days. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from base.wallclock import known_zone
from inbox.hours.public_holidays import COUNTRIES, subdivisions_of

#: Minutes of a day by the clock.
DAY_MIN = 24 * 60
SPANS_MAX, SPECIAL_MAX, OPEN_ON_MAX = 6, 200, 200
#: Years a day of a calendar may lie in.
FIRST_YEAR, LAST_YEAR = 1970, 2199
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)


def minutes_of(text: str) -> int:
    """Minutes since midnight of `HH:MM`; `24:00` is the end of the day. Raises ValueError."""
    if _CLOCK.fullmatch(text) is None:
        raise ValueError(f"{text[:20]!r} is no time of day such as 09:00; the end of a day is 24:00")
    return int(text[:2]) * 60 + int(text[3:])


def clock_of(minutes: int) -> str:
    """The reverse of `minutes_of`."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _in_order(spans: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """By time. Raises ValueError for spans that overlap or end before they begin."""
    read = sorted((minutes_of(opens), minutes_of(closes)) for opens, closes in spans)
    for opens, closes in read:
        if closes <= opens:
            raise ValueError(
                f"{clock_of(opens)}–{clock_of(closes)} ends before it begins; hours past midnight are two spans, "
                f"until 24:00 and on the next day from 00:00"
            )
    for (_, closes), (opens, _) in pairwise(read):
        if opens < closes:
            raise ValueError(
                f"a span that begins at {clock_of(opens)} overlaps the one before, until {clock_of(closes)}"
            )
    return [(clock_of(opens), clock_of(closes)) for opens, closes in read]


def _of_our_time(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"lies outside {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _zone(name: str) -> str:
    if known_zone(name) is None:
        raise ValueError("is no time zone; one is Europe/Amsterdam, another Asia/Shanghai")
    return name


ClockText = Annotated[str, StringConstraints(max_length=5)]
#: Open spans of a day, `["09:00", "12:30"]` each; none: closed.
Spans = Annotated[list[tuple[ClockText, ClockText]], Field(max_length=SPANS_MAX), AfterValidator(_in_order)]
Day = Annotated[date, AfterValidator(_of_our_time)]
Zone = Annotated[str, StringConstraints(max_length=60), AfterValidator(_zone)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
DayName = Annotated[str, StringConstraints(max_length=120, strip_whitespace=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Week(_Part):
    """The spans of each weekday."""

    mon: Spans = Field(default_factory=list)
    tue: Spans = Field(default_factory=list)
    wed: Spans = Field(default_factory=list)
    thu: Spans = Field(default_factory=list)
    fri: Spans = Field(default_factory=list)
    sat: Spans = Field(default_factory=list)
    sun: Spans = Field(default_factory=list)


class HolidayChoice(_Part):
    """Whose public holidays are kept. `open_on`: days among them that are days like any other."""

    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
    subdivision: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = None
    open_on: list[Day] = Field(default_factory=list, max_length=OPEN_ON_MAX)

    @model_validator(mode="after")
    def _is_known(self) -> HolidayChoice:
        if self.country not in COUNTRIES:
            raise ValueError(f"the holidays of {self.country} are not known; give them as special days")
        known = subdivisions_of(self.country)
        if self.subdivision is not None and self.subdivision not in known:
            one_of = f"one of {', '.join(known)}" if known else "none"
            raise ValueError(f"{self.country} has no part {self.subdivision}; it takes {one_of}")
        return self


class SpecialDay(_Part):
    """A day with hours of its own, before week and holidays. Without spans it is closed."""

    date: Day
    spans: Spans = Field(default_factory=list)
    name: DayName = ""


def _once(days: list[SpecialDay]) -> list[SpecialDay]:
    known: set[date] = set()
    for each in days:
        if each.date in known:
            raise ValueError(f"{each.date.isoformat()} stands there twice")
        known.add(each.date)
    return sorted(days, key=lambda each: each.date)


class HoursInput(_Part):
    """Business hours as they are written."""

    name: Title
    zone: Zone = Field(description="An IANA name. Clock times are those of this zone, whatever its clocks do.")
    week: Week = Field(default_factory=Week)
    holidays: HolidayChoice | None = None
    special: Annotated[list[SpecialDay], AfterValidator(_once)] = Field(default_factory=list, max_length=SPECIAL_MAX)


Why = Literal["week", "holiday", "workday", "special"]


@dataclass(frozen=True)
class DayPlan:
    """The hours of one day: minutes of the clock, and why. `name`: of the holiday or the special day."""

    spans: tuple[tuple[int, int], ...]
    why: Why = "week"
    name: str = ""
