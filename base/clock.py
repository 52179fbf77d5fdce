"""The only place that asks what time it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """The current time, aware, UTC, cut to the millisecond MongoDB keeps (so a value survives a round trip)."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_millisecond(value: datetime) -> datetime:
    """The same instant in UTC without its microseconds; a naive time is a programming error."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def iso(value: datetime) -> str:
    """ISO 8601, UTC, milliseconds: the one form of a time that goes out."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
