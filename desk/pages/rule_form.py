"""A rule as the fields of a form, and back. Pure.

A form is a tree of nodes; the fields of a node are named by its way from the root: `r:join`, `r.0:what`, `r.0.1:op`.
What the form cannot show exactly (nested too deep, a value of an odd shape) is kept as it is, in one field, and shown
as a sentence: whatever rule goes in comes out the same.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from babel.numbers import get_currency_precision

from profiles.segments.fields import OPERATORS, FieldRef, Kind, Scope, find_field

ROOT = "r"
#: Groups inside of the outermost one, rows of the whole form, deepest way that is read.
DEPTH_MAX, ROWS_MAX, WAY_MAX = 2, 200, 6
#: What a row may ask for beside a field.
OTHERS = ("event", "last_event", "segment", "consent", "reachable", "near", "bucket")
#: A field whose name is written by hand; something kept as it is.
OTHER, GROUP, KEPT = "other", "group", "kept"
UNITS = {"hours": "PT{}H", "days": "P{}D", "weeks": "P{}W", "months": "P{}M", "years": "P{}Y"}
_SPAN = re.compile(r"P(?:T([1-9]\d*)H|([1-9]\d*)([DWMY]))", re.ASCII)
_LETTERS = {"D": "days", "W": "weeks", "M": "months", "Y": "years"}
_FIELD = re.compile(r"(r(?:\.\d{1,3})*):([a-z_]{1,20})", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
LISTS = frozenset({"in", "not_in", "any_of", "all_of", "none_of"})
PATTERNS = frozenset({"contains", "not_contains", "starts_with", "ends_with", "matches"})
SPANS, INSTANTS, NONE = frozenset({"within_last", "older_than"}), frozenset({"before", "after"}), ("exists", "missing")
LAST_OPERATORS = ("within_last", "older_than", "before", "after", "exists", "missing")
COUNTS = ("gte", "lte", "eq", "gt", "lt", "ne")


@dataclass(frozen=True)
class Node:
    """A group, a row, or a row about an event with the rows on its properties."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: tuple[Node, ...] = ()

    def one(self, name: str) -> str:
        """The value of a field; empty when there is none."""
        found = self.values.get(name, ())
        return found[0] if found else ""

    def given(self, **values: str | Sequence[str]) -> Node:
        """With these fields."""
        new = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in values.items()}
        return replace(self, values={**self.values, **new})

    @property
    def what(self) -> str:
        """`group`, `kept`, one of `OTHERS`, or the name of a field."""
        return self.one("what")


@dataclass(frozen=True)
class Built:
    """The rule of a form. `places`: path of each rule → way of its node; `unfinished`: ways of rows left out, because
    something in them is still to be filled in."""

    rule: dict[str, Any]
    places: Mapping[str, str]
    unfinished: tuple[str, ...] = ()

    def place(self, path: str) -> str:
        """The way of the node a fault is about."""
        fitting = [each for each in self.places if path == each or path.startswith((each + ".", each + "["))]
        return self.places[max(fitting, key=len)] if fitting else ROOT


def empty(**values: str) -> Node:
    """A new group."""
    return Node().given(what=GROUP, join="all", **values)


# -- fields of a form ----------------------------------------------------------------------------------------------


def read(fields: Iterable[tuple[str, Any]]) -> Node:
    """The tree in the fields of a form; those of others are passed over."""
    values: dict[str, dict[str, list[str]]] = {}
    for name, value in fields:
        found = _FIELD.fullmatch(name)
        if found and isinstance(value, str) and found[1].count(".") <= WAY_MAX:
            values.setdefault(found[1], {}).setdefault(found[2], []).append(value.strip())
    children: dict[str, set[int]] = {}
    for way in sorted(values)[: ROWS_MAX * 2]:
        while "." in way:
            way, _, index = way.rpartition(".")
            children.setdefault(way, set()).add(int(index))

    def node(way: str) -> Node:
        own = {name: tuple(each) for name, each in values.get(way, {}).items()}
        return Node(own, tuple(node(f"{way}.{i}") for i in sorted(children.get(way, ()))))

    return settled(node(ROOT).given(what=GROUP))


