"""Kinds of fields a form can be drawn of, and how each is written to JSON and read back. Pure.

A form is flat: names with texts, as a browser sends them. A field stands at a **way** (`f/until/window`), its parts at
`way:part`, what is inside it at `way/name` or `way/0`, a rule at `way~r`. What a kind cannot show exactly is kept as
JSON in `way:json`: whatever goes in comes out the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.wallclock import WEEKDAYS
from desk.pages import rule_form
from desk.pages.rule_form import Node, joined, split

#: Name → texts, as a browser sends them.
Names = dict[str, list[str]]
ROOT = "f"
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT", "__bool__": lambda self: False})()
UNITS = {"minutes": "PT{}M", "hours": "PT{}H", "days": "P{}D", "weeks": "P{}W", "months": "P{}M", "years": "P{}Y"}
_SPAN = re.compile(r"(-?)P(?:T([1-9]\d*)([MH])|([1-9]\d*)([DWMY]))", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
#: Fields of a run that rules in a journey may ask about, under a name that the form of segments takes for an attribute.
RUN_HEAD = "attributes.this-run."
RUN_ROOTS = ("order.", "event.", "journey.", "conversation.")
LONGEST = 100_000
#: Chosen in a list: something that is written beside it.
OWN = "other"


@dataclass(frozen=True)
class Field:
    """One field. `options`, `source`: what can be chosen, said here or read from the deployment; `default`: what
    absence means; `initial`: what a new one begins with; `fields`: what is inside; `variants`: fields of which one
    set is chosen; `more`: seldom needed, behind a fold. Texts are English msgids."""

    name: str
    kind: str
    label: str = ""
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
    source: str = ""
    default: Any = None
    initial: Any = None
    fields: tuple[Field, ...] = ()
    variants: tuple[tuple[str, str, tuple[Field, ...]], ...] = ()
    signed: bool = False
    more: bool = False


def at(way: str, field: Field) -> str:
    """Where a field stands in what is at `way`."""
    return f"{way}/{field.name}"


def one(names: Mapping[str, Sequence[str]], name: str) -> str:
    """The text under a name; empty when there is none."""
    found = names.get(name)
    return found[0] if found else ""


def has(names: Mapping[str, Any], way: str) -> bool:
    """Whether anything of the field at `way` was sent."""
    return any(name == way or name.startswith((way + ":", way + "/", way + "~")) for name in names)


def places(names: Mapping[str, Any], way: str) -> list[int]:
    """Numbers of the rows at `way`, in order."""
    found = {name[len(way) + 1 :].split("/")[0].split(":")[0].split("~")[0]
             for name in names if name.startswith(way + "/")}  # fmt: skip
    return sorted(int(each) for each in found if each.isdigit() and len(each) < 4)


# -- the whole form ------------------------------------------------------------------------------------------------


def sent(items: Iterable[tuple[str, Any]]) -> Names:
    """The names of the form that belong to fields."""
    found: Names = {}
    for name, value in items:
        if name.startswith(ROOT + "/") and isinstance(value, str) and len(name) < 200:
            found.setdefault(name, []).append(value.replace("\r\n", "\n")[:LONGEST])
    return found


def filled(fields: Sequence[Field], part: Mapping[str, Any], way: str = ROOT) -> Names:
    """JSON as the names of a form."""
    names: Names = {}
    for field in fields:
        names |= _fill(field, part if field.variants else part.get(field.name, ABSENT), way)
    return names


def built(fields: Sequence[Field], names: Names, base: Mapping[str, Any], way: str = ROOT) -> dict[str, Any]:
    """The JSON that a form holds. What was written otherwise and means the same stays as it was in `base`."""
    part = dict(base)
    for field in fields:
        if field.variants:
            _build_variant(field, names, part, way)
        else:
            _keep(part, field, _read(field, names, at(way, field)))
    return part


def _keep(part: dict[str, Any], field: Field, value: Any) -> None:
    if normal(field, value) == normal(field, part.get(field.name, ABSENT)):
        return
    if value is ABSENT:
        part.pop(field.name, None)
    else:
        part[field.name] = value


def _build_variant(field: Field, names: Names, part: dict[str, Any], way: str) -> None:
    """Another set was chosen: what the former one held goes."""
    mode = one(names, at(way, field) + ":mode") or field.variants[0][0]
    if mode != _mode(field, part):
        for name in {each.name for key, _, inner in field.variants if key != mode for each in inner}:
            part.pop(name, None)
    for each in _variant(field, mode):
        _keep(part, each, _read(each, names, at(way, each)))


def _mode(field: Field, part: Mapping[str, Any]) -> str:
    known = (key for key, _, inner in field.variants if any(part.get(each.name) for each in inner))
    return next(known, field.variants[0][0])


def _variant(field: Field, mode: str) -> tuple[Field, ...]:
    return next((inner for key, _, inner in field.variants if key == mode), ())


def settled(fields: Sequence[Field], names: Names, way: str = ROOT) -> Names:
    """With what a new field begins with, where nothing of it was sent."""
    found = dict(names)
    for field in fields:
        if field.variants:
            mode = one(found, at(way, field) + ":mode") or field.variants[0][0]
            found.setdefault(at(way, field) + ":mode", [mode])
            found = settled(_variant(field, mode), found, way)
        elif field.initial is not None and not has(found, at(way, field)):
            found |= _fill(field, field.initial, way)
    return found


def with_row(fields: Sequence[Field], names: Names, way: str) -> Names:
    """With one more row in the list at `way`."""
    place = max([*places(names, way), -1]) + 1
    found = names | {f"{way}/{place}:row": ["1"]}
    field = _field_at(fields, way)
    return settled(field.fields, found, f"{way}/{place}") if field else found


def without_row(names: Names, way: str) -> Names:
    """Without the row at `way`."""
    return {name: value for name, value in names.items() if not name.startswith((way + ":", way + "/", way + "~"))}


def _field_at(fields: Sequence[Field], way: str) -> Field | None:
    path = [each for each in way.split("/")[1:] if not each.isdigit()]
    found: Field | None = None
    for name in path:
        every = [*fields, *(each for field in fields for _, _, inner in field.variants for each in inner)]
        found = next((each for each in every if each.name == name), None)
        if found is None:
            return None
        fields = found.fields
    return found


def normal(field: Field, value: Any) -> Any:
    """Two values are the same when these are."""
    if value is ABSENT or value is None or (value == field.default and isinstance(value, bool) <= isinstance(
        field.default, bool
    )):  # fmt: skip
        return ABSENT
    if field.kind == "object" and isinstance(value, Mapping):
        return _normal_object(field, value) or ABSENT
    if field.kind == "rows" and isinstance(value, list | tuple):
        return [_normal_object(field, each) if isinstance(each, Mapping) else each for each in value]
    if field.kind == "weekdays" and isinstance(value, list | tuple):
        return sorted(str(each) for each in value) or ABSENT
    if field.kind == "words" and isinstance(value, str):
        return [value]
    return ABSENT if value in ("", [], {}) and field.kind != "value" else value


def _normal_object(field: Field, value: Mapping[str, Any]) -> dict[str, Any]:
    inner = {each.name: each for each in field.fields}
    inner |= {each.name: each for outer in field.fields for _, _, own in outer.variants for each in own}
    found = {key: normal(inner[key], each) if key in inner else each for key, each in value.items()}
    return {key: each for key, each in found.items() if each is not ABSENT}


def _fill(field: Field, value: Any, way: str) -> Names:
    """The names of one field; JSON where its kind cannot show the value."""
    own = at(way, field)
    if field.variants:
        part = value if isinstance(value, Mapping) else {}
        mode = _mode(field, part)
        return {own + ":mode": [mode]} | filled(_variant(field, mode), part, way)
    if value is ABSENT or value is None:
        value = ABSENT if field.default is None else field.default
    try:
        names = {} if value is ABSENT else KINDS[field.kind].fill(field, value, own)
        if normal(field, _read(field, names, own)) == normal(field, value):
            return names
    except (TypeError, ValueError, KeyError, AttributeError):
        pass
    return {own + ":json": [json.dumps(value, ensure_ascii=False)]}


def _read(field: Field, names: Names, way: str) -> Any:
    kept = one(names, way + ":json")
    if kept:
        try:
            return json.loads(kept)
        except ValueError:
            return kept
    return KINDS[field.kind].read(field, names, way)


# -- the kinds -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """`fill(field, value, way)` raises where it cannot show the value; `read(field, names, way)` gives `ABSENT` for
    nothing."""

    fill: Callable[[Field, Any, str], Names]
    read: Callable[[Field, Names, str], Any]


def _need(right: bool) -> None:
    if not right:
        raise ValueError


def _fill_text(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, str))
    return {way: ["" if value == field.default and field.kind == "suggest" else value]}


def _read_text(field: Field, names: Names, way: str) -> Any:
    text = one(names, way)
    return (text if field.kind == "area" else text.strip()) if text.strip() else ABSENT


def _fill_named(field: Field, value: Any, way: str) -> Names:
    """One of those that have a name here is chosen, another one is written."""
    _need(isinstance(value, str))
    return {way: [value]}


def _read_named(field: Field, names: Names, way: str) -> Any:
    chosen = one(names, way)
    return (one(names, way + ":own").strip() if chosen == OWN else chosen) or ABSENT


def _fill_number(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, int | float) and not isinstance(value, bool))
    return {way: [json.dumps(value)]}


def _read_number(field: Field, names: Names, way: str) -> Any:
    value = rule_form.number_of(one(names, way).strip())
    return ABSENT if isinstance(value, str) else value


def _read_check(field: Field, names: Names, way: str) -> Any:
    return True if one(names, way) else ABSENT


def _fill_check(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, bool))
    return {way: ["1"]} if value else {}


def _fill_span(field: Field, value: Any, way: str) -> Names:
    found = _SPAN.fullmatch(value)
    if found is None or (found[1] and not field.signed):
        raise ValueError
    unit = {"M": "minutes", "H": "hours"}[found[3]] if found[2] else {
        "D": "days", "W": "weeks", "M": "months", "Y": "years"
    }[found[5]]  # fmt: skip
    sign = {f"{way}:sign": ["-" if found[1] else "+"]} if field.signed else {}
    return {f"{way}:n": [found[2] or found[4]], f"{way}:unit": [unit], **sign}


def _read_span(field: Field, names: Names, way: str) -> Any:
    number, unit = one(names, way + ":n").strip(), one(names, way + ":unit")
    if not (number.isascii() and number.isdigit() and int(number)) or len(number) > 9:
        return ABSENT
    sign = "-" if field.signed and one(names, way + ":sign") == "-" else ""
    return sign + UNITS.get(unit, UNITS["days"]).format(int(number))


def _fill_clock(field: Field, value: Any, way: str) -> Names:
    _need(bool(_CLOCK.fullmatch(value)))
    return {way: [value]}


def _fill_list(field: Field, value: Any, way: str) -> Names:
    texts = [value] if isinstance(value, str) and field.kind == "words" else value
    _need(isinstance(texts, list | tuple) and all(isinstance(each, str) for each in texts))
    return {way: [joined(texts)]}


def _read_list(field: Field, names: Names, way: str) -> Any:
    found = [each for text in names.get(way, ()) for each in split(text)]
    return (found[0] if field.kind == "words" and len(found) == 1 else found) if found else ABSENT


def _fill_many(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, list | tuple) and all(isinstance(each, str) and each for each in value))
    return {way: list(value)} if value else {}


def _read_many(field: Field, names: Names, way: str) -> Any:
    found = [each for each in names.get(way, ()) if each]
    if field.kind == "weekdays":
        found = [day for day in WEEKDAYS if day in found]
    return list(dict.fromkeys(found)) or ABSENT


def _fill_object(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, Mapping))
    return filled(field.fields, value, way)


def _read_object(field: Field, names: Names, way: str) -> Any:
    return built(field.fields, names, {}, way) or ABSENT


def _fill_rows(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, list | tuple))
    names: Names = {}
    for i, each in enumerate(value):
        _need(isinstance(each, Mapping))
        names |= {f"{way}/{i}:row": ["1"]} | filled(field.fields, each, f"{way}/{i}")
    return names


def _read_rows(field: Field, names: Names, way: str) -> Any:
    return [built(field.fields, names, {}, f"{way}/{i}") for i in places(names, way)] or ABSENT


def _fill_map(field: Field, value: Any, way: str) -> Names:
    """Rows of `key` and either `fields` or one value of any type."""
    _need(isinstance(value, Mapping))
    names: Names = {}
    for i, (key, each) in enumerate(value.items()):
        own = f"{way}/{i}"
        names |= {f"{own}:key": [key]} | (filled(field.fields, each, own) if field.fields else _typed(each, own))
    return names


def _read_map(field: Field, names: Names, way: str) -> Any:
    found: dict[str, Any] = {}
    for i in places(names, way):
        own = f"{way}/{i}"
        key = one(names, own + ":key").strip()
        if key:
            found[key] = built(field.fields, names, {}, own) if field.fields else _untyped(names, own)
    return {key: value for key, value in found.items() if value is not ABSENT} or ABSENT


def _typed(value: Any, way: str) -> Names:
    if isinstance(value, bool):
        return {way + ":type": ["yesno"], way + ":value": ["true" if value else "false"]}
    if isinstance(value, int | float):
        return {way + ":type": ["number"], way + ":value": [json.dumps(value)]}
    if isinstance(value, str) and value:
        return {way + ":type": ["text"], way + ":value": [value]}
    return {way + ":type": ["json"], way + ":value": [json.dumps(value, ensure_ascii=False)]}


def _untyped(names: Names, way: str) -> Any:
    kind, text = one(names, way + ":type"), one(names, way + ":value")
    if kind == "number":
        return rule_form.number_of(text.strip()) if text.strip() else ABSENT
    if kind == "yesno":
        return text == "true"
    if kind == "json":
        try:
            return json.loads(text) if text.strip() else ABSENT
        except ValueError:
            return text
    return text if text else ABSENT


def _fill_rule(field: Field, value: Any, way: str) -> Names:
    _need(isinstance(value, Mapping))
    return rule_names(rule_form.form_of(to_form(value)), way)


def _read_rule(field: Field, names: Names, way: str) -> Any:
    node = rule_node(names, way)
    rule = from_form(rule_form.rule_of(node, whole=False).rule)
    return ABSENT if not node.rows or rule == {"all": []} else rule


def _fill_where(field: Field, value: Any, way: str) -> Names:
    rows = [value] if isinstance(value, Mapping) else list(value)
    return rule_names(rule_form.form_of({"event": "_", "where": rows}), way)


def _read_where(field: Field, names: Names, way: str) -> Any:
    rule = rule_form.rule_of(rule_node(names, way), whole=False).rule
    where = rule.get("where") if "event" in rule else None
    return where or ABSENT


def rule_names(node: Node, way: str) -> Names:
    """A rule's form among the names of a larger one."""
    found: Names = {}
    for name, value in rule_form.fields(node):
        found.setdefault(f"{way}~{name}", []).append(value)
    return found


