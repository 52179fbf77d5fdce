"""Rules as the fields of a form: whatever goes in comes out the same, and each fault finds its row."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from desk.pages.rule_form import (
    KEPT,
    Node,
    added,
    empty,
    fields,
    form_of,
    joined,
    money_minor,
    money_text,
    read,
    removed,
    rule_of,
    split,
)
from profiles.segments import parse
from profiles.segments.fields import OPERATORS, Kind, Scope, find_field

FIELDS = (
    "name", "emails", "phones", "tags", "stage", "tier", "score", "owner_id", "location", "created_at", "last_seen_at",
    "first_touch.source", "last_touch.at", "orders.count", "orders.revenue", "orders.revenue.EUR", "orders.revenue.JPY",
    "orders.last_at", "rfm.r", "attributes.city", "attributes.城市", "attributes.a.b",
)  # fmt: skip
PROPERTIES = ("occurred_at", "properties.total", "properties.items.name", "channel_id")
words = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(str.strip) | st.sampled_from(['a, b', '"x"', " vip ", "中文，词", "true", "3", "a\tb"])  # fmt: skip
numbers = st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from([1.5, 2.0])
times = st.sampled_from(["2026-02-28", "2026-05-01T09:00:00Z", "2025-12-31T23:59:59+02:00"])
spans = st.sampled_from(["P30D", "PT2H", "P1W", "P6M", "P2Y", "P1DT2H", "PT30M", "P007D", "P1Y6M"])
days = st.sampled_from(["today", "02-29", {"from": "11-01", "to": "02-01"}])


@st.composite
def field_rules(draw: st.DrawFn, scope: Scope = Scope.PROFILE) -> dict[str, Any]:
    name = draw(st.sampled_from(FIELDS if scope is Scope.PROFILE else PROPERTIES))
    kind = find_field(name, scope).kind
    op = draw(st.sampled_from(sorted(OPERATORS[kind])))
    one = {Kind.NUMBER: numbers, Kind.TIME: times}.get(kind, words)
    if kind is Kind.FREE:
        one = draw(st.sampled_from([words, numbers, st.booleans(), words | numbers]))
    if op in ("exists", "missing"):
        return {"field": name, "op": op, **draw(st.sampled_from([{}, {}, {"value": True}, {"value": False}]))}
    if op in ("in", "not_in", "any_of", "all_of", "none_of"):
        value = draw(st.lists(one, min_size=1, max_size=3))
    elif op == "between":
        first = draw(one)
        value = [first, draw(one.filter(lambda other: type(other) is type(first)))]
    else:
        value = draw(
            {"within_last": spans, "older_than": spans, "before": times, "after": times, "day_of_year": days}.get(
                op, one if op in ("eq", "ne", "lt", "lte", "gt", "gte") else st.sampled_from(["abc", "a b", "北"])
            )
        )
    return {"field": name, "op": op, "value": value}


def optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


compare = st.sampled_from(["gte", "lte", "eq", "gt", "lt", "ne"])
counts = st.dictionaries(compare, st.integers(0, 9), min_size=1, max_size=2) | st.integers(0, 3)
wheres = st.lists(
    field_rules(Scope.EVENT) | field_rules(Scope.EVENT).map(lambda each: {"not": each})
    | field_rules(Scope.EVENT).map(lambda each: {"any": [each, each]}), max_size=3,
)  # fmt: skip
events = st.builds(
    lambda name, more: {"event": name, **more}, st.sampled_from(["order.paid", "my event"]),
    optional(count=counts, within=spans, where=wheres | field_rules(Scope.EVENT)),
)  # fmt: skip
lasts = st.builds(lambda op, value: {"last_event": "order.paid", "op": op, "value": value},
                  st.sampled_from(["within_last", "older_than"]), spans) | st.builds(
    lambda op, value: {"last_event": "order.paid", "op": op, "value": value}, st.sampled_from(["before", "after"]),
    times,
) | st.sampled_from([{"last_event": "x", "op": "exists"}, {"last_event": "x", "op": "missing"}])  # fmt: skip
places = st.builds(
    lambda more, lat, km: {"near": {**more, "lat": lat, "lon": 4.5, "km": km}},
    st.sampled_from([{}, {"field": "location"}]), st.floats(-90, 90) | st.integers(-90, 90), st.integers(0, 20_000),
)  # fmt: skip
others = st.sampled_from([
    {"segment": "seg_1"}, {"reachable": "line"}, {"consent": "news"}, {"consent": "news", "is": "denied"},
    {"consent": "news", "channel": "email", "is": "granted"}, {"consent": "news", "channel": "email"},
    {"bucket": {"salt": " s", "from": 10, "to": 55.5}}, {"bucket": {"salt": "s", "from": 0.0, "to": 20}}, {"all": []},
])  # fmt: skip
rules = st.recursive(
    field_rules() | events | lasts | places | others,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each})
    | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}) | inner.map(lambda each: {"not": each}),
    max_leaves=8,
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def sent(node: Node) -> Node:
    """Through a browser: a text field loses line breaks."""
    return read((name, "".join(each for each in value if each >= " ")) for name, value in fields(node))


def kept(node: Node) -> int:
    return (node.what == KEPT) + sum(kept(each) for each in node.rows)


@settings(max_examples=400, deadline=None)
@given(rules)
def test_a_rule_comes_out_of_its_form_as_it_went_in(rule: Any) -> None:
    parse(rule)
    assert same(rule_of(sent(form_of(rule))).rule, rule)


@given(rules)
def test_what_is_shown_twice_is_the_same(rule: Any) -> None:
    """A page that is sent, drawn from what came and sent again loses nothing either."""
    once = sent(form_of(rule))
    assert sent(once) == once
    assert rule_of(once).unfinished == () and not rule_of(once, whole=False).unfinished


@pytest.mark.parametrize("rule", [
    {"field": "tags", "op": "any_of", "value": ["vip", "new, old"]},
    {"field": "orders.revenue.EUR", "op": "gte", "value": 1999}, {"field": "score", "op": "between", "value": [1, 9.5]},
    {"field": "attributes.birthday", "op": "day_of_year", "value": {"from": "11-01", "to": "11-30"}},
    {"event": "order.paid", "count": {"gte": 2}, "within": "P30D",
     "where": [{"field": "properties.total", "op": "gte", "value": 5000}]},
    {"event": "order.paid", "count": {"eq": 0}}, {"last_event": "order.paid", "op": "older_than", "value": "P90D"},
    {"consent": "newsletter", "channel": "email", "is": "granted"}, {"not": {"segment": "seg_1"}},
    {"bucket": {"salt": "x", "from": 0, "to": 20}}, {"near": {"field": "location", "lat": 52.1, "lon": 4.5, "km": 25}},
    {"any": [{"all": [{"any": [{"reachable": "line"}]}]}, {"not": {"any": [{"segment": "seg_1"}]}}]},
])  # fmt: skip
def test_usual_rules_are_shown_in_rows(rule: Any) -> None:
    assert kept(form_of(rule)) == 0


def test_what_is_nested_deeper_is_kept() -> None:
    rule = {"all": [{"any": [{"all": [{"any": [{"reachable": "line"}]}, {"segment": "seg_1"}]}]}]}
    node = form_of(rule)
    (deep, other) = node.rows[0].rows[0].rows
    assert deep.what == KEPT and json.loads(deep.one("json")) == {"any": [{"reachable": "line"}]}
    assert other.what == "segment" and rule_of(sent(node)).rule == rule


# -- faults and unfinished rows ------------------------------------------------------------------------------------


def form(**values: str) -> Node:
    return read((name.replace("__", ":").replace("_", "."), value) for name, value in values.items())


def test_a_fault_finds_its_row() -> None:
    node = form(
        r__join="any", r_0__what="tags", r_0__op="eq", r_0__value="vip", r_2__what="group", r_2__join="all",
        r_2__not="1", r_2_0__what="event", r_2_0__event="x", r_2_0__count="gte", r_2_0__times="many",
        r_2_0_0__what="properties.total", r_2_0_0__op="between", r_2_0_0__type="number", r_2_0_0__value="1",
        r_2_0_0__most="b",
    )  # fmt: skip
    built = rule_of(node)
    with pytest.raises(WrongInput) as caught:
        parse(built.rule, path="rule")
    assert [(fault.path, built.place(fault.path)) for fault in caught.value.errors] == [
        ("rule.any[1].not.all[0].count.gte", "r.1.0")
    ]
    where = {"r_0_0__what": "properties.n", "r_0_0__op": "gt", "r_0_0__value": "b"}
    built = rule_of(form(r_0__what="event", r_0__event="x", **where))
    assert built.place("rule.all[0].where[0].value") == "r.0.0" and built.place("name") == "r"


def test_unfinished_rows_are_left_out_until_all_is_said() -> None:
    node = form(
        r__join="all", r_0__what="tags", r_0__op="any_of", r_0__value="", r_1__what="score", r_1__op="gte",
        r_1__value="5", r_2__what="group", r_2_0__what="other", r_2_0__key="",
    )  # fmt: skip
    built = rule_of(node, whole=False)
    assert built.rule == {"all": [{"field": "score", "op": "gte", "value": 5}]}
    assert built.unfinished == ("r.0", "r.2.0")
    assert built.place("rule.all[0].value") == "r.1"


def test_an_operator_follows_its_field_and_a_name_by_hand_becomes_a_field() -> None:
    node = form(r_0__what="score", r_0__op="contains", r_0__value="5", r_1__what="other", r_1__key="city", r_1__op="eq",
                r_2__what="event", r_2__event="other", r_2__key="my.event")  # fmt: skip
    assert [node.rows[0].one("op"), node.rows[1].what, node.rows[2].one("event")] == [
        "gte", "attributes.city", "my.event",
    ]  # fmt: skip


def test_rows_come_and_go() -> None:
    node = added(added(empty(), "r", empty()), "r.0", Node().given(what="segment", segment="seg_1"))
    assert [each.what for each in node.rows[0].rows] == ["segment"]
    assert removed(node, "r.0.0").rows[0].rows == () and removed(node, "r.0").rows == ()
    assert removed(node, "r.7") == node and removed(node, "r").rows == ()


@given(st.lists(words.map(str.strip).filter(lambda each: each and "，" not in each and each >= " "), max_size=4))
def test_values_between_commas(values: list[str]) -> None:
    clean = [each for each in values if all(character >= " " for character in each)]
    assert split(joined(clean)) == clean


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_money_is_written_as_people_write_it(amount: int, currency: str) -> None:
    assert money_minor(money_text(amount, currency), currency) == amount


@pytest.mark.parametrize(("text", "minor"), [("19.9", 1990), ("5", 500), ("1.999", None), ("x", None), ("1.", None)])
def test_money(text: str, minor: int | None) -> None:
    assert money_minor(text, "EUR") == minor


field_names = st.from_regex(r"r(\.\d){0,5}:[a-z_]{1,6}", fullmatch=True) | st.text()


@given(st.lists(st.tuples(field_names, st.text()), max_size=30))
def test_any_fields_make_a_form(sent_fields: list[tuple[str, str]]) -> None:
    built = rule_of(read(sent_fields), whole=False)
    try:
        parse(built.rule)
    except WrongInput as error:
        assert all(built.place(fault.path) for fault in error.errors)