def fields(node: Node, way: str = ROOT) -> Iterator[tuple[str, str]]:
    """The fields of a form that hold the tree."""
    for name, values in node.values.items():
        yield from ((f"{way}:{name}", value) for value in values)
    for i, each in enumerate(node.rows):
        yield from fields(each, f"{way}.{i}")


def settled(node: Node, scope: Scope = Scope.PROFILE) -> Node:
    """Fields written by hand become fields; operators that do not fit what was chosen become the first that does."""
    inner = Scope.EVENT if node.what == "event" else scope
    node = replace(node, rows=tuple(settled(each, inner) for each in node.rows))
    if node.what == "last_event" and node.one("op") not in LAST_OPERATORS:
        node = node.given(op=LAST_OPERATORS[0])
    if node.what == "event" and node.one("event") == OTHER and node.one("key"):
        node = node.given(event=node.one("key"), key="")
    if node.what in (GROUP, KEPT, *OTHERS):
        return node
    if node.what == OTHER and node.one("key"):
        node = node.given(what=_named(node.one("key"), scope), key="")
    if scope is Scope.EVENT and node.what and ref_of(node.what, scope) is None:
        node = node.given(what=_named(node.what, scope))
    ref = ref_of(node.what, scope)
    if ref is not None and node.one("op") not in OPERATORS[ref.kind]:
        node = node.given(op=first_operator(ref.kind, node.one("type")))
    return node


def _named(key: str, scope: Scope) -> str:
    head = "attributes." if scope is Scope.PROFILE else "properties."
    return key if ref_of(key, scope) else head + key


def ref_of(name: str, scope: Scope = Scope.PROFILE) -> FieldRef | None:
    """The field of that name, if it is one."""
    try:
        return find_field(name, scope)
    except ValueError:
        return None


def first_operator(kind: Kind, declared: str = "") -> str:
    """What a new row begins with."""
    if declared == "date" or kind is Kind.TIME:
        return "within_last"
    if declared == "list":
        return "any_of"
    return {Kind.NUMBER: "gte", Kind.TAGS: "any_of", Kind.PLACE: "exists", Kind.TEXTS: "contains"}.get(kind, "eq")


# -- changing the tree ---------------------------------------------------------------------------------------------


def changed(node: Node, way: str, change: Any) -> Node:
    """The tree with the node at `way` replaced by `change(node)`; left out where that is None."""
    steps = [int(each) for each in way.split(".")[1:]]

    def into(node: Node, steps: Sequence[int]) -> Node | None:
        if not steps:
            result: Node | None = change(node)
            return result
        if steps[0] >= len(node.rows):
            return node
        made = into(node.rows[steps[0]], steps[1:])
        rows = (*node.rows[: steps[0]], *((made,) if made is not None else ()), *node.rows[steps[0] + 1 :])
        return replace(node, rows=rows)

    return into(node, steps) or empty()


def added(node: Node, way: str, row: Node) -> Node:
    """With a row at the end of the group at `way`."""
    return changed(node, way, lambda at: replace(at, rows=(*at.rows, row)))


def removed(node: Node, way: str) -> Node:
    """Without the row at `way`."""
    return changed(node, way, lambda _: None)


# -- form → rule ---------------------------------------------------------------------------------------------------


def rule_of(node: Node, path: str = "rule", *, whole: bool = True) -> Built:
    """The rule in the form. Not `whole`: rows in which something is missing are left out."""
    builder = _Builder(whole)
    rule = builder.group(node, path, ROOT)
    return Built(rule if rule is not None else {"all": []}, builder.places, tuple(builder.unfinished))


