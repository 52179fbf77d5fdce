"""What somebody sees of all that waits: pure, so in plenty."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.stream.items import KINDS, OFFERED, URGENCY, Item, key_of, moment, stamp
from campaigns.stream.ladders import StreamRules, comes_at, ladder_of, rung
from campaigns.stream.order import Mark, Viewer, stands_in, stream

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
ME, BEN, CLEO = (f"usr_{letter * 26}" for letter in "abc")
PEOPLE = [f"prf_{digit * 26}" for digit in "01234"]
WHYS = {
    "conversation": ("sla_breached", "sla_soon", "waiting"), "task": ("due", "coming", "undated"),
    "follow_up": ("due", "coming"), "order": ("unpaid", "unnoticed", "unreviewed"), "failed": ("failed",),
    "hot": ("hot",), "idle": ("idle",), "pair": ("pair",),
}  # fmt: skip


@st.composite
def items(draw):
    kind = draw(st.sampled_from(KINDS))
    person = draw(st.sampled_from(PEOPLE))
    number = draw(st.integers(0, 5))
    return Item(
        f"{kind}:{person}:{number}", kind, draw(st.sampled_from(WHYS[kind])), NOW - timedelta(hours=number),
        profile_id=person, other_id=draw(st.sampled_from(PEOPLE)) if kind == "pair" else None,
        assignee_id=draw(st.sampled_from([ME, BEN, None])),
    )  # fmt: skip


marks = st.builds(
    Mark, st.booleans(), st.sampled_from([None, None, BEN, ME]),
    st.dictionaries(st.sampled_from([ME, BEN]), st.sampled_from([NOW + timedelta(hours=2), NOW - timedelta(hours=1)])),
)  # fmt: skip


@given(st.lists(items(), max_size=25), st.data())
def test_nobody_appears_twice_and_what_is_snoozed_comes_back(found, data):
    kept = {item.key: data.draw(marks) for item in found if data.draw(st.booleans())}
    viewer = Viewer(ME, frozenset(data.draw(st.sampled_from([[], [BEN]]))))
    shown = stream(found, kept, viewer, NOW)

    # each key once, the most urgent first, only what is one's own
    assert len({item.key for item in shown}) == len(shown)
    places = [(URGENCY[item.why], item.at, item.key) for item in shown]
    assert places == sorted(places)
    assert all(item.assignee_id in viewer.owners for item in shown)
    # of what nobody promised one row per person, and none beside another row about them
    offered = [person for item in shown if item.kind in OFFERED for person in item.people]
    promised = {person for item in shown if item.kind not in OFFERED for person in item.people}
    assert len(set(offered)) == len(offered)
    assert promised.isdisjoint(offered)
    # what was done or put off is away, and nothing that was promised is lost otherwise
    mine = {item.key: item for item in reversed(found)}
    for key, item in mine.items():
        mark = kept.get(key, Mark())
        until = mark.snoozed.get(ME)
        away = mark.done or (until is not None and until > NOW)
        owner = mark.given_to or next(each.assignee_id for each in found if each.key == key)
        if away:
            assert key not in {each.key for each in shown}
        elif item.kind not in OFFERED and owner in viewer.owners:
            assert key in {each.key for each in shown}
    # later all that was put off is there again, and what is done stays done
    later = stream(found, kept, viewer, NOW + timedelta(hours=3))
    assert not [item for item in later if kept.get(item.key, Mark()).done]
    free = {item.key for item in mine.values() if item.kind not in OFFERED and not kept.get(item.key, Mark()).done}
    owned = {item.key for item in found if (kept.get(item.key, Mark()).given_to or item.assignee_id) in viewer.owners}
    assert {item.key for item in later} >= free & {key for key in owned if len({
        each.assignee_id for each in found if each.key == key}) == 1}  # fmt: skip


def row(kind, person=PEOPLE[0], why=None, owner=None, number=0, other=None):
    return Item(f"{kind}:{person}:{number}", kind, why or WHYS[kind][0], NOW, profile_id=person, other_id=other,
                assignee_id=owner)  # fmt: skip


def test_a_done_hot_row_leaves_its_person_in_peace_until_the_cause_comes_anew():
    hot, idle = row("hot"), row("idle")
    assert [each.kind for each in stream([idle, hot], {}, Viewer(ME), NOW)] == ["hot"]
    assert stream([idle, hot], {hot.key: Mark(done=True)}, Viewer(ME), NOW) == []
    anew = row("hot", number=1)
    assert stream([idle, anew], {hot.key: Mark(done=True)}, Viewer(ME), NOW) == [anew]


def test_what_is_handed_over_is_the_others_alone():
    failed = row("failed")
    given_over = {failed.key: Mark(given_to=BEN)}
    assert stream([failed], given_over, Viewer(ME), NOW) == []
    assert [each.assignee_id for each in stream([failed], given_over, Viewer(BEN), NOW)] == [BEN]
    # he goes on leave: who stands in for him sees it
    assert [each.key for each in stream([failed], given_over, Viewer(ME, frozenset({BEN})), NOW)] == [failed.key]


def test_who_stands_in_for_whom():
    crews = [[ME, BEN], [CLEO]]
    assert stands_in(ME, {BEN}, crews, {}) == {BEN}
    assert stands_in(CLEO, {BEN}, crews, {}) == frozenset(), "of another team"
    assert stands_in(CLEO, {BEN}, crews, {BEN: CLEO}) == {BEN}, "the deputy"
    assert stands_in(ME, {BEN}, crews, {BEN: CLEO}) == frozenset(), "and nobody else"
    assert stands_in(ME, {BEN, CLEO}, crews, {BEN: CLEO}) == {BEN, CLEO}, "the deputy is away, too; Cleo has no mates"
    assert stands_in(BEN, {BEN}, crews, {}) == frozenset(), "who is away stands in for nobody"
    assert stands_in(ME, {BEN}, [], {}) == {BEN}, "without teams: everybody"


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6, unique=True), st.integers(0, 500), st.integers(0, 400))
def test_a_ladder_is_climbed_rung_by_rung(days, passed, done):
    rungs, contact = sorted(days), NOW - timedelta(days=passed)
    reached = rung(rungs, contact, NOW)
    assert reached == max((each for each in rungs if each <= passed), default=None)
    due = comes_at(rungs, contact, done)
    above = [each for each in rungs if each > done]
    assert (due is None) == (not above)
    # it is due exactly when a rung above the one that was done is reached
    assert (due is not None and due <= NOW) == (reached is not None and reached > done)


def test_who_stands_on_which_ladder():
    assert ladder_of("vip", None, planned=False) == "vip"
    assert ladder_of(None, ME, planned=False) == "owned"
    assert ladder_of(None, None, planned=False) is None
    assert ladder_of("vip", ME, planned=True) is None, "who has a next follow-up is not forgotten"


def test_rules_say_what_is_wrong():
    assert StreamRules().idle["vip"] == [14, 30, 60]
    assert "level1" not in StreamRules(idle={"vip": [3], "level1": []}).idle
    for wrong in ({"idle": {"vip": [30, 14]}}, {"idle": {"vip": [0]}}, {"idle": {"VIP!": [1]}}, {"unpaid_after_h": 0}):
        with pytest.raises(ValidationError):
            StreamRules.model_validate(wrong)


@given(st.integers(0, 7_000_000_000_000))
def test_a_moment_survives_its_key(ms):
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert moment(stamp(exact)) == exact


@given(st.text(max_size=130))
def test_a_key_is_one_of_ours_or_none(text):
    key = key_of(text)
    assert key is None or ":".join((key.kind, key.id, *key.rest)) == text
