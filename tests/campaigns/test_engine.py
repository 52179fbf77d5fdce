"""The engine, step by step and as a whole: values in, values out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.conditions import Happened, subject_of
from campaigns.definition import must_read
from campaigns.engine import in_order, new_run, share, walk
from campaigns.interest import looks_for, needs, still_needed, wakes
from campaigns.models import Definition
from campaigns.run import (
    CallFact,
    Candidate,
    ChangeProfile,
    CreateTask,
    DigestFact,
    Errand,
    Facts,
    RequestSend,
    RunState,
    SendFact,
    TaskFact,
    TurnFact,
    Wait,
    Walked,
)

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
EVERYTHING: Any = frozenset(
    {"profile", "history", "happened", "order", "conversation", "candidates", "turn", "digest", "winner"}
)
MAIL = Candidate("chn_mail", "idn_mail", "email")
CHAT = Candidate("chn_chat", "idn_chat", "telegram", NOW - timedelta(hours=1))


def journey(*steps: dict[str, Any], **more: Any) -> Definition:
    return must_read({"name": "J", "trigger": {"type": "api"}, "steps": list(steps), **more})


def run_in(definition: Definition, **more: Any) -> RunState:
    data = {"event": {"id": "evt_0", "name": "order.created", "properties": {"order_id": "ord_1"}}}
    made = new_run(definition, id="enr_1", journey_id="jrn_1", profile_id="prf_1", since=NOW, now=NOW, data=data)
    return replace(made, **more)


def facts(**more: Any) -> Facts:
    profile = {"_id": "prf_1", "time_zone": "Europe/Berlin", "tags": [], "score": 0, **more.pop("profile", {})}
    known = {"loaded": EVERYTHING, "profile": profile, "subject": subject_of(profile, (), NOW)}
    return Facts(**{**known, "candidates": (MAIL, CHAT), **more})


def event(name: str, after_s: float = 1, event_id: str = "evt_1", **properties: Any) -> Happened:
    return Happened(event_id, name, NOW + timedelta(seconds=after_s), None, properties)


def codes(walked: Walked) -> list[str]:
    return [line.code for line in walked.lines]


SEND: dict[str, Any] = {"id": "s", "type": "send", "content": {"text": "Hi"}, "next": None}


# -- send ----------------------------------------------------------------------------------------------------------


def test_a_send_is_asked_for_once_and_waits() -> None:
    walked = walk(journey(SEND), run_in(journey(SEND)), facts(), NOW)
    assert walked.effects == (RequestSend("s", 1, CHAT),)  # the address that wrote last comes first
    assert walked.run.wait == Wait("send", NOW + timedelta(seconds=60), ("chn_chat",))
    assert walked.ended is None


@pytest.mark.parametrize(
    ("state", "code", "ended"),
    [
        ("accepted", "send.accepted", "completed"),
        ("delivered", "send.accepted", "completed"),
        ("unknown", "send.unknown", "completed"),
        ("failed", "send.failed", "completed"),
    ],
)
def test_parcelvoy_434_failed_send_does_not_stall(state: str, code: str, ended: str) -> None:
    """parcelvoy#434: a failed send left the person in the step for ever. Every outcome has a way on."""
    run = run_in(journey(SEND), wait=Wait("send", NOW, ("chn_chat",)))
    walked = walk(journey(SEND), run, facts(sends={"chn_chat": SendFact(state)}), NOW)
    assert codes(walked) == [code, "end.completed"] and walked.ended == ended and walked.effects == ()


def test_channels_are_tried_until_one_is_not_skipped() -> None:
    definition = journey({**SEND, "channels": ["telegram", "email"]})
    run = walk(definition, run_in(definition), facts(), NOW).run
    later = walk(definition, run, facts(sends={"chn_chat": SendFact("skipped", code="window_closed")}), NOW)
    assert later.effects == (RequestSend("s", 1, MAIL),)
    assert later.run.wait is not None and later.run.wait.tried == ("chn_chat", "chn_mail")
    last = walk(definition, later.run, facts(sends={"chn_mail": SendFact("skipped", code="no_consent")}), NOW)
    line = last.lines[0]
    assert (line.code, line.outcome, line.params) == ("send.skipped", "skipped", {"code": "no_consent"})
    assert last.ended == "completed"


def test_dittofeed_a_skipped_message_does_not_end_the_run_unless_asked() -> None:
    """dittofeed: a person without an address fell out of the journey; here only the author can make a skip end it."""
    after = {"id": "t", "type": "task", "text": "Call"}
    going_on = journey({**SEND, "next": "t"}, after)
    nobody = facts(candidates=())
    walked = walk(going_on, run_in(going_on), nobody, NOW)
    assert codes(walked) == ["send.skipped", "task.created", "end.completed"]
    leaving = journey({**SEND, "next": "t", "if_skipped": "exit"}, after)
    assert walk(leaving, run_in(leaving), nobody, NOW).ended == "send_skipped"
    failing = journey({**SEND, "next": "t", "if_failed": "exit"}, after)
    run = run_in(failing, wait=Wait("send", NOW, ("chn_chat",)))
    assert walk(failing, run, facts(sends={"chn_chat": SendFact("failed")}), NOW).ended == "send_failed"


