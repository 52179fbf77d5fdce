"""Whether a rule holds for one person, and until when that cannot change by time alone. Pure.

The time returned is never later than the first change; it may be earlier, where a later look costs less than a sharper
answer (calendar months, lists of values). Agrees with `memory.matches`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from profiles.segments.fields import Kind
from profiles.segments.memory import Facts, candidates, matches
from profiles.segments.mongo import ISO_DAY, day_ranges
from profiles.segments.rules import All, AnyOf, EventCount, FieldIs, LastEvent, Not, Rule
from profiles.segments.span import EARLIEST, LATEST, Span

TICK = timedelta(milliseconds=1)
#: A span of months reaches a day this much sooner or later than adding the months says.
UNSURE = timedelta(days=5)
DAY_S = 86_400
Outlook = tuple[bool, datetime | None]


def outlook(rule: Rule, facts: Facts, now: datetime) -> Outlook:
    """The answer at `now`, and the time before which it stays; None: for ever."""
    match rule:
        case All(rules):
            return _joint([outlook(each, facts, now) for each in rules], True)
        case AnyOf(rules):
            return _joint([outlook(each, facts, now) for each in rules], False)
        case Not(inner):
            holds, until = outlook(inner, facts, now)
            return not holds, until
        case FieldIs() | EventCount() | LastEvent():
            return matches(rule, facts, now), _first(_changes(rule, facts, now), now)
        case _:
            return matches(rule, facts, now), None


def tells_time(rule: Rule) -> bool:
    """Whether time alone may change the answer for anybody."""
    match rule:
        case All(rules) | AnyOf(rules):
            return any(tells_time(each) for each in rules)
        case Not(inner):
            return tells_time(inner)
        case FieldIs(op=op, value=value):
            return op in ("within_last", "older_than") or value == ("today", "today")
        case EventCount(within=within, where=where):
            return within is not None or any(tells_time(each) for each in where)
        case LastEvent(value=value):
            return isinstance(value, Span)
        case _:
            return False


def _joint(parts: Sequence[Outlook], every: bool) -> Outlook:
    """All of them (or any): who speaks against it decides for as long as they do; else the first change counts."""
    against = [until for holds, until in parts if holds is not every]
    if against:
        return not every, None if None in against else max(until for until in against if until is not None)
    return every, min((until for _, until in parts if until is not None), default=None)


def _first(changes: Iterable[datetime], now: datetime) -> datetime | None:
    return min((at for at in changes if at > now), default=None)


def _changes(rule: FieldIs | EventCount | LastEvent, facts: Facts, now: datetime) -> Iterator[datetime]:
    match rule:
        case FieldIs(op="day_of_year", value=("today", "today")):
            yield from _day(facts.profile, rule.field.path, now)
        case FieldIs(op="within_last" | "older_than" as op, value=Span() as span):
            for value in candidates(facts.profile, rule.field.path):
                for at in _marks(value, rule.field.kind):
                    yield from passing(span, at, now)
                    if op == "within_last":
                        yield at if isinstance(value, str) else at - TICK
        case EventCount():
            yield from _counted(rule, facts, now)
        case LastEvent(event=event, value=Span() as span):
            last = facts.events.last(event)
            if last is not None:
                yield from passing(span, last + TICK, now)


def _counted(rule: EventCount, facts: Facts, now: datetime) -> Iterator[datetime]:
    timely = [each for each in rule.where if tells_time(each)]
    for row in facts.events.of(rule.event):
        for each in timely:
            until = outlook(each, Facts(row), now)[1]
            if until is not None:
                yield until
        if rule.within is not None:
            yield row["occurred_at"]
            yield from passing(rule.within, row["occurred_at"] + TICK, now)


def passing(span: Span, at: datetime, now: datetime) -> Iterator[datetime]:
    """Times after `now` that are not later than the next one at which `span.before(…)` passes `at`."""
    try:
        if not span.months:
            yield at + span.rest
            return
        about = at + span.rest + relativedelta(months=span.months)
        first, last = about - UNSURE, about + UNSURE
    except (OverflowError, ValueError):  # beyond the calendar
        return
    if now < first:
        yield first
    elif now < last:  # within one day the way back is of one length
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        yield midnight
        start = span.before(now)
        if start > EARLIEST:
            there = at + (now - start)
            if now < there < midnight:
                yield there


def _marks(value: Any, kind: Kind) -> Iterator[datetime]:
    """The instants from which on a comparison with this value may be another."""
    if isinstance(value, datetime):
        yield value + TICK
    elif kind is Kind.FREE and isinstance(value, str) and re.match(ISO_DAY, value):
        yield from _marks_of_text(value)


def _marks_of_text(text: str) -> Iterator[datetime]:
    """Texts are compared letter by letter with `2026-03-01T09:00:00` of an instant, to the second."""
    day = _day_of(text[:10])
    if day is None:
        return
    yield day
    if day.strftime("%Y-%m-%d") != text[:10]:  # no such day: between two others
        return
    second = bisect_left(range(DAY_S), text[10:], key=lambda s: f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}")
    for each in {second, second + 1} & set(range(DAY_S)):
        yield day + timedelta(seconds=each)
    # `~` follows every sign that stands behind the seconds
    plus = bisect_left(range(DAY_S), text[10:], key=lambda s: f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}~")
    for each in {plus, plus + 1} & set(range(DAY_S)):
        yield day + timedelta(seconds=each)
    if day + timedelta(days=1) < LATEST:
        yield day + timedelta(days=1)


def _day_of(text: str) -> datetime | None:
    """The first day whose text is not smaller; None beyond the calendar."""
    year, month, day = (int(part) for part in text.split("-"))
    if not 1 <= year <= 9998:
        return EARLIEST if year < 1 else None
    for months, days in ((month, day), (month + 1, 1), (13, 1)):
        try:
            if months <= 12:
                return datetime(year, max(months, 1), max(days, 1) if month else 1, tzinfo=UTC)
        except ValueError:
            continue
    return datetime(year + 1, 1, 1, tzinfo=UTC)


def _day(profile: Mapping[str, Any], path: str, now: datetime) -> Iterator[datetime]:
    value: Any = profile
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, datetime):
        text = value.strftime("%m-%d")
    elif isinstance(value, str) and re.match(ISO_DAY, value):
        text = value[5:10]
    else:
        return
    month, day = int(text[:2]), int(text[3:])
    if any(first <= text <= last for first, last in day_ranges("today", "today", now)):
        yield datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    for year in range(now.year, now.year + 9):
        for each in ((month, day), (2, 28)) if text == "02-29" else ((month, day),):
            try:
                begins = date(year, *each)
            except ValueError:
                continue
            yield datetime(begins.year, begins.month, begins.day, tzinfo=UTC)
