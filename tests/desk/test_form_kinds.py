"""Forms drawn of kinds of fields: whatever step goes into a form comes out of it, and every type has one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.clock import now
from campaigns.models import STEPS, TRIGGERS, Definition
from desk.i18n import Formats, zone_of
from desk.pages.form_kinds import Field, built, filled, settled, with_row, without_row
from desk.pages.form_views import Drawing, FieldView
from desk.pages.journey_forms import NEW, SETTINGS, STEP_FORMS, TRIGGER_FORMS, offered, step_fields, trigger_fields

RULE = {"any": [{"field": "tags", "op": "any_of", "value": ["vip"]}, {"event": "order.paid", "within": "P30D"}]}
OWN = {"field": "order.status", "op": "in", "value": ["paid", "delivered"]}
DEEP = {"any": [{"all": [{"any": [{"all": [{"reachable": "line"}, {"reachable": "email"}]}]}]}]}
WHERE = [{"field": "properties.total", "op": "gte", "value": 50}]
STEP_EXAMPLES: list[dict[str, Any]] = [
    {"type": "send", "channels": ["email", "chn_1"], "template_id": "tpl_1", "if_failed": "exit", "next": "x"},
    {"type": "send", "group": "news", "content": {
        "subject": "Hi", "text": " Two\n\nlines ", "body": "<p>x</p>", "buttons": [{"title": "Yes", "payload": "y"}],
        "locales": {"zh_CN": {"text": "你好"}}, "whatsapp": {"name": "n", "language": "en", "body": ["{{ a }}"]},
    }},
    {"type": "wait", "for": "P1DT2H", "past": "exit"}, {"type": "wait", "for": "PT45M"},
    {"type": "wait", "until": {"weekdays": ["fri", "mon"], "window": {"from": "21:00", "to": "08:00"}, "zone": "UTC"}},
    {"type": "wait", "until": {"time": "9:00"}},
    {"type": "wait", "until_date": {"field": "attributes.birthday", "offset": "-P3D", "time": "09:30"}},
    {"type": "wait_event", "since": "entry", "timeout": "P3D", "timeout_next": "x", "any": [
        {"event": "order.paid", "where": WHERE, "match_key": "properties.id", "next": "y"}, {"event": "own.event"},
    ]},
    {"type": "branch", "cases": [{"when": RULE, "next": "a"}, {"when": OWN}, {"when": DEEP}], "else": "z"},
    {"type": "split", "arms": [{"name": "A", "weight": 50, "next": "x"}, {"weight": 0}],
     "winner": {"metric": "clicked", "decide_by": "P2D", "min_sample": 20, "fallback": "A"}},
    {"type": "holdout", "percent": 12.5},
    {"type": "update", "add_tags": ["a, b", "c"], "remove_tags": ["d"], "stage": "lost", "score": -5, "unset": ["x"],
     "set": {"attributes.n": 3, "attributes.t": "t", "attributes.b": True, "attributes.l": [1, {"a": None}],
             "attributes.e": ""}, "consent": {"news": "granted"}},
    *({"type": kind, "text": "Call {{ profile.name }}", "assignee": "owner", "due": "P1D", "wait_done": True,
       "timeout": "PT4H", "timeout_next": "x"} for kind in ("task", "notify")),
    {"type": "assign", "assignee": "round_robin", "what": ["conversation", "owner"], "among": ["usr_1", "usr_2"]},
    {"type": "note", "text": "x", "assignee": "owner"},
    {"type": "webhook", "url": "https://a.example/x", "body": {"a": [1]}, "save_as": "answer", "timeout_s": 3},
    {"type": "start_journey", "journey_id": "jrn_1", "data": {"n": 1, "t": "{{ event.id }}"}},
    {"type": "throttle", "rate": 5, "per": "PT1H", "scope": "shop"},
    {"type": "digest", "window": "P1D", "key": "event.properties.id", "max": 9},
    {"type": "exit", "reason": "done"}, {"type": "jump", "to": "x"},
]  # fmt: skip
TRIGGER_EXAMPLES: list[dict[str, Any]] = [
    {"type": "event", "event": "signed_up", "where": WHERE, "key": "properties.id", "max_age": "P1D"},
    {"type": "message_received", "keyword": "stop", "channel": "line"},
    {"type": "message_received", "keyword": ["a", "b"], "first_contact": True},
    {"type": "order", "status": "delivered", "where": {"field": "properties.total", "op": "gte", "value": 5}},
    {"type": "changed", "field": "stage", "from": "lead", "to": False}, {"type": "changed", "field": "x", "to": 3},
    {"type": "segment_entered", "segment_id": "seg_1"},
    {"type": "date", "field": "attributes.birthday", "offset": "-P7D", "yearly": True, "at": "10:00"},
    {"type": "schedule", "rrule": "FREQ=DAILY", "segment_id": "seg_1", "at": "09:00", "zone": "UTC",
     "start": "2026-01-01"},
    {"type": "message", "what": "clicked", "journey_id": "jrn_1", "step": "s1", "bots": True}, {"type": "api"},
]  # fmt: skip
WHOLE = {
    "name": "Welcome", "description": "Two\nlines", "class": "service", "entry_filter": RULE, "max_visits": 3,
    "reentry": {"mode": "cooldown", "cooldown": "P30D", "if_active": "queue_one"},
    "exit_when": {"event": "contact.left"},
    "goal": {"when": {"event": "order.paid", "match_key": "properties.order_id"}, "on_meet": "jump:x"},
    "quiet_hours": {"from": "21:00", "to": "08:00", "zone": "Europe/Berlin"},
}  # fmt: skip


def known(kinds: dict[str, Any], examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in examples if each["type"] in kinds]


def shown(fields: tuple[Field, ...]) -> set[str]:
    inner = {each.name for field in fields for _, _, own in field.variants for each in own}
    return {field.name for field in fields if not field.variants} | inner


@pytest.mark.parametrize("step", STEP_EXAMPLES, ids=lambda step: step["type"])
def test_a_step_comes_out_of_its_form_as_it_went_in(step: dict[str, Any]) -> None:
    fields = (*STEP_FORMS[step["type"]],)
    names = filled(fields, step)
    assert built(fields, names, step) == step
    assert built(fields, names, {"type": step["type"]}) == _plain(step)
    assert settled(fields, names) == names or step["type"] in NEW


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    """Weekdays stand in their order in a form."""
    until = step.get("until") or {}
    return {**step, "until": {**until, "weekdays": ["mon", "fri"]}} if until.get("weekdays") else step


@pytest.mark.parametrize("trigger", TRIGGER_EXAMPLES, ids=lambda trigger: trigger["type"])
def test_a_trigger_comes_out_of_its_form_as_it_went_in(trigger: dict[str, Any]) -> None:
    fields = TRIGGER_FORMS[trigger["type"]]
    assert built(fields, filled(fields, trigger), {"type": trigger["type"]}) in (
        trigger, {**trigger, "where": [trigger.get("where")]},
    )  # fmt: skip
    assert built(fields, filled(fields, trigger), trigger) in (trigger, {**trigger, "where": [trigger.get("where")]})


def test_settings_come_out_as_they_went_in() -> None:
    assert built(SETTINGS, filled(SETTINGS, WHOLE), {}) == WHOLE
    assert {field.name for field in SETTINGS} | {"trigger", "steps"} == {
        each.alias or name for name, each in Definition.model_fields.items()
    }


@pytest.mark.parametrize("kind", sorted(STEPS))
def test_every_type_of_step_has_a_form_with_all_its_fields(kind: str) -> None:
    names = {each.alias or name for name, each in STEPS[kind].model_fields.items()} - {"id", "type"}
    assert shown(step_fields(kind)) == names and kind in STEP_FORMS
    assert kind in {each for _, kinds in offered() for each in kinds}


@pytest.mark.parametrize("kind", sorted(TRIGGERS))
def test_every_type_of_trigger_has_a_form_with_all_its_fields(kind: str) -> None:
    names = {each.alias or name for name, each in TRIGGERS[kind].model_fields.items()} - {"type"}
    assert shown(trigger_fields(kind)) == names and kind in TRIGGER_FORMS


def test_rows_come_and_go() -> None:
    fields = STEP_FORMS["branch"]
    names = with_row(fields, filled(fields, {"cases": [{"next": "a"}, {"next": "b"}]}), "f/cases")
    assert [each.get("next") for each in built(fields, names, {})["cases"]] == ["a", "b", None]
    names = without_row(names, "f/cases/0")
    assert [each.get("next") for each in built(fields, names, {})["cases"]] == ["b", None]
    assert built(fields, with_row(fields, without_row(names, "f/cases/1"), "f/cases"), {})["cases"] == [{}, {}]


def test_another_way_of_waiting_begins_with_something_sensible_and_takes_the_former_along_nowhere() -> None:
    fields = STEP_FORMS["wait"]
    names = settled(fields, filled(fields, {"for": "P3D"}) | {"f/how:mode": ["until"]})
    assert built(fields, names, {"type": "wait", "for": "P3D"}) == {"type": "wait", "until": {"time": "09:00"}}


def test_faults_stand_at_the_innermost_field() -> None:
    faults = [("f/any/0/event", "needed"), ("f/any", "one of them"), ("f", "whole"), ("f/any/0/where/0/value", "odd")]
    formats = Formats("en", zone_of("UTC"), now())
    drawing = Drawing(formats, faults=faults)
    fields = STEP_FORMS["wait_event"]
    views = drawing.views(fields, filled(fields, {"any": [{"event": "x", "where": WHERE}]}))
    found = {view.way: view.faults for view in every(views) if view.faults}
    assert found == {"f/any/0/event": ("needed",), "f/any": ("one of them",), "f/any/0/where": ("odd",)}
    assert drawing.own(fields) == ("whole",)


def every(views: tuple[FieldView, ...]) -> list[FieldView]:
    inner = [each for view in views for each in (*view.fields, *(own for row in view.rows for own in row.fields))]
    return [*views, *(every(tuple(inner)) if inner else [])]


texts = st.text(max_size=8)
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(STEP_FORMS)))
def test_whatever_somebody_wrote_over_the_api_stays(data: Any, kind: str) -> None:
    fields = step_fields(kind)
    step = {"type": kind, **data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(shown(fields), odd)))}
    assert built(fields, filled(fields, step), step) == step
