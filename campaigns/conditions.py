"""Rules inside a journey: the one rule language, and what only a run knows. Pure.

`profiles.segments` owns the language. Added here, for journeys alone:
- fields `order.…`, `event.…`, `journey.…`, `conversation.…` look at the run's own order, the event it began with, what
  steps saved, and whether the person waits for an answer; the operators are those of the language;
- in a goal or an exit condition a bare `{"event": "order.paid"}` means "since this run began", and `match_key`
  asks that a value of the event equals that of the event the run began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from base.errors import FieldError, WrongInput
from profiles.segments import memory, rules

#: First words of fields that belong to the run and not to the profile.
RUN_ROOTS = frozenset({"order", "event", "journey", "conversation"})
#: Stands for "any event of the person may change the answer".
ANY_EVENT = "*"
MISSING = object()
#: Characters of an event's properties that a run takes along; what is larger is left with the event.
CARRIED_MAX = 32_000
_DEPTH = 12


class RuleFault(ValueError):
    """A rule inside a definition is wrong; carries the paths inside the rule through pydantic."""

    def __init__(self, faults: Sequence[FieldError]) -> None:
        super().__init__("; ".join(each.message for each in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Happened:
    """An event of the person, as far as a run looks at it."""

    id: str
    name: str
    occurred_at: datetime
    received_at: datetime | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    channel_id: str | None = None
    conversation_id: str | None = None

    def view(self) -> dict[str, Any]:
        """As rules and templates see it."""
        return {
            "id": self.id, "name": self.name, "occurred_at": self.occurred_at, "channel_id": self.channel_id,
            "conversation_id": self.conversation_id, "properties": dict(self.properties),
        }  # fmt: skip


def carried(event: Happened) -> dict[str, Any]:
    """The event as a run takes it along."""
    view = event.view()
    return {**view, "properties": fitting(view["properties"], CARRIED_MAX)}


def fitting(properties: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Small values first, as many as fit into so many characters; in their own order."""
    sizes = sorted((len(repr(value)), name) for name, value in properties.items())
    kept, total = set(), 0
    for size, name in sizes:
        total += size
        if total > most:
            break
        kept.add(name)
    return {name: value for name, value in properties.items() if name in kept}


@dataclass(frozen=True)
class Scope:
    """What a condition is judged on."""

    subject: memory.Facts | None
    values: Mapping[str, Any] = field(default_factory=dict)
    #: Since the run began, earliest first.
    happened: Sequence[Happened] = ()
    #: The view of the event the run began with.
    began_with: Mapping[str, Any] = field(default_factory=dict)

    def same(self, event: Happened, path: str | None) -> bool:
        """True when `event` has at `path` what the run's first event has there; always for no path."""
        if path is None:
            return True
        own, other = look_up(self.began_with, path), look_up(event.view(), path)
        return own is not MISSING and other is not MISSING and str(own) == str(other)


@dataclass(frozen=True)
class Leaf:
    """One field of the run or of an event, compared with the operators of the rule language."""

    path: str
    rule: rules.Rule

    def holds(self, values: Mapping[str, Any], now: datetime) -> bool:
        """Judge the value found at the path."""
        found = look_up(values, self.path)
        return memory.matches(self.rule, _lone_value(found), now)


@dataclass(frozen=True)
class Where:
    """Filters on one event; all must hold."""

    raw: Any = ()
    filters: tuple[rules.Rule, ...] = ()

    def matches(self, view: Mapping[str, Any], now: datetime) -> bool:
        """`view`: `Happened.view()`."""
        return memory.matches_event(self.filters, view, now)


@dataclass(frozen=True)
class SinceBegin:
    """Something happened since the run began."""

    event: str
    where: Where
    match_key: str | None

    def holds(self, scope: Scope, now: datetime) -> bool:
        """The event the run began with does not count."""
        began = scope.began_with.get("id")
        return any(
            each.name == self.event
            and each.id != began
            and scope.same(each, self.match_key)
            and self.where.matches(each.view(), now)
            for each in scope.happened
        )


