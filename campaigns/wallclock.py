"""Wall-clock times of a zone as instants, and ISO 8601 durations. Pure.

A local time that a clock change skips means the first valid instant after it; one that occurs twice means its first
occurrence. Calendar parts of a duration (years, months, weeks, days) keep the clock time in the zone; hours, minutes
and seconds are elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
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


@lru_cache(maxsize=1000)
def known_zone(name: str) -> ZoneInfo | None:
    """The zone of that IANA name; None when there is none."""
    if not name or len(name) > 60 or not name.isascii():
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such file, a path that leaves the folder, a directory
        return None


def zone_or(name: str | None, fallback: str) -> tuple[ZoneInfo, bool]:
    """The named zone, else `fallback`, else UTC; the flag is True when a name was given and is unknown."""
    zone = known_zone(name) if name else None
    if zone is not None:
        return zone, False
    return known_zone(fallback) or ZoneInfo("UTC"), bool(name)


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive wall-clock time: in a gap the first valid instant after, in a fold the first one."""
    if local.tzinfo is not None:
        raise ValueError("a wall-clock time has no zone of its own")
    first = local.replace(tzinfo=zone, fold=0)
    as_utc = first.astimezone(UTC)
    if as_utc.astimezone(zone).replace(tzinfo=None, fold=0) == local.replace(fold=0):
        return as_utc
    return _end_of_gap(local, zone)


def at_clock(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The UTC instant of a clock time on a local day."""
    return instant(datetime.combine(day, clock), zone)


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


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """Bisect the transition: before it the offset of fold 0 holds, from it on that of fold 1."""
    low = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    low, high = min(low, high), max(low, high)
    new_offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0) if middle.replace(microsecond=0) > low else middle
        if middle.astimezone(zone).utcoffset() == new_offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def _within_time(at: datetime) -> datetime:
    return min(max(at, FIRST_INSTANT), LAST_INSTANT)


def _bounded(local: datetime, shift: relativedelta) -> datetime:
    try:
        return local + shift
    except (OverflowError, ValueError):  # past the year 9999 or before the year 1
        edge = LAST_INSTANT if (shift.months + shift.years * 12 + shift.days) > 0 else FIRST_INSTANT
        return edge.replace(tzinfo=None)
