"""What becomes of people when a journey is edited, on random journeys and edits; what two versions say otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from campaigns.definition import must_read
from campaigns.differences import differences
from campaigns.effects import send_key
from campaigns.engine import walk
from campaigns.migration import Migrated, check_choices, due_anew, fate_of, migrated, plan_of, successor
from campaigns.models import Definition, WaitStep
from campaigns.run import Candidate, Facts, RequestSend, RunState, SendFact, Wait
from campaigns.validate import is_pinned

AT = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
IDS = [f"s{i}" for i in range(6)]


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Some of six steps, in any order, each leading to any later one or to the end."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True))
    steps = []
    for place, key in enumerate(ids):
        later = st.sampled_from([*ids[place + 1 :], None])
        kind = draw(st.sampled_from(["send", "wait", "wait_event", "branch"]))
        if kind == "send":
            step: dict[str, Any] = {"content": {"text": draw(st.sampled_from("ab"))}, "next": draw(later)}
        elif kind == "wait":
            step = {"for": f"PT{draw(st.integers(0, 90))}H", "next": draw(later)}
        elif kind == "wait_event":
            ways = [{"event": "x", "next": draw(later)}]
            step = {"any": ways, "timeout": f"PT{draw(st.integers(1, 90))}H", "timeout_next": draw(later)}
        else:
            step = {"cases": [{"when": {"field": "journey.x", "op": "eq", "value": 1}, "next": draw(later)}],
                    "else": draw(later)}  # fmt: skip
        steps.append({"id": key, "type": kind, **step})
    return must_read({"name": "J", "trigger": {"type": "api"}, "steps": steps})


def moved(old: Definition, new: Definition, run: RunState, now: datetime, **nodes: str | None) -> Migrated:
    return migrated(run, old.by_id.get(run.node), fate_of(run.node, plan_of(old, new, nodes), new), new, now)


def facts(run: RunState, sent: dict[str, str]) -> Facts:
    """All that a decision looks at: one address, nothing happened, what was sent so far."""
    key = send_key(run.id, run.node, run.visit, "chn")
    return Facts(
        loaded=frozenset({"profile", "history", "happened", "order", "conversation", "candidates"}),
        candidates=[Candidate("chn", "idn", "chat")], sends={"chn": SendFact(sent[key])} if key in sent else {},
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(definitions(), min_size=2, max_size=4), st.lists(st.integers(0, 60), min_size=8, max_size=8))
def test_whatever_is_edited_nobody_is_lost_sent_to_twice_or_moved_too_early(
    versions: list[Definition], hours: list[int]
) -> None:
    """A person walks while one version after the other takes the place of the last, in the middle of sends too."""
    now = AT
    sent: dict[str, str] = {}
    definition = versions[0]
    run = RunState("enr", "jrn", "prf", definition.entry, 1, now, now, {definition.entry: 1})
    pending = list(versions[1:])
    asked: list[tuple[str, str]] = []
    for span in hours:
        for _ in range(12):
            walked = walk(definition, run, facts(run, sent), now)
            for effect in walked.effects:
                if isinstance(effect, RequestSend):
                    key = send_key(run.id, effect.node, effect.visit, "chn")
                    asked.append((effect.node, key))
                    sent.setdefault(key, "accepted" if span % 2 else "queued")
            run = walked.run
            if walked.ended is not None:
                return
            assert run.node in definition.by_id
            if not walked.again and not (walked.effects and span % 2):
                break
        now += timedelta(hours=span)
        if pending:
            old, definition = definition, pending.pop(0)
            before, done = run, moved(old, definition, run, now)
            if done.ended:
                assert before.node not in definition.by_id
                return
            run = done.run
            assert run.node in definition.by_id, "stands where no step is"
            if done.what != "gone":
                assert (run.node, run.visit, run.entered_at) == (before.node, before.visit, before.entered_at)
            else:
                assert run.visit == before.visits.get(run.node, 0) + 1
            step = definition.by_id[run.node]
            if isinstance(step, WaitStep):
                due = due_anew(step, run, facts(run, sent), now)
                early = walk(definition, run, facts(run, sent), max(now, due - timedelta(seconds=1)))
                assert due <= now or early.run.node == run.node, "went on before the wait was over"
        sent = {key: "accepted" if span % 3 else state for key, state in sent.items()}
        keys = {key for node, key in asked if node == run.node}
        assert len(keys) <= run.visits[run.node], "more messages than visits"


def made(*steps: dict[str, Any], **more: Any) -> Definition:
    return must_read({"name": "J", "trigger": {"type": "api"}, "steps": list(steps), **more})


WAIT = {"id": "w", "type": "wait", "for": "P3D", "next": "s"}
SEND = {"id": "s", "type": "send", "content": {"text": "x"}, "next": None}
RUN = RunState("enr", "jrn", "prf", "w", 1, AT, AT, {"w": 1}, wait=Wait("time", AT + timedelta(days=3)))


def test_a_name_or_the_way_on_is_no_change_for_who_stands_there() -> None:
    new = made({**WAIT, "name": "Patience", "next": None})
    assert plan_of(made(WAIT, SEND), new, {})["w"].what == "same"
    assert not moved(made(WAIT, SEND), new, RUN, AT).look
    assert plan_of(made(WAIT, SEND), made({**WAIT, "for": "P2D"}, SEND), {})["w"].what == "changed"
    assert plan_of(made(WAIT, SEND), made(WAIT, SEND, goal={"when": {"event": "x"}}), {})["w"].what == "changed"


def test_the_next_step_that_is_still_there_is_the_nearest_on_the_way_of_who_waits_in_vain() -> None:
    ways = [{"event": "x", "next": "yes"}]
    event = {"id": "e", "type": "wait_event", "any": ways, "timeout": "P1D", "timeout_next": "no"}
    yes, no = {**SEND, "id": "yes"}, {**SEND, "id": "no"}
    assert successor("e", made(event, yes, no), made(yes, no)) == "no"
    assert successor("e", made(event, yes, no), made(yes)) == "yes"
    assert successor("e", made(event, yes, no), made(SEND)) is None
    assert successor("w", made(WAIT, SEND), made({**WAIT, "id": "other"})) is None


def test_a_step_that_became_another_kind_keeps_its_visit_and_forgets_its_wait() -> None:
    done = moved(made(WAIT, SEND), made({**SEND, "id": "w"}), RUN, AT)
    assert (done.run.wait, done.run.visit, done.look) == (None, 1, True)
    assert moved(made(WAIT, SEND), made({**WAIT, "for": "P9D"}, SEND), RUN, AT).run.wait == RUN.wait


def test_who_has_not_begun_begins_where_the_new_version_does() -> None:
    queued = RunState("enr", "jrn", "prf", "w", 1, AT, AT, {"w": 1}, wait=Wait("queue", AT, ref="enr_0"))
    done = moved(made(WAIT, SEND), made({**SEND, "id": "first", "next": "w"}, WAIT, SEND), queued, AT)
    assert (done.run.node, done.run.visits, done.ended) == ("first", {"first": 1}, False)


def test_who_has_been_at_the_next_step_too_often_is_let_go() -> None:
    often = RunState("enr", "jrn", "prf", "w", 1, AT, AT, {"w": 1, "s": 10})
    assert moved(made(WAIT, SEND), made(SEND), often, AT).ended


def test_choices_name_steps_that_are_gone_and_steps_that_are_there() -> None:
    check_choices({"gone": "s", "out": None}, made(SEND), "nodes")
    with pytest.raises(WrongInput) as told:
        check_choices({"s": None, "gone": "nowhere"}, made(SEND), "nodes")
    assert [each.path for each in told.value.errors] == ["nodes.s", "nodes.gone"]


def test_differences_name_steps_and_fields() -> None:
    old = {"name": "J", "trigger": {"type": "api"}, "steps": [WAIT, SEND]}
    new = {"name": "K", "trigger": {"type": "api"}, "steps": [{**WAIT, "for": "P2D"}, {**SEND, "id": "t"}]}
    found = differences(old, new)
    assert [each.id for each in found.added] == ["t"] and [each.id for each in found.removed] == ["s"]
    (step,) = found.changed
    assert [(each.path, each.before, each.after) for each in step.fields] == [("for", "P3D", "P2D")]
    assert [each.path for each in found.journey] == ["name"]
    assert differences(old, old).nothing
    (inside,) = differences(
        {"steps": [{**SEND, "content": {"text": "a"}}]}, {"steps": [{**SEND, "content": {"text": "b"}}]}
    ).changed
    assert inside.fields[0].path == "content.text"


def test_arms_of_a_split_keep_their_wording_and_what_follows_both_does_not() -> None:
    named = {"type": "send", "template_id": "tpl_x", "next": "end"}
    split = {"id": "x", "type": "split", "arms": [{"weight": 1, "next": "a"}, {"weight": 1, "next": "end"}]}
    whole = made(split, {"id": "a", **named}, {"id": "end", **named, "next": None})
    steps = whole.by_id
    assert is_pinned(steps["a"], whole) and not is_pinned(steps["end"], whole)  # type: ignore[arg-type]
