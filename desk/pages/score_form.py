"""The form of the score's rules: each rule a row that reads as a sentence, and rows read back into rules. Pure.

An event with its time and a field with its value have rows of their own; anything more is a rule in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from base.errors import FieldError
from desk.i18n import N_
from profiles.scoring import RULES_MAX, ScoreSettings
from profiles.segments.fields import Kind, Scope, find_field

RowKind = Literal["event", "field", "json"]
SPANS = {
    "P1D": N_("within a day"), "P3D": N_("within 3 days"), "P7D": N_("within a week"), "P14D": N_("within 2 weeks"),
    "P30D": N_("within 30 days"), "P60D": N_("within 60 days"), "P90D": N_("within 90 days"),
    "P180D": N_("within 180 days"), "P365D": N_("within a year"),
}  # fmt: skip
#: Events worth points, in the order of the menu; their words are those of `desk.pages.rules`.
EVENTS = (
    "order.paid", "order.created", "checkout.started", "message.received", "message.clicked", "message.opened",
    "message.read", "order.delivered", "consent.granted", "contact.returned", "csat.submitted", "order.cancelled",
    "order.refunded", "order.payment_failed", "consent.denied", "message.complained", "message.bounced",
    "contact.left",
)  # fmt: skip
FIELDS = (
    "orders.count", "orders.revenue", "orders.last_at", "last_seen_at", "created_at", "stage", "tags", "locale",
    "traits.churn_risk", "traits.next_order_at", "traits.days_between_orders", "traits.answer_minutes",
    "traits.preferred_channel",
)  # fmt: skip
OPS = ("eq", "ne", "gte", "lte", "gt", "lt", "contains", "any_of", "within_last", "older_than", "exists", "missing")
_DAYS = re.compile(r"P(\d{1,5})D")
#: Faults of a row that pydantic or the rule language tells in English sentences are shown as they are.
CHECK = N_("Please check this rule.")


@dataclass(frozen=True)
class Row:
    """One rule as its row shows it. All texts as they stand in the fields."""

    kind: RowKind
    id: str = ""
    name: str = ""
    points: str = ""
    event: str = EVENTS[0]
    times: str = "1"
    within: str = ""
    half: str = ""
    field: str = FIELDS[0]
    op: str = "gte"
    value: str = ""
    json: str = ""
    off: bool = False
    faults: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nobody wrote anything into it."""
        return not self.id and not self.points.strip()


@dataclass(frozen=True)
class Draft:
    """The form as it is being edited."""

    rows: tuple[Row, ...]
    hot: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """What the form says: settings as JSON, for each rule the place of its row, and rows that cannot be read."""

    settings: dict[str, Any]
    places: tuple[int, ...]
    unread: Mapping[int, str] = field(default_factory=dict)


def draft_of(settings: ScoreSettings) -> Draft:
    """The form of settings as they stand."""
    rows = tuple(_row(each.id, each.name, each.points, each.rule, each.half_life) for each in settings.rules)
    return Draft(rows, str(settings.hot))


def blanks() -> tuple[Row, ...]:
    """One empty row of each kind."""
    return (Row("event"), Row("field"), Row("json"))


def _row(rule_id: str, name: str, points: int, rule: Mapping[str, Any], half_life: str | None) -> Row:
    shown: Any = {"id": rule_id, "name": name, "points": f"{points:+d}"}
    days = _days(half_life)
    if days is not None and set(rule) <= {"event", "within", "count"} and "event" in rule:
        times = rule.get("count", {"gte": 1})
        within = rule.get("within") or ""
        if isinstance(times, Mapping) and set(times) == {"gte"} and (not within or within in SPANS):
            return Row("event", **shown, event=str(rule["event"]), times=str(times["gte"]), within=within, half=days)
    if half_life is None and "field" in rule and rule.get("field") in FIELDS and rule.get("op") in OPS:
        return Row("field", **shown, field=rule["field"], op=rule["op"], value=_value_text(rule))
    return Row("json", **shown, half=half_life or "", json=json.dumps(rule, ensure_ascii=False))


def _days(half_life: str | None) -> str | None:
    if not half_life:
        return ""
    found = _DAYS.fullmatch(half_life)
    return found[1] if found else None