class _Builder:
    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self.places: dict[str, str] = {}
        self.unfinished: list[str] = []

    def group(self, node: Node, path: str, way: str) -> dict[str, Any] | None:
        join = "any" if node.one("join") == "any" else "all"
        self.places[path] = way
        inside = f"{path}.not" if node.one("not") else path
        if node.one("bare") and len(node.rows) == 1 and not node.one("not"):
            only: dict[str, Any] | None = self.row(node.rows[0], path, f"{way}.0")
            return only
        rows: list[dict[str, Any]] = []
        for i, each in enumerate(node.rows):
            made = self.row(each, f"{inside}.{join}[{len(rows)}]", f"{way}.{i}")
            rows += [made] if made is not None else []
        if not rows and not (way == ROOT or self._whole):
            return None
        rule = {join if rows or way != ROOT else "all": rows}
        return {"not": rule} if node.one("not") else rule

    def row(self, node: Node, path: str, way: str, scope: Scope = Scope.PROFILE) -> Any:
        if node.what == GROUP:
            return self.group(node, path, way)
        if not self._whole and is_unfinished(node, scope):
            self.unfinished.append(way)
            return None
        self.places[path] = way
        inside = f"{path}.not" if node.one("not") else path
        rule = leaf_of(node, scope)
        if node.what == "event" and node.rows:
            where: list[Any] = []
            for i, each in enumerate(node.rows):
                made = self.row(each, f"{inside}.where[{len(where)}]", f"{way}.{i}", Scope.EVENT)
                where += [made] if made is not None else []
            if where:
                rule["where"] = where
        return {"not": rule} if node.one("not") else rule


def leaf_of(node: Node, scope: Scope = Scope.PROFILE) -> Any:
    """The rule in one row, without what is asked of an event's properties."""
    read_row = _ROWS.get(node.what)
    return read_row(node) if read_row else _field_rule(node, scope)


def _event(node: Node) -> dict[str, Any]:
    rule: dict[str, Any] = {"event": node.one("event") if node.one("event") != OTHER else node.one("key")}
    count = node.one("count")
    if count == "never":
        rule["count"] = {"eq": 0}
    elif count in COUNTS:
        rule["count"] = {count: number_of(node.one("times"))}
    if node.one("period"):
        rule["within"] = span_of(node)
    return rule


def _last(node: Node) -> dict[str, Any]:
    op = node.one("op")
    rule: dict[str, Any] = {
        "last_event": node.one("event") if node.one("event") != OTHER else node.one("key"), "op": op,
    }  # fmt: skip
    if op in SPANS:
        rule["value"] = span_of(node)
    elif op in INSTANTS:
        rule["value"] = node.one("value")
    return rule


def _consent(node: Node) -> dict[str, Any]:
    rule = {"consent": node.one("consent")}
    if node.one("channel"):
        rule["channel"] = node.one("channel")
    if not (node.one("lean") and node.one("is") == "granted"):
        rule["is"] = node.one("is") or "granted"
    return rule


def _near(node: Node) -> dict[str, Any]:
    place = {key: number_of(node.one(key)) for key in ("lat", "lon", "km")}
    return {"near": place if node.one("lean") else {"field": "location", **place}}


def _bucket(node: Node) -> dict[str, Any]:
    salt = node.one("salt")
    return {"bucket": {"salt": salt, "from": number_of(node.one("from")), "to": number_of(node.one("to"))}}


def _kept(node: Node) -> Any:
    try:
        return json.loads(node.one("json"))
    except ValueError:
        return node.one("json")


_ROWS: Mapping[str, Callable[[Node], Any]] = {
    "event": _event, "last_event": _last, "consent": _consent, "near": _near, "bucket": _bucket, KEPT: _kept,
    "segment": lambda node: {"segment": node.one("segment")},
    "reachable": lambda node: {"reachable": node.one("reachable")},
}  # fmt: skip


def _field_rule(node: Node, scope: Scope) -> dict[str, Any]:
    name, op = node.what if node.what != OTHER else node.one("key"), node.one("op")
    ref, rule = ref_of(name, scope), {"field": name, "op": op}
    if ref is None or op in NONE:
        return rule
    return {**rule, "value": _VALUES[shape_of(ref, op)](node, scalar_of(ref, node.one("type")))}


