"""Score, marks, tier and traits as pure functions: bounds, fading, order, and parts that add up."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from profiles import rfm, scoring, traits
from profiles.segments import Facts, ListedEvents, event_needs, joint_needs, matches, outlook, parse

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAMES = sorted({*traits.NEEDS, "order.paid", "checkout.started", "message.clicked", "message.opened", "message.read"})
TIMES = st.integers(-400 * 86400, 0).map(lambda seconds: NOW + timedelta(seconds=seconds))


@st.composite
def happenings(draw: Any) -> list[dict[str, Any]]:
    rows = draw(st.lists(st.tuples(st.sampled_from(NAMES), TIMES, st.sampled_from(["c1", "c2"])), max_size=40))
    return [
        {"_id": f"evt_{place:03}", "name": name, "occurred_at": at, "conversation_id": talk, "identity_id": f"i{talk}",
         "properties": {"channel": "whatsapp" if talk == "c1" else "email", "rating": place % 5 + 1}}
        for place, (name, at, talk) in enumerate(rows)
    ]  # fmt: skip


@st.composite
def people(draw: Any) -> dict[str, Any]:
    count = draw(st.integers(0, 30))
    first, last = sorted((draw(TIMES), draw(TIMES)))
    orders = {"count": count, "revenue": {"EUR": draw(st.integers(0, 500_000))} if count else {},
              "first_at": first if count else None, "last_at": last if count else None}  # fmt: skip
    return {
        "_id": "prf_1", "rev": draw(st.integers(0, 9)), "orders": orders, "score": draw(st.integers(0, 100)),
        "last_seen_at": draw(st.none() | TIMES), "tier": draw(st.sampled_from([None, "vip", "gold"])),
        "time_zone": draw(st.sampled_from([None, "Asia/Shanghai", "nonsense"])),
        **draw(st.sampled_from([{}, {"manual_points": 30}, {"manual_points": -40, "score_parts": []}])),
        **draw(st.sampled_from([{}, {"score_told": 20}, {"tier_source": "rule"}])),
    }  # fmt: skip


CARD = scoring.score_card(scoring.DEFAULT)


@given(people(), happenings(), st.integers(0, 500))
def test_a_score_is_the_sum_of_its_parts(person: dict[str, Any], events: list[dict[str, Any]], days: int) -> None:
    now = NOW + timedelta(days=days)
    score = scoring.score_of(person, ListedEvents(events, now), CARD, now)
    assert 0 <= score.value <= 100
    assert score.value == scoring.capped(sum(part.points for part in score.parts))
    points = {each.id: each.points for each in CARD.rules}
    for part in score.parts:
        if part.rule_id != scoring.MANUAL:
            assert part.points != 0 and abs(part.points) <= abs(points[part.rule_id])
            assert part.points * points[part.rule_id] > 0
    assert score.again_at is None or score.again_at > now


@given(st.integers(-100, 100), st.integers(1, 400), st.lists(st.integers(0, 4000), min_size=2, max_size=20))
def test_points_fade_and_never_grow_again(points: int, half_life: int, ages: list[int]) -> None:
    length = timedelta(days=half_life)
    left = [scoring.points_now(points, NOW, length, NOW + timedelta(hours=age)) for age in sorted(ages)]
    assert all(abs(one) >= abs(other) for one, other in pairwise(left))
    assert all(0 <= abs(each) <= abs(points) for each in left)
    assert scoring.points_now(points, NOW, length, NOW) == points
    assert abs(scoring.points_now(points, NOW, length, NOW + length)) == (abs(points) + 1) // 2


@given(st.integers(1, 100), st.integers(1, 400), st.integers(0, 4000))
def test_the_moment_of_the_next_fall_is_known(points: int, half_life: int, hours: int) -> None:
    length, now = timedelta(days=half_life), NOW + timedelta(hours=hours)
    at = scoring.fewer_at(points, NOW, length, now)
    left = scoring.points_now(points, NOW, length, now)
    if left == 0:
        assert at is None
        return
    assert at is not None and at > now
    assert scoring.points_now(points, NOW, length, at) == left - 1
    before = at - timedelta(seconds=3)
    assert before <= now or scoring.points_now(points, NOW, length, before) == left


@given(people(), happenings(), st.randoms(use_true_random=False))
def test_the_order_of_events_plays_no_part(person: dict[str, Any], events: list[dict[str, Any]], chance: Any) -> None:
    mixed = list(events)
    chance.shuffle(mixed)
    one, other = ListedEvents(events, NOW), ListedEvents(mixed, NOW)
    assert scoring.score_of(person, one, CARD, NOW) == scoring.score_of(person, other, CARD, NOW)
    learned = traits.Rhythm(40.0, 99)
    assert traits.traits_of(person, events, learned, "UTC", NOW) == traits.traits_of(person, mixed, learned, "UTC", NOW)


@given(people(), happenings(), st.integers(0, 400))
@settings(max_examples=200)
def test_nothing_turns_before_it_was_said_to(person: dict[str, Any], events: list[dict[str, Any]], hours: int) -> None:
    """Between two looks nothing would be found: what `again_at` promises."""
    facts = ListedEvents(events, NOW)
    score = scoring.score_of(person, facts, CARD, NOW)
    found = traits.traits_of(person, events, traits.Rhythm(40.0, 99), "UTC", NOW)
    marks = rfm.ranked(person, rfm.DEFAULT, NOW)
    later = NOW + timedelta(hours=hours)
    if score.again_at is None or later < score.again_at - timedelta(seconds=3):
        again = scoring.score_of(person, ListedEvents(events, later), CARD, later)
        assert [part.stored() for part in again.parts] == [part.stored() for part in score.parts]
    if found.changes_at is None or later < found.changes_at:
        assert traits.traits_of(person, events, traits.Rhythm(40.0, 99), "UTC", later).fields == found.fields
    if marks.again_at is None or later < marks.again_at:
        assert rfm.rfm_of(person, rfm.DEFAULT, later) == rfm.rfm_of(person, rfm.DEFAULT, NOW)


@given(people(), happenings())
def test_an_appraisal_is_settled_after_one_look(person: dict[str, Any], events: list[dict[str, Any]]) -> None:
    facts = ListedEvents(events, NOW)
    once = {**person, **scoring.scored(person, facts, CARD, NOW).fields}
    once |= rfm.ranked(person, rfm.DEFAULT, NOW).fields
    again = {**once, "rev": once["rev"] + 1}
    assert scoring.scored(again, facts, CARD, NOW).events == () and rfm.ranked(again, rfm.DEFAULT, NOW).events == ()
    assert scoring.scored(again, facts, CARD, NOW).fields["score"] == once["score"]


@given(people(), happenings())
def test_who_is_not_to_be_profiled_has_nothing(person: dict[str, Any], events: list[dict[str, Any]]) -> None:
    silent = {**person, "profiling_off": True}
    scored = scoring.scored(silent, ListedEvents(events, NOW), CARD, NOW)
    assert (scored.fields["score"], scored.fields["score_parts"], scored.events) == (0, [], ())
    assert traits.traits_of(silent, events, traits.Rhythm(40.0, 99), "UTC", NOW).fields == {}
    ranked = rfm.ranked(silent, rfm.DEFAULT, NOW).fields
    assert ranked["rfm"] is None and ranked["tier"] == (person["tier"] if ranked["tier_source"] == "person" else None)


@given(people(), st.integers(-100, 100), st.integers(0, 100))
def test_points_by_hand_are_a_part_of_their_own(person: dict[str, Any], points: int, wanted: int) -> None:
    person = {**person, "score_parts": [{"rule_id": "bought", "name": "", "points": 30}], "manual_points": 0}
    added = {**person, **scoring.add_by_hand(person, points)}
    assert (
        added["score"] == scoring.capped(30 + points) and sum(p["points"] for p in added["score_parts"]) == 30 + points
    )
    asked = {**added, **scoring.set_by_hand(added, wanted)}
    assert asked["score"] == wanted and scoring.by_rules(asked) == 30


@pytest.mark.parametrize(("told", "score", "expected"), [
    (0, 9, False), (0, 10, True), (20, 25, True), (26, 34, False), (49, 50, True), (50, 49, True), (60, 69, False),
    (60, 70, True), (100, 91, False),
])  # fmt: skip
def test_a_change_is_told_by_band_or_step(told: int, score: int, expected: bool) -> None:
    assert scoring.worth_telling(told, score, 50) is expected


@pytest.mark.parametrize(("rule", "half_life", "path"), [
    ({"segment": "seg_1"}, None, "rules[0].rule"), ({"field": "score", "op": "gt", "value": 3}, None, "rules[0].rule"),
    ({"any": [{"field": "rfm.r", "op": "eq", "value": 3}]}, None, "rules[0].rule"),
    ({"field": "name", "op": "exists"}, "P3D", "rules[0].half_life"), ({"event": "x"}, "P0D", "rules[0].half_life"),
    ({"event": "x"}, "soon", "rules[0].half_life"), ({"field": "nome", "op": "exists"}, None, "rules[0].rule.field"),
])  # fmt: skip
def test_rules_that_make_no_sense_are_refused(rule: dict[str, Any], half_life: str | None, path: str) -> None:
    with pytest.raises(WrongInput) as caught:
        scoring.read_settings({"rules": [{"id": "a", "rule": rule, "points": 5, "half_life": half_life}]})
    assert [each.path for each in caught.value.errors] == [path]


def test_settings_have_each_rule_once() -> None:
    rule = {"id": "a", "rule": {"event": "x"}, "points": 5}
    for rules in ([rule, rule], [{**rule, "id": "manual"}], [{**rule, "points": 101}], [{**rule, "more": 1}]):
        with pytest.raises(WrongInput):
            scoring.read_settings({"rules": rules})


# -- marks and tier ----------------------------------------------------------------------------------------------------


def bought(count: int, days_ago: float, minor: int, **more: Any) -> dict[str, Any]:
    last = NOW - timedelta(days=days_ago)
    orders = {"count": count, "revenue": {"EUR": minor}, "first_at": last - timedelta(days=20 * (count - 1)),
              "last_at": last}  # fmt: skip
    return {"_id": "prf_1", "rev": 3, "tier": None, "score": 0, "orders": orders, "last_seen_at": last, **more}


@pytest.mark.parametrize(("person", "code", "tier"), [
    (bought(12, 3, 200_000), "555", "vip"), (bought(1, 400, 100), "111", "level3"),
    (bought(3, 30, 20_000), "533", "level1"),
    (bought(2, 91, 5_000), "322", "level2"), (bought(1, 0, 0), "511", "level2"),
])  # fmt: skip
def test_marks_and_tier(person: dict[str, Any], code: str, tier: str) -> None:
    found = rfm.rfm_of(person, rfm.DEFAULT, NOW)
    assert found is not None and (found.code, rfm.tier_of(found, rfm.DEFAULT)) == (code, tier)


@given(people())
def test_marks_are_one_to_five_and_more_is_never_less(person: dict[str, Any]) -> None:
    found = rfm.rfm_of(person, rfm.DEFAULT, NOW)
    if found is None:
        assert person["orders"]["count"] == 0
        return
    assert all(1 <= mark <= 5 for mark in (found.r, found.f, found.m)) and found.total == sum(map(int, found.code))
    more = {**person, "orders": {**person["orders"], "count": person["orders"]["count"] + 3}}
    better = rfm.rfm_of(more, rfm.DEFAULT, NOW)
    assert better is not None and better.f >= found.f
    later = rfm.rfm_of(person, rfm.DEFAULT, NOW + timedelta(days=100))
    assert later is not None and later.r <= found.r


def test_a_word_of_a_person_stands_until_it_is_released() -> None:
    person = bought(12, 3, 200_000)
    moved = rfm.ranked(person, rfm.DEFAULT, NOW)
    assert moved.fields["tier"] == "vip" and moved.events[0].properties["reason"]["code"] == "555"
    person |= moved.fields
    person |= rfm.given(person, "level3", NOW)
    held = rfm.ranked(person, rfm.DEFAULT, NOW)
    assert (held.fields["tier"], held.fields["tier_by_rule"], held.events) == ("level3", "vip", ())
    released = rfm.given({**person, **held.fields}, None, NOW)
    assert released == {"tier": "vip", "tier_source": "rule", "tier_since": NOW}


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 12), st.integers(1, 10**7)), min_size=10, max_size=80))
def test_what_is_suggested_can_be_saved(customers: list[tuple[int, int, int]]) -> None:
    found = rfm.suggested([rfm.Bought(d, n, {"USD": m}) for d, n, m in customers], rfm.DEFAULT)
    assert found is not None and found.currency == "USD"
    assert rfm.read_settings(found.model_dump(mode="json")) == found
    assert rfm.suggested([], rfm.DEFAULT) is None


def test_thresholds_have_to_grow() -> None:
    with pytest.raises(WrongInput) as caught:
        rfm.read_settings({**rfm.DEFAULT.model_dump(mode="json"), "frequency": [2, 2, 3, 4]})
    assert caught.value.errors[0].path == "frequency"


# -- traits --------------------------------------------------------------------------------------------------------


def said(name: str, at: datetime, talk: str = "c1", **properties: Any) -> dict[str, Any]:
    return {"_id": at.isoformat() + name, "name": name, "occurred_at": at, "conversation_id": talk, "identity_id": "i1",
            "properties": {"channel": "whatsapp", **properties}}  # fmt: skip


def test_habits() -> None:
    evening = NOW.replace(hour=12)  # 20 o'clock in Shanghai
    events = []
    for day in range(1, 6):
        asked = evening - timedelta(days=day)
        events += [said("message.sent", asked - timedelta(minutes=10 * day)), said("message.received", asked)]
    events.append(said("message.received", evening - timedelta(hours=30), "c2", automatic=True, channel="email"))
    found = traits.traits_of({"orders": {}, "time_zone": "Asia/Shanghai"}, events, traits.Rhythm(), "UTC", NOW).fields
    assert found == {
        "preferred_channel": "whatsapp", "preferred_hour": 20, "answer_minutes": 30.0, "answers_within": "hour",
    }  # fmt: skip


def test_rhythm_and_risk() -> None:
    own = traits.traits_of(bought(3, 50, 9_000), [], traits.Rhythm(35.0, 40), "UTC", NOW).fields
    assert (own["days_between_orders"], own["next_order_by"], own["average_order"]) == (20.0, "own", {"EUR": 3000})
    assert own["next_order_at"] == NOW - timedelta(days=30)
    assert own["churn_risk"] == 45 and own["churn_reasons"] == [{"code": "overdue", "points": 45}]
    once = traits.traits_of(bought(1, 5, 900), [], traits.Rhythm(35.0, 40), "UTC", NOW).fields
    assert (once["next_order_by"], once["churn_risk"]) == ("everybody", 0)
    assert "next_order_at" not in traits.traits_of(bought(1, 5, 900), [], traits.Rhythm(), "UTC", NOW).fields
    assert "churn_risk" not in traits.traits_of({"orders": {"count": 0}}, [], traits.Rhythm(35.0), "UTC", NOW).fields


def test_who_left_and_complained_is_at_risk_until_they_return() -> None:
    person = bought(2, 10, 900)
    gone = [said("contact.left", NOW - timedelta(days=3)), said("message.complained", NOW - timedelta(days=4)),
            said("csat.submitted", NOW - timedelta(days=4), rating=1)]  # fmt: skip
    risk = traits.churn_risk(person, traits.in_order(gone), traits.Rhythm(), NOW)
    assert risk is not None and {each.code: each.points for each in risk.reasons} == {
        "left": 30, "complained": 25, "unhappy": 20,
    }  # fmt: skip
    back = [*gone, said("contact.returned", NOW - timedelta(days=1))]
    again = traits.churn_risk(person, traits.in_order(back), traits.Rhythm(), NOW)
    assert again is not None and again.value == risk.value - 30


@given(people(), happenings())
def test_risk_is_held_and_adds_up(person: dict[str, Any], events: list[dict[str, Any]]) -> None:
    risk = traits.churn_risk(person, traits.in_order(events), traits.Rhythm(40.0, 99), NOW)
    if risk is None:
        assert person["orders"]["count"] == 0
        return
    assert 0 <= risk.value <= 100
    assert risk.value == max(0, min(100, sum(each.points for each in risk.reasons)))


@given(st.lists(st.floats(0, 900), max_size=60))
def test_the_deployment_learns_from_enough_people(gaps: list[float]) -> None:
    rhythm = traits.learned(gaps)
    assert (rhythm.median_days is None) == (len(gaps) < traits.LEARNED_LEAST)
    assert rhythm.median_days is None or 1 <= rhythm.median_days <= 900.1


def needed(events: list[dict[str, Any]], needs: Any) -> list[dict[str, Any]]:
    """As `EventStore.latest` reads them: of each name the latest, and those of the same moment as the last of them."""
    kept = []
    for name, most in needs.items():
        rows = sorted((each for each in events if each["name"] == name), key=lambda each: each["occurred_at"])[::-1]
        past = [each for each in rows if each["occurred_at"] <= NOW]
        edge = past[most - 1]["occurred_at"] if most is not None and len(past) >= most else None
        kept += [each for each in rows if edge is None or each["occurred_at"] >= edge]
    return kept


FEW_TIMES = st.integers(-30, 3).map(lambda days: NOW + timedelta(days=days))


@st.composite
def counting_rules(draw: Any) -> dict[str, Any]:
    name, number = draw(st.sampled_from(["message.received", "message.sent"])), draw(st.integers(0, 4))
    count = {draw(st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte"])): number}
    within = draw(st.sampled_from([{}, {"within": "P5D"}, {"within": "P1M"}]))
    leaf = draw(st.sampled_from([
        {"event": name, "count": count, **within},
        {"event": name, "count": count, "where": {"field": "conversation_id", "op": "eq", "value": "c1"}},
        {"last_event": name, "op": "within_last", "value": "P5D"}, {"last_event": name, "op": "missing"},
    ]))  # fmt: skip
    return {"not": leaf} if draw(st.booleans()) else leaf


@given(
    st.lists(counting_rules(), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from(["message.received", "message.sent"]), FEW_TIMES, st.sampled_from(["c1", "c2"])),
             max_size=30),
    st.integers(0, 40),
)  # fmt: skip
@settings(max_examples=300)
def test_as_much_as_is_needed_answers_like_all_there_is(
    rules: list[dict[str, Any]], rows: list[tuple[str, datetime, str]], days: int
) -> None:
    """Rules over what happened: the same answer, and none that time alone changes before it was said to."""
    events = [
        {"_id": f"evt_{place:03}", "name": name, "occurred_at": at, "conversation_id": talk}
        for place, (name, at, talk) in enumerate(rows)
    ]
    later = NOW + timedelta(days=days)
    parsed = [parse(each) for each in rules]
    part = needed(events, joint_needs(event_needs(each) for each in parsed))
    for rule in parsed:
        person = {"_id": "prf_1"}
        holds, until = outlook(rule, Facts(person, ListedEvents(part, NOW)), NOW)
        assert holds is matches(rule, Facts(person, ListedEvents(events, NOW)), NOW)
        if until is None or later < until:
            assert matches(rule, Facts(person, ListedEvents(events, later)), later) is holds


@given(people(), happenings(), st.integers(1, 6))
@settings(max_examples=150)
def test_traits_of_the_latest_messages_are_those_of_all(
    person: dict[str, Any], events: list[dict[str, Any]], most: int
) -> None:
    needs = {**traits.NEEDS, traits.RECEIVED: most, traits.SENT: most}
    learned = traits.Rhythm(40.0, 99)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traits, "NEEDS", needs)
        part = needed([each for each in events if each["name"] in needs], needs)
        assert traits.traits_of(person, part, learned, "UTC", NOW) == traits.traits_of(
            person, events, learned, "UTC", NOW
        )
