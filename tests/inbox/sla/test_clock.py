"""Clocks of promises as laws: over any week, zone and night on which clocks change, and over any story."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbox.hours.calendar import Calendar
from inbox.hours.models import HoursInput
from inbox.sla.clock import ALWAYS_OPEN, Policy, Sleep, Terms, after_telling, owed, reckoned, run_out
from inbox.sla.models import PolicyInput

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
#: Around each lies a change of clocks, but for Shanghai, which has none.
NIGHTS = (
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)), ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)), ("Asia/Shanghai", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
)  # fmt: skip
WEEKS: tuple[dict[str, Any], ...] = (
    {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
    {day: [["09:00", "12:30"], ["13:30", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    {"sat": [["22:00", "24:00"]], "sun": [["00:00", "06:00"]]},
)
HOURS_ID = "hrs_" + "0" * 26
MINUTES = st.integers(0, 12 * 24 * 60)


def calendar(zone: str, week: dict[str, Any], **more: Any) -> Calendar:
    return Calendar(HoursInput.model_validate({"name": "Shop", "zone": zone, "week": week, **more}))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Calendar, datetime, timedelta, list[Sleep]]:
    zone, night = draw(st.sampled_from(NIGHTS))
    hours = calendar(zone, draw(st.sampled_from(WEEKS)))
    since = night - timedelta(days=4) + timedelta(minutes=draw(MINUTES) // 3)
    edges = sorted(draw(st.lists(MINUTES, max_size=8, unique=True)))
    times = [since - timedelta(days=1) + timedelta(minutes=each) for each in edges]
    sleeps = [Sleep(*pair) for pair in zip(times[::2], times[1::2], strict=False)]
    return hours, since, timedelta(minutes=draw(st.integers(1, 60 * 60))), sleeps


def awake(hours: Calendar, start: datetime, end: datetime, sleeps: Sequence[Sleep]) -> timedelta:
    """Open time between two instants outside of all sleeps: written apart from what is tested."""
    asleep = [(max(each.since, start), min(each.until or end, end)) for each in sleeps]
    return hours.worked(start, end) - sum((hours.worked(a, b) for a, b in asleep if a < b), timedelta())


@given(st.sampled_from(NIGHTS), st.lists(st.sampled_from(WEEKS), min_size=2, max_size=4), MINUTES, st.data())
@settings(max_examples=100)
def test_hours_that_change_move_what_runs_as_if_they_had_always_been_so(
    night: Any, weeks: list[dict[str, Any]], since_min: int, data: st.DataObject
) -> None:
    """Opened earlier or later, a day closed or opened: whatever was reckoned before, the last hours alone count."""
    zone, at = night
    since = at - timedelta(days=4) + timedelta(minutes=since_min // 3)
    row = {"status": "open", "created_at": since, "waiting_since": since, "priority": "none", "channel_id": "chn_x"}
    wanted = PolicyInput.model_validate(
        {"name": "x", "hours_id": HOURS_ID, "lengths": {"first_response_min": 90, "resolution_min": 900}}
    )
    days = [(since + timedelta(days=n)).date().isoformat() for n in range(6)]
    sla: dict[str, Any] | None = None
    for week in weeks:
        spans = st.sampled_from(([], [["07:00", "20:00"]]))
        chosen = data.draw(st.lists(st.sampled_from(days), unique=True))
        special = [{"date": day, "spans": data.draw(spans)} for day in chosen]
        terms = Terms((Policy("slp_x", wanted, LONG_AGO),), {HOURS_ID: calendar(zone, week, special=special)}, "m")
        held = {**row, "sla": sla} if sla else row
        sla = reckoned(held, row, terms, since)
    assert sla is not None and sla == reckoned(row, row, terms, since)
    for each, minutes in zip(sla["clocks"], (90, 900), strict=True):
        assert terms.calendars[HOURS_ID].worked(since, each["due_at"]) == timedelta(minutes=minutes)


@given(cases())
@settings(max_examples=150)
def test_a_clock_runs_out_after_exactly_so_much_open_time_awake(case: Any) -> None:
    hours, since, length, sleeps = case
    due_at, _ = run_out(since, length, sleeps, hours)
    assert due_at is not None
    assert awake(hours, since, due_at, sleeps) == length
    assert awake(hours, since, due_at - timedelta(seconds=1), sleeps) < length


@given(cases(), st.integers(0, 3 * 24 * 60))
@settings(max_examples=100)
def test_a_clock_that_stands_still_keeps_what_is_left(case: Any, after_min: int) -> None:
    hours, since, length, sleeps = case
    falls_asleep = max([since, *(each.until for each in sleeps if each.until)]) + timedelta(minutes=after_min)
    due_at, left = run_out(since, length, [*sleeps, Sleep(falls_asleep, None)], hours)
    done = awake(hours, since, falls_asleep, sleeps)
    if due_at is None:
        assert done + left == length
        wakes = falls_asleep + timedelta(days=3)
        again, _ = run_out(since, length, [*sleeps, Sleep(falls_asleep, wakes)], hours)
        assert again == hours.add(wakes, left)
    else:
        assert due_at == run_out(since, length, sleeps, hours)[0] and due_at <= falls_asleep


FACTS = st.lists(
    st.tuples(
        st.integers(1, 600),
        st.sampled_from(["wrote", "answered", "pending", "snoozed", "open", "resolved", "urgent", "none", "labelled"]),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


def told_by(row: dict[str, Any], at: datetime, fact: str) -> dict[str, Any]:
    """What the inbox makes of a conversation when this happens, clocks apart."""
    after = dict(row)
    if fact == "wrote":
        after.setdefault("waiting_since", at)
        after["status"] = "open"
    elif fact == "answered":
        after.pop("waiting_since", None)
        after.setdefault("first_reply_at", at)
        after["last_reply_at"] = at
    elif fact in ("urgent", "none"):
        after["priority"] = fact
    elif fact == "labelled":
        after["labels"] = [] if row["labels"] else ["vip"]
    else:
        after["status"] = fact
        if fact == "resolved":
            after.pop("waiting_since", None)
    return after


PROMISE = PolicyInput.model_validate(
    {
        "name": "Shop", "lengths": {"first_response_min": 60, "next_response_min": 120, "resolution_min": 2880},
        "by_priority": {"urgent": {"first_response_min": 10}}, "pauses": ["pending"],
    }
)  # fmt: skip
VIP = PolicyInput.model_validate({"name": "VIP", "reach": {"labels": ["vip"]}, "lengths": {"next_response_min": 5}})


@given(FACTS, st.sampled_from(NIGHTS), st.sampled_from(WEEKS), st.booleans())
@settings(max_examples=150)
def test_folding_facts_one_by_one_is_reckoning_anew(
    facts: list[tuple[int, str]], night: Any, week: dict[str, Any], watched: bool
) -> None:
    """Whoever looks at whatever time in between, and whatever is told meanwhile: the clocks are those that the facts
    alone give, written here a second time from the whole story."""
    zone, at = night
    hours = calendar(zone, week)
    named = [each.model_copy(update={"hours_id": "hrs_1"}) for each in (VIP, PROMISE)]
    terms = Terms(tuple(Policy(f"slp_{n}", each, LONG_AGO) for n, each in enumerate(named)), {"hrs_1": hours}, "m")
    row: dict[str, Any] = {
        "status": "open", "channel_id": "chn_1", "labels": [], "priority": "none", "created_at": at,
        "waiting_since": at,
    }  # fmt: skip
    row["sla"] = reckoned(row, row, terms, at)
    opened_at, sleeps, keys = at, [], []
    for minutes, fact in facts:
        at += timedelta(minutes=minutes)
        after = told_by(row, at, fact)
        if after["status"] != row["status"]:
            if row["status"] == "pending":
                sleeps[-1] = Sleep(sleeps[-1].since, at)
            if row["status"] == "resolved":
                opened_at, sleeps = at, []
            sleeps += [Sleep(at, None)] if after["status"] == "pending" else []
        after["sla"] = reckoned(row, after, terms, at)
        row = after
        assert reckoned(row, row, terms, at + timedelta(days=9)) == row["sla"]  # nothing depends on who asks when
        while watched and (telling := owed(row["sla"], at)) is not None:
            keys.append((telling.kind, telling.target, telling.key))
            row["sla"] = after_telling(row["sla"], telling)
        assert not watched or row["sla"].get("look_at", at + timedelta(1)) > at
        promise = named[0] if row["labels"] else named[1]
        expected = {}
        if row["status"] != "resolved":
            targets = {"resolution": opened_at}
            if "waiting_since" in row:
                targets["next_response" if "first_reply_at" in row else "first_response"] = row["waiting_since"]
            for target, since in targets.items():
                length = promise.length(target, row["priority"])  # type: ignore[arg-type]
                if length is not None:
                    expected[target] = run_out(since, timedelta(minutes=length), _of(sleeps, promise), hours)[0]
        assert {each["target"]: each.get("due_at") for each in row["sla"]["clocks"]} == expected
    assert len(keys) == len(set(keys)), "told twice"


def _of(sleeps: list[Sleep], promise: PolicyInput) -> list[Sleep]:
    return sleeps if "pending" in promise.pauses else []


def talk(at: datetime, **fields: Any) -> dict[str, Any]:
    row = {
        "status": "open", "channel_id": "chn_1", "labels": [], "priority": "none", "created_at": at,
        "waiting_since": at,
    }  # fmt: skip
    return {**row, **fields}


def terms_of(policy: PolicyInput, hours: Any = None, holds_since: datetime = LONG_AGO) -> Terms:
    named = policy.model_copy(update={"hours_id": "hrs_1" if hours else None})
    return Terms((Policy("slp_1", named, holds_since),), {"hrs_1": hours} if hours else {}, "m")


SPLIT = calendar(
    "Europe/Amsterdam", WEEKS[1], holidays={"country": "NL"},
    special=[{"date": "2026-12-24", "spans": [["09:00", "10:00"]], "name": "Christmas Eve"}],
)  # fmt: skip
HOUR = PolicyInput.model_validate({"name": "Shop", "lengths": {"first_response_min": 120}})


@pytest.mark.parametrize(
    ("written_at", "due_at"),
    [
        ("2026-06-02T08:00", "2026-06-02T10:00"),  # 10:00 in Amsterdam: within the morning
        ("2026-06-02T09:30", "2026-06-02T12:30"),  # over the break
        ("2026-06-02T15:30", "2026-06-03T08:30"),  # over night: half an hour in the evening, the rest next morning
        ("2026-06-05T16:30", "2026-06-08T09:00"),  # Friday evening to Monday
        ("2026-12-24T08:30", "2026-12-28T09:30"),  # a short day, Christmas, Boxing Day, the weekend
        ("2026-03-27T16:00", "2026-03-30T08:00"),  # the night of summer time: an hour earlier by UTC
        ("2026-10-23T15:30", "2026-10-26T09:30"),  # and of winter time
    ],
)
def test_days_that_are_known(written_at: str, due_at: str) -> None:
    at, due = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (written_at, due_at))
    row = talk(at)
    sla = reckoned(row, row, terms_of(HOUR, SPLIT), at)
    assert sla is not None and sla["due_at"] == due and sla["clocks"][0]["target"] == "first_response"


def test_a_promise_without_hours_counts_every_hour() -> None:
    assert ALWAYS_OPEN.worked(LONG_AGO, LONG_AGO + timedelta(days=1)) == timedelta(days=1)
    row = talk(LONG_AGO)
    sla = reckoned(row, row, terms_of(HOUR), LONG_AGO)
    assert sla is not None and sla["due_at"] == LONG_AGO + timedelta(hours=2)


def test_hours_that_never_open_are_never_due() -> None:
    closed, row = calendar("UTC", {}), talk(LONG_AGO)
    sla = reckoned(row, row, terms_of(HOUR, closed), LONG_AGO)
    assert sla is not None and "due_at" not in sla and "look_at" not in sla and not sla["paused"]


def test_a_line_that_came_late_makes_a_wait_longer_but_no_other_one() -> None:
    at = datetime(2026, 6, 2, 12, tzinfo=UTC)
    row, terms = talk(at), terms_of(HOUR)
    row["sla"] = reckoned(row, row, terms, at)
    late = at + timedelta(hours=3)
    telling = owed(row["sla"], late)
    assert telling is not None and telling.kind == "breached"
    row["sla"] = after_telling(row["sla"], telling)
    earlier = {**row, "waiting_since": at - timedelta(minutes=5)}
    earlier["sla"] = reckoned(row, earlier, terms, late)
    assert earlier["sla"]["due_at"] == at + timedelta(minutes=115) and owed(earlier["sla"], late) is None


def test_an_answer_after_the_time_is_told_even_when_nobody_looked_before() -> None:
    at = datetime(2026, 6, 2, 12, tzinfo=UTC)
    row, terms = talk(at), terms_of(HOUR)
    row["sla"] = reckoned(row, row, terms, at)
    answered_at = at + timedelta(hours=3)
    after = {name: value for name, value in row.items() if name != "waiting_since"}
    after |= {"first_reply_at": answered_at, "last_reply_at": answered_at}
    after["sla"] = reckoned(row, after, terms, answered_at)
    telling = owed(after["sla"], answered_at)
    assert telling is not None and (telling.kind, telling.target) == ("breached", "first_response")
    assert after["sla"]["look_at"] <= answered_at
    told = after_telling(after["sla"], telling)
    assert owed(told, answered_at) is None and "look_at" not in told
    back = {**row, "sla": told}  # taken back: the same wait goes on, and it has been told
    back["sla"] = reckoned({**after, "sla": told}, back, terms, answered_at)
    assert back["sla"]["due_at"] == at + timedelta(hours=2) and owed(back["sla"], answered_at) is None
    in_time = {**after, "first_reply_at": at + timedelta(hours=1), "last_reply_at": at + timedelta(hours=1)}
    in_time["sla"] = row["sla"]
    assert (reckoned(row, in_time, terms, answered_at) or {})["missed"] == []


def test_of_what_was_due_before_a_promise_held_nobody_is_told() -> None:
    at = datetime(2026, 6, 2, 12, tzinfo=UTC)
    row = talk(at)
    sla = reckoned(row, row, terms_of(HOUR, holds_since=at + timedelta(hours=5)), at + timedelta(hours=5))
    assert sla is not None and sla["due_at"] == at + timedelta(hours=2)
    assert owed(sla, at + timedelta(hours=6)) is None and "look_at" not in sla


def test_due_soon_leaves_at_least_half_of_the_time() -> None:
    short = PolicyInput.model_validate({"name": "Quick", "lengths": {"first_response_min": 10}, "soon_min": 60})
    row = talk(LONG_AGO)
    sla = reckoned(row, row, terms_of(short), LONG_AGO)
    assert sla is not None and sla["soon_at"] == LONG_AGO + timedelta(minutes=5)


def test_spam_owes_nothing_and_nothing_promised_leaves_nothing() -> None:
    row = talk(LONG_AGO)
    row["sla"] = reckoned(row, row, terms_of(HOUR), LONG_AGO)
    spam = {**row, "status": "spam"}
    sla = reckoned(row, spam, terms_of(HOUR), LONG_AGO + timedelta(days=1))
    assert sla is not None and (sla["clocks"], sla["missed"]) == ([], [])
    assert reckoned(row, row, Terms(), LONG_AGO) is None
