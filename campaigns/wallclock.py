"""Windows of wall-clock time in a zone, and ISO 8601 durations. Pure.

Local times mean what `base.wallclock` says. Calendar parts of a duration (years, months, weeks, days) keep the clock
time in the zone; hours, minutes and seconds are elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from base.wallclock import WEEKDAYS, at_clock, instant, known_zone

#: What stands in `base.wallclock` is a part of this vocabulary.
__all__ = [
    "FIRST_INSTANT", "LAST_INSTANT", "LONGEST", "WEEKDAYS", "Clock24", "Duration", "at_clock", "instant", "known_zone",
    "next_clock", "next_open", "window_end", "zone_or",
]  # fmt: skip

#: Nothing here waits longer than this; a slip of the keyboard must not hide a run until the year 9000.
LONGEST = timedelta(days=3720)
LAST_INSTANT = datetime(9990, 1, 1, tzinfo=UTC)
FIRST_INSTANT = datetime(10, 1, 1, tzinfo=UTC)

_DURATION = re.compile(
    r"(?P<sign>[+-])?P(?=\d|T\d)(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,5})W)?"
    r"(?:(?P<days>\d{1,6})D)?(?:T(?=\d)(?:(?P<hours>\d{1,7})H)?(?:(?P<minutes>\d{1,8})M)?"
    r"(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


@dataclass(frozen=True)
class Duration:
    """`P1M2DT3H` in its parts. `sign` -1 goes back in time."""

    text: str
    months: int = 0
    days: int = 0
    elapsed: timedelta = timedelta()
    sign: int = 1

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises ValueError for anything but an ISO 8601 duration of at most ten years."""
        found = _DURATION.fullmatch(text.strip()) if len(text) < 60 else None
        if found is None:
            raise ValueError(f"{text[:40]!r} is no ISO 8601 duration such as PT2H, P3D or P1DT12H")
        part = found.groupdict(default="0")
        duration = cls(
            text=text.strip(),
            months=int(part["years"]) * 12 + int(part["months"]),
            days=int(part["weeks"]) * 7 + int(part["days"]),
            elapsed=timedelta(hours=int(part["hours"]), minutes=int(part["minutes"]), seconds=float(part["seconds"])),
            sign=-1 if found["sign"] == "-" else 1,
        )
        if duration.roughly() > LONGEST:
            raise ValueError(f"{text[:40]!r} is longer than ten years")
        return duration

    def roughly(self) -> timedelta:
        """Its length with months of 31 days, without sign: for limits and comparisons, never for a due time."""
        return timedelta(days=self.months * 31 + self.days) + self.elapsed

    def after(self, start: datetime, zone: ZoneInfo) -> datetime:
        """The instant this much after `start` (before it when the sign is -1)."""
        if self.months or self.days:
            return self.after_clock(start.astimezone(zone).replace(tzinfo=None), zone)
        return _within_time(start + self.elapsed * self.sign)

    def after_clock(self, local: datetime, zone: ZoneInfo) -> datetime:
        """The same after a naive wall-clock time, which itself may be one that a clock change skips."""
        shift = relativedelta(months=self.months * self.sign, days=self.days * self.sign)
        return _within_time(instant(_bounded(local, shift), zone) + self.elapsed * self.sign)


@dataclass(frozen=True)
class Clock24:
    """A wall-clock time `HH:MM` or `HH:MM:SS`."""

    text: str
    at: time

    @classmethod
    def parse(cls, text: str) -> Clock24:
        """Raises ValueError for anything else."""
        found = _CLOCK.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:20]!r} is no time of day such as 09:00")
        hour, minute, second = (int(part or 0) for part in found.groups())
        return cls(text, time(hour, minute, second))


def zone_or(name: str | None, fallback: str) -> tuple[ZoneInfo, bool]:
    """The named zone, else `fallback`, else UTC; the flag is True when a name was given and is unknown."""
    zone = known_zone(name) if name else None
    if zone is not None:
        return zone, False
    return known_zone(fallback) or ZoneInfo("UTC"), bool(name)


def next_clock(now: datetime, clock: time, zone: ZoneInfo, weekdays: Sequence[str] = ()) -> datetime:
    """The first instant not before `now` at which it is `clock` there, on one of `weekdays` (any when empty)."""
    today = now.astimezone(zone).date()
    for ahead in range(-1, 16):
        day = today + timedelta(days=ahead)
        at = at_clock(day, clock, zone)
        if at >= now and _allowed(day, weekdays):
            return at
    raise AssertionError("some weekday comes within two weeks")


def next_open(now: datetime, opens: time, closes: time, zone: ZoneInfo, weekdays: Sequence[str] = ()) -> datetime:
    """`now` while the window is open, else its next opening. A window past midnight belongs to the day it opened on.

    Equal times mean the whole day. The window is [opens, closes).
    """
    today = now.astimezone(zone).date()
    for ahead in range(-2, 16):
        day = today + timedelta(days=ahead)
        if not _allowed(day, weekdays):
            continue
        start, end = _window(day, opens, closes, zone)
        if start <= now < end:
            return now
        if start > now and start < end:
            return start
    raise AssertionError("some weekday comes within two weeks")


def window_end(now: datetime, opens: time, closes: time, zone: ZoneInfo) -> datetime | None:
    """When the window that is open at `now` closes; None when it is closed. Equal times mean the whole day."""
    today = now.astimezone(zone).date()
    for ahead in (-1, 0):
        start, end = _window(today + timedelta(days=ahead), opens, closes, zone)
        if start <= now < end:
            return end
    return None


def _window(day: date, opens: time, closes: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    last_day = day if closes > opens else day + timedelta(days=1)
    return at_clock(day, opens, zone), at_clock(last_day, closes, zone)


def _allowed(day: date, weekdays: Sequence[str]) -> bool:
    return not weekdays or WEEKDAYS[day.weekday()] in weekdays


def _within_time(at: datetime) -> datetime:
    return min(max(at, FIRST_INSTANT), LAST_INSTANT)


def _bounded(local: datetime, shift: relativedelta) -> datetime:
    try:
        return local + shift
    except (OverflowError, ValueError):  # past the year 9999 or before the year 1
        edge = LAST_INSTANT if (shift.months + shift.years * 12 + shift.days) > 0 else FIRST_INSTANT
        return edge.replace(tzinfo=None)
