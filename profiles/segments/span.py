"""ISO 8601 durations and instants as rules write them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from dateutil.relativedelta import relativedelta

from base.clock import to_millisecond

_DURATION = re.compile(
    r"P(?=\d|T\d)(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?"
    r"(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,8})S)?)?",
    re.ASCII,
)
_DAY = re.compile(r"(\d\d)-(\d\d)", re.ASCII)
#: A hundred years of months counted with 31 days.
LONGEST_DAYS = 37_200
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """A length of time; years and months are calendar ones, counted in UTC."""

    text: str
    months: int
    rest: timedelta

    @classmethod
    def parse(cls, text: str) -> Span:
        """Raises ValueError for anything but an ISO 8601 duration of at most a hundred years."""
        found = _DURATION.fullmatch(text) if len(text) < 60 else None
        if found is None:
            raise ValueError("needs an ISO 8601 duration such as P30D or PT2H")
        years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        span = cls(
            text, years * 12 + months,
            timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds),
        )  # fmt: skip
        if span.months * 31 + span.rest.days > LONGEST_DAYS:
            raise ValueError("is longer than a hundred years")
        return span

    def before(self, now: datetime) -> datetime:
        """The instant this long ago."""
        return _before(self.months, self.rest, now)


@lru_cache(maxsize=1024)  # thousands of people are asked about one instant
def _before(months: int, rest: timedelta, now: datetime) -> datetime:
    try:
        return max(now - relativedelta(months=months) - rest, EARLIEST)
    except (OverflowError, ValueError):
        return EARLIEST


def parse_instant(text: str) -> datetime:
    """An ISO 8601 time or day; a time without a zone and a day are UTC. Raises ValueError."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("needs a time such as 2026-05-01T09:00:00Z or a day such as 2026-05-01") from error
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not EARLIEST <= value <= LATEST:
        raise ValueError("is out of range")
    return to_millisecond(value)


def parse_day(text: str) -> str:
    """`MM-DD`, a day that exists in some year. Raises ValueError."""
    found = _DAY.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        date(2024, int(found[1]), int(found[2]))
    except ValueError as error:
        raise ValueError("needs a day of the year such as 05-17") from error
    return text
