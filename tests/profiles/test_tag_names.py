"""Former names of tags: whatever was renamed in whatever order, a rule means the tag by any of its names."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from profiles.segments import Facts, TagNames, matches, parse, todays, with_tags
from profiles.segments.memory import ListedEvents
from profiles.uses import Asked

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
TAGS = ("tee", "tea", "Tea", "coffee", "vip")
TAG = st.sampled_from(TAGS)
RENAMES = st.lists(st.tuples(TAG, TAG).filter(lambda pair: pair[0] != pair[1]), max_size=6)


def _field(op: str, value: Any) -> dict[str, Any]:
    return {"field": "tags", "op": op, "value": value}


LEAVES = st.one_of(
    st.builds(_field, st.sampled_from(["any_of", "all_of", "none_of", "in", "not_in"]), st.lists(TAG, min_size=1)),
    st.builds(_field, st.sampled_from(["eq", "ne"]), TAG),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda rules: {"all": rules}, st.lists(inner, max_size=3)),
        st.builds(lambda rules: {"any": rules}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda rule: {"not": rule}, inner),
    ),
    max_leaves=6,
)


def holds(rule: Any, tags: list[str]) -> bool:
    return matches(rule, Facts({"_id": "prf_1", "tags": tags}), NOW)


@given(RENAMES, RULES, st.lists(TAG, max_size=4))
@example([("tee", "tea"), ("tea", "tee")], _field("any_of", ["tea"]), ["tee"])
@example([("tee", "tea"), ("tea", "coffee")], _field("all_of", ["tee", "vip"]), ["tea", "vip"])
def test_a_rule_means_a_tag_by_any_of_its_names(
    renamed: list[tuple[str, str]], rule: dict[str, Any], tags: list[str]
) -> None:
    """Whoever has been changed already and whoever has not: the answer is that of rule and person in today's words."""
    names = TagNames(tuple(renamed), len(renamed))
    now = [names.today(each) for each in tags]
    wanted = holds(parse(todays(rule, names)), now)
    assert holds(with_tags(parse(rule), names), tags) is wanted
    assert holds(with_tags(parse(rule), names), now) is wanted
    assert holds(with_tags(parse(todays(rule, names)), names), tags) is wanted


@given(RENAMES)
def test_every_name_leads_to_one_that_leads_nowhere(renamed: list[tuple[str, str]]) -> None:
    names = TagNames(tuple(renamed), len(renamed))
    for tag in TAGS:
        today = names.today(tag)
        assert names.today(today) == today and tag in names.spellings([tag]) and names.spellings([tag])[0] == today
        assert names.spellings([tag]) == names.spellings([today])
    if renamed:
        assert names.today(renamed[-1][0]) == renamed[-1][1]


def test_a_tag_in_any_case_and_in_what_happened() -> None:
    names = TagNames((("Tee", "coffee"),), 1)
    contains = with_tags(parse(_field("contains", "tee")), names)
    assert holds(contains, ["coffee"]) and holds(contains, ["TEE"]) and not holds(contains, ["vip"])
    lacks = with_tags(parse(_field("not_contains", "tee")), names)
    assert holds(lacks, ["vip"]) and not holds(lacks, ["coffee"]) and not holds(lacks, ["tee"])
    starts = with_tags(parse(_field("starts_with", "Te")), names)
    assert not holds(starts, ["coffee"])  # letters, not a tag
    given_tag = {"event": "profile.tag_added", "where": {"field": "properties.tag", "op": "eq", "value": "Tee"}}
    rule = with_tags(parse(given_tag), names)
    for tag, wanted in (("Tee", True), ("coffee", True), ("vip", False)):
        row = {"name": "profile.tag_added", "occurred_at": NOW, "properties": {"tag": tag}}
        assert matches(rule, Facts({"_id": "prf_1"}, ListedEvents([row], NOW)), NOW) is wanted


def test_who_names_it_is_found_in_any_depth() -> None:
    asked = Asked(tags=frozenset({"tee"}))
    for named in (
        _field("any_of", ["vip", "tee"]), {"all": [{"not": _field("eq", "tee")}]}, _field("contains", "TEE"),
        {"steps": [{"type": "update", "add_tags": ["tee"]}]}, {"steps": [{"type": "update", "remove_tags": ["tee"]}]},
        {"trigger": {"type": "changed", "field": "tags", "to": "tee"}},
        {"trigger": {"event": "profile.tag_added", "where": [{"field": "properties.tag", "op": "eq", "value": "tee"}]}},
        {"steps": [{"type": "branch", "cases": [{"when": {"field": "event.properties.tag", "op": "eq",
                                                          "value": "tee"}}]}]},
    ):  # fmt: skip
        assert asked.named_in(named), named
    name = {"field": "name", "op": "eq", "value": "tee"}
    for other in (_field("any_of", ["vip"]), name, {"segment": "seg_1"}, "tee"):
        assert not asked.named_in(other), other
    assert Asked(segment_id="seg_1").named_in({"entry_filter": {"not": {"segment": "seg_1"}}})
    assert not Asked(segment_id="seg_1").named_in({"segment": "seg_2"})
