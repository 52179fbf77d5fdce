"""The rule language of the public contract, read into a typed tree. Pure.

What does not make sense is refused with the path of each fault. Sizes are bounded: depth 10, 200 rules, 500 values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from base.errors import FieldError, WrongInput
from profiles.normalise import email_address, phone_number
from profiles.segments import pattern
from profiles.segments.fields import ALL_OPERATORS, OPERATORS, FieldRef, Kind, Scope, find_field
from profiles.segments.span import Span, parse_day, parse_instant

DEPTH_MAX, RULES_MAX, VALUES_MAX, TEXT_MAX, FAULTS_MAX = 10, 200, 500, 500, 20

#: First words of fields that are computed from behaviour.
PROFILING = frozenset({"score", "rfm", "traits"})

Scalar = str | int | float | bool | datetime
Value = Scalar | tuple[Scalar, ...] | Span | tuple[str, str] | None


@dataclass(frozen=True)
class All:
    """Every one of them; of none: everybody."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of them."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Not:
    """Everybody else."""

    rule: Rule


@dataclass(frozen=True)
class FieldIs:
    """A field compared. `value` is what the operator needs: texts become patterns, times instants, durations spans."""

    field: FieldRef
    op: str
    value: Value = None


@dataclass(frozen=True)
class EventCount:
    """How often something happened, within a time if one is given."""

    event: str
    counts: tuple[tuple[str, int], ...] = (("gte", 1),)
    within: Span | None = None
    where: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class LastEvent:
    """When something happened last. Who never did it matches `missing` only."""

    event: str
    op: str
    value: Value = None


@dataclass(frozen=True)
class InSegment:
    """Stored membership."""

    segment_id: str


@dataclass(frozen=True)
class ConsentIs:
    """What is effective for a purpose, at any address of the channel. `denied`: denied somewhere, granted nowhere."""

    purpose: str
    channel: str | None
    state: Literal["granted", "denied", "unknown"]


@dataclass(frozen=True)
class Reachable:
    """There is an address on this channel that can be written to."""

    channel: str


@dataclass(frozen=True)
class Bucket:
    """A stable random share: the same people for the same salt. Hundredths of a percent, `start <= x < end`."""

    salt: str
    start: int
    end: int


@dataclass(frozen=True)
class Near:
    """Within so many kilometres of a place."""

    field: FieldRef
    lat: float
    lon: float
    km: float


Rule = All | AnyOf | Not | FieldIs | EventCount | LastEvent | InSegment | ConsentIs | Reachable | Bucket | Near


def parse(value: Any, *, path: str = "", scope: Scope = Scope.PROFILE) -> Rule:
    """The rule in `value` (JSON). Raises `WrongInput` with the path and a sentence for each fault."""
    parser = _Parser()
    rule = parser.rule(value, path, scope, 0)
    parser.finish()
    return rule


def parse_where(value: Any, *, path: str = "where") -> tuple[Rule, ...]:
    """Rules on one event's `properties.*`, all of which must hold: a list, one rule, or nothing."""
    parser = _Parser()
    rules = parser.where(value, path, 0)
    parser.finish()
    return rules


def event_names(rule: Rule) -> frozenset[str]:
    """The events that must be at hand to answer the rule."""
    match rule:
        case All(rules) | AnyOf(rules):
            return frozenset().union(*(event_names(each) for each in rules))
        case Not(inner):
            return event_names(inner)
        case EventCount(event=name) | LastEvent(event=name):
            return frozenset({name})
        case _:
            return frozenset()


#: How many of a person's latest events of a name are enough to answer; None: all of them.
Needs = Mapping[str, int | None]


def event_needs(rule: Rule) -> Needs:
    """The same with how many of each: a count up to a number is answered by one event more than that number, the time
    of the last by one. Filters on events need them all."""
    return joint_needs(_need(each) for each in leaves(rule))


def _need(leaf: Rule) -> Needs:
    if isinstance(leaf, LastEvent):
        return {leaf.event: 1}
    if isinstance(leaf, EventCount):
        return {leaf.event: None if leaf.where else 1 + max((number for _, number in leaf.counts), default=1)}
    return {}


def joint_needs(needs: Iterable[Needs]) -> Needs:
    """What is enough for all of them."""
    found: dict[str, int | None] = {}
    for each in needs:
        for name, most in each.items():
            other = found.get(name, 0)
            found[name] = None if most is None or other is None else max(most, other)
    return found


def segments_of(rule: Rule) -> frozenset[str]:
    """The segments whose members the rule asks for."""
    return frozenset(each.segment_id for each in leaves(rule) if isinstance(each, InSegment))


