"""A rule as one MongoDB filter on `profiles`. Pure.

Every path was checked when the rule was read, and every value stands where no operator is read. Agrees with
`memory.matches`; lists match where any of their values does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from base.errors import WrongInput
from profiles.segments.bucket import PRIME, SHARES, line_of
from profiles.segments.fields import Kind
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

Filter = dict[str, Any]
EARTH_KM = 6378.1
ISO_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_SOMETHING = ["double", "string", "object", "bool", "date", "int", "long", "decimal"]


def to_filter(rule: Rule, now: datetime, *, members: Mapping[Rule, Any] | None = None) -> Filter:
    """Profiles for which the rule holds at `now`.

    What happened is not on the profile: `members` says for each `EventCount` and `LastEvent` in the rule which
    profiles match it, by their ids or by a filter. Raises `WrongInput` where one is missing.
    """
    match rule:
        case All(rules):
            parts = [to_filter(each, now, members=members) for each in rules]
            return {"$and": parts} if parts else {}
        case AnyOf(rules):
            return {"$or": [to_filter(each, now, members=members) for each in rules]}
        case Not(inner):
            return {"$nor": [to_filter(inner, now, members=members)]}
        case FieldIs():
            return _field(rule, now)
        case EventCount() | LastEvent():
            if members is None or rule not in members:
                raise WrongInput("What happened cannot be asked for in this list.", code="rule_needs_events")
            found = members[rule]
            return found if isinstance(found, dict) else {"_id": {"$in": list(found)}}
        case InSegment(segment_id):
            return {"segments": segment_id}
        case ConsentIs():
            return _consent(rule)
        case Reachable(channel):
            return {"reachable_on": channel}
        case Bucket():
            return _bucket(rule)
        case Near(field=field, lat=lat, lon=lon, km=km):
            return {field.path: {"$geoWithin": {"$centerSphere": [[lon, lat], km / EARTH_KM]}}}


def finds_no_tombstone(rule: Rule) -> bool:
    """Whether the rule's filter by itself leaves out what is left of people who were merged away."""
    match rule:
        case All(rules):
            return any(finds_no_tombstone(each) for each in rules)
        case AnyOf(rules):
            return all(finds_no_tombstone(each) for each in rules)
        case FieldIs(field=field, op=op):
            return op in _POSITIVE and field.path not in ("created_at", "updated_at")
        case InSegment() | Reachable() | Near() | Bucket():
            return True
        case ConsentIs(state=state):
            return state != "unknown"
        case _:
            return False


def _field(rule: FieldIs, now: datetime) -> Filter:
    path, value = rule.field.path, rule.value
    build = _OPERATORS.get(rule.op)
    if build is not None:
        return build(path, value)
    if rule.op == "day_of_year" and isinstance(value, tuple):
        return {"$expr": _day_of_year(path, str(value[0]), str(value[1]), now)}
    bounds = time_bounds(rule.op, value, now)
    return _and(_time(path, sign, at, rule.field.kind) for sign, at in bounds)


def time_bounds(op: str, value: Any, now: datetime) -> list[tuple[str, datetime]]:
    """What an operator on times means at `now`, as comparisons."""
    if isinstance(value, Span):
        start = value.before(now)
        return [("$gte", start), ("$lte", now)] if op == "within_last" else [("$lt", start)]
    return [("$lt" if op == "before" else "$gt", value)]


