"""The time a report is about, and its steps: hours, days, or hours of the week by the clock of a zone. Pure.

A day on which clocks change has 23 or 25 steps of an hour. All ends lie on the grain of figures.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.errors import FieldError, WrongInput
from base.wallclock import WEEKDAYS, at_clock
from inbox.figures.cells import grained
from inbox.figures.facts import GRAIN_MIN

#: Days of a report at most; by hours fewer.
DAYS_MAX, DAYS_OF_HOURS_MAX = 400, 35
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """[since, until), UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Step:
    """One row of a report by time. `key`: the local beginning with its offset, or `mon-09`."""

    key: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Steps:
    """Steps in their order, and in which of them an instant lies."""

    steps: tuple[Step, ...]
    _edges: list[datetime] = field(default_factory=list)
    _owners: list[int | None] = field(default_factory=list)

    def of(self, at: datetime) -> int | None:
        """The number of the step; None: outside."""
        place = bisect_right(self._edges, at) - 1
        return self._owners[place] if place >= 0 else None


def period(since: datetime, until: datetime, *, hours: bool = False) -> Span:
    """The time from one instant to another on the grain. Raises `WrongInput` when it is empty or too long."""
    since, until = grained(since), _up(until)
    most = DAYS_OF_HOURS_MAX if hours else DAYS_MAX
    if since >= until:
        raise WrongInput("The time is empty.", [FieldError("to", "is to lie after `from`")])
    if until - since > timedelta(days=most):
        raise WrongInput("The time is too long.", [FieldError("from", f"at most {most} days before `to`")])
    return Span(since, until)


def by_day(span: Span, zone: ZoneInfo) -> Steps:
    """Local days; the first and the last may be cut."""
    steps, at = [], span.since
    while at < span.until:
        day = at.astimezone(zone).date()
        end = min(max(at_clock(day + _DAY, time(), zone), at + timedelta(minutes=GRAIN_MIN)), span.until)
        steps.append(Step(day.isoformat(), (Span(at, end),)))
        at = end
    return _steps(steps)


def by_hour(span: Span, zone: ZoneInfo) -> Steps:
    """Local hours; one that comes twice when clocks are set back is two steps."""
    steps = [Step(_local(each.since, zone), (each,)) for each in _hours(span, zone)]
    return _steps(steps)


def by_hour_of_week(span: Span, zone: ZoneInfo) -> Steps:
    """All 168 hours of a week by the clock, whenever they come in the time."""
    spans: dict[str, list[Span]] = {f"{day}-{hour:02}": [] for day in WEEKDAYS for hour in range(24)}
    for each in _hours(span, zone):
        local = each.since.astimezone(zone)
        spans[f"{WEEKDAYS[local.weekday()]}-{local.hour:02}"].append(each)
    return _steps([Step(key, tuple(found)) for key, found in spans.items()])


def _hours(span: Span, zone: ZoneInfo) -> list[Span]:
    found, at = [], span.since
    while at < span.until:
        local = at.astimezone(zone)
        past = timedelta(minutes=local.minute, seconds=local.second)
        end = min(at + _HOUR - past, span.until)
        # Where clocks change in the middle of an hour it ends there.
        while end.astimezone(zone).utcoffset() != local.utcoffset() and _middle(at, end, zone) < end:
            end = _middle(at, end, zone)
        found.append(Span(at, end))
        at = end
    return found


def _middle(at: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """The first quarter of an hour after `at` whose offset is another one; `end` where there is none before."""
    offset, step = at.astimezone(zone).utcoffset(), timedelta(minutes=GRAIN_MIN)
    moment = at + step
    while moment < end and moment.astimezone(zone).utcoffset() == offset:
        moment += step
    return min(moment, end)


def _local(at: datetime, zone: ZoneInfo) -> str:
    """The hour by the clock, with its offset: an hour that is cut is called like a whole one."""
    text = at.astimezone(zone).isoformat(timespec="minutes")
    return f"{text[:14]}00{text[16:]}"


def _steps(steps: Sequence[Step]) -> Steps:
    edges: list[tuple[datetime, int | None]] = []
    for number, each in enumerate(steps):
        edges += [(span.since, number) for span in each.spans]
    edges.sort(key=lambda edge: edge[0])
    last = max((span.until for each in steps for span in each.spans), default=datetime.max.replace(tzinfo=UTC))
    edges.append((last, None))
    return Steps(tuple(steps), [at for at, _ in edges], [owner for _, owner in edges])


def _up(at: datetime) -> datetime:
    low = grained(at)
    return low if low == at.astimezone(UTC) else low + timedelta(minutes=GRAIN_MIN)