def test_a_lost_request_is_repeated_under_the_same_key() -> None:
    run = run_in(journey(SEND), wait=Wait("send", NOW, ("chn_chat",)))
    walked = walk(journey(SEND), run, facts(sends={}), NOW)
    assert walked.effects == (RequestSend("s", 1, CHAT),) and codes(walked) == []


def test_a_pending_send_is_looked_at_ever_less_often_but_within_the_hour() -> None:
    run = run_in(journey(SEND), wait=Wait("send", NOW, ("chn_chat",)))
    for waited, expected in ((1, 60), (300, 300), (90_000, 3600)):
        now = NOW + timedelta(seconds=waited)
        walked = walk(journey(SEND), run, facts(sends={"chn_chat": SendFact("planned")}), now)
        assert walked.run.wait is not None and (walked.run.wait.until - now).total_seconds() == expected
    deferred = SendFact("deferred", due_at=NOW + timedelta(hours=9))
    walked = walk(journey(SEND), run, facts(sends={"chn_chat": deferred}), NOW)
    assert walked.run.wait is not None and walked.run.wait.until == NOW + timedelta(hours=9, seconds=60)


def test_in_order() -> None:
    old = Candidate("chn_b", "i", "whatsapp", NOW - timedelta(days=9))
    gone = Candidate("chn_c", "i", "whatsapp", NOW, reachable=False)
    everybody = [MAIL, old, gone, CHAT]
    assert [c.channel_id for c in in_order(["any"], everybody)] == ["chn_chat", "chn_b", "chn_mail"]
    assert [c.channel_id for c in in_order(["email", "any"], everybody)] == ["chn_mail", "chn_chat", "chn_b"]
    assert [c.channel_id for c in in_order(["chn_b"], everybody)] == ["chn_b"]
    assert in_order(["slack"], everybody) == []


def test_the_control_group_walks_on_without_messages() -> None:
    definition = journey({"id": "h", "type": "holdout", "percent": 100, "next": "s"}, SEND)
    walked = walk(definition, run_in(definition), facts(), NOW)
    assert codes(walked) == ["holdout.apart", "wait.send"], "delivery says who could have had it"
    told = facts(sends={"chn_chat": SendFact("skipped", code="holdout")})
    walked = walk(definition, walked.run, told, NOW)
    assert codes(walked) == ["send.holdout", "end.completed"] and walked.effects == ()
    nobody = journey({"id": "h", "type": "holdout", "percent": 0, "next": "s"}, SEND)
    assert len(walk(nobody, run_in(nobody), facts(), NOW).effects) == 1


def test_a_send_may_wait_until_it_has_arrived() -> None:
    definition = journey({**SEND, "wait_for": "delivered", "wait_timeout": "PT1H"})
    run = run_in(definition, wait=Wait("send", NOW, ("chn_chat",)))
    assert "message.delivered" in wakes(definition, run)
    taken = facts(sends={"chn_chat": SendFact("accepted")})
    waiting = walk(definition, run, taken, NOW)
    assert waiting.run.wait is not None and waiting.run.wait.until == NOW + timedelta(hours=1)
    assert codes(waiting) == []
    arrived = walk(definition, waiting.run, facts(sends={"chn_chat": SendFact("delivered")}), NOW)
    assert codes(arrived) == ["send.delivered", "end.completed"]
    late = walk(definition, waiting.run, taken, NOW + timedelta(hours=1))
    assert codes(late) == ["send.not_delivered", "end.completed"]
    bounced = walk(definition, waiting.run, facts(sends={"chn_chat": SendFact("failed", code="bounced")}), NOW)
    assert codes(bounced)[0] == "send.failed"


def test_what_was_overdue_after_a_pause_is_passed_over_once() -> None:
    definition = journey({**SEND, "next": "s2"}, {**SEND, "id": "s2"})
    walked = walk(definition, run_in(definition, skip_next=True), facts(), NOW)
    assert walked.lines[0].params == {"code": "overdue"} and walked.effects == (RequestSend("s2", 1, CHAT),)
    assert not walked.run.skip_next


# -- wait ----------------------------------------------------------------------------------------------------------


def wait(**spec: Any) -> Definition:
    return journey({"id": "w", "type": "wait", "next": None, **spec})