@dataclass(frozen=True)
class Segment:
    """A rule of the language over the profile and its history."""

    rule: rules.Rule


@dataclass(frozen=True)
class Group:
    """`all`, `any` or `not` over parts of which at least one is the run's own."""

    how: str
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Condition:
    """A rule, read. `raw` is what the author wrote."""

    raw: Mapping[str, Any]
    root: Leaf | SinceBegin | Segment | Group

    def _walk(self) -> Iterator[Any]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.parts if isinstance(node, Group) else ())

    @property
    def leaves(self) -> list[Leaf]:
        """What it asks of the run, an event, an order or a conversation."""
        return [node for node in self._walk() if isinstance(node, Leaf)]

    @property
    def needs(self) -> frozenset[str]:
        """Which facts it looks at: `profile`, `history`, `happened`, `order`, `conversation`."""
        found: set[str] = set()
        for node in self._walk():
            if isinstance(node, Segment):
                found |= {"profile", "history"} if rules.event_names(node.rule) else {"profile"}
            elif isinstance(node, SinceBegin):
                found.add("happened")
            elif isinstance(node, Leaf):
                found |= {node.path.partition(".")[0]} & {"order", "conversation"}
        return frozenset(found)

    @property
    def event_names(self) -> frozenset[str]:
        """Events that may change the answer; `*` when any may."""
        found: set[str] = set()
        for node in self._walk():
            if isinstance(node, SinceBegin):
                found.add(node.event)
            elif isinstance(node, Segment) or (isinstance(node, Leaf) and node.path.startswith("conversation")):
                found.add(ANY_EVENT)
            elif isinstance(node, Leaf) and node.path.startswith("order"):
                found |= ORDER_EVENTS
        return frozenset(found)

    @property
    def since_names(self) -> frozenset[str]:
        """Events it looks for since the run began."""
        return frozenset(node.event for node in self._walk() if isinstance(node, SinceBegin))

    @property
    def history_names(self) -> frozenset[str]:
        """Events it looks for in the whole history of the person."""
        rules_inside = [node.rule for node in self._walk() if isinstance(node, Segment)]
        return frozenset(name for rule in rules_inside for name in rules.event_names(rule))

    def values(self, scope: Scope) -> dict[str, Any]:
        """The run's own values it was judged by, for the log."""
        found = {leaf.path: look_up(scope.values, leaf.path) for leaf in self.leaves}
        return {path: value for path, value in found.items() if isinstance(value, str | int | float | bool)}


ORDER_EVENTS = frozenset(
    {
        "order.created", "order.paid", "order.payment_failed", "order.fulfilled", "order.delivered",
        "order.cancelled", "order.refunded", "checkout.completed",
    }
)  # fmt: skip


def holds(condition: Condition, scope: Scope, now: datetime) -> bool:
    """Judge the whole condition."""
    return _holds(condition.root, scope, now)


def _holds(node: Any, scope: Scope, now: datetime) -> bool:
    if isinstance(node, Segment):
        return scope.subject is not None and memory.matches(node.rule, scope.subject, now)
    if isinstance(node, Leaf):
        return node.holds(scope.values, now)
    if isinstance(node, SinceBegin):
        return node.holds(scope, now)
    if node.how == "not":
        return not _holds(node.parts[0], scope, now)
    judged = (_holds(part, scope, now) for part in node.parts)
    return all(judged) if node.how == "all" else any(judged)


