"""Fields of a form as they are drawn: which inputs, what stands in them, what is wrong with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from base.errors import FieldError
from desk.i18n import N_, Formats
from desk.pages import form_kinds
from desk.pages.form_kinds import OWN, ROOT, Field, Names, at, has, one, places, rule_node
from desk.pages.rule_form import KEPT, Node, missing
from desk.pages.segment_rows import Choices, Option, RowView, adopted, rows_view
from profiles.segments.fields import Scope

UNIT_WORDS: Mapping[str, str] = {
    "minutes": N_("minutes"), "hours": N_("hours"), "days": N_("days"), "weeks": N_("weeks"), "months": N_("months"),
    "years": N_("years"),
}  # fmt: skip
SIGNS: tuple[Option, ...] = (("+", N_("after it")), ("-", N_("before it")))
TYPES: tuple[Option, ...] = (
    ("text", N_("Text")), ("number", N_("A number")), ("yesno", N_("Yes or no")), ("json", "JSON"),
)  # fmt: skip
WEEKDAY_WORDS: tuple[Option, ...] = (
    ("mon", N_("Mon")), ("tue", N_("Tue")), ("wed", N_("Wed")), ("thu", N_("Thu")), ("fri", N_("Fri")),
    ("sat", N_("Sat")), ("sun", N_("Sun")),
)  # fmt: skip
#: Kinds in which something else stands, so that a fault may belong to that.
OUTER = frozenset({"object", "rows", "map", "variants"})


@dataclass(frozen=True)
class Row:
    """One of several. `key`: under which name it is kept; `values`: those it can have, where only some make sense."""

    way: str
    fields: tuple[FieldView, ...] = ()
    key: str = ""
    values: tuple[Option, ...] = ()
    type: str = ""
    value: str = ""


@dataclass(frozen=True)
class FieldView:
    """One field."""

    way: str
    kind: str
    label: str = ""
    hint: str = ""
    value: str = ""
    unit: str = ""
    sign: str = ""
    options: tuple[Option, ...] = ()
    chosen: tuple[str, ...] = ()
    suggest: str = ""
    fields: tuple[FieldView, ...] = ()
    rows: tuple[Row, ...] = ()
    rule: RowView | None = None
    faults: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Drawing:
    """What fields are drawn with. `sources`: what can be chosen; `faults`: (way, sentence); `strict`: rows of rules in
    which something is missing are said to be wrong."""

    formats: Formats
    sources: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    faults: Sequence[tuple[str, str]] = ()
    strict: bool = False

    def views(self, fields: Sequence[Field], names: Names, way: str = ROOT) -> tuple[FieldView, ...]:
        """The fields in their order."""
        return tuple(self._view(each, names, at(way, each)) for each in fields)

    def own(self, fields: Sequence[Field]) -> tuple[str, ...]:
        """What is wrong with the whole, and with no field of it."""
        known = [at(ROOT, each) for field in fields for each in (field, *_inner(field))]
        return tuple(words for way, words in self.faults if not any(_within(way, each) for each in known))

    def unfinished(self, fields: Sequence[Field], names: Names, way: str = ROOT) -> bool:
        """Whether a row of a rule in it lacks something."""
        return any(_has_fault(view) for view in self.views(fields, names, way))

    def _view(self, field: Field, names: Names, way: str) -> FieldView:
        shown = names
        if not has(names, way) and field.default is not None:
            shown = names | form_kinds.filled([field], {}, way.rpartition("/")[0])
        kept = one(shown, way + ":json")
        view = FieldView(
            way, "kept" if kept else field.kind, self._(field.label), self._(field.hint), kept or one(shown, way),
            options=tuple((value, self._(words)) for value, words in field.options), more=field.more,
            suggest=field.source if field.kind in ("suggest", "list") else "", faults=self._faults(field, way),
        )  # fmt: skip
        draw = _DRAW.get(field.kind)
        return draw(self, field, view, shown) if draw and not kept else view

    def _faults(self, field: Field, way: str) -> tuple[str, ...]:
        mine = [(path, words) for path, words in self.faults if _within(path, way)]
        if field.kind in OUTER or field.variants:
            inner = tuple(f"{way}/{each.name}" for each in field.fields)
            mine = [
                (path, words) for path, words in mine
                if not (any(_within(path, each) for each in inner) or re.match(r"/\d+/.", path[len(way) :]))
            ]  # fmt: skip
        return tuple(dict.fromkeys(words for _, words in mine))

    def _(self, sentence: str) -> str:
        return self.formats.text(sentence) if sentence else ""

    # -- kinds -------------------------------------------------------------------------------------------------

    def _pick(self, field: Field, view: FieldView, names: Names) -> FieldView:
        source = "targets" if field.kind == "target" else field.source
        options = (*view.options, *self.sources.get(source, ()))
        if field.kind == "pick":
            options = (("", "–"), *options)
        known = {value for value, _ in options}
        extra = ((view.value, view.value),) if view.value and view.value not in known else ()
        return replace(view, options=(*options, *extra))

    def _named(self, field: Field, view: FieldView, names: Names) -> FieldView:
        known = self.sources.get(field.source, ())
        own = one(names, view.way + ":own")
        if view.value and view.value != OWN and view.value not in dict(known):
            view, own = replace(view, value=OWN), view.value
        options = (("", "…"), *known, (OWN, self._(N_("something else …"))))
        return replace(view, options=options, unit=own)

    def _picks(self, field: Field, view: FieldView, names: Names) -> FieldView:
        chosen = tuple(each for each in names.get(view.way, ()) if each)
        options = [*view.options, *self.sources.get(field.source, ())]
        options += [(each, each) for each in chosen if each not in dict(options)]
        return replace(view, chosen=chosen, options=tuple(options))

    def _weekdays(self, field: Field, view: FieldView, names: Names) -> FieldView:
        days = tuple((value, self._(words)) for value, words in WEEKDAY_WORDS)
        return replace(view, kind="checks", options=days, chosen=tuple(names.get(view.way, ())))

    def _span(self, field: Field, view: FieldView, names: Names) -> FieldView:
        number, unit = one(names, view.way + ":n"), one(names, view.way + ":unit") or "days"
        sign = (one(names, view.way + ":sign") or "+") if field.signed else ""
        options = tuple((each, self._(words)) for each, words in UNIT_WORDS.items())
        return replace(view, value=number, unit=unit, sign=sign, options=options)

    def _object(self, field: Field, view: FieldView, names: Names) -> FieldView:
        return replace(view, fields=self.views(field.fields, names, view.way))

    def _rows(self, field: Field, view: FieldView, names: Names) -> FieldView:
        rows = []
        for i in places(names, view.way):
            own = f"{view.way}/{i}"
            rows.append(Row(own, self.views(field.fields, names, own)))
        return replace(view, rows=tuple(rows))

    def _map(self, field: Field, view: FieldView, names: Names) -> FieldView:
        values = tuple((value, self._(words)) for value, words in field.options)
        rows = [
            Row(f"{view.way}/{i}", self.views(field.fields, names, f"{view.way}/{i}"),
                one(names, f"{view.way}/{i}:key"), values, one(names, f"{view.way}/{i}:type") or "text",
                one(names, f"{view.way}/{i}:value"))
            for i in places(names, view.way)
        ]  # fmt: skip
        types = tuple((value, self._(words)) for value, words in TYPES)
        return replace(view, rows=tuple(rows), suggest=field.source, options=types)

    def _value(self, field: Field, view: FieldView, names: Names) -> FieldView:
        types = tuple((value, self._(words)) for value, words in TYPES)
        return replace(view, value=one(names, view.way + ":value"), unit=one(names, view.way + ":type") or "text",
                       options=types)  # fmt: skip

    def _variants(self, field: Field, view: FieldView, names: Names) -> FieldView:
        mode = one(names, view.way + ":mode") or field.variants[0][0]
        inner = next((inner for key, _, inner in field.variants if key == mode), ())
        options = tuple((key, self._(words)) for key, words, _ in field.variants)
        return replace(view, kind="variants", value=mode, options=options,
                       fields=self.views(inner, names, view.way.rpartition("/")[0]))  # fmt: skip

    def _rule(self, field: Field, view: FieldView, names: Names) -> FieldView:
        node = adopted(rule_node(names, view.way), self.choices)
        head = f"{view.way}~r"
        shown = rows_view(node, self.choices, self._unfinished(node, head), self.formats, head)
        return replace(view, rule=shown)

    def _where(self, field: Field, view: FieldView, names: Names) -> FieldView:
        node = adopted(rule_node(names, view.way), self.choices)
        row = node.rows[0] if node.rows else None
        if row is not None and row.what == KEPT:
            return replace(view, kind="kept", value=row.one("json"))
        head = f"{view.way}~r.0"
        node = (row or rule_node({}, view.way)).given(what="event", event="_")
        shown = rows_view(node, self.choices, self._unfinished(node, head, Scope.EVENT),
                          self.formats, head)  # fmt: skip
        return replace(view, rule=shown)

    def _unfinished(self, node: Node, way: str, scope: Scope = Scope.PROFILE) -> dict[str, str]:
        """Way of a row → that something in it is missing."""
        if not self.strict:
            return {}
        found: dict[str, str] = {}
        for i, each in enumerate(node.rows):
            inner = Scope.EVENT if each.what == "event" else scope
            if each.what not in ("group", KEPT) and missing(each, scope):
                found[f"{way}.{i}"] = self._(N_("Fill in what is missing, or take this away."))
            found |= self._unfinished(each, f"{way}.{i}", inner)
        return found


def _has_fault(view: FieldView) -> bool:
    inner = (*view.fields, *(each for row in view.rows for each in row.fields))
    return any(_has_fault(each) for each in inner) or (view.rule is not None and _row_has_fault(view.rule))


def _row_has_fault(row: RowView) -> bool:
    return bool(row.fault) or any(_row_has_fault(each) for each in row.rows)


def _inner(field: Field) -> list[Field]:
    return [each for _, _, inner in field.variants for each in inner]


def _within(path: str, way: str) -> bool:
    return path == way or path.startswith(way + "/")


def way_of(path: str) -> str:
    """The path of a fault inside a part (`cases[0].when.all[1]`) as a way."""
    return ROOT + "/" + path.replace("[", "/").replace("]", "").replace(".", "/") if path else ROOT


def faults_at(faults: Sequence[FieldError], head: str) -> list[FieldError]:
    """Faults of what stands at `head`, their paths from there on."""
    if not head:
        return list(faults)
    return [FieldError(each.path[len(head) :].lstrip("."), each.message) for each in faults
            if each.path == head or each.path.startswith((head + ".", head + "["))]  # fmt: skip


_DRAW = {
    "choice": Drawing._pick, "pick": Drawing._pick, "target": Drawing._pick, "picks": Drawing._picks,
    "checks": Drawing._picks, "weekdays": Drawing._weekdays, "span": Drawing._span, "object": Drawing._object,
    "rows": Drawing._rows, "map": Drawing._map, "value": Drawing._value, "variants": Drawing._variants,
    "rule": Drawing._rule, "named": Drawing._named, "where": Drawing._where,
}  # fmt: skip