@pytest.mark.parametrize(
    ("spec", "due"),
    [
        ({"for": "PT2H"}, NOW + timedelta(hours=2)),
        ({"for": "P3D"}, NOW + timedelta(days=3)),
        ({"for": "PT0S"}, NOW),
        ({"until": {"time": "09:00"}}, datetime(2026, 11, 24, 8, tzinfo=UTC)),  # 09:00 in Berlin, tomorrow
        ({"until": {"time": "11:00"}}, NOW),  # it is 11:00 there now
        ({"until": {"time": "09:00", "weekdays": ["sat"]}}, datetime(2026, 11, 28, 8, tzinfo=UTC)),
        ({"until": {"weekdays": ["Monday"]}}, NOW),  # it is a Monday
        ({"until": {"weekdays": ["tue"]}}, datetime(2026, 11, 23, 23, tzinfo=UTC)),  # Tuesday 00:00 in Berlin
        ({"until": {"window": {"from": "09:00", "to": "18:00"}}}, NOW),
        ({"until": {"window": {"from": "12:00", "to": "13:00"}}}, NOW + timedelta(hours=1)),
        ({"until": {"window": {"from": "22:00", "to": "06:00"}}}, datetime(2026, 11, 23, 21, tzinfo=UTC)),
        ({"until": {"time": "09:00", "zone": "Asia/Tokyo"}}, datetime(2026, 11, 24, 0, tzinfo=UTC)),
        ({"until_date": {"field": "attributes.trip"}}, datetime(2026, 11, 30, 23, tzinfo=UTC)),
        (
            {"until_date": {"field": "attributes.trip", "offset": "-P2D", "time": "08:30"}},
            datetime(2026, 11, 29, 7, 30, tzinfo=UTC),
        ),
        ({"until_date": {"field": "order.placed_at", "offset": "P1D"}}, datetime(2026, 11, 24, 9, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_waits(spec: dict[str, Any], due: datetime) -> None:
    definition = wait(**spec)
    known = facts(
        profile={"attributes": {"trip": "2026-12-01"}},
        values={"order": {"placed_at": datetime(2026, 11, 23, 9, tzinfo=UTC)}},
    )
    walked = walk(definition, run_in(definition), known, NOW)
    if due == NOW:
        assert walked.ended == "completed"
        return
    assert walked.run.wait is not None and (walked.run.wait.kind, walked.run.wait.until) == ("time", due)
    early = walk(definition, walked.run, known, due - timedelta(milliseconds=1))
    assert early.ended is None and early.lines == ()  # woken too early: stands on, and no second line
    assert walk(definition, walked.run, known, due).ended == "completed"


def test_parcelvoy_a_date_wait_does_not_pass_when_its_date_is_in_the_future_and_says_what_a_past_one_does() -> None:
    """parcelvoy: "until date" read a field that was never loaded, so it passed at once."""
    definition = wait(until_date={"field": "attributes.trip"})
    assert "profile" in needs(definition, "w")
    past = facts(profile={"attributes": {"trip": "2020-01-01"}})
    assert codes(walk(definition, run_in(definition), past, NOW))[0] == "wait.date_passed"
    assert codes(walk(definition, run_in(definition), facts(), NOW))[0] == "wait.no_date"
    leaving = wait(until_date={"field": "attributes.trip"}, past="exit")
    assert walk(leaving, run_in(leaving), past, NOW).ended == "date_passed"


@pytest.mark.parametrize(
    ("spec", "due"),
    [
        ({"time": "09:00"}, datetime(2026, 12, 24, 14, tzinfo=UTC)),
        ({}, datetime(2026, 12, 24, 5, tzinfo=UTC)),
        ({"offset": "-P1D", "time": "09:00"}, datetime(2026, 12, 23, 14, tzinfo=UTC)),
    ],
)
def test_a_day_of_a_person_is_that_day_where_they_live(spec: dict[str, str], due: datetime) -> None:
    """Days are kept as midnight UTC, which is the evening before in New York."""
    definition = wait(until_date={"field": "attributes.renewal", **spec})
    known = facts(
        profile={"attributes": {"renewal": datetime(2026, 12, 24, tzinfo=UTC)}, "time_zone": "America/New_York"}
    )
    walked = walk(definition, run_in(definition), known, NOW)
    assert walked.run.wait is not None and walked.run.wait.until == due
    told = facts(
        profile={"attributes": {"renewal": datetime(2026, 12, 24, 17, tzinfo=UTC)}, "time_zone": "America/New_York"}
    )
    moment = walk(wait(until_date={"field": "attributes.renewal"}), run_in(definition), told, NOW).run.wait
    assert moment is not None and moment.until == datetime(2026, 12, 24, 17, tzinfo=UTC)  # a time is a time


def test_a_changed_zone_or_date_moves_the_wait() -> None:
    definition = wait(until={"time": "09:00"})
    run = walk(definition, run_in(definition), facts(), NOW).run
    assert "profile.updated" in wakes(definition, run)
    tokyo = facts(profile={"time_zone": "Asia/Tokyo"})
    moved = walk(definition, run, tokyo, NOW + timedelta(minutes=1))
    assert moved.run.wait is not None and moved.run.wait.until == datetime(2026, 11, 24, 0, tzinfo=UTC)
    assert codes(moved) == []  # waiting on is no news


def test_mautic_10612_an_unknown_zone_neither_fails_nor_blocks() -> None:
    definition = wait(until={"time": "09:00"})
    walked = walk(
        definition, run_in(definition), facts(profile={"time_zone": "Mars/Base"}, project_zone="Asia/Shanghai"), NOW
    )
    assert walked.run.wait is not None and walked.run.wait.until == datetime(2026, 11, 24, 1, tzinfo=UTC)
    assert walked.run.wait.about["unknown_zone"] == "Mars/Base"


def test_a_pause_can_shift_a_wait() -> None:
    definition = wait(**{"for": "PT2H"})
    run = run_in(definition, shift=timedelta(hours=5))
    walked = walk(definition, run, facts(), NOW + timedelta(hours=3))
    assert walked.run.wait is not None and walked.run.wait.until == NOW + timedelta(hours=7)


@pytest.mark.parametrize("project", ["UTC", "America/New_York"])
def test_dittofeed_mondays_0700_tokyo_is_monday_in_tokyo(project: str) -> None:
    """dittofeed tested weekdays on the UTC day: "Mondays 07:00 Tokyo" (Sunday 22:00 UTC) fired on Tuesday."""
    definition = wait(until={"time": "07:00", "weekdays": ["mon"]})
    known = facts(profile={"time_zone": "Asia/Tokyo"}, project_zone=project)
    entered = datetime(2026, 11, 25, 3, tzinfo=UTC)  # a Wednesday
    walked = walk(definition, run_in(definition, entered_at=entered), known, entered)
    assert walked.run.wait is not None
    there = walked.run.wait.until.astimezone(ZoneInfo("Asia/Tokyo"))
    assert (there.strftime("%a %H:%M"), there.date().isoformat()) == ("Mon 07:00", "2026-11-30")


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize("spec", [{"until": {"time": "09:00"}}, {"for": "P1D"}])
def test_dittofeed_0900_berlin_is_0900_on_the_change_day(day: str, spec: dict[str, Any]) -> None:
    """dittofeed took the offset of "now": on the day of a clock change 09:00 Berlin fired at 08:00 or 10:00."""
    zone = ZoneInfo("Europe/Berlin")
    due = datetime.fromisoformat(f"{day}T09:00").replace(tzinfo=zone)
    entered = (datetime.fromisoformat(f"{day}T09:00") - timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)
    entered += timedelta(minutes=1) if "until" in spec else timedelta()
    definition = wait(**spec)
    walked = walk(definition, run_in(definition, entered_at=entered), facts(), entered)
    assert walked.run.wait is not None and walked.run.wait.until == due
    assert walked.run.wait.until.astimezone(zone).strftime("%H:%M") == "09:00"


def test_a_date_of_the_orders_moves_with_them() -> None:
    definition = wait(until_date={"field": "orders.last_at", "offset": "P90D"})
    assert "order.created" in wakes(definition, run_in(definition))


zones = st.sampled_from(
    ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Shanghai", "America/Santiago", "Nowhere/X"]
)


@given(
    zones,
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001
    st.sampled_from([
        {"for": "P1D"}, {"for": "P1M"}, {"for": "PT36H"}, {"until": {"time": "02:30"}},
        {"until": {"window": {"from": "22:00", "to": "02:15"}, "weekdays": ["sun", "sat"]}},
        {"until": {"time": "00:00", "weekdays": ["sun"]}},
    ]),
)  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_wait_ends_once_whatever_the_zone_and_the_day(zone: str, at: datetime, spec: dict[str, Any]) -> None:
    """Both days of a clock change among them: due in the future or now, the same when asked again, over when due."""
    now = at.replace(tzinfo=UTC, microsecond=0)
    definition = wait(**spec)
    run = run_in(definition, entered_at=now, since=now)
    known = facts(profile={"time_zone": zone}, project_zone="Europe/Berlin")
    first = walk(definition, run, known, now)
    if first.ended:
        return
    assert first.run.wait is not None
    due = first.run.wait.until
    assert now < due <= now + timedelta(days=33)
    middle = walk(definition, first.run, known, now + (due - now) / 2)
    assert middle.run.wait == first.run.wait and middle.ended is None
    assert walk(definition, first.run, known, due).ended == "completed"
    if spec.get("until", {}).get("time") == "02:30":
        shown = due.astimezone(ZoneInfo(zone if zone != "Nowhere/X" else "Europe/Berlin"))
        before = (due - timedelta(seconds=1)).astimezone(shown.tzinfo)
        in_gap = before.utcoffset() != shown.utcoffset() and (before.hour, before.minute) < (2, 30)
        assert (shown.hour, shown.minute) == (2, 30) or in_gap


# -- wait_event ----------------------------------------------------------------------------------------------------


SAYS_YES = {"field": "properties.text", "op": "contains", "value": "yes"}


def listening(**more: Any) -> Definition:
    step = {
        "id": "l", "type": "wait_event", "timeout": "P1D", "timeout_next": "late",
        "any": [
            {"event": "message.received", "where": [SAYS_YES], "next": "yes"},
            {"event": "order.paid", "match_key": "properties.order_id", "next": "paid"},
        ],
        **more,
    }  # fmt: skip
    ends = [{"id": each, "type": "exit", "reason": each} for each in ("yes", "paid", "late")]
    return journey(step, *ends)


def came(definition: Definition, happened: Sequence[Happened], now: datetime = NOW, **run: Any) -> str | None:
    walked = walk(definition, run_in(definition, **run), facts(happened=tuple(happened)), now)
    return str(walked.lines[-1].params.get("reason")) if walked.ended else None


def test_each_alternative_and_the_timeout_has_its_own_way() -> None:
    definition = listening()
    assert came(definition, []) is None
    assert came(definition, [event("message.received", text="no")]) is None
    assert came(definition, [event("message.received", text="Yes please")]) == "yes"
    assert came(definition, [event("order.paid", order_id="ord_2")]) is None
    assert came(definition, [event("order.paid", order_id="ord_1")]) == "paid"
    assert came(definition, [], NOW + timedelta(days=1)) == "late"
    assert looks_for(definition, run_in(definition)) == {"message.received", "order.paid"}


def test_the_earliest_event_wins_and_one_before_the_deadline_beats_the_timeout() -> None:
    definition = listening()
    both = [event("order.paid", 5, order_id="ord_1"), event("message.received", 9, text="yes")]
    assert came(definition, both, NOW + timedelta(days=2)) == "paid"
    late = [event("message.received", 86_401, text="yes")]
    assert came(definition, late, NOW + timedelta(days=2)) == "late"


def test_how_far_back_a_wait_looks() -> None:
    early = [event("message.received", 30, text="yes")]
    at_step = {"entered_at": NOW + timedelta(seconds=60)}
    now = NOW + timedelta(seconds=61)
    assert came(listening(since="step"), early, now, **at_step) is None
    assert came(listening(since="entry"), early, now, **at_step) == "yes"
    assert came(listening(since="PT40S"), early, now, **at_step) == "yes"
    assert came(listening(since="PT10S"), early, now, **at_step) is None


def test_the_event_the_run_began_with_does_not_count() -> None:
    again = [event("order.paid", 0, "evt_0", order_id="ord_1")]
    assert came(listening(since="entry"), again) is None


def test_patience_has_an_end_without_a_timeout() -> None:
    definition = listening(timeout=None)
    assert came(definition, [], NOW + timedelta(days=89)) is None
    assert came(definition, [], NOW + timedelta(days=90)) == "late"


def test_the_event_is_saved_for_later_steps() -> None:
    definition = listening()
    walked = walk(definition, run_in(definition), facts(happened=(event("message.received", text="yes"),)), NOW)
    assert walked.run.data["l"]["properties"] == {"text": "yes"}


# -- branch, split, update, task, exit, jump -----------------------------------------------------------------------


def test_branch_takes_the_first_true_case_and_logs_the_values() -> None:
    definition = journey(
        {"id": "b", "type": "branch", "else": "no", "cases": [
            {"when": {"field": "order.total", "op": "gte", "value": 100}, "next": "big"},
            {"when": {"field": "tags", "op": "contains", "value": "vip"}, "next": "vip"},
        ]},
        *({"id": each, "type": "exit", "reason": each} for each in ("big", "vip", "no")),
    )  # fmt: skip
    assert needs(definition, "b") == {"profile", "order"}

    def way(order: dict[str, Any], tags: list[str]) -> tuple[Any, Any]:
        walked = walk(definition, run_in(definition), facts(values={"order": order}, profile={"tags": tags}), NOW)
        return walked.lines[-1].params["reason"], walked.lines[0].params

    assert way({"total": 120}, ["vip"]) == ("big", {"case": 0, "values": {"order.total": 120}})
    assert way({"total": 20}, ["vip"])[0] == "vip"
    assert way({}, [])[0] == "no"


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_split_is_sticky_and_fair(number: int) -> None:
    definition = journey(
        {"id": "x", "type": "split", "arms": [
            {"weight": 1, "next": "a", "name": "A"}, {"weight": 3, "next": "b"}, {"weight": 0, "next": "c"},
        ]},
        *({"id": each, "type": "exit", "reason": each} for each in "abc"),
    )  # fmt: skip
    arms = set()
    for visit in (1, 2):
        run = run_in(definition, profile_id=f"prf_{number}", visit=visit)
        arms.add(walk(definition, run, facts(), NOW).lines[-1].params["reason"])
    assert len(arms) == 1 and arms <= {"a", "b"}


def test_shares_are_even() -> None:
    counts = [0, 0]
    for number in range(4000):
        counts[share("j", "n", str(number)) < 25] += 1
    assert 900 < counts[1] < 1100


def test_an_update_ends_the_walk_because_facts_are_stale() -> None:
    definition = journey({"id": "u", "type": "update", "add_tags": ["vip"], "next": "s"}, SEND)
    walked = walk(definition, run_in(definition), facts(), NOW)
    assert walked.effects == (ChangeProfile("u", 1),) and walked.again and walked.run.node == "s"


def test_a_task_may_hold_the_run_until_it_is_closed() -> None:
    definition = journey(
        {"id": "t", "type": "task", "text": "Call", "due": "P1D", "wait_done": True, "timeout": "P3D",
         "timeout_next": "late", "next": "ok"},
        {"id": "ok", "type": "exit", "reason": "ok"}, {"id": "late", "type": "exit", "reason": "late"},
    )  # fmt: skip
    first = walk(definition, run_in(definition), facts(), NOW)
    assert first.effects == (CreateTask("t", 1, NOW + timedelta(days=1)),)
    assert first.run.wait is not None and first.run.wait.until == NOW + timedelta(seconds=60)
    assert "task.done" in wakes(definition, first.run)
    seen = walk(definition, first.run, facts(task=TaskFact(False)), NOW + timedelta(seconds=60))
    assert seen.effects == () and seen.run.wait is not None and seen.run.wait.until == NOW + timedelta(days=3)
    assert walk(definition, seen.run, facts(task=TaskFact(True)), NOW).lines[-1].params == {"reason": "ok"}
    assert walk(definition, seen.run, facts(task=TaskFact(False)), NOW + timedelta(days=3)).lines[-1].params == {
        "reason": "late"
    }
    quick = journey({"id": "t", "type": "task", "text": "Call"})
    assert walk(quick, run_in(quick), facts(), NOW).ended == "completed"


@pytest.mark.parametrize("kind", ["notify", "assign"])
def test_other_work_for_people_may_hold_the_run_too(kind: str) -> None:
    step = {"id": "t", "type": kind, "text": "Look", "assignee": "owner", "due": "P1D", "next": None}
    definition = journey({**step, "wait_done": True, "timeout": "P3D"})
    first = walk(definition, run_in(definition), facts(), NOW)
    assert first.effects == (Errand(kind, "t", 1, NOW + timedelta(days=1)),)  # type: ignore[arg-type]
    assert first.run.wait is not None and first.run.wait.kind == "task"
    assert codes(walk(definition, first.run, facts(task=TaskFact(True)), NOW))[0] == "task.done"
    assert codes(walk(definition, first.run, facts(task=TaskFact(False)), NOW + timedelta(days=3)))[0] == "task.timeout"
    quick = journey(step)
    walked = walk(quick, run_in(quick), facts(), NOW)
    assert walked.ended == "completed" and len(walked.effects) == 1


def test_a_new_owner_is_a_new_fact() -> None:
    definition = journey(
        {"id": "a", "type": "assign", "assignee": "round_robin", "what": ["owner"], "next": "n"},
        {"id": "n", "type": "note", "text": "Given", "next": None},
    )
    walked = walk(definition, run_in(definition), facts(), NOW)
    assert walked.again and walked.run.node == "n"
    assert walk(definition, walked.run, facts(), NOW).effects == (Errand("note", "n", 1),)


def test_a_call_is_asked_for_once_and_its_answer_kept() -> None:
    step = {"id": "h", "type": "webhook", "url": "https://x.example/a", "save_as": "credit", "next": "b"}
    branch = {
        "id": "b", "type": "branch", "else": None,
        "cases": [{"when": {"field": "journey.credit.limit", "op": "gt", "value": 100}, "next": "yes"}],
    }  # fmt: skip
    definition = journey(step, branch, {"id": "yes", "type": "exit", "reason": "rich"})
    first = walk(definition, run_in(definition), facts(), NOW)
    assert first.effects == (Errand("call", "h", 1),) and codes(first) == ["wait.call"]
    planned = walk(definition, first.run, facts(call=CallFact("planned", NOW + timedelta(hours=2))), NOW)
    assert planned.effects == () and planned.run.wait is not None
    assert planned.run.wait.until == NOW + timedelta(hours=2, seconds=60)
    lost = walk(definition, first.run, facts(), NOW + timedelta(seconds=60))
    assert lost.effects == first.effects  # asked for again under the same key
    done = walk(definition, planned.run, facts(call=CallFact("done", None, {"status": 200}, {"limit": 500})), NOW)
    assert done.lines[-1].params == {"reason": "rich"} and done.run.data["credit"] == {"limit": 500}
    failed = facts(call=CallFact("failed", None, {"code": "status", "status": 400}))
    assert codes(walk(definition, planned.run, failed, NOW))[0] == "webhook.failed"
    leaving = journey({**step, "if_failed": "exit"}, branch, {"id": "yes", "type": "exit"})
    assert walk(leaving, planned.run, failed, NOW).ended == "webhook_failed"


def test_journeys_that_start_each_other_stop() -> None:
    definition = journey({"id": "j", "type": "start_journey", "journey_id": "jrn_" + "0" * 26, "next": None})
    assert walk(definition, run_in(definition), facts(), NOW).effects == (Errand("start", "j", 1),)
    deep = run_in(definition, data={"event": {"id": "e", "chain": 10}})
    walked = walk(definition, deep, facts(), NOW)
    assert walked.effects == () and codes(walked)[0] == "start_journey.too_deep"


def test_a_throttle_says_until_when() -> None:
    definition = journey({"id": "t", "type": "throttle", "rate": 5, "per": "PT1H", "next": None})
    assert needs(definition, "t") == {"turn"}
    later = NOW + timedelta(hours=3)
    look = NOW + timedelta(hours=1)
    walked = walk(definition, run_in(definition), facts(turn=TurnFact(False, later, 12, look)), NOW)
    assert walked.run.wait is not None and walked.run.wait.until == look
    assert walked.run.wait.about == {"until": later, "ahead": 12}
    assert codes(walk(definition, walked.run, facts(turn=TurnFact(True, NOW)), NOW))[0] == "throttle.passed"


def test_facts_of_one_visit_are_not_those_of_the_next() -> None:
    pace = {"type": "throttle", "rate": 5, "per": "PT1H"}
    definition = journey({"id": "t", **pace, "next": "t2"}, {"id": "t2", **pace, "next": None})
    walked = walk(definition, run_in(definition), facts(turn=TurnFact(True, NOW)), NOW)
    assert walked.run.node == "t2" and walked.wants == {"turn"}


def test_a_digest_goes_on_once_with_everything() -> None:
    definition = journey({"id": "d", "type": "digest", "window": "PT5M", "next": None}, reentry={"mode": "per_key"})
    until = NOW + timedelta(minutes=5)
    opened = walk(definition, run_in(definition), facts(digest=DigestFact("open", until)), NOW)
    assert opened.run.wait is not None and (opened.run.wait.kind, opened.run.wait.until) == ("digest", until)
    joined = walk(definition, run_in(definition), facts(digest=DigestFact("joined", until, 2, "enr_0")), NOW)
    assert joined.ended == "digested" and joined.lines[-1].params == {"run": "enr_0"}
    closed = facts(digest=DigestFact("closed", until, 2, events=({"id": "a"}, {"id": "b"})))
    on = walk(definition, opened.run, closed, until)
    assert on.ended == "completed" and on.run.data["digest"] == [{"id": "a"}, {"id": "b"}]


def test_the_winner_gets_those_who_come_later() -> None:
    arms = [{"weight": 1, "name": "a"}, {"weight": 1, "name": "b"}]
    winner = {"metric": "goal", "min_sample": 10, "decide_by": "P3D"}
    definition = journey({"id": "p", "type": "split", "arms": arms, "winner": winner})
    assert needs(definition, "p") == {"winner"}
    own = walk(definition, run_in(definition), facts(), NOW)
    assert codes(own)[0] == "split.arm"
    for name in ("a", "b"):
        later = walk(definition, run_in(definition), facts(winner=name), NOW)
        assert (later.lines[0].code, later.lines[0].params) == ("split.winner", {"arm": name})
        before = {**run_in(definition).data, "p": {"arm": 0}}
        again = walk(definition, run_in(definition, data=before), facts(winner=name), NOW)
        assert again.lines[0].params == {"arm": "a"}  # who went this way goes this way


def test_loops_are_bounded() -> None:
    definition = journey(
        {"id": "w", "type": "wait", "for": "PT1S", "next": "j"}, {"id": "j", "type": "jump", "to": "w"}, max_visits=3,
    )  # fmt: skip
    run, now = run_in(definition), NOW
    for _ in range(10):
        now += timedelta(seconds=1)
        walked = walk(definition, run, facts(), now)
        run = walked.run
        if walked.ended:
            break
    assert walked.ended == "too_many_visits" and run.visits == {"w": 3, "j": 3}


def test_a_long_chain_is_taken_in_strides() -> None:
    steps = [{"id": f"u{i}", "type": "wait", "for": "PT0S", "next": f"u{i + 1}" if i < 59 else None} for i in range(60)]
    definition = journey(*steps)
    walked = walk(definition, run_in(definition), facts(), NOW)
    assert walked.again and walked.steps == 25 and walked.run.node == "u25"
    walked = walk(definition, walked.run, facts(), NOW)
    assert walk(definition, walked.run, facts(), NOW).ended == "completed"


def test_facts_are_asked_for_only_where_a_step_looks_at_them() -> None:
    definition = journey({"id": "w", "type": "wait", "for": "PT0S", "next": "s"}, SEND)
    walked = walk(definition, run_in(definition), Facts(), NOW)
    assert walked.wants == {"candidates"} and walked.run.node == "s" and walked.steps == 1


def test_a_run_behind_another_waits_for_its_end() -> None:
    definition = journey(SEND)
    run = run_in(definition, wait=Wait("queue", NOW, ref="enr_0"))
    still = walk(definition, run, facts(ahead_live=True), NOW)
    assert still.run.wait is not None and still.run.wait.kind == "queue" and still.effects == ()
    assert len(walk(definition, replace(still.run), facts(ahead_live=False), NOW).effects) == 1


# -- goal and exit -------------------------------------------------------------------------------------------------


def test_the_goal_is_asked_before_every_step() -> None:
    goal = {"when": {"event": "order.paid", "match_key": "properties.order_id"}}
    definition = journey({"id": "w", "type": "wait", "for": "P3D", "next": "s"}, SEND, goal=goal)
    assert wakes(definition, run_in(definition)) == {"order.paid"} and "happened" in needs(definition, "w")
    other = facts(happened=(event("order.paid", order_id="ord_9"),))
    assert walk(definition, run_in(definition), other, NOW).ended is None
    paid = facts(happened=(event("order.paid", order_id="ord_1"),))
    assert walk(definition, run_in(definition), paid, NOW).ended == "goal"
    before = facts(happened=(event("order.paid", -5, order_id="ord_1"),))
    assert walk(definition, run_in(definition), before, NOW).ended is None  # before the run began


def test_a_goal_may_lead_elsewhere_once() -> None:
    definition = journey(
        {"id": "w", "type": "wait", "for": "P3D", "next": None},
        {"id": "thanks", "type": "wait", "for": "P1D", "next": None},
        goal={"when": {"event": "order.paid"}, "on_meet": "jump:thanks"},
    )  # fmt: skip
    paid = facts(happened=(event("order.paid"),))
    walked = walk(definition, run_in(definition), paid, NOW)
    assert walked.run.node == "thanks" and walked.run.goal_met and codes(walked)[0] == "goal.jump"
    assert walk(definition, walked.run, paid, NOW + timedelta(days=1)).ended == "completed"


@pytest.mark.parametrize(
    ("state", "wanted"),
    [(None, {"candidates"}), ("skipped", {"candidates"}), ("deferred", set()), ("accepted", set()), ("failed", set())],
)
def test_addresses_are_read_only_where_a_send_is_asked_for(state: str | None, wanted: set[str]) -> None:
    definition = journey(SEND)
    waiting = run_in(definition, wait=Wait("send", NOW, tried=("chn_1",)))
    known = Facts(sends={"chn_1": SendFact(state)} if state else {})
    assert still_needed(definition, waiting, known) == wanted
    assert still_needed(definition, run_in(definition), Facts()) == {"candidates"}
    if state and not wanted:
        assert not walk(definition, waiting, known, NOW).wants


def test_exit_when_the_order_needs_no_reminder_any_more() -> None:
    definition = journey(SEND, exit_when={"not": {"field": "order.awaits_payment", "op": "eq", "value": True}})
    assert needs(definition, "s") == {"order", "candidates"} and "order.paid" in wakes(definition, run_in(definition))
    open_order, paid = {"order": {"awaits_payment": True}}, {"order": {"awaits_payment": False}}
    assert walk(definition, run_in(definition), facts(values=open_order), NOW).ended is None
    assert walk(definition, run_in(definition), facts(values=paid), NOW).ended == "exit_condition"
    assert walk(definition, run_in(definition), facts(values={"order": {}}), NOW).ended == "exit_condition"  # erased


def test_a_rule_over_the_profile_is_woken_by_any_event() -> None:
    definition = journey(
        SEND, exit_when={"any": [{"event": "contact.left"}, {"field": "tags", "op": "contains", "value": "stop"}]}
    )
    assert wakes(definition, run_in(definition)) == {"*"}
    assert walk(definition, run_in(definition), facts(happened=(event("contact.left"),)), NOW).ended == "exit_condition"
    assert walk(definition, run_in(definition), facts(profile={"tags": ["stop"]}), NOW).ended == "exit_condition"


# -- the model: whatever facts come, a run never hangs -------------------------------------------------------------

STATES = ["planned", "deferred", "claimed", "handed", "accepted", "delivered", "read", "failed", "skipped", "unknown"]


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_run_without_a_due_time_or_an_end(data: st.DataObject) -> None:
    """Random journeys under random facts: each look either ends the run or leaves a time for the next one."""
    ids = ["a", "b", "c", "d"]
    target = st.sampled_from([*ids, None])
    draw = data.draw
    kinds: dict[str, Any] = {
        "send": lambda: {
            "content": {"text": "x"}, "channels": draw(st.sampled_from([["any"], ["email"], ["line"]])),
            "if_skipped": draw(st.sampled_from(["continue", "exit"])), "next": draw(target),
        },
        "wait": lambda: {"for": draw(st.sampled_from(["PT0S", "PT5S", "P1D"])), "next": draw(target)},
        "wait_event": lambda: {
            "any": [{"event": "e", "next": draw(target)}], "timeout": "PT10S", "timeout_next": draw(target),
        },
        "branch": lambda: {
            "cases": [{"when": {"field": "score", "op": "gt", "value": 5}, "next": draw(target)}],
            "else": draw(target),
        },
        "update": lambda: {"add_tags": ["x"], "next": draw(target)},
        "task": lambda: {"text": "x", "wait_done": draw(st.booleans()), "timeout": "PT20S", "next": draw(target)},
        "notify": lambda: {"text": "x", "assignee": "role:agent", "wait_done": draw(st.booleans()), "timeout": "PT20S",
                           "next": draw(target)},
        "assign": lambda: {"assignee": "owner", "what": draw(st.sampled_from([["owner"], ["conversation"]])),
                           "wait_done": draw(st.booleans()), "timeout": "PT20S", "next": draw(target)},
        "note": lambda: {"text": "x", "next": draw(target)},
        "webhook": lambda: {"url": "https://x.example/", "save_as": "y", "next": draw(target),
                            "if_failed": draw(st.sampled_from(["continue", "exit"]))},
        "start_journey": lambda: {"journey_id": "jrn_" + "0" * 26, "next": draw(target)},
        "throttle": lambda: {"rate": 2, "per": "PT10S", "next": draw(target)},
        "digest": lambda: {"window": "PT10S", "next": draw(target)},
        "jump": lambda: {"to": draw(st.sampled_from(ids))},
        "exit": dict,
    }  # fmt: skip
    steps = []
    for name in ids:
        kind = data.draw(st.sampled_from(sorted(kinds)))
        steps.append({"id": name, "type": kind, **kinds[kind]()})
    definition = journey(*steps, max_visits=3)
    run, now = run_in(definition), NOW
    for _ in range(60):
        known = facts(
            profile={"score": data.draw(st.integers(0, 10))},
            happened=(event("e", data.draw(st.integers(-5, 50))),) if data.draw(st.booleans()) else (),
            sends={each: SendFact(draw(st.sampled_from(STATES))) for each in (run.wait.tried[-1:] if run.wait else ())},
            task=TaskFact(data.draw(st.booleans())) if run.wait and run.wait.kind == "task" else None,
            call=draw(st.sampled_from([None, CallFact("planned"), CallFact("done"), CallFact("failed")])),
            turn=TurnFact(draw(st.booleans()), now + timedelta(seconds=5)),
            digest=DigestFact(draw(st.sampled_from(["open", "closed", "joined"])), now + timedelta(seconds=5)),
        )  # fmt: skip
        walked = walk(definition, run, known, now)
        assert walked.wants or 1 <= walked.steps <= 25
        keys = [(effect.node, effect.visit) for effect in walked.effects]
        assert len(keys) == len(set(keys)), "two effects of one visit"
        if walked.ended:
            return
        assert walked.wants or walked.again or (walked.run.wait is not None and walked.run.wait.until > now)
        run = walked.run
        now = now if walked.wants or walked.again or run.wait is None else max(run.wait.until, now)
    assert max(run.visits.values()) <= 3