def look_up(values: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of nested mappings; `MISSING` when there is none. Never an attribute."""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return MISSING
        found = found[name]
    return found


def read_condition(raw: object, *, run: bool) -> Condition:
    """Read a rule. `run`: a bare event means since the run began. Raises `WrongInput` with paths."""
    if isinstance(raw, Condition):
        return raw
    if not isinstance(raw, Mapping):
        raise WrongInput("a rule is an object", [FieldError("", "a rule is an object")])
    return Condition(raw, _read(raw, "", run, 0))


def _read(raw: Mapping[str, Any], path: str, run: bool, depth: int) -> Leaf | SinceBegin | Segment | Group:
    if depth > _DEPTH:
        raise WrongInput("nested too deeply", [FieldError(path, "is nested too deeply")])
    if not _is_runs_own(raw, run, depth):
        return Segment(rules.parse(raw, path=path))
    for how in ("all", "any", "not"):
        if how in raw:
            return _group(raw, how, path, run, depth)
    return _since_begin(raw, path) if "event" in raw else _leaf(raw, path)


def _group(raw: Mapping[str, Any], how: str, path: str, run: bool, depth: int) -> Group:
    if set(raw) != {how}:
        raise WrongInput("a group stands alone", [FieldError(path, f"{how} stands alone in its object")])
    inside = raw[how]
    if how == "not":
        parts = [(f"{path}.not".lstrip("."), inside)]
    elif isinstance(inside, Sequence) and not isinstance(inside, str) and inside:
        parts = [(f"{path}.{how}[{i}]".lstrip("."), part) for i, part in enumerate(inside)]
    else:
        raise WrongInput("an empty group", [FieldError(f"{path}.{how}".lstrip("."), "needs at least one rule")])
    read = []
    for where, part in parts:
        if not isinstance(part, Mapping):
            raise WrongInput("a rule is an object", [FieldError(where, "a rule is an object")])
        read.append(_read(part, where, run, depth + 1))
    return Group(how, tuple(read))


def _is_runs_own(raw: Any, run: bool, depth: int) -> bool:
    if not isinstance(raw, Mapping) or depth > _DEPTH:
        return False
    for how in ("all", "any"):
        if isinstance(raw.get(how), Sequence):
            return any(_is_runs_own(part, run, depth + 1) for part in raw[how])
    if "not" in raw:
        return _is_runs_own(raw["not"], run, depth + 1)
    if "event" in raw:
        return run and not {"count", "within"} & set(raw)
    return isinstance(raw.get("field"), str) and raw["field"].partition(".")[0] in RUN_ROOTS


def _since_begin(raw: Mapping[str, Any], path: str) -> SinceBegin:
    unknown = set(raw) - {"event", "where", "match_key"}
    if unknown:
        name = sorted(unknown)[0]
        raise WrongInput("an unknown field", [FieldError(_join(path, name), "is not a field here")])
    name, key = raw["event"], raw.get("match_key")
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        raise WrongInput("no event name", [FieldError(_join(path, "event"), "name an event")])
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= 200):
        raise WrongInput("no path", [FieldError(_join(path, "match_key"), "is a path such as properties.order_id")])
    return SinceBegin(name, read_where(raw.get("where", ()), path=_join(path, "where")), key)


def read_where(raw: object, path: str = "") -> Where:
    """Read filters on one event: a list, one rule, or nothing. Raises `WrongInput` with paths."""
    return raw if isinstance(raw, Where) else Where(raw, rules.parse_where(raw, path=path))


def _leaf(raw: Mapping[str, Any], path: str) -> Leaf:
    field_path = raw["field"]
    if not 0 < len(field_path) <= 200:
        raise WrongInput("no field", [FieldError(_join(path, "field"), "name a field")])
    return Leaf(field_path, rules.parse({**raw, "field": "attributes.value"}, path=path))


def _join(path: str, more: str) -> str:
    if not more or more.startswith("["):
        return path + more
    return f"{path}.{more}" if path else more


def _lone_value(value: Any) -> memory.Facts:
    """Facts of a person who has nothing but this one attribute: the operators then work on any value."""
    return memory.Facts({"attributes": {} if value is MISSING else {"value": value}})


def subject_of(profile: Mapping[str, Any], events: Sequence[Mapping[str, Any]], now: datetime) -> memory.Facts:
    """What rules over a profile and its history are judged on. `events`: all those a rule may ask for."""
    return memory.Facts(profile, memory.ListedEvents(events, now) if events else memory.NoEvents())