def with_segments(rule: Rule, keys: Mapping[str, str]) -> Rule:
    """The rule with each segment replaced by the key under which its members are kept; nobody's where there is none."""
    match rule:
        case All(rules):
            return All(tuple(with_segments(each, keys) for each in rules))
        case AnyOf(rules):
            return AnyOf(tuple(with_segments(each, keys) for each in rules))
        case Not(inner):
            return Not(with_segments(inner, keys))
        case InSegment(segment_id):
            return InSegment(keys.get(segment_id, ""))
        case _:
            return rule


def leaves(rule: Rule) -> Iterator[Rule]:
    """All parts that ask something themselves."""
    match rule:
        case All(rules) | AnyOf(rules):
            for each in rules:
                yield from leaves(each)
        case Not(inner):
            yield from leaves(inner)
        case _:
            yield rule


def is_profiling(rule: Rule) -> bool:
    """Whether the rule judges people by their behaviour: what they did, or a score made of it. Who has switched
    profiling off is in no such segment."""
    return any(
        isinstance(each, EventCount | LastEvent)
        or (isinstance(each, FieldIs) and each.field.path.partition(".")[0] in PROFILING)
        for each in leaves(rule)
    )


def uses_events(rule: Rule) -> bool:
    """Whether the rule asks what happened, which no filter on profiles can tell."""
    return bool(event_names(rule))