def shape_of(ref: FieldRef, op: str) -> str:
    """Which inputs the value takes: `none`, `span`, `instant`, `day`, `text`, `list`, `pair` or `one`."""
    if op in NONE:
        return "none"
    if op in SPANS:
        return "span"
    if op in INSTANTS:
        return "instant"
    if op == "day_of_year":
        return "day"
    if op in PATTERNS:
        return "text"
    return "list" if op in LISTS else "pair" if op == "between" else "one"


def scalar_of(ref: FieldRef, declared: str) -> str:
    """What one value is: `text`, `number`, `money:EUR`, `instant` or `yesno`."""
    if ref.kind is Kind.NUMBER:
        return f"money:{ref.name[-3:]}" if re.search(r"\.[A-Z]{3}$", ref.name) else "number"
    if ref.kind is Kind.TIME:
        return "instant"
    return declared if ref.kind is Kind.FREE and declared in ("number", "yesno") else "text"


_VALUES: Mapping[str, Any] = {
    "span": lambda node, scalar: span_of(node),
    "instant": lambda node, scalar: node.one("value"),
    "text": lambda node, scalar: node.one("value"),
    "one": lambda node, scalar: _scalar(node.one("value"), scalar),
    "list": lambda node, scalar: [
        _scalar(each, scalar) for value in node.values.get("value", ()) for each in split(value)
    ],
    "pair": lambda node, scalar: [_scalar(node.one("value"), scalar), _scalar(node.one("most"), scalar)],
    "day": lambda node, scalar: _days(node),
}


def _scalar(text: str, scalar: str) -> Any:
    if scalar == "number":
        return number_of(text)
    if scalar == "yesno":
        return {"true": True, "false": False}.get(text, text)
    if scalar.startswith("money:"):
        amount = money_minor(text, scalar[6:])
        return text if amount is None else amount
    return text


def _days(node: Node) -> Any:
    if node.one("day") == "today":
        return "today"
    return {"from": node.one("value"), "to": node.one("most")} if node.one("day") == "range" else node.one("value")


def number_of(text: str) -> Any:
    """The number in a text; the text itself where there is none."""
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) and text.isascii() and "_" not in text else text


def span_of(node: Node) -> str:
    """The duration in `n` and `unit`."""
    number = node.one("n")
    return UNITS.get(node.one("unit"), "P{}D").format(number) if number else ""


def split(text: str) -> list[str]:
    """Values between commas; those that hold one stand in quotes."""
    return [
        each.strip() for each in next(csv.reader([text.replace("，", ",")], skipinitialspace=True), []) if each.strip()
    ]


def joined(values: Sequence[str]) -> str:
    """The other way round."""
    return ", ".join(
        f'"{each.replace(chr(34), chr(34) * 2)}"' if "," in each or chr(34) in each else each for each in values
    )


def is_unfinished(node: Node, scope: Scope = Scope.PROFILE) -> bool:
    """Whether something in this row is still to be filled in."""
    return bool(missing(node, scope))


def missing(node: Node, scope: Scope = Scope.PROFILE) -> tuple[str, ...]:
    """The fields of a row that are still empty."""
    wanted: tuple[str, ...]
    if node.what in _WANTED:
        wanted = _WANTED[node.what]
        if node.what == "event":
            wanted += (("times",) if node.one("count") in COUNTS else ()) + (("n",) if node.one("period") else ())
        if node.what == "last_event":
            op = node.one("op")
            wanted += ("n",) if op in SPANS else ("value",) if op in INSTANTS else ()
        if node.one("event") == OTHER:
            wanted += ("key",)
    else:
        ref = ref_of(node.what, scope)
        if ref is None:
            return ("key",)
        shape = shape_of(ref, node.one("op"))
        days = {"today": (), "range": ("value", "most")}.get(node.one("day"), ("value",))
        wanted = {"none": (), "span": ("n",), "pair": ("value", "most"), "day": days}.get(shape, ("value",))
    return tuple(name for name in wanted if not any(node.values.get(name, ())))


