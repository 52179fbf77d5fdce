"""Journeys and renamed tags: a version is never rewritten, and finds a tag by any of its names. Pure."""

from datetime import UTC, datetime
from typing import Any

from campaigns.conditions import Happened, Scope, holds, subject_of
from campaigns.definition import must_read
from campaigns.matching import begins
from campaigns.models import BranchStep, Definition, WaitEventStep
from campaigns.naming import with_tag_names
from profiles.segments import TagNames

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAMES = TagNames((("tee", "tea"),), 1)
TAGGED = {"field": "tags", "op": "any_of", "value": ["tee"]}
TOLD = [{"field": "properties.tag", "op": "eq", "value": "tee"}]


def journey(**more: Any) -> Definition:
    steps = [
        {"id": "b", "type": "branch", "cases": [{"when": TAGGED, "next": "w"}], "else": "end"},
        {"id": "w", "type": "wait_event", "any": [{"event": "profile.tag_added", "where": TOLD, "next": "end"}]},
        {"id": "end", "type": "exit"},
    ]
    raw = {"name": "Tea", "trigger": {"type": "api"}, "steps": steps, **more}
    before = must_read(raw)
    assert before.by_id and with_tag_names(before, TagNames()) is before
    return with_tag_names(before, NAMES)


def happened(name: str, tag: str) -> Happened:
    return Happened("evt_1", name, NOW, properties={"tag": tag})


def test_branches_filters_goals_and_waits_find_it_by_any_name() -> None:
    goal = {"when": {"event": "profile.tag_removed", "where": TOLD}}
    found = journey(entry_filter=TAGGED, goal=goal, exit_when={"all": [TAGGED, {"event": "order.paid"}]})
    branch, wait = found.by_id["b"], found.by_id["w"]
    assert isinstance(branch, BranchStep) and isinstance(wait, WaitEventStep)
    for tag, wanted in (("tee", True), ("tea", True), ("vip", False)):
        person = Scope(subject_of({"_id": "prf_1", "tags": [tag]}, (), NOW))
        assert found.entry_filter is not None and holds(found.entry_filter, person, NOW) is wanted
        assert holds(branch.cases[0].when, person, NOW) is wanted
        assert wait.any[0].where.matches(happened("profile.tag_added", tag).view(), NOW) is wanted
        lost = Scope(None, happened=[happened("profile.tag_removed", tag)])
        assert found.goal is not None and holds(found.goal.when, lost, NOW) is wanted
        bought = Scope(person.subject, happened=[Happened("evt_2", "order.paid", NOW)])
        assert found.exit_when is not None and holds(found.exit_when, bought, NOW) is wanted


def test_triggers_begin_by_any_name() -> None:
    changed = journey(trigger={"type": "changed", "field": "tags", "to": "tee"}).trigger
    event = journey(trigger={"type": "event", "event": "profile.tag_added", "where": TOLD}).trigger
    gone = journey(trigger={"type": "changed", "field": "tags", "from": "tee"}).trigger
    for tag, wanted in (("tee", True), ("tea", True), ("vip", False)):
        assert begins(changed, happened("profile.tag_added", tag), NOW) is wanted
        assert begins(event, happened("profile.tag_added", tag), NOW) is wanted
        assert begins(gone, happened("profile.tag_removed", tag), NOW) is wanted


def test_what_names_no_tag_stays_as_it_is() -> None:
    """Another field of the same value, another event with such a property."""
    other = {"field": "attributes.drink", "op": "eq", "value": "tee"}
    found = journey(entry_filter=other, trigger={"type": "event", "event": "quiz.done", "where": TOLD})
    assert found.entry_filter is not None and found.entry_filter.raw == other
    assert not holds(found.entry_filter, Scope(subject_of({"_id": "p", "attributes": {"drink": "tea"}}, (), NOW)), NOW)
    assert begins(found.trigger, happened("quiz.done", "tee"), NOW)
    assert not begins(found.trigger, happened("quiz.done", "tea"), NOW)