class _Fault(Exception):
    """Something is wrong at a path."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class _Parser:
    def __init__(self) -> None:
        self.faults: list[FieldError] = []
        self._seen = 0

    def finish(self) -> None:
        if self.faults:
            first = self.faults[0]
            raise WrongInput(f"The rule does not make sense: {first.path or 'rule'} {first.message}.", self.faults)

    def rule(self, value: Any, path: str, scope: Scope, depth: int) -> Rule:
        """The rule, or one that stands in its place when a fault was noted."""
        try:
            return self._rule(value, path, scope, depth)
        except _Fault as fault:
            if len(self.faults) < FAULTS_MAX:
                self.faults.append(FieldError(fault.path, str(fault)))
            return All(())

    def where(self, value: Any, path: str, depth: int) -> tuple[Rule, ...]:
        if value is None:
            return ()
        if isinstance(value, Mapping):
            return (self.rule(value, path, Scope.EVENT, depth + 1),)
        return self._many(value, path, Scope.EVENT, depth, least=0)

    def _rule(self, value: Any, path: str, scope: Scope, depth: int) -> Rule:
        self._seen += 1
        if self._seen > RULES_MAX:
            raise _Fault(path, f"is more than {RULES_MAX} rules")
        if depth > DEPTH_MAX:
            raise _Fault(path, f"is nested more than {DEPTH_MAX} deep")
        if not isinstance(value, Mapping):
            raise _Fault(path, "needs an object")
        for key, (allowed, needed, read) in _FORMS.items():
            if key in value:
                if scope is Scope.EVENT and key not in ("all", "any", "not", "field"):
                    raise _Fault(path, f"may not ask for {key!r} inside of where")
                _only(value, {key, *allowed}, path)
                _has(value, needed, path)
                return read(self, value, path, scope, depth)
        raise _Fault(path, "needs one of " + ", ".join(_FORMS))

    def _many(self, value: Any, path: str, scope: Scope, depth: int, *, least: int) -> tuple[Rule, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _Fault(path, "needs a list of rules")
        if len(value) < least:
            raise _Fault(path, "needs at least one rule")
        return tuple(self.rule(each, f"{path}[{i}]", scope, depth + 1) for i, each in enumerate(value[: RULES_MAX + 1]))

    # one reader per form ---------------------------------------------------------------------------------------

    def read_all(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        return All(self._many(value["all"], _at(path, "all"), scope, depth, least=0))

    def read_any(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        return AnyOf(self._many(value["any"], _at(path, "any"), scope, depth, least=1))

    def read_not(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        return Not(self.rule(value["not"], _at(path, "not"), scope, depth + 1))

    def read_field(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        field = _field(value["field"], _at(path, "field"), scope)
        op = value["op"]
        if not isinstance(op, str) or op not in ALL_OPERATORS:
            raise _Fault(_at(path, "op"), "needs one of " + ", ".join(sorted(ALL_OPERATORS)))
        if op not in OPERATORS[field.kind]:
            fitting = ", ".join(sorted(OPERATORS[field.kind]))
            raise _Fault(_at(path, "op"), f"{op} does not fit {field.name}; fitting are {fitting}")
        given = value.get("value")
        if op in ("exists", "missing"):
            if given not in (None, True, False):
                raise _Fault(_at(path, "value"), "is not needed here")
            return FieldIs(field, op if given is not False else {"exists": "missing", "missing": "exists"}[op])
        if given is None:
            raise _Fault(_at(path, "value"), "is missing")
        return FieldIs(field, op, _value(field, op, given, _at(path, "value")))

    def read_event(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        within = value.get("within")
        return EventCount(
            _word(value["event"], _at(path, "event")),
            _counts(value.get("count"), _at(path, "count")),
            None if within is None else _span(within, _at(path, "within")),
            self.where(value.get("where"), _at(path, "where"), depth),
        )

    def read_last_event(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        event, op, given = _word(value["last_event"], _at(path, "last_event")), value["op"], value.get("value")
        if op in ("exists", "missing"):
            return LastEvent(event, op)
        if op in ("within_last", "older_than"):
            return LastEvent(event, op, _span(given, _at(path, "value")))
        if op in ("before", "after"):
            return LastEvent(event, op, _instant(given, _at(path, "value")))
        raise _Fault(_at(path, "op"), "needs one of within_last, older_than, before, after, exists, missing")

    def read_segment(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        return InSegment(_word(value["segment"], _at(path, "segment")))

    def read_consent(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        state, channel = value.get("is", "granted"), value.get("channel")
        if state not in ("granted", "denied", "unknown"):
            raise _Fault(_at(path, "is"), "needs granted, denied or unknown")
        named = None if channel is None else _word(channel, _at(path, "channel"))
        return ConsentIs(_word(value["consent"], _at(path, "consent")), named, state)

    def read_reachable(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        return Reachable(_word(value["reachable"], _at(path, "reachable")))

    def read_bucket(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        inner, inside = value["bucket"], _at(path, "bucket")
        if not isinstance(inner, Mapping):
            raise _Fault(inside, "needs an object with salt, from and to")
        _only(inner, {"salt", "from", "to"}, inside)
        _has(inner, ("salt", "from", "to"), inside)
        start, end = (_number(inner[key], _at(inside, key), 0, 100) for key in ("from", "to"))
        if start > end:
            raise _Fault(_at(inside, "to"), "is less than from")
        return Bucket(_word(inner["salt"], _at(inside, "salt")), round(start * 100), round(end * 100))

    def read_near(self, value: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Rule:
        inner, inside = value["near"], _at(path, "near")
        if not isinstance(inner, Mapping):
            raise _Fault(inside, "needs an object with field, lat, lon and km")
        _only(inner, {"field", "lat", "lon", "km"}, inside)
        _has(inner, ("lat", "lon", "km"), inside)
        field = _field(inner.get("field", "location"), _at(inside, "field"), scope)
        if field.kind is not Kind.PLACE:
            raise _Fault(_at(inside, "field"), "is no place")
        lat, lon = (
            _number(inner["lat"], _at(inside, "lat"), -90, 90),
            _number(inner["lon"], _at(inside, "lon"), -180, 180),
        )
        return Near(field, lat, lon, _number(inner["km"], _at(inside, "km"), 0, 20_000))


Reader = Callable[[_Parser, Mapping[str, Any], str, Scope, int], Rule]

#: Leading key → further keys, those needed, reader.
_FORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Reader]] = {
    "all": ((), (), _Parser.read_all),
    "any": ((), (), _Parser.read_any),
    "not": ((), (), _Parser.read_not),
    "field": (("op", "value"), ("op",), _Parser.read_field),
    "event": (("count", "within", "where"), (), _Parser.read_event),
    "last_event": (("op", "value"), ("op",), _Parser.read_last_event),
    "segment": ((), (), _Parser.read_segment),
    "consent": (("channel", "is"), (), _Parser.read_consent),
    "reachable": ((), (), _Parser.read_reachable),
    "bucket": ((), (), _Parser.read_bucket),
    "near": ((), (), _Parser.read_near),
}


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _only(value: Mapping[str, Any], allowed: set[str], path: str) -> None:
    strange = sorted(str(key) for key in value.keys() - allowed)
    if strange:
        raise _Fault(_at(path, strange[0][:40]), "is not known here")


def _has(value: Mapping[str, Any], needed: Sequence[str], path: str) -> None:
    for key in needed:
        if key not in value:
            raise _Fault(_at(path, key), "is missing")


def _field(value: Any, path: str, scope: Scope) -> FieldRef:
    try:
        return find_field(_word(value, path), scope)
    except ValueError as error:
        raise _Fault(path, str(error)) from error


def _word(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_MAX:
        raise _Fault(path, f"needs a text of 1 to {TEXT_MAX} characters")
    return _sound(value, path)


def _sound(value: str, path: str) -> str:
    if any("\ud800" <= character <= "\udfff" or character == "\x00" for character in value):
        raise _Fault(path, "holds characters that cannot be stored")
    return value


def _value(field: FieldRef, op: str, value: Any, path: str) -> Value:
    if op in ("within_last", "older_than"):
        return _span(value, path)
    if op in ("before", "after"):
        return _instant(value, path)
    if op == "day_of_year":
        return _days(value, path)
    if op in ("contains", "not_contains", "starts_with", "ends_with", "matches"):
        return _pattern(field, op, value, path)
    if op == "between":
        pair = _list(field, value, path)
        if len(pair) != 2 or (type(pair[0]) is not type(pair[1]) and not all(_is_number(each) for each in pair)):
            raise _Fault(path, "needs two values of one kind: the least and the greatest")
        return pair
    if op in ("in", "not_in", "any_of", "all_of", "none_of"):
        return _list(field, value, path)
    return _scalar(field, value, path)


def _list(field: FieldRef, value: Any, path: str) -> tuple[Scalar, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise _Fault(path, "needs a list of values")
    if len(value) > VALUES_MAX:
        raise _Fault(path, f"has more than {VALUES_MAX} values")
    return tuple(_scalar(field, each, f"{path}[{i}]") for i, each in enumerate(value))


def _scalar(field: FieldRef, value: Any, path: str) -> Scalar:
    if field.kind is Kind.NUMBER:
        return _number(value, path)
    if field.kind is Kind.TIME:
        return _instant(value, path)
    if field.kind is not Kind.FREE:
        return _as_stored(field, _word(value, path))
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value, path)
    if isinstance(value, str) and len(value) <= TEXT_MAX:
        return _sound(value, path)
    raise _Fault(path, f"needs a text of at most {TEXT_MAX} characters, a number, true or false")


def _as_stored(field: FieldRef, text: str) -> str:
    """Addresses are compared in their normal form."""
    if field.name == "emails":
        return email_address(text) or text.lower()
    return (phone_number(text) or text) if field.name == "phones" else text


def _number(value: Any, path: str, least: float = -(2.0**63), most: float = 2.0**63 - 1) -> int | float:
    if not _is_number(value) or not math.isfinite(value) or not least <= value <= most or abs(value) >= 2**63:
        limits = f" from {least:g} to {most:g}" if most < 2**60 else ""
        raise _Fault(path, f"needs a number{limits}")
    return value  # type: ignore[no-any-return]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span(value: Any, path: str) -> Span:
    try:
        return Span.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise _Fault(path, str(error)) from error


def _instant(value: Any, path: str) -> datetime:
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ValueError as error:
        raise _Fault(path, str(error)) from error


def _days(value: Any, path: str) -> tuple[str, str]:
    """First and last day, both meant; (`today`, `today`) is decided when the rule is asked."""
    if value == "today":
        return ("today", "today")
    try:
        if isinstance(value, Mapping) and value.keys() == {"from", "to"}:
            return (parse_day(str(value["from"])), parse_day(str(value["to"])))
        day = parse_day(value if isinstance(value, str) else "")
    except ValueError as error:
        raise _Fault(path, f'{error}, "today", or {{"from": …, "to": …}}') from error
    return (day, day)


def _pattern(field: FieldRef, op: str, value: Any, path: str) -> str:
    text = _word(value, path)
    if field.kind is Kind.TAGS and op in ("contains", "not_contains"):
        return "^" + pattern.any_case(text) + pattern.END
    if op == "matches":
        try:
            return pattern.translate(text)
        except ValueError as error:
            raise _Fault(path, str(error)) from error
    if op == "starts_with":
        return pattern.starts(text)
    return pattern.ends(text) if op == "ends_with" else pattern.contains(text)


def _counts(value: Any, path: str) -> tuple[tuple[str, int], ...]:
    if value is None:
        return (("gte", 1),)
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"eq": value}
    if not isinstance(value, Mapping) or not value:
        raise _Fault(path, 'needs an object such as {"gte": 2}')
    _only(value, {"eq", "ne", "lt", "lte", "gt", "gte"}, path)
    for op, number in value.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 1_000_000:
            raise _Fault(_at(path, op), "needs a whole number from 0 to 1000000")
    return tuple(sorted(value.items()))
