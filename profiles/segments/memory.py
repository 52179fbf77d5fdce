"""A rule asked of one person in memory. Pure. Agrees with `mongo.to_filter`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from profiles.segments.bucket import dice_of, share_of
from profiles.segments.fields import Kind
from profiles.segments.mongo import EARTH_KM, ISO_DAY, day_ranges, text_bound, time_bounds
from profiles.segments.rules import (
    All,
    AnyOf,
    Bucket,
    ConsentIs,
    EventCount,
    FieldIs,
    InSegment,
    LastEvent,
    Near,
    Not,
    Reachable,
    Rule,
)  # fmt: skip
from profiles.segments.span import Span


class EventFacts(Protocol):
    """What happened to the person, for rules that ask."""

    def count(self, event: str, since: datetime | None, where: tuple[Rule, ...]) -> int:
        """How often `event` occurred since then (ever, when None) with properties that match all of `where`."""
        ...

    def last(self, event: str) -> datetime | None:
        """When it occurred last."""
        ...

    def of(self, event: str) -> Iterable[Mapping[str, Any]]:
        """Each time it occurred, as stored."""
        ...


@dataclass(frozen=True)
class ListedEvents:
    """Facts from events as stored (`EventStore.find`), which must hold all names that the rule asks for."""

    events: Sequence[Mapping[str, Any]]
    now: datetime

    def count(self, event: str, since: datetime | None, where: tuple[Rule, ...]) -> int:
        """See `EventFacts`."""
        recent = (each for each in self.of(event) if since is None or since <= each["occurred_at"] <= self.now)
        return sum(matches_event(where, each, self.now) for each in recent)

    def last(self, event: str) -> datetime | None:
        """See `EventFacts`."""
        return max((each["occurred_at"] for each in self.of(event)), default=None)

    def of(self, event: str) -> Iterable[Mapping[str, Any]]:
        """See `EventFacts`."""
        return (each for each in self.events if each["name"] == event)


@dataclass(frozen=True)
class NoEvents:
    """For rules that ask for none."""

    def count(self, event: str, since: datetime | None, where: tuple[Rule, ...]) -> int:
        """Nothing happened."""
        return 0

    def last(self, event: str) -> datetime | None:
        """Nothing happened."""
        return None

    def of(self, event: str) -> Iterable[Mapping[str, Any]]:
        """Nothing happened."""
        return ()


@dataclass(frozen=True)
class Facts:
    """A profile's document (`ProfileStore.documents`, `Profile.document()`) and what happened."""

    profile: Mapping[str, Any]
    events: EventFacts = field(default_factory=NoEvents)


def matches(rule: Rule, facts: Facts, now: datetime) -> bool:
    """Whether the rule holds for this person at `now`."""
    match rule:
        case All(rules):
            return all(matches(each, facts, now) for each in rules)
        case AnyOf(rules):
            return any(matches(each, facts, now) for each in rules)
        case Not(inner):
            return not matches(inner, facts, now)
        case FieldIs():
            return _field(rule, facts.profile, now)
        case EventCount(event=event, counts=counts, within=within, where=where):
            happened = facts.events.count(event, within.before(now) if within else None, where)
            return all(_COMPARE[op](happened, number) for op, number in counts)
        case LastEvent(event=event):
            return _last(rule, facts.events.last(event), now)
        case InSegment(segment_id):
            return segment_id in (facts.profile.get("segments") or ())
        case ConsentIs():
            return _consent(rule, facts.profile.get("consents") or ())
        case Reachable(channel):
            return channel in (facts.profile.get("reachable_on") or ())
        case Bucket(salt=salt, start=start, end=end):
            return start <= share_of(facts.profile.get("dice") or dice_of(facts.profile["_id"]), salt) < end
        case Near():
            return _near(rule, facts.profile)


def matches_event(where: Iterable[Rule], event: Mapping[str, Any], now: datetime) -> bool:
    """Whether all these rules (`parse_where`) hold for one event's document."""
    return all(matches(rule, Facts(event), now) for rule in where)


def candidates(document: Mapping[str, Any], path: str) -> list[Any]:
    """The values MongoDB would compare at a path: through lists of objects, and each value of a list at the end."""
    nodes: list[Any] = [document]
    for key in path.split("."):
        nodes = [node[key] for each in nodes for node in _objects(each) if key in node]
    return [value for node in nodes for value in (node if isinstance(node, list | tuple) else (node,))]


def _objects(node: Any) -> Iterator[Mapping[str, Any]]:
    inner = node if isinstance(node, list | tuple) else (node,)
    return (each for each in inner if isinstance(each, Mapping))


