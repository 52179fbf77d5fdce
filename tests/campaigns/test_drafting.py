"""Changes of a draft: nobody's way is cut where a step comes in, moves or goes; all ways lead to steps."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import Conflict, NotFound
from campaigns.drafting import (
    START,
    free_id,
    inserted,
    loose,
    moved,
    removed,
    shifted,
    slots,
    steps_of,
    tidy,
    ways_of,
)

NEW: dict[str, dict[str, Any]] = {
    "wait": {"for": "P1D"}, "send": {}, "task": {"wait_done": True, "timeout": "P1D"}, "exit": {},
    "branch": {"cases": [{}, {}]}, "split": {"arms": [{"weight": 1}, {"weight": 1}]},
    "wait_event": {"any": [{"event": "order.paid"}], "timeout": "P1D"},
}  # fmt: skip


def built(*steps: tuple[str, str]) -> dict[str, Any]:
    """A draft made of (type, slot)."""
    draft: dict[str, Any] = {}
    for kind, slot in steps:
        draft = inserted(draft, slot, {"id": free_id(kind, steps_of(draft)), "type": kind, **NEW[kind]})
    return draft


def ids(draft: dict[str, Any]) -> list[str]:
    return list(steps_of(draft))


def test_a_step_comes_in_between_two() -> None:
    draft = built(("wait", START), ("send", "wait:next"), ("wait", "wait:next"))
    assert slots(draft) == {START: "wait", "wait:next": "wait2", "wait2:next": "send", "send:next": None}
    assert ids(inserted(draft, START, {"id": "x", "type": "send"}))[0] == "x"
    with pytest.raises(Conflict):
        inserted(draft, "gone:next", {"id": "x", "type": "send"})


def test_all_ways_of_a_new_branch_lead_on() -> None:
    draft = built(("send", START), ("branch", START))
    assert [target for _, target in ways_of(steps_of(draft)["branch"])] == ["send", "send", "send"]


def test_what_only_the_other_ways_led_to_goes_with_a_branch() -> None:
    draft = built(("branch", START), ("send", "branch:cases[0].next"), ("wait", "send:next"), ("task", "branch:else"))
    assert ids(removed(draft, "branch")) == ["send", "wait"]
    assert ids(removed(draft, "branch", "else")) == ["task"]
    assert "steps" not in removed(draft, "branch", "cases[1].next")
    with pytest.raises(NotFound):
        removed(draft, "gone")


def test_what_stands_in_two_ways_stays() -> None:
    draft = built(("send", START), ("branch", START), ("wait", "branch:else"))
    assert ids(removed(draft, "branch", "cases[0].next")) == ["send"]
    assert slots(removed(draft, "wait"))["branch:else"] == "send"


def test_the_goal_follows_when_its_step_goes() -> None:
    draft = built(("wait", START), ("send", "wait:next")) | {"goal": {"on_meet": "jump:send"}}
    assert removed(draft, "send")["goal"] == {"on_meet": "exit"}


def test_a_step_moves_and_the_gap_closes() -> None:
    draft = built(("wait", START), ("send", "wait:next"), ("task", "send:next"))
    up = shifted(draft, "task", up=True)
    places = (START, "wait:next", "task:next", "send:next")
    assert [slots(up)[each] for each in places] == ["wait", "task", "send", None]
    assert ids(shifted(up, "wait", up=False))[0] == "task"
    assert slots(shifted(draft, "task", up=False)) == slots(draft)
    assert slots(shifted(draft, "wait", up=True)) == slots(draft)
    assert moved(draft, "send", "wait:next") == draft
    with pytest.raises(Conflict):
        moved(draft, "send", "send:next")


def test_steps_without_ids_get_some_and_what_is_no_step_is_left_out() -> None:
    assert tidy({"steps": [{"type": "wait"}, 5, {"id": "wait", "type": "wait"}]})["steps"] == [
        {"type": "wait", "id": "wait2"}, {"id": "wait", "type": "wait"},
    ]  # fmt: skip
    assert "steps" not in tidy({"steps": []})


acts = st.sampled_from(["add", "remove", "move", "up", "down"])
deeds = st.lists(st.tuples(acts, st.sampled_from(sorted(NEW)), st.integers(0, 99)), max_size=25)


@settings(max_examples=200, deadline=None)
@given(deeds)
def test_whatever_is_done_every_way_leads_to_a_step_or_an_end(deeds: list[tuple[str, str, int]]) -> None:
    draft: dict[str, Any] = {}
    for deed, kind, n in deeds:
        known, places = ids(draft), list(slots(draft))
        step = known[n % len(known)] if known else ""
        if deed == "add":
            draft = inserted(draft, places[n % len(places)], {"id": free_id(kind, known), "type": kind, **NEW[kind]})
        elif step and deed == "remove":
            draft = removed(draft, step)
        elif step and deed == "move" and not places[n % len(places)].startswith(f"{step}:"):
            draft = moved(draft, step, places[n % len(places)])
        elif step and deed in ("up", "down"):
            before = set(known)
            draft = shifted(draft, step, up=deed == "up")
            assert set(ids(draft)) == before
        steps = steps_of(draft)
        assert len(steps) == len(draft.get("steps", ()))
        assert all(to is None or to in steps for each in steps.values() for _, to in ways_of(each))
        assert slots(draft)[START] == next(iter(steps), None) and set(loose(draft)) <= set(steps)