def rule_node(names: Names, way: str) -> Node:
    """The other way round."""
    head = way + "~"
    return rule_form.read((name[len(head) :], value) for name, own in names.items() if name.startswith(head)
                          for value in own)  # fmt: skip


def with_rules(names: Names, change: Callable[[Node], Node]) -> Names:
    """With every rule in it as `change` makes it."""
    found = {name: value for name, value in names.items() if "~" not in name}
    for way in {name.partition("~")[0] for name in names if "~" in name}:
        found |= rule_names(change(rule_node(names, way)), way)
    return found


def without_rule(names: Names, way: str) -> Names:
    """Without the rule at `way`."""
    return {name: value for name, value in names.items() if not name.startswith(way + "~")}


def to_form(rule: Any) -> Any:
    """A rule of a journey in the words of the form of segments."""
    return _renamed(rule, lambda name: RUN_HEAD + name if name.startswith(RUN_ROOTS) else name)


def from_form(rule: Any) -> Any:
    """The other way round."""
    return _renamed(rule, lambda name: name.removeprefix(RUN_HEAD))


def _renamed(rule: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    found = dict(rule)
    for how in ("all", "any"):
        if isinstance(found.get(how), list | tuple):
            found[how] = [_renamed(each, change) for each in found[how]]
    if "not" in found:
        found["not"] = _renamed(found["not"], change)
    if isinstance(found.get("field"), str):
        found["field"] = change(found["field"])
    return found


def _read_json(field: Field, names: Names, way: str) -> Any:
    text = one(names, way).strip()
    try:
        return json.loads(text) if text else ABSENT
    except ValueError:
        return text


KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("text", "area", "choice", "pick", "suggest", "day"), Kind(_fill_text, _read_text)),
    "named": Kind(_fill_named, _read_named),
    "number": Kind(_fill_number, _read_number), "check": Kind(_fill_check, _read_check),
    "span": Kind(_fill_span, _read_span), "clock": Kind(_fill_clock, _read_text),
    "list": Kind(_fill_list, _read_list), "words": Kind(_fill_list, _read_list),
    "weekdays": Kind(_fill_many, _read_many), "picks": Kind(_fill_many, _read_many),
    "checks": Kind(_fill_many, _read_many), "object": Kind(_fill_object, _read_object),
    "rows": Kind(_fill_rows, _read_rows), "map": Kind(_fill_map, _read_map),
    "value": Kind(lambda field, value, way: _typed(value, way), lambda field, names, way: _untyped(names, way)),
    "rule": Kind(_fill_rule, _read_rule), "where": Kind(_fill_where, _read_where),
    "target": Kind(_fill_text, _read_text),
    "json": Kind(lambda field, value, way: {way: [json.dumps(value, ensure_ascii=False, indent=2)]}, _read_json),
}  # fmt: skip