def _field(rule: FieldIs, document: Mapping[str, Any], now: datetime) -> bool:
    found = candidates(document, rule.field.path)
    test = _OPERATORS.get(rule.op)
    if test is not None:
        return test(found, rule.value)
    if rule.op == "day_of_year" and isinstance(rule.value, tuple):
        day = _day_at(document, rule.field.path)
        return any(first <= day <= last for first, last in day_ranges(str(rule.value[0]), str(rule.value[1]), now))
    bounds = time_bounds(rule.op, rule.value, now)
    return all(_time(found, sign, at, rule.field.kind) for sign, at in bounds)


def _time(found: Sequence[Any], sign: str, at: datetime, kind: Kind) -> bool:
    compare = _COMPARE[sign.removeprefix("$")]
    if any(compare(value, at) for value in found if isinstance(value, datetime)):
        return True
    if kind is not Kind.FREE:
        return False
    texts = [value for value in found if isinstance(value, str)]
    bound = text_bound(sign, at)
    return any(re.match(ISO_DAY, text) for text in texts) and any(compare(text, bound) for text in texts)


def _day_at(document: Mapping[str, Any], path: str) -> str:
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, datetime):
        return value.strftime("%m-%d")
    return value[5:10] if isinstance(value, str) and re.match(ISO_DAY, value) else ""


def _last(rule: LastEvent, last: datetime | None, now: datetime) -> bool:
    if rule.op in ("exists", "missing"):
        return (last is None) == (rule.op == "missing")
    if last is None:
        return False
    if isinstance(rule.value, Span):
        start = rule.value.before(now)
        return start <= last if rule.op == "within_last" else last < start
    if not isinstance(rule.value, datetime):
        raise TypeError("a rule that was not parsed")
    return last < rule.value if rule.op == "before" else last > rule.value


def _consent(rule: ConsentIs, entries: Iterable[Mapping[str, Any]]) -> bool:
    states = {
        entry["state"]
        for entry in entries
        if entry["purpose"] == rule.purpose and rule.channel in (None, entry["channel"])
    }
    if rule.state == "denied":
        return "denied" in states and "granted" not in states
    return not states if rule.state == "unknown" else rule.state in states


def _near(rule: Near, document: Mapping[str, Any]) -> bool:
    place = document.get(rule.field.path)
    if not isinstance(place, Mapping):
        return False
    lon, lat = (math.radians(each) for each in place["coordinates"])
    lat0, lon0 = math.radians(rule.lat), math.radians(rule.lon)
    half = math.sin((lat - lat0) / 2) ** 2 + math.cos(lat) * math.cos(lat0) * math.sin((lon - lon0) / 2) ** 2
    return 2 * math.asin(min(1.0, math.sqrt(half))) * EARTH_KM <= rule.km


def _family(value: Any) -> str:
    """Values are only compared within their family, as MongoDB does."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "time" if isinstance(value, datetime) else type(value).__name__


def _same(one: Any, other: Any) -> bool:
    return _family(one) == _family(other) and bool(one == other)


def _among(found: Sequence[Any], values: Iterable[Any]) -> bool:
    return any(_same(each, value) for value in values for each in found)


def _ordered(op: str) -> Callable[[Sequence[Any], Any], bool]:
    compare = _COMPARE[op]
    return lambda found, value: any(_family(each) == _family(value) and compare(each, value) for each in found)


@lru_cache(maxsize=2000)
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _searched(found: Sequence[Any], text: str) -> bool:
    return any(isinstance(each, str) and _compiled(text).search(each) is not None for each in found)


def _something(found: Sequence[Any]) -> bool:
    return any(each is not None and not isinstance(each, list | tuple) for each in found)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda one, other: bool(one == other),
    "ne": lambda one, other: bool(one != other),
    "lt": lambda one, other: bool(one < other),
    "lte": lambda one, other: bool(one <= other),
    "gt": lambda one, other: bool(one > other),
    "gte": lambda one, other: bool(one >= other),
}
_OPERATORS: Mapping[str, Callable[[Sequence[Any], Any], bool]] = {
    "eq": lambda found, value: _among(found, (value,)),
    "ne": lambda found, value: not _among(found, (value,)),
    **{op: _ordered(op) for op in ("lt", "lte", "gt", "gte")},
    "between": lambda found, value: _ordered("gte")(found, value[0]) and _ordered("lte")(found, value[1]),
    "in": _among,
    "not_in": lambda found, value: not _among(found, value),
    "any_of": _among,
    "none_of": lambda found, value: not _among(found, value),
    "all_of": lambda found, value: all(_among(found, (each,)) for each in value),
    "exists": lambda found, value: _something(found),
    "missing": lambda found, value: not _something(found),
    "contains": _searched,
    "not_contains": lambda found, value: not _searched(found, value),
    "starts_with": _searched,
    "ends_with": _searched,
    "matches": _searched,
}