_WANTED: Mapping[str, tuple[str, ...]] = {
    "event": ("event",), "last_event": ("event",), "segment": ("segment",), "consent": ("consent",),
    "reachable": ("reachable",), "near": ("lat", "lon", "km"), "bucket": ("salt", "from", "to"), KEPT: ("json",),
}  # fmt: skip


# -- rule → form ---------------------------------------------------------------------------------------------------


def form_of(rule: Any) -> Node:
    """The form that shows a rule."""
    group = _group(rule, 0)
    if group is not None:
        return group
    return Node(empty(bare="1").values, (_row(rule, 0),))


def _group(rule: Any, depth: int) -> Node | None:
    if not isinstance(rule, Mapping) or depth > DEPTH_MAX or len(rule) != 1:
        return None
    inner, negated = (rule["not"], "1") if "not" in rule else (rule, "")
    if not isinstance(inner, Mapping) or len(inner) != 1:
        return None
    ((join, rules),) = inner.items()
    if join not in ("all", "any") or not isinstance(rules, list):
        return None
    values = {"what": (GROUP,), "join": (join,), **({"not": ("1",)} if negated else {})}
    return Node(values, tuple(_row(each, depth + 1) for each in rules))


def _row(rule: Any, depth: int, scope: Scope = Scope.PROFILE) -> Node:
    group = _group(rule, depth) if scope is Scope.PROFILE else None
    if group is not None:
        return group
    negated = isinstance(rule, Mapping) and rule.keys() == {"not"}
    inner = rule["not"] if negated else rule
    node = _leaf(inner, depth, scope) if isinstance(inner, Mapping) else None
    if node is not None and negated:
        node = node.given(**{"not": "1"})
    if node is None or not _same(_Builder(True).row(_sent(node, scope), "", "", scope), rule):
        return Node().given(what=KEPT, json=json.dumps(rule, ensure_ascii=False))
    return node


def _sent(node: Node, scope: Scope) -> Node:
    """As it comes back from a browser: without space around values and without line breaks in them."""
    values = {name: tuple(_line(each) for each in own) for name, own in node.values.items()}
    return settled(Node(values, tuple(_sent(each, Scope.EVENT) for each in node.rows)), scope)


def _line(text: str) -> str:
    return "".join(character for character in text if character >= " ").strip()


def _same(one: Any, other: Any) -> bool:
    try:
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except (TypeError, ValueError):
        return False


def _leaf(rule: Mapping[str, Any], depth: int, scope: Scope) -> Node | None:
    """The row that may show it; whether it does so exactly is looked at afterwards."""
    for key, show in _SHOW.items():
        if key in rule:
            node = show(rule) if scope is Scope.PROFILE else None
            break
    else:
        return _field_row(rule, scope) if isinstance(rule.get("field"), str) else None
    where = rule.get("where")
    if node is not None and isinstance(where, list):
        node = replace(node, rows=tuple(_row(each, depth + 1, Scope.EVENT) for each in where))
    return node


def _field_row(rule: Mapping[str, Any], scope: Scope) -> Node | None:
    name, op, value = rule["field"], rule.get("op"), rule.get("value")
    ref = ref_of(name, scope)
    if ref is None or not isinstance(op, str) or op not in OPERATORS[ref.kind]:
        return None
    node = Node().given(what=name, op=op)
    if ref.kind is Kind.FREE:
        node = node.given(type=_type_of(op, value[0] if isinstance(value, list) and value else value))
    scalar = scalar_of(ref, node.one("type"))
    shape = shape_of(ref, op)
    if shape == "span":
        return _with_span(node, value)
    if shape == "day":
        return _day_row(node, value)
    if shape == "list":
        return node.given(value=joined([_text(each, scalar) for each in value])) if isinstance(value, list) else None
    if shape == "pair":
        return (
            node.given(value=_text(value[0], scalar), most=_text(value[1], scalar))
            if isinstance(value, list) and len(value) == 2
            else None
        )
    return node if shape == "none" else node.given(value=_text(value, scalar))


