"""The rule language: what is refused, what it means, and that MongoDB and memory agree."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from base.mongo import Collection, Database
from profiles.segments import Facts, ListedEvents, event_names, matches, matches_event, parse, parse_where, to_filter
from profiles.segments.bucket import dice_of
from profiles.segments.fields import OPERATORS, Kind, Scope, find_field
from profiles.segments.pattern import translate
from profiles.segments.span import Span, parse_instant

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def holds(rule: Any, profile: dict[str, Any], events: list[dict[str, Any]] | None = None) -> bool:
    return matches(parse(rule), Facts({"_id": "prf_1", **profile}, ListedEvents(events or [], NOW)), NOW)


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (None, ""),
        ({}, ""),
        ({"any": []}, "any"),
        ({"all": {"field": "name"}}, "all"),
        ({"all": [{"segment": "seg_1"}, {"field": "nome", "op": "eq", "value": "x"}]}, "all[1].field"),
        ({"not": {"any": [{"field": "score", "op": "eq", "value": "x"}]}}, "not.any[0].value"),
        ({"field": "name"}, "op"),
        ({"field": "name", "op": "eq"}, "value"),
        ({"field": "name", "op": "$eq", "value": "x"}, "op"),
        ({"field": "name", "op": {"$ne": None}, "value": "x"}, "op"),
        ({"field": "name", "op": "lt", "value": "x"}, "op"),
        ({"field": "name", "op": "eq", "value": {"$ne": None}}, "value"),
        ({"field": "name", "op": "eq", "value": "x", "$where": "1"}, "$where"),
        ({"field": "attributes.$where", "op": "eq", "value": "x"}, "field"),
        ({"field": "attributes.a..b", "op": "eq", "value": "x"}, "field"),
        ({"field": "attributes.0", "op": "eq", "value": "x"}, "field"),
        ({"field": "attributes", "op": "exists"}, "field"),
        ({"field": "merged_into", "op": "exists"}, "field"),
        ({"field": "attributes.x", "op": "eq", "value": float("nan")}, "value"),
        ({"field": "attributes.x", "op": "eq", "value": 2**63}, "value"),
        ({"field": "attributes.x", "op": "eq", "value": "\ud800"}, "value"),
        ({"field": "attributes.x", "op": "in", "value": ["a", {"$gt": ""}]}, "value[1]"),
        ({"field": "attributes.x", "op": "in", "value": []}, "value"),
        ({"field": "attributes.x", "op": "between", "value": [1, "2"]}, "value"),
        ({"field": "name", "op": "matches", "value": "(a+)+"}, "value"),
        ({"field": "created_at", "op": "within_last", "value": "30 days"}, "value"),
        ({"field": "created_at", "op": "before", "value": "soon"}, "value"),
        ({"field": "created_at", "op": "day_of_year", "value": "02-30"}, "value"),
        ({"event": "order.paid", "count": {"gte": -1}}, "count.gte"),
        ({"event": "order.paid", "count": {"about": 1}}, "count.about"),
        ({"event": "order.paid", "within": "P"}, "within"),
        ({"event": "order.paid", "where": [{"field": "name.x", "op": "exists"}]}, "where[0].field"),
        ({"event": "order.paid", "where": [{"event": "x"}]}, "where[0]"),
        ({"last_event": "order.paid", "op": "eq", "value": "P1D"}, "op"),
        ({"last_event": "order.paid", "op": "older_than"}, "value"),
        ({"consent": "newsletter", "is": "perhaps"}, "is"),
        ({"bucket": {"salt": "x", "from": 20, "to": 10}}, "bucket.to"),
        ({"bucket": {"salt": "x", "from": 0}}, "bucket.to"),
        ({"near": {"field": "name", "lat": 1, "lon": 1, "km": 1}}, "near.field"),
        ({"near": {"field": "location", "lat": 91, "lon": 1, "km": 1}}, "near.lat"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_path(rule: Any, path: str) -> None:
    with pytest.raises(WrongInput) as caught:
        parse(rule)
    assert [fault.path for fault in caught.value.errors] == [path]


def test_every_fault_is_told_and_sizes_are_bounded() -> None:
    with pytest.raises(WrongInput) as caught:
        parse({"all": [{"field": "x", "op": "eq", "value": 1}, {"segment": ""}]}, path="trigger.when")
    assert [fault.path for fault in caught.value.errors] == ["trigger.when.all[0].field", "trigger.when.all[1].segment"]
    deep: Any = {"segment": "seg_1"}
    for _ in range(11):
        deep = {"not": deep}
    wide = {"any": [{"segment": "seg_1"}] * 300}
    for rule in (deep, wide):
        with pytest.raises(WrongInput):
            parse(rule)
    endless: dict[str, Any] = {}
    endless["not"] = endless
    with pytest.raises(WrongInput):
        parse(endless)


WORDS = ["all", "any", "not", "field", "op", "value", "event", "where", "count", "bucket", "near", "consent", "x"]
somethings = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
near_misses = st.recursive(
    somethings,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner | st.sampled_from(["name", "eq", "P1D", "attributes.x", "matches", "in"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(near_misses)
def test_any_json_is_a_rule_or_refused(value: Any) -> None:
    try:
        rule = parse(value)
    except WrongInput as error:
        assert error.errors
    else:
        matches(rule, Facts({"_id": "prf_1"}), NOW)
        hash(rule)


# -- meanings -------------------------------------------------------------------------------------------------------


def test_texts_and_lists() -> None:
    anna = {"name": "Anna Müller", "tags": ["vip", "eu"], "emails": [{"value": "anna@example.com"}]}
    assert holds({"field": "name", "op": "contains", "value": "MÜLL"}, anna)
    assert holds({"field": "name", "op": "starts_with", "value": "anna"}, anna)
    assert not holds({"field": "name", "op": "ends_with", "value": "mülle"}, anna)
    assert holds({"field": "tags", "op": "contains", "value": "vip"}, anna)
    assert not holds({"field": "tags", "op": "contains", "value": "vi"}, anna)
    assert holds({"field": "tags", "op": "all_of", "value": ["eu", "vip"]}, anna)
    assert holds({"field": "tags", "op": "none_of", "value": ["x"]}, anna)
    assert holds({"field": "emails", "op": "eq", "value": "Anna@Example.com"}, anna)
    assert holds({"field": "emails", "op": "matches", "value": "^anna@(example|test)\\.com$"}, anna)
    assert holds({"field": "phones", "op": "missing"}, anna) and not holds({"field": "phones", "op": "exists"}, anna)
    assert holds({"field": "stage", "op": "ne", "value": "lost"}, anna)


def test_numbers_money_and_attributes() -> None:
    profile = {
        "score": 50, "orders": {"count": 2, "revenue": {"EUR": 7000}, "revenue_minor": [7000]},
        "attributes": {"city": "Leiden", "年龄": 31, "flag": True},
    }  # fmt: skip
    assert holds({"field": "score", "op": "between", "value": [50, 60]}, profile)
    assert holds({"field": "orders.count", "op": "gte", "value": 2}, profile)
    assert holds({"field": "orders.revenue", "op": "gt", "value": 5000}, profile)
    assert holds({"field": "orders.revenue.EUR", "op": "lt", "value": 7001}, profile)
    assert not holds({"field": "orders.revenue.USD", "op": "gt", "value": 0}, profile)
    assert holds({"field": "attributes.年龄", "op": "gte", "value": 30}, profile)
    assert not holds({"field": "attributes.flag", "op": "eq", "value": 1}, profile)
    assert not holds({"field": "attributes.city", "op": "gt", "value": 5}, profile)


def test_times() -> None:
    profile = {
        "created_at": NOW - timedelta(days=31),
        "attributes": {"birthday": "1990-03-01", "trial_ends": "2026-02-27T10:00:00Z"},
    }
    assert holds({"field": "created_at", "op": "older_than", "value": "P30D"}, profile)
    assert not holds({"field": "created_at", "op": "within_last", "value": "P30D"}, profile)
    assert holds({"field": "created_at", "op": "within_last", "value": "P2M"}, profile)
    assert holds({"field": "attributes.trial_ends", "op": "within_last", "value": "P3D"}, profile)
    assert holds({"field": "attributes.trial_ends", "op": "before", "value": "2026-02-27T10:00:01Z"}, profile)
    assert not holds({"field": "attributes.trial_ends", "op": "before", "value": "2026-02-27T10:00:00Z"}, profile)
    assert not holds({"field": "attributes.trial_ends", "op": "after", "value": "2026-02-27T10:00:00Z"}, profile)
    assert holds({"field": "attributes.birthday", "op": "day_of_year", "value": "today"}, profile)
    assert holds(
        {"field": "attributes.birthday", "op": "day_of_year", "value": {"from": "12-20", "to": "03-01"}}, profile
    )
    assert not holds({"field": "attributes.birthday", "op": "day_of_year", "value": "03-02"}, profile)


def test_born_on_a_leap_day() -> None:
    rule = parse({"field": "attributes.birthday", "op": "day_of_year", "value": "today"})
    facts = Facts({"_id": "prf_1", "attributes": {"birthday": "2000-02-29"}})
    assert matches(rule, facts, datetime(2026, 2, 28, 12, tzinfo=UTC))
    assert not matches(rule, facts, datetime(2028, 2, 28, 12, tzinfo=UTC))
    assert matches(rule, facts, datetime(2028, 2, 29, 12, tzinfo=UTC))


def test_what_happened() -> None:
    def paid(days: int, total: int) -> dict[str, Any]:
        return {"name": "order.paid", "occurred_at": NOW - timedelta(days=days), "properties": {"total": total}}

    events = [paid(1, 6000), paid(10, 5000), paid(40, 9000)]
    rule = {
        "event": "order.paid", "count": {"gte": 2}, "within": "P30D",
        "where": [{"field": "properties.total", "op": "gte", "value": 5000}],
    }  # fmt: skip
    assert holds(rule, {}, events) and not holds({**rule, "count": {"gte": 3}}, {}, events)
    assert holds({"event": "order.paid", "count": 3}, {}, events)
    assert holds({"event": "order.refunded", "count": {"eq": 0}}, {}, events)
    assert not holds({"event": "order.refunded"}, {}, events)
    assert holds({"last_event": "order.paid", "op": "within_last", "value": "P2D"}, {}, events)
    assert not holds({"last_event": "order.paid", "op": "older_than", "value": "P90D"}, {}, events)
    assert not holds({"last_event": "order.never", "op": "older_than", "value": "P90D"}, {}, events)
    assert holds({"last_event": "order.never", "op": "missing"}, {}, events)
    assert event_names(parse({"all": [rule, {"not": {"last_event": "x", "op": "exists"}}]})) == {"order.paid", "x"}
    where = parse_where([{"field": "properties.total", "op": "gt", "value": 5500}])
    assert [matches_event(where, event, NOW) for event in events] == [True, False, True]
    with pytest.raises(WrongInput):
        to_filter(parse(rule), NOW)
    assert to_filter(parse(rule), NOW, members={parse(rule): ["prf_1"]}) == {"_id": {"$in": ["prf_1"]}}


def test_consent_reach_place_and_share() -> None:
    mail = {"address_key": "email:a", "channel": "email", "purpose": "newsletter", "state": "granted"}
    profile = {
        "consents": [mail, {**mail, "address_key": "email:b", "state": "denied"}], "reachable_on": ["email"],
        "location": {"type": "Point", "coordinates": [4.49, 52.16]}, "segments": ["seg_1"],
    }  # fmt: skip
    assert holds({"consent": "newsletter", "channel": "email", "is": "granted"}, profile)
    assert not holds({"consent": "newsletter", "is": "denied"}, profile)
    assert holds({"consent": "newsletter", "channel": "line", "is": "unknown"}, profile)
    assert holds({"reachable": "email"}, profile) and not holds({"reachable": "line"}, profile)
    assert holds({"near": {"field": "location", "lat": 52.1, "lon": 4.5, "km": 25}}, profile)
    assert not holds({"near": {"field": "location", "lat": 52.1, "lon": 4.5, "km": 5}}, profile)
    assert holds({"segment": "seg_1"}, profile) and holds({"all": []}, {})


def test_shares_are_stable_and_fair() -> None:
    fifth = parse({"bucket": {"salt": "spring", "from": 0, "to": 20}})
    other = parse({"bucket": {"salt": "summer", "from": 0, "to": 20}})
    people = [Facts({"_id": f"prf_{i}"}) for i in range(4000)]
    chosen = [matches(fifth, each, NOW) for each in people]
    assert 700 < sum(chosen) < 900
    both = sum(a and matches(other, each, NOW) for a, each in zip(chosen, people, strict=True))
    assert 110 < both < 210
    rest = parse({"bucket": {"salt": "spring", "from": 20, "to": 100}})
    assert all(a != matches(rest, each, NOW) for a, each in zip(chosen, people, strict=True))


@pytest.mark.parametrize(("text", "before"), [
    ("P1M", "2026-02-01T09:00:00+00:00"), ("P1Y2M3DT4H5M6S", "2024-12-29T04:54:54+00:00"),
    ("PT2S", "2026-03-01T08:59:58+00:00"), ("P1W", "2026-02-22T09:00:00+00:00"),
])  # fmt: skip
def test_spans(text: str, before: str) -> None:
    assert Span.parse(text).before(NOW) == datetime.fromisoformat(before)
    assert Span.parse("P99Y").before(NOW).year == 1927
    assert parse_instant("2026-05-01") == datetime(2026, 5, 1, tzinfo=UTC)


# -- patterns -------------------------------------------------------------------------------------------------------


REFUSED = [
    "(a+)+", "(a|b)*", "a**", "a{2}{3}", "(?=a)", "\\1", "a*b*c*", "^a*b*c*", ".*.*", "[", "(", ")", "a{5,2}", "*a",
    "a$b", "a^b", "\\p{L}", "[]", "[z-a]", "a" * 201, "x{0,99}" * 5,
]  # fmt: skip


@pytest.mark.parametrize("pattern", REFUSED)
def test_dangerous_or_broken_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        translate(pattern)


UNDERSTOOD = [
    ("^a.c$", "abc", "abcd"), ("b+", "abbc", "ac"), ("^(anna|otto)@", "otto@x", "eva@x"), ("\\d{3}", "x123", "x12"),
    ("[A-Z][a-z]*", "Anna", "anna"), ("^[^0-9]+$", "ab", "a1"), ("a|^b$", "b", "bb"), ("x\\.y", "x.y", "xzy"),
    ("北.", "北京", "北"), ("^\\w+\\s\\S+$", "a b", "ab"), ("^a*b*$", "aab", "aba"), ("[\\]\\-]", "-", "x"),
    ("a-", "a-", "a"), ("end$", "the end", "end\n"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "yes", "no"), UNDERSTOOD)
def test_patterns(pattern: str, yes: str, no: str) -> None:
    translated = translate(pattern)
    assert re.search(translated, yes) and not re.search(translated, no)


# -- agreement ------------------------------------------------------------------------------------------------------

KEYS = ["a", "b", "城"]
texts = st.text(alphabet="abAB1.-\n ßıİéÉ北😀", max_size=6) | st.sampled_from(
    ["2026-02-28", "2026-02-28T10:00:00Z", "2025-12-31T23:59:59.5Z", "2026-13-99", "abc", "ABC"]
)
times = st.integers(0, 730 * 86_400_000).map(lambda ms: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
numbers = st.integers(-5, 5) | st.sampled_from([0.5, 2.0, -1.5, 2**53, 2**53 + 1, float(2**53), 10**15])
scalars = st.none() | st.booleans() | numbers | texts | times
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
points = st.none() | st.builds(
    lambda lon, lat: {"type": "Point", "coordinates": [lon, lat]}, st.floats(-170, 170), st.floats(-80, 80)
)
entries = st.fixed_dictionaries({
    "address_key": st.sampled_from(["k1", "k2"]), "channel": st.sampled_from(["email", "line"]),
    "purpose": st.sampled_from(["news", "offers"]), "state": st.sampled_from(["granted", "denied"]),
})  # fmt: skip
documents = st.fixed_dictionaries({
    "name": st.none() | texts, "tags": st.lists(st.sampled_from(["x", "y", "X"]), max_size=3, unique=True),
    "emails": st.lists(st.sampled_from(["a@b.de", "B@c.de"]).map(lambda value: {"value": value}), max_size=2),
    "score": st.integers(0, 100), "stage": st.sampled_from(["new", "lost"]), "created_at": times,
    "last_seen_at": st.none() | times, "location": points, "attributes": attributes,
    "orders": st.fixed_dictionaries({
        "count": st.integers(0, 4), "revenue_minor": st.lists(st.integers(0, 9000), max_size=2),
        "revenue": st.dictionaries(st.sampled_from(["EUR", "USD"]), st.integers(0, 9000)),
    }),
    "consents": st.lists(entries, max_size=3),
    "reachable_on": st.lists(st.sampled_from(["email", "line"]), unique=True),
    "segments": st.lists(st.sampled_from(["seg_1", "seg_2"]), unique=True),
})  # fmt: skip

FIELDS = [
    "name", "tags", "emails", "score", "stage", "created_at", "last_seen_at", "location", "orders.count",
    "orders.revenue", "orders.revenue.EUR", "attributes.a", "attributes.a.b", "attributes.城", "attributes.b.a.城",
]  # fmt: skip
isos = times.map(lambda at: at.isoformat()) | st.sampled_from(["2026-02-28", "2025-12-31T23:59:59Z"])


def operand(kind: Kind) -> st.SearchStrategy[Any]:
    if kind is Kind.NUMBER:
        return numbers
    if kind is Kind.TIME:
        return isos
    return texts.filter(str.strip) if kind is not Kind.FREE else st.booleans() | numbers | texts


@st.composite
def field_rules(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(FIELDS))
    kind = find_field(name, Scope.PROFILE).kind
    op = draw(st.sampled_from(sorted(OPERATORS[kind])))
    one = operand(kind)
    rule: dict[str, Any] = {"field": name, "op": op}
    if op in ("exists", "missing"):
        return rule
    if op in ("in", "not_in", "any_of", "all_of", "none_of"):
        rule["value"] = draw(st.lists(one, min_size=1, max_size=3))
    elif op == "between":
        first = draw(one)
        rule["value"] = [first, draw(one.filter(lambda other: type(other) is type(first)))]
    elif op in ("within_last", "older_than"):
        rule["value"] = draw(st.sampled_from(["P1D", "P30D", "P1Y", "PT1H"]))
    elif op in ("before", "after"):
        rule["value"] = draw(isos)
    elif op == "day_of_year":
        rule["value"] = draw(
            st.sampled_from(["today", "02-28", {"from": "11-01", "to": "02-01"}, {"from": "01-01", "to": "06-30"}])
        )
    elif op == "matches":
        rule["value"] = draw(
            st.sampled_from(["^a", "b$", "[A-Z]+", ".", "^.{1,3}$", "北|a.", "\\d", "\\W", "^\\s*$", "[^a]"])
        )
    elif op in ("contains", "not_contains", "starts_with", "ends_with"):
        rule["value"] = draw(texts.filter(str.strip))
    else:
        rule["value"] = draw(one)
    return rule


leaves = field_rules() | st.sampled_from([
    {"segment": "seg_1"}, {"reachable": "line"}, {"consent": "news", "channel": "email", "is": "granted"},
    {"consent": "news", "is": "denied"}, {"consent": "offers", "is": "unknown"},
    {"bucket": {"salt": "s", "from": 10, "to": 55.5}},
    {"near": {"field": "location", "lat": 10, "lon": 20, "km": 7000}}, {"all": []},
])  # fmt: skip
rules = st.recursive(
    leaves, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each})
    | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}) | inner.map(lambda each: {"not": each}),
    max_leaves=5,
)  # fmt: skip


@pytest.fixture(scope="module")
async def collection(mongo_url: str, database_name: str) -> AsyncIterator[Collection]:
    db = Database(mongo_url, database_name)
    yield db.handle["rule_subjects"]
    db.close()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(documents, min_size=1, max_size=6), st.lists(rules, min_size=4, max_size=12))
async def test_mongo_and_memory_agree(collection: Collection, subjects: list[dict[str, Any]], asked: list[Any]) -> None:
    await collection.delete_many({})
    rows = [{**subject, "_id": f"prf_{i}", "dice": dice_of(f"prf_{i}")} for i, subject in enumerate(subjects)]
    await collection.insert_many(rows)
    stored = await collection.find().to_list(None)
    for each in asked:
        rule = parse(each)
        there = {row["_id"] async for row in collection.find(to_filter(rule, NOW), {"_id": 1})}
        here = {row["_id"] for row in stored if matches(rule, Facts(row), NOW)}
        assert there == here, (each, to_filter(rule, NOW), [row for row in stored if row["_id"] in there ^ here])
