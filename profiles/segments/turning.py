"""When time alone may change what a rule says of one person. Pure.

A moment too early costs one look too many, one too late would leave a wrong answer: where months make it uneven, the
earlier one is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from profiles.segments.memory import EventFacts, candidates
from profiles.segments.rules import All, AnyOf, EventCount, FieldIs, LastEvent, Not, Rule
from profiles.segments.span import Span

#: Just past the edge, which still counts as within.
PAST = timedelta(milliseconds=1)
#: How far a span of months may be off when it is laid forward instead of backward.
UNEVEN = timedelta(days=4)


def turns_at(rule: Rule, document: Mapping[str, Any], events: EventFacts, now: datetime) -> datetime | None:
    """The next moment at which the rule may turn although nothing happens; None when it does not."""
    return min((at for at in _turns(rule, document, events, now) if at > now), default=None)


def _turns(rule: Rule, document: Mapping[str, Any], events: EventFacts, now: datetime) -> Iterator[datetime]:
    match rule:
        case All(rules) | AnyOf(rules):
            for inner in rules:
                yield from _turns(inner, document, events, now)
        case Not(inner):
            yield from _turns(inner, document, events, now)
        case EventCount(within=Span() as span) | LastEvent(value=Span() as span) | FieldIs(value=Span() as span):
            for at in _moments(rule, document, events):
                yield from _edges(at, span, now)
        case FieldIs(field=field, op="day_of_year") if candidates(document, field.path):
            yield (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        case _:
            return


def _moments(rule: Rule, document: Mapping[str, Any], events: EventFacts) -> list[datetime]:
    """The moments from which the rule's span is counted."""
    if isinstance(rule, FieldIs):
        return [at for value in candidates(document, rule.field.path) if (at := _instant(value)) is not None]
    if isinstance(rule, EventCount):
        listed: Sequence[Mapping[str, Any]] = getattr(events, "events", ())
        return [each["occurred_at"] for each in listed if each["name"] == rule.event]
    last = events.last(rule.event) if isinstance(rule, LastEvent) else None
    return [] if last is None else [last]


def _edges(at: datetime, span: Span, now: datetime) -> Iterator[datetime]:
    """When it comes to be (what lies ahead), and when it is this long ago."""
    yield at
    try:
        edge = at + relativedelta(months=span.months) + span.rest + PAST
    except (OverflowError, ValueError):
        return
    if not span.months:
        yield edge
    elif edge - UNEVEN > now:
        yield edge - UNEVEN
    elif edge + UNEVEN > now:
        yield now + timedelta(hours=1)


def _instant(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