def _type_of(op: str, sample: Any) -> str:
    if op in SPANS | INSTANTS or op == "day_of_year":
        return "date"
    return "yesno" if isinstance(sample, bool) else "number" if _is_number(sample) else "text"


def _text(value: Any, scalar: str) -> str:
    if isinstance(value, str):
        return value
    if scalar.startswith("money:") and isinstance(value, int) and not isinstance(value, bool):
        return money_text(value, scalar[6:])
    return json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_span(node: Node, value: Any) -> Node | None:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    unit = "hours" if found[1] else _LETTERS[found[3]]
    return node.given(n=found[1] or found[2], unit=unit)


def _day_row(node: Node, value: Any) -> Node | None:
    if value == "today":
        return node.given(day="today")
    if isinstance(value, Mapping):
        return node.given(day="range", value=str(value.get("from", "")), most=str(value.get("to", "")))
    return node.given(day="on", value=value) if isinstance(value, str) else None


def _show_event(rule: Mapping[str, Any]) -> Node | None:
    node, count = Node().given(what="event", event=str(rule["event"]), count="", period=""), rule.get("count")
    if isinstance(count, Mapping) and len(count) == 1:
        ((op, number),) = count.items()
        node = node.given(count="never") if (op, number) == ("eq", 0) else node.given(count=str(op), times=str(number))
    elif count is not None:
        return None
    return _with_span(node.given(period="last"), rule["within"]) if "within" in rule else node


def _show_last(rule: Mapping[str, Any]) -> Node | None:
    op = str(rule.get("op"))
    node = Node().given(what="last_event", event=str(rule["last_event"]), op=op)
    if op in SPANS:
        return _with_span(node, rule.get("value"))
    return node.given(value=str(rule.get("value"))) if op in INSTANTS else node


def _show_consent(rule: Mapping[str, Any]) -> Node:
    node = Node().given(what="consent", consent=str(rule["consent"]), channel=str(rule.get("channel", "")))
    return node.given(**{"is": str(rule["is"])}) if "is" in rule else node.given(**{"is": "granted", "lean": "1"})


def _show_near(rule: Mapping[str, Any]) -> Node | None:
    place = rule["near"]
    if not isinstance(place, Mapping):
        return None
    node = Node().given(what="near", **{key: json.dumps(place.get(key)) for key in ("lat", "lon", "km")})
    return node if "field" in place else node.given(lean="1")


def _show_bucket(rule: Mapping[str, Any]) -> Node | None:
    share = rule["bucket"]
    if not isinstance(share, Mapping):
        return None
    ends = {key: json.dumps(share.get(key)) for key in ("from", "to")}
    return Node().given(what="bucket", salt=str(share.get("salt")), **ends)


_SHOW: Mapping[str, Callable[[Mapping[str, Any]], Node | None]] = {
    "event": _show_event, "last_event": _show_last, "consent": _show_consent, "near": _show_near,
    "bucket": _show_bucket,
    "segment": lambda rule: Node().given(what="segment", segment=str(rule["segment"])),
    "reachable": lambda rule: Node().given(what="reachable", reachable=str(rule["reachable"])),
}  # fmt: skip


# -- money ---------------------------------------------------------------------------------------------------------


def money_minor(text: str, currency: str) -> int | None:
    """An amount as it is written (`19.99`) in the smallest unit; None when it is none, or finer than that."""
    digits = get_currency_precision(currency)
    whole, dot, rest = text.strip().partition(".")
    if not whole.removeprefix("-").isdigit() or not whole.isascii() or (dot and not rest.isdigit()):
        return None
    if not rest.isascii() or len(rest) > digits:
        return None
    return int(whole + rest.ljust(digits, "0"))


def money_text(amount_minor: int, currency: str) -> str:
    """The other way round."""
    digits = get_currency_precision(currency)
    if not digits:
        return str(amount_minor)
    sign, number = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{number[:-digits]}.{number[-digits:]}"
