"""How many messages somebody has had in a time, and when there is room again. Pure.

A cap over days counts calendar days in the person's zone: `P1D` is since midnight there, `P7D` today and the six days
before. So "one a day" means what people mean, also when clocks change. A cap over hours is the time right before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from campaigns.wallclock import Duration, at_clock

#: No cap looks back further.
LONGEST = timedelta(days=92)


class CapLike(Protocol):
    """What is read of a cap."""

    @property
    def most(self) -> int: ...
    @property
    def per(self) -> str: ...
    @property
    def send_class(self) -> str: ...
    @property
    def group(self) -> str | None: ...
    @property
    def channel(self) -> str | None: ...


@dataclass(frozen=True)
class Span:
    """Calendar days, or elapsed time: one of them is set."""

    days: int = 0
    elapsed: timedelta = timedelta()

    @property
    def length(self) -> timedelta:
        """Roughly, for limits."""
        return timedelta(days=self.days) + self.elapsed

    def since(self, now: datetime, zone: ZoneInfo) -> datetime:
        """What happened from here on counts at `now`."""
        if not self.days:
            return now - self.elapsed
        return _midnight(now.astimezone(zone).date() - timedelta(days=self.days - 1), zone)

    def frees(self, at: datetime, zone: ZoneInfo) -> datetime:
        """When something that happened at `at` counts no more."""
        if not self.days:
            return at + self.elapsed + timedelta(milliseconds=1)
        return _midnight(at.astimezone(zone).date() + timedelta(days=self.days), zone)


@dataclass(frozen=True)
class Slot:
    """One message that counts: its send, when it was handed over, and what caps tell it by."""

    send: str
    at: datetime
    send_class: str
    group: str
    channel_id: str
    provider: str


@dataclass(frozen=True)
class Full:
    """A cap that leaves no room, and when it will again."""

    cap: CapLike
    until: datetime


def span_of(per: str) -> Span | None:
    """`P7D`, `P2W`, `PT24H`; None for anything else, and for what mixes days and hours."""
    try:
        found = Duration.parse(per)
    except ValueError:
        return None
    if found.sign < 0 or found.months or bool(found.days) == bool(found.elapsed):
        return None
    return Span(found.days, found.elapsed)


def counts(cap: CapLike, slot: Slot) -> bool:
    """Whether this cap is about that message."""
    return (
        cap.send_class == slot.send_class
        and cap.group in (None, slot.group)
        and cap.channel in (None, slot.channel_id, slot.provider)
    )


def fullest(
    caps: Iterable[CapLike], slot: Slot, others: Sequence[Slot], zone: ZoneInfo, now: datetime
) -> Full | None:  # fmt: skip
    """The cap that keeps this message back the longest; None: it may go. Its own earlier slot does not count."""
    worst: Full | None = None
    for cap in caps:
        span = span_of(cap.per)
        if span is None or not counts(cap, slot):
            continue
        since = span.since(now, zone)
        times = sorted(each.at for each in others if each.send != slot.send and counts(cap, each) and each.at >= since)
        if len(times) < cap.most:
            continue
        full = Full(cap, span.frees(times[len(times) - cap.most], zone))
        worst = full if worst is None or full.until > worst.until else worst
    return worst


def sentence_of(full: Full) -> str:
    """For people: `At most 2 in 7 days: this person has had them.`"""
    span = span_of(full.cap.per)
    if span is not None and span.days:
        time_ = "a day" if span.days == 1 else f"in {span.days} days"
    else:
        hours = span.elapsed.total_seconds() / 3600 if span else 0
        time_ = "an hour" if hours == 1 else f"in {hours:g} hours"
    about = [part for part in (full.cap.group, full.cap.channel) if part]
    kind = f" ({', '.join(about)})" if about else ""
    return f"The person has had as many messages as a cap allows: {full.cap.most} {time_}{kind}."


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return at_clock(day, time(), zone).astimezone(UTC)
