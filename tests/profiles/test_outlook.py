"""Until when an answer stays: against looking at every instant that could matter."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.segments import Facts, ListedEvents, matches, outlook, parse, tells_time
from profiles.segments.rules import leaves
from profiles.segments.span import Span

NOW = datetime(2026, 2, 27, 9, 30, tzinfo=UTC)
SPANS = ["PT1H", "P1D", "P30D", "P1M", "P2M", "P1Y", "P1M3D", "P1MT36H"]
times = st.integers(-800 * 86_400_000, 500 * 86_400_000).map(lambda ms: NOW + timedelta(milliseconds=ms)) | (
    st.sampled_from([-31, -30, -29, -28, -1, 0, 1, 28]).map(lambda days: NOW + timedelta(days=days))
)
whens = st.sampled_from([NOW + timedelta(days=each, hours=3) for each in (0, 1, 2, 3, 4, 30, 31, 32, 33, 59)]) | times
texts = times.map(lambda at: at.isoformat()) | st.sampled_from(
    ["2026-02-28", "2000-02-29", "2026-13-99", "2026-02-31T10", "2026-02-26T24:00:00", "2026-02-26T09:30:00.5Z",
     "2026-02-26~", "2026-01-27T09:29:59", "0000-00-00", "9999-99-99", "soon", "2026-00-00", "1990-12-31 x"]
)  # fmt: skip
happened = st.fixed_dictionaries({
    "name": st.sampled_from(["paid", "seen"]), "occurred_at": times,
    "properties": st.fixed_dictionaries({"total": st.integers(0, 3), "until": times | texts}),
})  # fmt: skip
people = st.fixed_dictionaries({
    "created_at": times, "last_seen_at": st.none() | times, "stage": st.sampled_from(["new", "lost"]),
    "attributes": st.fixed_dictionaries({"day": times | texts | st.lists(times | texts, max_size=2)}),
})  # fmt: skip
spans = st.sampled_from(SPANS)
fields = st.sampled_from(["created_at", "last_seen_at", "attributes.day"])
timely = (
    st.builds(lambda field, op, value: {"field": field, "op": op, "value": value}, fields,
              st.sampled_from(["within_last", "older_than"]), spans)
    | fields.map(lambda field: {"field": field, "op": "day_of_year", "value": "today"})
    | st.builds(lambda event, op, value: {"last_event": event, "op": op, "value": value},
                st.sampled_from(["paid", "seen"]), st.sampled_from(["within_last", "older_than"]), spans)
    | st.builds(lambda event, count, within: {"event": event, "count": count, "within": within},
                st.sampled_from(["paid", "seen"]), st.sampled_from([{"gte": 1}, {"gte": 2}, {"eq": 0}]), spans)
    | st.builds(lambda within, span: {"event": "paid", "within": within, "where": [
        {"field": "properties.until", "op": "within_last", "value": span}]}, spans, spans)
)  # fmt: skip
steady = st.sampled_from([
    {"field": "stage", "op": "eq", "value": "new"}, {"last_event": "paid", "op": "exists"}, {"event": "seen"},
    {"field": "created_at", "op": "before", "value": "2026-03-01"}, {"field": "attributes.day", "op": "exists"},
    {"field": "created_at", "op": "day_of_year", "value": {"from": "11-01", "to": "02-28"}}, {"segment": "seg_1"},
])  # fmt: skip
rules = st.recursive(
    timely | steady, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each})
    | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}) | inner.map(lambda each: {"not": each}),
    max_leaves=4,
)  # fmt: skip


def instants(person: dict[str, Any], events: list[dict[str, Any]], now: datetime) -> set[datetime]:
    """Whatever could be a turning point, and what lies beside it."""
    day = person["attributes"]["day"]
    known = [person["created_at"], person["last_seen_at"], *(day if isinstance(day, list) else [day]),
             *(each["occurred_at"] for each in events), *(each["properties"]["until"] for each in events)]  # fmt: skip
    bases = set()
    for value in known:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value[:19])
            except ValueError:
                continue
            value = value.replace(tzinfo=UTC)
        if value is not None:
            bases.add(value)
    found = {now + timedelta(days=each) for each in range(0, 800, 13)}
    midnight = now.replace(hour=0, minute=0)
    found |= {midnight + timedelta(days=each) for each in (1, 2, 3, 4, 30, 31, 366, 367, 731)}
    for base in bases:
        for text in SPANS:
            span = Span.parse(text)
            about = base + span.rest + timedelta(days=30.5 * span.months)
            wide = range(-4, 5) if span.months else (0,)
            found |= {about.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=each) for each in wide}
            for days in range(27 * span.months, 31 * span.months + 8) if span.months else (0,):
                found.add(base + span.rest + timedelta(days=days))
        found.add(base)
    ticks = (timedelta(0), timedelta(milliseconds=1), timedelta(milliseconds=-1), timedelta(seconds=1))
    return {at + tick for at in found for tick in ticks if at + tick > now}


@settings(max_examples=150, deadline=None)
@given(people, st.lists(happened, max_size=4), rules, whens)
def test_nothing_changes_before_the_time_it_gives(
    person: dict[str, Any], events: list[dict[str, Any]], asked: Any, now: datetime
) -> None:
    rule = parse(asked)

    def answer(at: datetime) -> bool:
        return matches(rule, Facts({"_id": "prf_1", **person}, ListedEvents(events, at)), at)

    holds, until = outlook(rule, Facts({"_id": "prf_1", **person}, ListedEvents(events, now)), now)
    assert holds == answer(now) and (until is None or until > now)
    if not any(tells_time(each) for each in leaves(rule)):
        assert until is None
    for at in instants(person, events, now):
        if until is None or at < until:
            assert answer(at) == holds, (asked, at, until)


def seen(rule: Any, now: datetime = NOW, events: list[dict[str, Any]] | None = None, **person: Any) -> Any:
    return outlook(parse(rule), Facts({"_id": "prf_1", **person}, ListedEvents(events or [], now)), now)


def test_exact_to_the_millisecond_where_days_are_counted() -> None:
    rule = {"field": "created_at", "op": "within_last", "value": "P30D"}
    ends = NOW + timedelta(days=30, milliseconds=1)
    assert seen(rule, created_at=NOW) == (True, ends)
    assert seen(rule, ends, created_at=NOW) == (False, None)
    paid = [{"name": "paid", "occurred_at": NOW - timedelta(days=each)} for each in (1, 2)]
    twice = {"event": "paid", "count": {"gte": 2}, "within": "P7D"}
    assert seen(twice, events=paid) == (True, NOW + timedelta(days=5, milliseconds=1))
    assert seen({"last_event": "paid", "op": "older_than", "value": "P7D"}, events=paid) == (
        False, NOW + timedelta(days=6, milliseconds=1)
    )  # fmt: skip
    birthday = {"field": "attributes.born", "op": "day_of_year", "value": "today"}
    assert seen(birthday, attributes={"born": "1990-05-01"}) == (False, datetime(2026, 5, 1, tzinfo=UTC))


def test_what_speaks_against_it_for_ever_spares_the_look() -> None:
    recent = {"field": "created_at", "op": "within_last", "value": "P30D"}
    lost = {"field": "stage", "op": "eq", "value": "lost"}
    assert seen({"all": [recent, lost]}, created_at=NOW, stage="new") == (False, None)
    assert seen({"any": [recent, lost]}, created_at=NOW, stage="lost") == (True, None)
    assert seen({"all": [recent, lost]}, created_at=NOW, stage="lost")[1] is not None