def _value_text(rule: Mapping[str, Any]) -> str:
    value = rule.get("value")
    if rule["op"] in ("within_last", "older_than"):
        return _days(str(value)) or str(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def rows_of(form: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows that were sent, in their order."""
    rows = []
    for place in range(RULES_MAX + 10):
        kind = str(form.get(f"kind-{place}", ""))
        if kind not in ("event", "field", "json"):
            break
        given = {
            name: str(form.get(f"{name}-{place}", "")).strip()
            for name in ("id", "name", "points", "event", "times", "within", "half", "field", "op", "value", "json")
        }
        rows.append(Row(kind, **given, off=bool(form.get(f"off-{place}"))))  # type: ignore[arg-type]
    return tuple(rows)


def written(rows: Sequence[Row], hot: str) -> Written:
    """What they come to. Rows that are empty or taken off are left out; ids that are missing get a free number."""
    taken = {row.id for row in rows}
    free = (name for number in range(1, 2 * RULES_MAX + 20) if (name := f"rule-{number}") not in taken)
    rules: list[dict[str, Any]] = []
    places: list[int] = []
    unread: dict[int, str] = {}
    for place, row in enumerate(rows):
        if row.off or row.empty:
            continue
        try:
            rule, half_life = _rule(row)
            points = int(row.points)
        except ValueError as error:
            unread[place] = str(error) if str(error) in _SAID else CHECK
            continue
        rules.append(
            {"id": row.id or next(free), "name": row.name, "rule": rule, "points": points, "half_life": half_life}
        )
        places.append(place)
    return Written({"rules": rules, "hot": int(hot) if _whole(hot) else hot}, tuple(places), unread)


NO_JSON = N_("This is no rule in JSON.")
NO_DAYS = N_("Days are a whole number.")
NO_NUMBER = N_("This needs a number.")
_SAID = frozenset({NO_JSON, NO_DAYS, NO_NUMBER})


def _rule(row: Row) -> tuple[dict[str, Any], str | None]:
    if row.kind == "json":
        try:
            rule = json.loads(row.json or "null")
        except ValueError:
            raise ValueError(NO_JSON) from None
        if not isinstance(rule, dict):
            raise ValueError(NO_JSON)
        return rule, row.half or None
    if row.kind == "field":
        needed = {} if row.op in ("exists", "missing") else {"value": _value(row)}
        return {"field": row.field, "op": row.op, **needed}, None
    rule = {"event": row.event}
    if row.times not in ("", "1"):
        if not _whole(row.times):
            raise ValueError(NO_NUMBER)
        rule["count"] = {"gte": int(row.times)}
    if row.within:
        rule["within"] = row.within
    return rule, _span(row.half) if row.half else None


def _value(row: Row) -> Any:
    if row.op in ("within_last", "older_than"):
        return _span(row.value)
    try:
        kind = find_field(row.field, Scope.PROFILE).kind
    except ValueError:
        return row.value
    values = [_number(each) if kind is Kind.NUMBER else each for each in _parts(row)]
    return values if row.op == "any_of" else values[0]


def _parts(row: Row) -> list[str]:
    if row.op != "any_of":
        return [row.value]
    return [each.strip() for each in row.value.replace("，", ",").split(",") if each.strip()] or [""]


def _number(text: str) -> int | float:
    try:
        return int(text) if _whole(text.removeprefix("-")) else float(text)
    except ValueError:
        raise ValueError(NO_NUMBER) from None


def _span(days: str) -> str:
    if days.startswith("P"):
        return days
    if not _whole(days):
        raise ValueError(NO_DAYS)
    return f"P{int(days)}D"


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def with_faults(rows: Sequence[Row], read: Written, errors: Sequence[FieldError]) -> tuple[tuple[Row, ...], list[str]]:
    """The rows with what is wrong with each, and what is wrong beside them. Paths lead to the rows."""
    found: dict[int, list[str]] = {place: [said] for place, said in read.unread.items()}
    rest: list[str] = []
    for each in errors:
        at = re.match(r"rules\[(\d+)\]\.?(.*)", each.path)
        if at and int(at[1]) < len(read.places):
            said = f"{at[2]}: {each.message}" if at[2] else each.message
            found.setdefault(read.places[int(at[1])], []).append(said)
        else:
            rest.append(f"{each.path}: {each.message}" if each.path else each.message)
    marked = tuple(
        Row(**{**row.__dict__, "faults": tuple(found.get(place, ()))}) for place, row in enumerate(rows)
    )  # fmt: skip
    return marked, rest
