"""Wall-clock times of a zone as instants. Pure.

A local time that a clock change skips means the first valid instant after it; one that occurs twice means its first
occurrence.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@lru_cache(maxsize=1000)
def known_zone(name: str) -> ZoneInfo | None:
    """The zone of that IANA name; None when there is none."""
    if not name or len(name) > 60 or not name.isascii():
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such file, a path that leaves the folder, a directory
        return None


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
