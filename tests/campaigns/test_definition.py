"""A journey is read, or every fault is named with its path."""
# ruff: noqa: E501 - one case per line is easier to read

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from base.http import AddressGuard
from campaigns.definition import check_draft, must_read, read
from campaigns.validate import check_whole, reached_from, template_ids

SEND: dict[str, Any] = {"id": "s1", "type": "send", "content": {"text": "hi"}, "next": None}


def journey(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "J", "trigger": {"type": "api"}, "steps": list(steps or (SEND,)), **more}


SEGMENT = "seg_" + "0" * 26


@pytest.mark.parametrize(
    ("url", "refused"),
    [("http://10.0.0.8/hook/{{ profile.id }}", True), ("https://localhost:8443/", True), ("http://[::1]:80/", True),
     ("https://shop.example/hook", False), ("https://127.0.0.1.example/", False)],
)  # fmt: skip
def test_an_address_inside_the_house_is_refused_before_anybody_is_called(url: str, refused: bool) -> None:
    raw = {"name": "x", "trigger": {"type": "api"}, "steps": [{"id": "h", "type": "webhook", "url": url}]}
    if not refused:
        check_whole(must_read(raw), refuses_host=AddressGuard().refuses)
        return
    with pytest.raises(WrongInput) as caught:
        check_whole(must_read(raw), refuses_host=AddressGuard().refuses)
    (fault,) = caught.value.errors
    assert fault.path == "steps[0].url" and "RAPPORT_ALLOW_PRIVATE_ADDRESSES" in fault.message
    check_whole(must_read(raw), refuses_host=AddressGuard(["0.0.0.0/0", "::/0"]).refuses)


def weekly(**more: Any) -> dict[str, Any]:
    return {"type": "schedule", "rrule": "FREQ=WEEKLY;BYDAY=MO", "segment_id": SEGMENT, **more}


def faults(raw: Any, templates: frozenset[str] | None = None) -> dict[str, str]:
    try:
        check_whole(must_read(raw), templates, named_in_trigger=None if templates is None else frozenset())
    except WrongInput as error:
        found: dict[str, str] = {}
        for fault in error.errors:
            found[fault.path] = f"{found.get(fault.path, '')} {fault.message}"
        return found
    return {}


