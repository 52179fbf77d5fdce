"""Which values stay when two profiles become one, and what each has again when they are parted. No database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import WrongInput
from profiles.joining import REMADE, Layer, Parted, joined, objections, parted, taken_out, united
from profiles.models import Identity
from profiles.survivorship import ContactFact, Facts, new_profile

EARLY = datetime(2026, 3, 1, tzinfo=UTC)
LATE = EARLY + timedelta(days=1)


def person(profile_id: str, at: datetime = EARLY, source: Any = "channel", **more: Any) -> dict[str, Any]:
    mail = more.pop("email", None)
    facts = Facts(at, source, name=more.pop("name", None), emails=(ContactFact(mail, True),) if mail else ())
    return {**new_profile(profile_id, [facts]), **more}


def merged(this: dict[str, Any], other: dict[str, Any], **choices: Any) -> dict[str, Any]:
    return {**this, **joined(this, other, choices, LATE, {}).fields}


@pytest.mark.parametrize(
    ("this", "other", "stays"),
    [
        (("channel", EARLY), ("channel", LATE), "other"),
        (("channel", LATE), ("channel", EARLY), "this"),
        (("person", EARLY), ("channel", LATE), "this"),
        (("import", LATE), ("shop", EARLY), "other"),
        (("form", EARLY), ("form", EARLY), "this"),
    ],
)
def test_the_stronger_source_stays_then_the_newer_value(this: Any, other: Any, stays: str) -> None:
    one, two = person("prf_1", this[1], this[0], name="this"), person("prf_2", other[1], other[0], name="other")
    found = joined(one, two, {}, LATE, {})
    assert {**one, **found.fields}["name"] == stays
    assert found.set_aside == {"name": "other" if stays == "this" else "this"}


def test_empty_fields_are_filled_lists_united_and_times_joined() -> None:
    one = person("prf_1", LATE, tags=["a"], attributes={"city": "Leiden"}, score=10, notes_pinned=None)
    two = person(
        "prf_2", EARLY, email="b@example.org", tags=["b", "a"], attributes={"city": "Delft", "size": 4}, score=60,
        stage="customer", stage_since=EARLY, tier="gold", notes_pinned="x", segments=["seg_1"],
    )  # fmt: skip
    after = merged(one, two)
    assert after["tags"] == ["a", "b"] and after["attributes"] == {"city": "Leiden", "size": 4}
    assert (after["score"], after["tier"], after["stage"], after["stage_since"]) == (60, "gold", "customer", EARLY)
    assert after["created_at"] == EARLY and after["notes_pinned"] == "x" and after["segments"] == []
    assert [each["value"] for each in after["emails"]] == ["b@example.org"] and after["search"]


def test_one_address_is_primary_and_proved_once_is_proved() -> None:
    mine = [{"value": "a", "verified": False, "primary": True}]
    theirs = [{"value": "a", "verified": True, "primary": True}, {"value": "b", "verified": True, "primary": True}]
    both = united(mine, theirs)
    assert [(each["value"], each["verified"], each["primary"]) for each in both] == [
        ("a", True, True), ("b", True, False),
    ]  # fmt: skip


def test_a_choice_counts_as_edited_by_a_person_and_wrong_ones_are_refused() -> None:
    one, two = person("prf_1", LATE, name="One"), person("prf_2", name="Two", attributes={"city": "Delft"})
    one["attributes"] = {"city": "Leiden"}
    found = joined(one, two, {"name": "other", "attributes.city": "other"}, LATE, {})
    assert found.fields["name"] == "Two" and found.fields["sources"]["name"]["rank"] == 0
    assert found.fields["attributes"] == {"city": "Delft"}
    with pytest.raises(WrongInput) as refused:
        joined(one, two, {"dice": "other", "attributes.unknown": "this"}, LATE, {})
    assert [each.path for each in refused.value.errors] == ["fields.dice", "fields.attributes.unknown"]


def test_what_was_edited_since_stays_and_is_named() -> None:
    one = person("prf_1", LATE, name="One", tags=["a"], attributes={"city": "Leiden"})
    two = person("prf_2", EARLY, "person", name="Two", tags=["b"], attributes={"size": 4, "colour": "red"})
    found = joined(one, two, {}, LATE, {})
    now = {**one, **found.fields, "tags": ["a", "b", "since"]}
    now["attributes"] = {**now["attributes"], "colour": "blue", "since": 1}
    back = parted(now, one, found.fields)
    after = {**now, **back.fields}
    assert after["name"] == "One" and after["tags"] == ["a", "since"]
    assert after["attributes"] == {"city": "Leiden", "colour": "blue", "since": 1}
    assert back.kept == {"attributes.colour": None}
    edited = parted({**now, "name": "Three"}, one, found.fields)
    assert "name" not in edited.fields and edited.kept["name"] == "One"


VALUES = st.sampled_from(["", "a", "b", None])
TAGS = st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=3)
KEYED = st.dictionaries(st.sampled_from(["k", "l", "m"]), st.integers(0, 2), max_size=3)
ANYBODY = st.fixed_dictionaries(
    {"name": VALUES, "tier": VALUES, "owner_id": VALUES, "score": st.integers(0, 3), "tags": TAGS, "attributes": KEYED,
     "stage": st.sampled_from(["new", "lead"]), "email": VALUES}
)  # fmt: skip


@given(one=ANYBODY, two=ANYBODY, late=st.booleans(), source=st.sampled_from(["person", "channel", "import"]))
def test_parting_gives_back_what_joining_took(one: Any, two: Any, late: bool, source: Any) -> None:
    this = person("prf_1", LATE if late else EARLY, **one)
    other = person("prf_2", EARLY, source, **two)
    found = joined(this, other, {}, LATE, {})
    after = {**this, **found.fields}
    back = parted(after, this, found.fields)
    restored = {name: value for name, value in {**after, **back.fields}.items() if name not in back.gone}
    same = set(this) - (REMADE - {"search"})
    assert {name: restored[name] for name in same} == {name: this[name] for name in same}
    assert back.kept == {} and set(restored) == set(this)
    assert joined(after, other, {}, LATE, {}).fields.keys() <= {"sources"}  # joined twice is joined once


@given(people=st.lists(ANYBODY, min_size=2, max_size=4), order=st.permutations(range(3)))
def test_merges_are_undone_in_any_order_as_if_they_had_never_been(people: list[Any], order: list[int]) -> None:
    first, *others = [person(f"prf_{n}", EARLY + timedelta(n), **each) for n, each in enumerate(people)]
    now, layers = dict(first), []
    for other in others:
        found = joined(now, other, {}, LATE, {})
        layers.append(Layer(dict(now), other, {}, found.fields, LATE))
        now |= found.fields
    for wanted in (each for each in order if each < len(others)):
        at = next(n for n, each in enumerate(layers) if each.other is others[wanted])
        taken = taken_out(now, layers[at], layers[at + 1 :], {})
        assert taken.survivor.kept == {}
        now = without(now, taken.survivor)
        later = [
            Layer(before, each.other, {}, plan.fields, LATE)
            for each, (before, plan) in zip(layers[at + 1 :], taken.later, strict=True)
        ]
        layers = [*layers[:at], *later]
        never = dict(first)
        for each in layers:
            assert shown(each.before) == shown(never)
            never |= joined(never, each.other, {}, LATE, {}).fields
        assert shown(now) == shown(never)
    assert shown(now) == shown(first)


def test_of_two_addresses_one_stays_whole_and_the_other_is_set_aside() -> None:
    leiden, delft = {"city": "Leiden", "country": "NL"}, {"city": "Delft", "street": "Markt 1"}
    one, two = person("prf_1", LATE, address=leiden), person("prf_2", address=delft)
    assert merged(one, {**two, "address": None})["address"] == leiden
    assert merged({**one, "address": None}, two)["address"] == delft
    assert joined(one, two, {}, LATE, {}).set_aside["address"] == delft
    assert joined(one, two, {"address": "other"}, LATE, {}).fields["address"] == delft


def test_what_was_edited_between_and_after_merges_stays() -> None:
    one, two = person("prf_1", LATE, tags=["a"]), person("prf_2", tags=["b"], attributes={"size": 4})
    three = person("prf_3", tags=["c"], attributes={"colour": "red"})
    first = joined(one, two, {}, LATE, {})
    between = {**one, **first.fields, "tags": ["a", "b", "between"], "owner_id": "usr_1"}
    second = joined(between, three, {}, LATE, {})
    now = {**between, **second.fields, "locale": "nl"}
    taken = taken_out(
        now, Layer(one, two, {}, first.fields, LATE), [Layer(between, three, {}, second.fields, LATE)], {}
    )  # fmt: skip
    after = without(now, taken.survivor)
    assert after["tags"] == ["a", "between", "c"] and after["attributes"] == {"colour": "red"}
    assert (after["owner_id"], after["locale"]) == ("usr_1", "nl")
    ((before, _),) = taken.later
    assert before["tags"] == ["a", "between"] and before["owner_id"] == "usr_1"


def without(now: dict[str, Any], back: Parted) -> dict[str, Any]:
    return {name: value for name, value in {**now, **back.fields}.items() if name not in back.gone}


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in REMADE - {"search"}}


def identity(number: int, kind: Any, channel_id: str | None = None) -> Identity:
    return Identity(
        _id=f"idn_{number}", key=f"k{number}", address_key="a", kind=kind, strength="strong", profile_id="prf_1",
        channel_id=channel_id, first_seen_at=EARLY,
    )  # fmt: skip


def test_limits_hold_for_what_both_bring() -> None:
    def several(kind: Any, count: int, channel: str | None = None, first: int = 0) -> list[Identity]:
        return [identity(first + number, kind, channel) for number in range(count)]

    assert objections(several("customer_id", 1), several("email", 1), 0) == []
    assert objections(several("customer_id", 1), several("customer_id", 1, first=5), 0) == ["different_customers"]
    assert objections(several("email", 5), several("email", 1, first=9), 0) == ["too_many_emails"]
    assert objections(several("channel", 2, "c"), several("channel", 1, "c", 9), 0) == ["too_many_on_a_channel"]
    assert objections(several("channel", 3, "c"), several("channel", 1, "d", 9), 0) == []
    assert objections(several("anonymous", 30), several("anonymous", 21, first=50), 20) == [
        "too_many_identities", "too_many_merges",
    ]  # fmt: skip


def test_points_by_hand_come_with_the_score_that_stays() -> None:
    part = [{"rule_id": "bought", "name": "", "points": 30}]
    one = {**person("prf_1", LATE, score=30), "score_parts": part, "manual_points": 0, "score_told": 30}
    two = {**person("prf_2", score=45)}
    found = joined(one, two, {}, LATE, {})
    after = {**one, **found.fields}
    assert (after["score"], after["manual_points"], after["score_parts"]) == (45, 45, [])
    appraised = {**after, "score": 75, "score_parts": [*part, {"rule_id": "manual", "name": "", "points": 45}]}
    back = parted(appraised, one, found.fields)
    assert back.kept == {} and {**appraised, **back.fields}["manual_points"] == 0
    edited = {**appraised, "score": 80, "manual_points": 50}
    assert parted(edited, one, found.fields).kept == {"score": 30}
    plain = {**one, "tier": None, "tier_source": "rule"}
    found = joined(plain, {**one, "tier": "vip", "tier_source": "rule"}, {}, LATE, {})
    moved = {**plain, **found.fields, "tier": "level1"}
    assert "tier" not in parted(moved, plain, found.fields).kept
