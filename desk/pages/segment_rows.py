"""The rows of the segment builder: which inputs each has, what can be chosen in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from desk.i18n import N_, Formats
from desk.pages.rule_form import (
    COUNTS,
    DEPTH_MAX,
    GROUP,
    INSTANTS,
    KEPT,
    NONE,
    OTHER,
    OTHERS,
    ROOT,
    SPANS,
    UNITS,
    Node,
    joined,
    leaf_of,
    ref_of,
    scalar_of,
    shape_of,
    split,
)
from desk.pages.rules import field_words
from desk.pages.sentences import DEEDS, MANY, PLURAL, SENTENCES, Known, deed_words, rule_words
from profiles.segments.fields import Kind, Scope

Option = tuple[str, str]
#: Currencies that are offered for revenue beside those that rules name already.
CURRENCIES = ("EUR", "USD", "GBP", "CNY", "HKD", "JPY")
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (N_("Person"), (
        "name", "emails", "phones", "handles", "tags", "roles", "stage", "stage_since", "tier", "tier_since", "score",
        "owner_id", "locale", "time_zone", "location", "created_at", "last_seen_at",
    )),
    (N_("Where they came from"), (
        "first_touch.channel", "first_touch.source", "first_touch.ref", "last_touch.channel", "last_touch.source",
        "last_touch.at",
    )),
    (N_("Orders"), (
        "orders.count", "orders.revenue", *(f"orders.revenue.{each}" for each in CURRENCIES), "orders.first_at",
        "orders.last_at",
    )),
    (N_("Habits and value"), (
        "rfm.r", "rfm.f", "rfm.m", "rfm.total", "traits.preferred_channel", "traits.preferred_hour",
        "traits.answer_minutes", "traits.days_between_orders", "traits.next_order_at", "traits.churn_risk",
    )),
)  # fmt: skip
ASKED: Mapping[str, str] = {
    "event": N_("What they did"), "last_event": N_("When they last did it"), "segment": N_("Belonging to a segment"),
    "consent": N_("Consent"), "reachable": N_("Reachability"), "near": N_("Distance from a place"),
    "bucket": N_("A random share"),
}  # fmt: skip
_TEXT = ("eq", "ne", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with", "matches", *NONE)
_NUMBER = ("gte", "lte", "gt", "lt", "eq", "ne", "between", "in", "not_in", *NONE)
_TIME = ("within_last", "older_than", "before", "after", "day_of_year", "between", *NONE)
#: Kind of a field, or declared type of a custom one → operators in the order in which they are offered.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "text": _TEXT, "texts": ("contains", "eq", "ne", "in", "not_in", "not_contains", "starts_with", "ends_with", *NONE),
    "tags": ("any_of", "all_of", "none_of", "contains", "starts_with", *NONE), "number": _NUMBER, "time": _TIME,
    "place": NONE, "choice": ("in", "not_in", "eq", "ne", *NONE), "list": ("any_of", "all_of", "none_of", *NONE),
    "yesno": ("eq", *NONE), "date": _TIME[:-3] + NONE,
}  # fmt: skip
#: Type of a custom field → what its values are here.
DECLARED: Mapping[str, str] = {
    "number": "number", "rating": "number", "boolean": "yesno", "date": "date", "choice": "choice", "choices": "list",
}  # fmt: skip
TYPES: tuple[Option, ...] = (
    ("text", N_("Text")), ("number", N_("A number")), ("yesno", N_("Yes or no")), ("date", N_("Date")),
)  # fmt: skip
UNIT_WORDS = {
    "hours": N_("hours"), "days": N_("days"), "weeks": N_("weeks"), "months": N_("months"), "years": N_("years"),
}  # fmt: skip
COUNT_WORDS: tuple[Option, ...] = (
    ("", N_("at least once")), ("never", N_("never")), ("gte", N_("at least")), ("lte", N_("at most")),
    ("eq", N_("exactly")), ("gt", N_("more than")), ("lt", N_("fewer than")), ("ne", N_("not exactly")),
)  # fmt: skip
LAST_WORDS = {
    "within_last": N_("in the last"), "older_than": N_("longer ago than"), "before": N_("before"),
    "after": N_("after"), "exists": N_("at some time"), "missing": N_("never"),
}  # fmt: skip
BELONGS: Mapping[str, tuple[str, str]] = {
    "segment": (N_("is in"), N_("is not in")), "reachable": (N_("can be reached on"), N_("cannot be reached on")),
    "near": (N_("is within"), N_("is not within")), "bucket": (N_("is in"), N_("is not in")),
}  # fmt: skip
ANSWERS: tuple[Option, ...] = (
    ("granted", N_("agreed")), ("denied", N_("said no")), ("unknown", N_("has not answered")),
)  # fmt: skip
DAYS: tuple[Option, ...] = (("today", N_("today")), ("on", N_("on the day")), ("range", N_("from one day to another")))


@dataclass(frozen=True)
class Choices:
    """What there is in this deployment. `values`: of a field, `segment`, `consent` or `channel`: value → its name.
    `fields`: custom fields (name, label, declared type). `providers`: names of all, connected or not."""

    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fields: Sequence[tuple[str, str, str]] = ()
    tags: Sequence[str] = ()
    providers: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> Known:
        """For sentences."""
        channels = {**self.providers, **self.values.get("channel", {})}
        return Known({name: label for name, label, _ in self.fields}, {**self.values, "channel": channels})

    def declared(self, name: str) -> str:
        """What the values of a custom field are; empty for a free one."""
        return next((DECLARED.get(kind, "text") for own, _, kind in self.fields if own == name), "")


@dataclass(frozen=True)
class Control:
    """One input. `label` is for those who do not see where it stands; `before` and `after` are words around it."""

    name: str
    kind: str
    label: str
    value: str = ""
    options: tuple[Option, ...] = ()
    groups: tuple[tuple[str, tuple[Option, ...]], ...] = ()
    chosen: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    suggest: str = ""
    hint: str = ""
    #: Another choice needs other inputs beside it.
    redraws: bool = False


@dataclass(frozen=True)
class RowView:
    """A row, or a group of rows. `words`: of one that is kept as it is."""

    way: str
    kind: str
    controls: tuple[Control, ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    rows: tuple[RowView, ...] = ()
    words: str = ""
    fault: str = ""
    negated: bool = False
    join: str = "all"
    may_nest: bool = False
    number: int = 1


def adopted(node: Node, choices: Choices, scope: Scope = Scope.PROFILE) -> Node:
    """Rows in which another field was chosen begin anew, with the type of the field."""
    inner = Scope.EVENT if node.what == "event" else scope
    node = replace(node, rows=tuple(adopted(each, choices, inner) for each in node.rows))
    if node.what in (GROUP, KEPT):
        return node
    was = node.one("was")
    if was and was != node.what:
        node = Node({name: own for name, own in node.values.items() if name in ("what", "not")})
    ref = ref_of(node.what, scope)
    if ref is None:
        return node
    if ref.kind is Kind.FREE:
        node = node.given(type=type_of(node, choices))
    offered = operators(node, choices, scope)
    again = bool(was) and was != node.what
    return node.given(op=offered[0]) if again or not node.one("op") or not _fits(node, offered) else node


def _fits(node: Node, offered: Sequence[str]) -> bool:
    """Another type was chosen: operators of the former one go. Those of a stored rule stay."""
    return node.one("op") in offered or node.one("typed") in ("", node.one("type"))


def type_of(node: Node, choices: Choices) -> str:
    """What the values of a free field are: as chosen, else as declared."""
    return node.one("type") or _stored_type(choices.declared(node.what)) or "text"


def _stored_type(declared: str) -> str:
    return {"choice": "text", "list": "text"}.get(declared, declared)


def operators(node: Node, choices: Choices, scope: Scope) -> tuple[str, ...]:
    """Operators that are offered, in their order."""
    ref = ref_of(node.what, scope)
    if ref is None:
        return ()
    declared = choices.declared(node.what)
    if ref.kind is Kind.FREE:
        kind = declared if declared and _stored_type(declared) == type_of(node, choices) else type_of(node, choices)
    else:
        kind = "list" if node.what == "roles" else "choice" if choices.values.get(node.what) else ref.kind.value
    return OFFERED[kind]


def rows_view(
    node: Node, choices: Choices, faults: Mapping[str, str], formats: Formats, way: str = ROOT,
    scope: Scope = Scope.PROFILE, number: int = 1,
) -> RowView:  # fmt: skip
    """The tree as it is drawn."""
    draw = _Drawing(choices, formats, scope)
    inner = Scope.EVENT if node.what == "event" else scope
    rows = tuple(
        rows_view(each, choices, faults, formats, f"{way}.{i}", inner, i + 1) for i, each in enumerate(node.rows)
    )
    hidden = [("what", node.what)] if node.what in (GROUP, KEPT) else [("was", node.what)]
    hidden += [("typed", node.one("type"))] if node.one("type") else []
    hidden += [(name, node.one(name)) for name in ("bare", "lean", "json") if node.one(name)]
    view = RowView(
        way, node.what if node.what in (GROUP, KEPT, "event") else "row", hidden=tuple(hidden), rows=rows,
        fault=faults.get(way, ""), negated=bool(node.one("not")), join=node.one("join") or "all", number=number,
        may_nest=scope is Scope.PROFILE and way.count(".") < DEPTH_MAX,
    )  # fmt: skip
    if node.what == KEPT:
        return replace(view, words=rule_words(leaf_of(node), formats, choices.known))
    return view if node.what == GROUP else replace(view, controls=tuple(draw.controls(node)))


@dataclass(frozen=True)
class _Drawing:
    choices: Choices
    formats: Formats
    scope: Scope

    def controls(self, node: Node) -> list[Control]:
        inside = self.scope is Scope.EVENT
        first = [self._property(node)] if inside else [self._what(node), *self._by_hand(node)]
        return first + (_OWN[node.what](self, node) if node.what in OTHERS else self._field(node))

    # -- what is asked -----------------------------------------------------------------------------------------

    def _what(self, node: Node) -> Control:
        own = tuple((name, _upper(label)) for name, label, _ in self.choices.fields)
        named = {name for _, names in GROUPS for name in names} | {name for name, _ in own} | set(OTHERS) | {OTHER}
        if node.what and node.what not in named:
            own += ((node.what, _upper(field_words(node.what, self.formats))),)
        groups = [
            (self._(title), tuple((each, _upper(field_words(each, self.formats))) for each in names))
            for title, names in GROUPS
        ]
        groups.append((self._(N_("Own fields")), (*own, (OTHER, self._(N_("Another field …"))))))
        groups.append((self._(N_("What they did and where they are")), self._options(ASKED.items())))
        return Control("what", "select", self._(N_("What is asked")), node.what, groups=tuple(groups), redraws=True)

    def _by_hand(self, node: Node) -> list[Control]:
        if node.what != OTHER:
            return []
        return [Control("key", "text", self._(N_("Name of the field")), node.one("key"), hint="city", redraws=True)]

    def _property(self, node: Node) -> Control:
        name = node.what.removeprefix("properties.") if node.what != OTHER else node.one("key")
        name = node.what if ref_of(name, Scope.EVENT) else name
        return Control("what", "text", self._(N_("What of it")), name, hint="total", redraws=True)

    # -- rows that ask for a field -----------------------------------------------------------------------------

    def _field(self, node: Node) -> list[Control]:
        ref = ref_of(node.what, self.scope)
        if ref is None:
            return []
        found = []
        if ref.kind is Kind.FREE and _stored_type(self.choices.declared(node.what)) != type_of(node, self.choices):
            found.append(Control("type", "select", self._(N_("Kind of value")), type_of(node, self.choices),
                                 self._options(TYPES), redraws=True))  # fmt: skip
        op, offered = node.one("op"), operators(node, self.choices, self.scope)
        shown = offered if op in offered or not op else (*offered, op)
        found.append(
            Control("op", "select", self._(N_("How it is compared")), op,
                    tuple((each, self._operator(node.what, each)) for each in shown), redraws=True)
        )  # fmt: skip
        return found + self._value(node, shape_of(ref, op), scalar_of(ref, node.one("type")))

    def _operator(self, name: str, op: str) -> str:
        many = MANY.get(op, "") if name in PLURAL else ""
        sentence = many if many.startswith("%(field)s") else SENTENCES[op]
        return self.formats.text(sentence, field="", value="…").strip(" …：:")

    def _value(self, node: Node, shape: str, scalar: str) -> list[Control]:
        if shape == "none":
            return []
        if shape == "span":
            return self._span(node)
        if shape == "day":
            return self._days(node)
        named = self.choices.values.get(node.what, {})
        if shape == "list":
            return [self._many(node, named)]
        value = self._one(node, "value", scalar, named if shape == "one" else {})
        if shape == "pair":
            most = self._one(node, "most", scalar, {})
            return [value, replace(most, before="–", label=self._(N_("Greatest value")))]
        if shape == "instant":
            return [replace(value, kind=_date_kind(node.one("value")))]
        return [value]

    def _one(self, node: Node, name: str, scalar: str, named: Mapping[str, str]) -> Control:
        label, value = self._(N_("Value")), node.one(name)
        if named:
            return Control(name, "select", label, value, _with(named, value))
        if scalar == "yesno":
            return Control(name, "select", label, value, (("true", self._(N_("yes"))), ("false", self._(N_("no")))))
        if scalar.startswith("money:"):
            return Control(name, "number", label, value, after=scalar[6:])
        if scalar == "number":
            return Control(name, "number", label, value)
        if scalar == "instant":
            return Control(name, _date_kind(value), label, value)
        return Control(name, "text", label, value, suggest="tags" if node.what == "tags" else "")

    def _many(self, node: Node, named: Mapping[str, str]) -> Control:
        chosen = [each for value in node.values.get("value", ()) for each in split(value)]
        label = self._(N_("Values"))
        if not named:
            return Control("value", "text", label, joined(chosen), hint=self._(N_("several, between commas")),
                           suggest="tags" if node.what == "tags" else "")  # fmt: skip
        extra = {each: each for each in chosen if each not in named}
        options = tuple((joined([value]), name) for value, name in {**named, **extra}.items())
        names = [{**named, **extra}[each] for each in chosen]
        return Control("value", "checks", label, self._(N_(", ")).join(names), options,
                       chosen=tuple(joined([each]) for each in chosen))  # fmt: skip

    def _span(self, node: Node) -> list[Control]:
        units = tuple((each, self._(UNIT_WORDS[each])) for each in UNITS)
        return [
            Control("n", "count", self._(N_("How long")), node.one("n")),
            Control("unit", "select", self._(N_("Unit of time")), node.one("unit") or "days", units),
        ]

    def _days(self, node: Node) -> list[Control]:
        mode = node.one("day") or "on"
        found = [Control("day", "select", self._(N_("Which day")), mode, self._options(DAYS), redraws=True)]
        if mode != "today":
            label = self._(N_("Day of the year, month first"))
            found.append(Control("value", "day", label, node.one("value"), hint=self._(N_("MM-DD"))))
        if mode == "range":
            found.append(Control("most", "day", self._(N_("Last day of the year, month first")), node.one("most"),
                                 before=self._(N_("to")), hint=self._(N_("MM-DD"))))  # fmt: skip
        return found

    # -- other rows --------------------------------------------------------------------------------------------

    def _event(self, node: Node) -> list[Control]:
        found = [*self._deed(node)]
        count = node.one("count")
        found.append(
            Control("count", "select", self._(N_("How often")), count, self._options(COUNT_WORDS), redraws=True)
        )
        if count in COUNTS:
            found.append(
                Control("times", "count", self._(N_("Number of times")), node.one("times"), after=self._(N_("times")))
            )
        periods = (("", N_("at any time")), ("last", N_("in the last")))
        found.append(
            Control("period", "select", self._(N_("When")), node.one("period"), self._options(periods), redraws=True)
        )
        return found + (self._span(node) if node.one("period") else [])

    def _last(self, node: Node) -> list[Control]:
        op = node.one("op")
        found = [*self._deed(node)]
        found.append(Control("op", "select", self._(N_("When")), op, self._options(LAST_WORDS.items()), redraws=True))
        if op in SPANS:
            return found + self._span(node)
        if op in INSTANTS:
            value = node.one("value")
            found.append(Control("value", _date_kind(value), self._(N_("Day")), value))
        return found

    def _deed(self, node: Node) -> list[Control]:
        event = node.one("event")
        options = [(each, deed_words(each, self.formats)) for each in DEEDS]
        if event not in DEEDS and event not in ("", OTHER):
            options.append((event, deed_words(event, self.formats)))
        options.append((OTHER, self._(N_("something else …"))))
        found = [Control("event", "select", self._(N_("What happened")), event, tuple(options), redraws=True)]
        if event == OTHER:
            found.append(Control("key", "text", self._(N_("Name of the event")), node.one("key"), hint="lesson.booked",
                                 redraws=True))  # fmt: skip
        return found

    def _segment(self, node: Node) -> list[Control]:
        named, value = self.choices.values.get("segment", {}), node.one("segment")
        which = Control("segment", "select", self._(N_("Which segment")), value, _with(named, value))
        return [self._belongs(node), which]

    def _reachable(self, node: Node) -> list[Control]:
        named, value = self.choices.values.get("channel", {}), node.one("reachable")
        return [self._belongs(node), Control("reachable", "select", self._(N_("Channel")), value, _with(named, value))]

    def _consent(self, node: Node) -> list[Control]:
        groups, channels = (self.choices.values.get(each, {}) for each in ("consent", "channel"))
        purpose, channel = node.one("consent"), node.one("channel")
        any_channel = (("", self._(N_("any channel"))),)
        return [
            Control("consent", "select", self._(N_("Consent group")), purpose, _with(groups, purpose)),
            Control("channel", "select", self._(N_("Channel")), channel, any_channel + _with(channels, channel)[1:],
                    before=self._(N_("by"))),
            Control("is", "select", self._(N_("Answer")), node.one("is") or "granted", self._options(ANSWERS)),
        ]  # fmt: skip

    def _near(self, node: Node) -> list[Control]:
        return [
            self._belongs(node),
            Control("km", "number", self._(N_("Kilometres")), node.one("km"), after=self._(N_("km of"))),
            Control("lat", "number", self._(N_("Latitude")), node.one("lat"), before=self._(N_("latitude")),
                    hint="52.16"),
            Control("lon", "number", self._(N_("Longitude")), node.one("lon"), before=self._(N_("longitude")),
                    hint="4.49"),
        ]  # fmt: skip

    def _bucket(self, node: Node) -> list[Control]:
        return [
            self._belongs(node),
            Control("from", "number", self._(N_("From percent")), node.one("from"), hint="0"),
            Control("to", "number", self._(N_("To percent")), node.one("to"), before="–", after="%", hint="20"),
            Control("salt", "text", self._(N_("Name of the draw")), node.one("salt"), before=self._(N_("of the draw")),
                    hint=self._(N_("autumn"))),
        ]  # fmt: skip

    def _belongs(self, node: Node) -> Control:
        yes, no = BELONGS[node.what]
        options = (("", self._(yes)), ("1", self._(no)))
        return Control("not", "select", self._(N_("Is or is not")), node.one("not"), options)

    def _(self, sentence: str) -> str:
        return self.formats.text(sentence)

    def _options(self, pairs: object) -> tuple[Option, ...]:
        return tuple((value, self._(words)) for value, words in pairs)  # type: ignore[attr-defined]


_OWN = {
    "event": _Drawing._event, "last_event": _Drawing._last, "segment": _Drawing._segment,
    "reachable": _Drawing._reachable, "consent": _Drawing._consent, "near": _Drawing._near,
    "bucket": _Drawing._bucket,
}  # fmt: skip


def _with(named: Mapping[str, str], value: str) -> tuple[Option, ...]:
    """The names to choose from, an empty one first, and the chosen value even where it is none of them."""
    extra = ((value, value),) if value and value not in named else ()
    return (("", "…"), *named.items(), *extra)


def _date_kind(value: str) -> str:
    return "date" if not value or (len(value) == 10 and value[4:5] == "-") else "text"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
