"""Times that people type: in their own zone, as a date or a date with a clock. Pure.

Browsers with a calendar send `2026-12-01` or `2026-12-01T09:30`. Elsewhere people write what they are used to, in the
order of days and months that the desk itself writes.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.errors import FieldError, WrongInput
from desk.i18n import N_, Formats

YEARS = (1971, 2198)
#: Without a clock: nine in the morning.
MORNING = time(9)
_WORDS = {
    "today": 0, "tomorrow": 1, "yesterday": -1, "今天": 0, "今日": 0, "明天": 1, "后天": 2, "昨天": -1, "前天": -2,
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = re.compile(r"[\s,，T]*(?P<hour>\d{1,2})[:：](?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?$")
_SEPARATED = r"(?P<{0}>\d{{1,2}})\s?[./\-]\s?(?P<{1}>\d{{1,2}})"
#: Patterns with the parts of a date by name; each language writes those without a year in its own order.
_BY_YEAR = (
    re.compile(r"(?P<year>\d{4})\s?[./\-]\s?(?P<month>\d{1,2})\s?[./\-]\s?(?P<day>\d{1,2})\.?"),
    re.compile(r"(?:(?P<year>\d{4})\s?年\s?)?(?P<month>\d{1,2})\s?月\s?(?P<day>\d{1,2})\s?[日号]?"),
    re.compile(_SEPARATED.format("day", "month") + r"\s?[./\-]\s?(?P<year>\d{4})"),
    re.compile(r"(?P<day>\d{1,2})\.?\s+(?P<name>[a-z]{3})[a-z]*\.?,?(?:\s+(?P<year>\d{4}))?"),
    re.compile(r"(?P<name>[a-z]{3})[a-z]*\.?\s+(?P<day>\d{1,2})(?:,?\s+(?P<year>\d{4}))?"),
)
_SHORT = {
    "en": re.compile(_SEPARATED.format("day", "month") + r"\.?"),
    "zh_CN": re.compile(_SEPARATED.format("month", "day")),
}


def read_date(text: str, formats: Formats) -> date:
    """A day as people write it; one without a year is of this year. Raises `ValueError`."""
    day, clock = _parts(text, formats)
    if clock is not None:
        raise ValueError("there is a clock in it")
    return day


def read_local(text: str, formats: Formats, field: str) -> datetime:
    """A day with or without a clock, in the reader's zone. Raises `WrongInput`."""
    try:
        exact = _exact(text.strip())
        day, clock = (exact.date(), exact.time()) if exact else _parts(text, formats)
    except ValueError:
        raise _wrong(field) from None
    if exact is not None and exact.tzinfo is not None:
        return exact.astimezone(UTC)
    return datetime.combine(day, clock or MORNING, formats.zone).astimezone(UTC)


def read_day(text: str, formats: Formats) -> tuple[datetime, datetime] | None:
    """Beginning and end of a day there; None for what is no date."""
    try:
        day = read_date(text, formats)
    except ValueError:
        return None
    begin = datetime.combine(day, time(), formats.zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), formats.zone).astimezone(UTC)
    return begin, end - timedelta(milliseconds=1)


def local_value(at: datetime, zone: ZoneInfo) -> str:
    """As a field of the kind `datetime-local` holds it."""
    return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")


def value_words(value: str, formats: Formats) -> str:
    """What a field for days or times holds, in words: whatever order the browser shows. Empty for nothing."""
    try:
        at = datetime.fromisoformat(value).replace(tzinfo=formats.zone)
    except ValueError:
        return ""
    return f"{formats.day_full(at)}, {formats.clock(at)}" if "T" in value else formats.day_full(at)


def _exact(text: str) -> datetime | None:
    """What a browser or a button sends, with its zone where there is one."""
    if "T" not in text:
        return None
    at = datetime.fromisoformat(text)
    _require_year(at)
    return at


def _parts(text: str, formats: Formats) -> tuple[date, time | None]:
    said, clock = text.strip().casefold(), None
    found = _CLOCK.search(said)
    if found:
        clock, said = time(int(found["hour"]), int(found["minute"])), said[: found.start()].strip(" ,，")
    today = formats.now.astimezone(formats.zone).date()
    if said in _WORDS:
        return today + timedelta(days=_WORDS[said]), clock
    for pattern in (*_BY_YEAR, _SHORT[formats.language]):
        match = pattern.fullmatch(said)
        if match:
            return _day(match.groupdict(), today.year), clock
    raise ValueError("is no date")


def _day(parts: dict[str, str | None], this_year: int) -> date:
    name = parts.get("name")
    if name is not None and name not in _MONTHS:
        raise ValueError("is no month")
    month = _MONTHS.index(name) + 1 if name else int(parts["month"] or 0)
    day = date(int(parts.get("year") or this_year), month, int(parts["day"] or 0))
    _require_year(day)
    return day


def _require_year(day: date) -> None:
    if not YEARS[0] <= day.year <= YEARS[1]:
        raise ValueError("is too far away")


def _wrong(field: str) -> WrongInput:
    sentence = N_("This is no date. Write it such as 2026-12-01 or 1 Dec 2026, with a time such as 09:30 behind it.")
    return WrongInput(sentence, [FieldError(field, "is no date")])