def text_bound(sign: str, at: datetime) -> str:
    """An instant to compare ISO texts with, to the second; texts are taken for UTC."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    return text + "~" if sign in ("$gt", "$lte") else text


def _time(path: str, sign: str, at: datetime, kind: Kind) -> Filter:
    """Attributes may hold times as ISO texts."""
    exact = {path: {sign: at}}
    if kind is not Kind.FREE:
        return exact
    return {"$or": [exact, {"$and": [{path: {"$regex": ISO_DAY}}, {path: {sign: text_bound(sign, at)}}]}]}


def _and(parts: Any) -> Filter:
    found = list(parts)
    return found[0] if len(found) == 1 else {"$and": found}


def _day_of_year(path: str, first: str, last: str, now: datetime) -> Filter:
    value = f"${path}"
    text = {"$cond": [{"$eq": [{"$type": value}, "string"]}, value, ""]}
    day = {
        "$switch": {
            "branches": [
                {
                    "case": {"$eq": [{"$type": value}, "date"]},
                    "then": {"$dateToString": {"format": "%m-%d", "date": value, "timezone": "UTC"}},
                },
                {"case": {"$regexMatch": {"input": text, "regex": ISO_DAY}}, "then": {"$substrCP": [text, 5, 5]}},
            ],
            "default": "",
        }
    }
    ranges = [
        {"$and": [{"$gte": ["$$day", {"$literal": start}]}, {"$lte": ["$$day", {"$literal": end}]}]}
        for start, end in day_ranges(first, last, now)
    ]
    return {"$let": {"vars": {"day": day}, "in": {"$or": ranges}}}


def day_ranges(first: str, last: str, now: datetime) -> list[tuple[str, str]]:
    """Days of the year as ranges of `MM-DD`; past New Year they are two. In other years 29 February is the 28th."""
    if first == "today":
        today = now.strftime("%m-%d")
        leap = now.year % 4 == 0 and (now.year % 100 != 0 or now.year % 400 == 0)
        return [(today, "02-29" if today == "02-28" and not leap else today)]
    return [(first, last)] if first <= last else [(first, "12-31"), ("01-01", last)]


def _consent(rule: ConsentIs) -> Filter:
    def entry(state: str | None) -> Filter:
        wanted = {"purpose": rule.purpose, "channel": rule.channel, "state": state}
        return {"consents": {"$elemMatch": {key: value for key, value in wanted.items() if value is not None}}}

    if rule.state == "granted":
        return entry("granted")
    if rule.state == "denied":
        return {"$and": [entry("denied"), {"$nor": [entry("granted")]}]}
    return {"$nor": [entry(None)]}


def _bucket(rule: Bucket) -> Filter:
    slope, offset = line_of(rule.salt)
    on_line = {"$add": [{"$multiply": ["$dice", slope]}, offset]}
    share = {"$mod": [{"$mod": [on_line, PRIME]}, SHARES]}
    return {"$expr": {"$and": [{"$gte": [share, rule.start]}, {"$lt": [share, rule.end]}]}}


def _not(inner: Filter) -> Filter:
    return {"$nor": [inner]}


#: Operators that need a value to compare with.
_POSITIVE = frozenset(
    {"eq", "lt", "lte", "gt", "gte", "between", "in", "any_of", "all_of", "exists", "contains", "starts_with",
     "ends_with", "matches", "before", "after", "within_last", "older_than"}
)  # fmt: skip
_OPERATORS: Mapping[str, Callable[[str, Any], Filter]] = {
    "eq": lambda path, value: {path: {"$eq": value}},
    "ne": lambda path, value: _not({path: {"$eq": value}}),
    "lt": lambda path, value: {path: {"$lt": value}},
    "lte": lambda path, value: {path: {"$lte": value}},
    "gt": lambda path, value: {path: {"$gt": value}},
    "gte": lambda path, value: {path: {"$gte": value}},
    "between": lambda path, value: {"$and": [{path: {"$gte": value[0]}}, {path: {"$lte": value[1]}}]},
    "in": lambda path, value: {path: {"$in": list(value)}},
    "not_in": lambda path, value: _not({path: {"$in": list(value)}}),
    "any_of": lambda path, value: {path: {"$in": list(value)}},
    "none_of": lambda path, value: _not({path: {"$in": list(value)}}),
    "all_of": lambda path, value: {"$and": [{path: {"$eq": each}} for each in value]},
    "exists": lambda path, value: {path: {"$type": _SOMETHING}},
    "missing": lambda path, value: _not({path: {"$type": _SOMETHING}}),
    "contains": lambda path, value: {path: {"$regex": value}},
    "not_contains": lambda path, value: _not({path: {"$regex": value}}),
    "starts_with": lambda path, value: {path: {"$regex": value}},
    "ends_with": lambda path, value: {path: {"$regex": value}},
    "matches": lambda path, value: {path: {"$regex": value}},
}
