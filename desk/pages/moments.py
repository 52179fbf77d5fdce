"""Times that people type: in their own zone, as a date or a date with a clock. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.errors import FieldError, WrongInput

YEARS = (1971, 2198)


def read_local(text: str, zone: ZoneInfo, field: str) -> datetime:
    """`2026-12-01T09:30` or `2026-12-01` (nine in the morning) there. Raises `WrongInput`."""
    try:
        at = datetime.fromisoformat(text.strip() if "T" in text else f"{text.strip()}T09:00")
    except ValueError:
        raise _wrong(field) from None
    if not YEARS[0] <= at.year <= YEARS[1]:
        raise _wrong(field)
    return at.replace(tzinfo=zone).astimezone(UTC) if at.tzinfo is None else at.astimezone(UTC)


def read_day(text: str, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """Beginning and end of a day there; None for what is no date."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    if not YEARS[0] <= day.year <= YEARS[1]:
        return None
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    return begin, end - timedelta(milliseconds=1)


def local_value(at: datetime, zone: ZoneInfo) -> str:
    """As a field of the kind `datetime-local` holds it."""
    return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")


def _wrong(field: str) -> WrongInput:
    return WrongInput("This is no date.", [FieldError(field, "is no date")])