def test_the_examples_of_the_contract_are_read() -> None:
    whole = {
        "name": "Welcome", "description": "d", "trigger": {"type": "event", "event": "signed_up", "key": "properties.order_id",
            "where": [{"field": "properties.plan", "op": "eq", "value": "pro"}]},
        "entry_filter": {"all": [{"field": "tags", "op": "not_contains", "value": "staff"}]},
        "reentry": {"mode": "cooldown", "cooldown": "P30D", "if_active": "restart"},
        "goal": {"when": {"event": "order.paid", "where": []}, "on_meet": "jump:s9"},
        "exit_when": {"field": "stage", "op": "eq", "value": "lost"}, "class": "marketing",
        "quiet_hours": {"from": "21:00", "to": "08:00", "zone": "profile"},
        "steps": [
            {"id": "s1", "type": "send", "channels": ["whatsapp", "email"], "template_id": "tpl_1", "group": "news",
             "if_skipped": "continue", "if_failed": "exit", "next": "s2"},
            {"id": "s2", "type": "wait", "for": "P3D", "next": "s3"},
            {"id": "s3", "type": "wait", "until": {"time": "09:00", "weekdays": ["mon"], "zone": "Europe/Berlin"}, "next": "s4"},
            {"id": "s4", "type": "wait", "until_date": {"field": "attributes.birthday", "offset": "-P1D"}, "past": "exit", "next": "s5"},
            {"id": "s5", "type": "wait_event", "any": [{"event": "message.received", "next": "s6"}], "since": "entry",
             "timeout": "P1D", "timeout_next": "s6"},
            {"id": "s6", "type": "branch", "cases": [{"when": {"event": "order.paid", "count": {"gte": 2}, "within": "P30D"}, "next": "s7"}], "else": "s8"},
            {"id": "s7", "type": "update", "set": {"attributes.city": "Leiden"}, "unset": ["attributes.x"], "add_tags": ["a"],
             "remove_tags": ["b"], "stage": "customer", "score": 5, "consent": {"newsletter": "granted"}, "next": "s8"},
            {"id": "s8", "type": "task", "text": "Call", "assignee": "owner", "due": "P1D", "wait_done": True, "next": "s9"},
            {"id": "s9", "type": "exit", "reason": "done"},
        ],
    }  # fmt: skip
    assert faults(whole) == {}
    definition = must_read(whole)
    assert definition.entry == "s1" and template_ids(definition) == {"tpl_1"} and definition.send_class == "marketing"
    assert reached_from(definition, "s7") == {"s7", "s8", "s9"}


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        (journey({**SEND, "next": "nowhere"}), "steps[0].next", "no step 'nowhere'"),
        (journey(SEND, {**SEND}), "steps[1].id", "used twice"),
        (journey(SEND, {**SEND, "id": "s2"}), "steps[1]", "nobody can reach"),
        (journey({**SEND, "next": "s1"}), "steps[0]", "in a circle"),
        (journey({"id": "w", "type": "wait", "for": "PT1M", "next": "w"}), "steps[0]", "no way leads"),
        (journey({"id": "w", "type": "wait", "for": "PT1X"}), "steps[0].for", "duration"),
        (journey({"id": "w", "type": "wait", "for": "-PT1H"}), "steps[0].for", "back in time"),
        (journey({"id": "w", "type": "wait", "for": 5}), "steps[0].for", "text such as"),
        (journey({"id": "w", "type": "wait"}), "steps[0]", "exactly one"),
        (journey({"id": "w", "type": "wait", "until": {"time": "9am"}}), "steps[0].until.time", "time of day"),
        (journey({"id": "w", "type": "wait", "until": {"time": "09:00", "zone": "Mars/X"}}), "steps[0].until.zone", "no time zone"),
        (journey({"id": "w", "type": "wait", "until": {}}), "steps[0].until", "name a time"),
        (journey({"id": "l", "type": "wait_event", "any": [{"event": "x", "next": "q"}]}), "steps[0].any[0].next", "no step 'q'"),
        (journey({"id": "l", "type": "wait_event", "any": []}), "steps[0].any", "at least 1"),
        (journey({"id": "l", "type": "wait_event", "any": [{"event": "a*"}]}), "steps[0].any[0].event", "in full"),
        (
            journey({"id": "b", "type": "branch", "cases": [{"when": {"field": "nope", "op": "eq", "value": 1}}]}),
            "steps[0].cases[0].when.field", "",
        ),
        (journey({"id": "b", "type": "branch", "cases": [{"when": {"all": [{"field": "name", "op": "wat", "value": 1}]}}]}),
         "steps[0].cases[0].when.all[0].op", "needs one of"),
        (journey({"id": "u", "type": "update"}), "steps[0]", "at least one change"),
        (journey({"id": "u", "type": "update", "set": {"emails": "x"}}), "steps[0].set.emails", "cannot be set"),
        (journey({"id": "s", "type": "send"}), "steps[0]", "either template_id or content"),
        (journey({"id": "s", "type": "send", "template_id": "tpl_x"}), "steps[0].template_id", "no template"),
        (journey({"id": "h", "type": "webhook"}), "steps[0].url", "needed"),
        (journey({"id": "h", "type": "webhook", "url": "ftp://x"}), "steps[0].url", "web address"),
        (journey({"id": "h", "type": "webhook", "url": "https://u:p@x.example"}), "steps[0].url", "web address"),
        (journey({"id": "h", "type": "webhook", "url": "https://{{ event.host }}/"}), "steps[0].url", "web address"),
        (journey({"id": "h", "type": "webhook", "url": "https://x.example/\r\nHost: a"}), "steps[0].url", "web address"),
        (journey({"id": "h", "type": "webhook", "url": "https://x.example", "save_as": "event"}), "steps[0].save_as", "taken"),
        (journey({"id": "h", "type": "webhook", "url": "https://x.example", "timeout_s": 31}), "steps[0].timeout_s", "30"),
        (journey({"id": "a", "type": "assign"}), "steps[0]", "to whom"),
        (journey({"id": "a", "type": "assign", "assignee": "role:agent"}), "steps[0]", "round_robin"),
        (journey({"id": "a", "type": "assign", "assignee": "owner", "among": ["usr_1"]}), "steps[0]", "among"),
        (journey({"id": "a", "type": "assign", "assignee": "whoever"}), "steps[0].assignee", "pattern"),
        (journey({"id": "n", "type": "notify", "text": "x"}), "steps[0]", "whom to tell"),
        (journey({"id": "n", "type": "note"}), "steps[0].text", "needed"),
        (journey({"id": "t", "type": "throttle", "rate": 0, "per": "PT1H"}), "steps[0].rate", "greater"),
        (journey({"id": "t", "type": "throttle", "rate": 1, "per": "P1Y"}), "steps[0].per", "31 days"),
        (journey({"id": "t", "type": "throttle", "rate": 1, "per": "PT0S"}), "steps[0].per", "one second"),
        (journey({"id": "d", "type": "digest", "window": "PT5M"}), "reentry.mode", "per_key"),
        (journey({"id": "d", "type": "digest", "window": "PT5M", "max": 1}), "steps[0].max", "greater"),
        (journey({"id": "j", "type": "start_journey", "journey_id": "x"}), "steps[0].journey_id", "pattern"),
        (journey({**SEND, "wait_timeout": "P1D"}), "steps[0]", "wait_for"),
        (journey({**SEND, "if_capped": "queue"}), "steps[0].if_capped", "'defer' or 'skip'"),
        (journey({"id": "p", "type": "split", "arms": [{"weight": 1}, {"weight": 1}],
                  "winner": {"metric": "goal", "decide_by": "P1D", "fallback": "C"}}), "steps[0]", "no arm called"),
        (journey({"id": "p", "type": "split", "arms": [{"weight": 1, "name": "2"}, {"weight": 1}],
                  "winner": {"metric": "goal", "decide_by": "P1D"}}), "steps[0]", "name of its own"),
        (journey({**SEND, "type": "nonsense"}), "steps[0].type", "is one of"),
        (journey({**SEND, "surprise": 1}), "steps[0].surprise", "not a field"),
        (journey({"id": "sp ace", "type": "exit"}), "steps[0].id", "pattern"),
        (journey(trigger={"type": "segment_entered", "segment_id": "seg_1"}), "trigger.segment_id", "id of a segment"),
        (journey(trigger={"type": "date", "field": "rfm.r"}), "trigger.field", "holds no date"),
        (journey(trigger={"type": "date", "field": "attributes.x", "zone": "Mars"}), "trigger.zone", "no time zone"),
        (journey(trigger=weekly(rrule="FREQ=NEVER")), "trigger.rrule", "FREQ is one of"),
        (journey(trigger=weekly(zone="profile")), "trigger.zone", "one moment for everybody"),
        (journey(trigger=weekly(rrule="FREQ=WEEKLY")), "trigger", "name a start"),
        (journey(trigger=weekly(rrule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")), "trigger", "never comes"),
        (journey(trigger=weekly(rrule="FREQ=DAILY;BYHOUR=9", at="10:00")), "trigger", "names hours itself"),
        (journey(trigger={"type": "message", "what": "opened", "step": "s"}), "trigger", "needs the journey"),
        (journey(trigger={"type": "message", "what": "eaten"}), "trigger.what", "opened"),
        (journey(trigger={"type": "event", "event": "x", "max_age": "-P1D"}), "trigger.max_age", "back in time"),
        (journey(trigger=weekly(segment_id=SEGMENT)), "trigger.segment_id", "no segment"),
        (journey(trigger={"type": "event"}), "trigger.event", "needed"),
        (journey(trigger={}), "trigger.type", "needed"),
        (journey(reentry={"mode": "cooldown"}), "reentry", "needs a cooldown"),
        (journey(goal={"when": {"event": "order.paid"}, "on_meet": "jump:zz"}), "goal.on_meet", "no step 'zz'"),
        (journey(goal={"when": {"event": "order.paid", "wher": []}}), "goal.when.wher", "not a field"),
        (journey(exit_when={"any": [{"event": "a", "where": [{"field": "x", "op": "eq", "value": 1}]}]}),
         "exit_when.any[0].where[0].field", ""),
        (journey(exit_when={"not": {"field": "order.status", "op": "nope", "value": 1}}), "exit_when.not.op", "needs one of"),
        (journey(quiet_hours={"from": "25:00", "to": "08:00"}), "quiet_hours.from", "time of day"),
        (journey(max_visits=0), "max_visits", "greater"),
        (journey(role="admin"), "role", "not a field"),
        ({"name": "x", "trigger": {"type": "api"}, "steps": []}, "steps", "at least 1"),
        ({"trigger": {"type": "api"}, "steps": [SEND]}, "name", "needed"),
        ("text", "", "an object"),
        (None, "", "an object"),
        ([], "", "an object"),
    ],
)  # fmt: skip
def test_every_fault_has_its_path(raw: Any, path: str, words: str) -> None:
    found = faults(raw, frozenset())
    assert path in found and words in found[path], found


def test_a_circle_with_a_wait_and_a_way_out_is_fine() -> None:
    loop = journey(
        {"id": "w", "type": "wait", "for": "P1D", "next": "b"},
        {"id": "b", "type": "branch", "cases": [{"when": {"field": "score", "op": "gt", "value": 9}, "next": None}], "else": "j"},
        {"id": "j", "type": "jump", "to": "w"},
    )  # fmt: skip
    assert faults(loop) == {}


def test_a_draft_may_lack_things_but_not_hold_wrong_ones() -> None:
    check_draft({"name": "x", "steps": [{"id": "s", "type": "send"}]} | {"steps": [{"id": "w"}]})
    check_draft({})
    with pytest.raises(WrongInput):
        check_draft(journey({**SEND, "surprise": 1}))
    with pytest.raises(WrongInput):
        check_draft({"name": "x", "owner": "root"})


HOSTILE = [
    journey({**SEND, "id": {"$ne": None}}), journey({**SEND, "channels": {"$gt": ""}}), journey({**SEND, "next": ["a"]}),
    {"name": {"$where": "1"}}, {"steps": {"$ne": 1}}, {"trigger": [1]}, {"name": "\ud800"}, {"name": "x" * 10**6},
    {"steps": [None, 1, "x", []]}, {"name": 2**70}, {"name": float("nan")}, {"a": {"b": {"c": [[[[[[[[]]]]]]]]}}},
]  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE)
def test_hostile_shapes_are_faults(raw: Any) -> None:
    with pytest.raises(WrongInput):
        check_draft(raw)


def test_depth_and_size_are_bounded() -> None:
    deep: Any = {"field": "name", "op": "eq", "value": "x"}
    for _ in range(200):
        deep = {"not": deep}
    for rule in (deep, {"all": [{"field": "order.status", "op": "eq", "value": "x"}] * 5000}):
        with pytest.raises(WrongInput):
            check_draft(journey(exit_when=rule))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "steps", "event", "any", "not", "field", "op", "value", "next"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_reading_never_raises(value: Any) -> None:
    read(value)
    read({"name": "x", "trigger": value, "steps": [value, {"id": "a", "type": "branch", "cases": value}]})
    read(journey(exit_when=value, goal={"when": value}, entry_filter=value))
    read(
        journey(
            {"id": "s", "type": "send", "content": value}, {"id": "u", "type": "update", "set": {"attributes.a": value}}
        )
    )


def test_a_team_that_is_not_there_stops_the_publication() -> None:
    step = {"id": "a", "type": "assign", "team_id": "tea_1", "next": None}
    check_whole(must_read(journey(step)), known_teams=frozenset({"tea_1"}))
    with pytest.raises(WrongInput) as refused:
        check_whole(must_read(journey(step)), known_teams=frozenset())
    assert [fault.path for fault in refused.value.errors] == ["steps[0].team_id"]
