"""Facts, cells and steps: what is folded is what counting everything anew would find."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import WrongInput
from inbox.figures.cells import EVER, Changes, Sum, bucket_of, changes_of, grained, middle_of
from inbox.figures.facts import NO_END, Fact, Promises, Talk, documents, facts_of, judged
from inbox.figures.periods import Span, by_day, by_hour, by_hour_of_week, period
from inbox.figures.tables import REPORTS, added, folded, opened_of, table
from inbox.reports import as_csv

T0 = datetime(2026, 3, 28, 9, tzinfo=UTC)
ZONES = ("UTC", "Europe/Amsterdam", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe")
MINUTE = timedelta(minutes=1)


# -- from lines to facts -------------------------------------------------------------------------------------------


def line(at: int, direction: str, by: str = "", **more: Any) -> dict[str, Any]:
    """One at so many minutes after the beginning."""
    kind = "agent" if by else "customer" if direction == "in" else "system"
    author = {"type": more.pop("type", kind), "id": by or None}
    status = {"status": more.pop("status", "sent")} if direction == "out" else {}
    return {"_id": f"msg_{at}_{direction}", "provider_at": T0 + at * MINUTE, "seq": at, "direction": direction,
            "author": author, **status, **more}  # fmt: skip


def turned(at: int, start: str, to: str, by: str = "", **params: Any) -> dict[str, Any]:
    system = {"code": "status_changed", "params": {"from": start, "to": to, **params}}
    return line(at, "system", by, system=system)


def given_to(at: int, to: str | None, before: str | None = None, **params: Any) -> dict[str, Any]:
    return line(at, "system", system={"code": "assigned", "params": {"from": before, "to": to, **params}})


def talk(*lines: dict[str, Any], status: str = "open", **more: Any) -> Talk:
    fields = {name: more.pop(name) for name in ("assignee_id", "team_id", "labels", "split_from") if name in more}
    row = {"_id": "cnv_1", "profile_id": "prf_1", "identity_id": "idn_1", "channel_id": "chn_1", "status": status,
           "created_at": T0, "updated_at": T0 + 1000 * MINUTE, **fields}  # fmt: skip
    return Talk(row, sorted(lines, key=lambda each: each["provider_at"]), **more)


def wall(team: str | None, channel: str, since: datetime, until: datetime) -> timedelta:
    return until - since


def found(one: Talk) -> list[tuple[str, int, int | None, str | None]]:
    """(kind, minute, minutes it took, agent) in order; messages left out."""
    facts, _ = facts_of(one, wall)
    told = [
        (each.kind, (each.at - T0) // MINUTE, each.ms // 60_000 if each.ms is not None else None, each.agent_id)
        for each in facts if each.kind not in ("received", "sent", "assigned")
    ]  # fmt: skip
    return sorted(told, key=lambda each: (each[1], each[0]))


def test_a_reopen_begins_a_cycle_and_changes_no_first_response() -> None:
    begun = [line(0, "in"), line(10, "out", "usr_a"), turned(20, "open", "resolved", "usr_a")]
    first = [("created", 0, None, None), ("first_response", 10, 10, "usr_a")]
    assert found(talk(*begun, status="resolved"))[:2] == first
    again = [
        line(100, "in"), turned(100, "resolved", "open", by=""), line(105, "in"), line(130, "out", "usr_b"),
        turned(140, "open", "resolved", "usr_b"),
    ]  # fmt: skip
    assert found(talk(*begun, *again, status="resolved")) == [
        *first,
        ("closed", 20, None, None), ("resolution", 20, 20, "usr_a"),
        ("reopened", 100, None, None), ("next_response", 130, 30, "usr_b"),
        ("closed", 140, None, None), ("resolution", 140, 40, "usr_b"),
    ]  # fmt: skip


def test_what_failed_or_a_machine_said_answers_nobody() -> None:
    lines = [
        line(0, "in"), line(5, "out", "usr_a", status="failed"), line(6, "out", "", type="campaign"),
        line(7, "out", "usr_a", status="cancelled"), line(9, "out", "usr_a", status="delivered"),
    ]  # fmt: skip
    assert [each for each in found(talk(*lines)) if each[0] == "first_response"] == [("first_response", 9, 9, "usr_a")]
    facts, _ = facts_of(talk(*lines), wall)
    said = [(each.kind, each.n) for each in facts if each.kind in ("sent", "received")]
    assert said == [("received", 1), ("sent", 1)]


def test_what_was_taken_back_never_happened() -> None:
    closed = [line(0, "in"), given_to(1, "usr_a"), turned(20, "open", "resolved", "usr_a")]
    undone = [*closed, turned(21, "resolved", "open", "usr_a", taken_back=True), line(30, "out", "usr_a")]
    assert found(talk(*undone)) == [("created", 0, None, None), ("first_response", 30, 30, "usr_a")]
    facts, _ = facts_of(talk(*undone, given_to(40, None, "usr_a", taken_back=True)), wall)
    assert not [each for each in facts if each.kind == "assigned"]
    back = turned(31, "open", "resolved", "usr_a", taken_back=True)
    reopened = [*closed, turned(30, "resolved", "open", "usr_a"), back]
    assert [each[0] for each in found(talk(*reopened, status="resolved"))] == ["created", "closed", "resolution"]


def test_a_mark_alone_opens_nothing_and_spam_is_no_work() -> None:
    closed = [line(0, "in"), turned(20, "open", "resolved", "usr_a")]
    mark = [
        line(30, "in"), turned(31, "resolved", "open", by=""),
        line(32, "system", system={"code": "rated", "params": {}}), turned(33, "open", "resolved"),
    ]  # fmt: skip
    assert found(talk(*closed, *mark, status="resolved")) == found(talk(*closed, status="resolved"))
    assert facts_of(talk(*closed, status="spam"), wall) == ([], [])


def test_merged_threads_are_one_and_the_part_is_closed() -> None:
    part = [line(0, "in"), line(50, "in"), line(60, "out", "usr_a")]
    rest = [line(5, "in")]
    head = talk(*rest, line(40, "system", system={"code": "merged", "params": {}}), members=[(T0 + 40 * MINUTE, part)])
    assert [each for each in found(head) if "response" in each[0]] == [("first_response", 60, 60, "usr_a")]
    own = talk(*part, status="merged", left_at=T0 + 40 * MINUTE)
    assert [each[:2] for each in found(own)] == [("created", 0), ("closed", 40)]
    facts, _ = facts_of(own, wall)  # what was said is counted where it was said
    assert sum(each.n for each in facts if each.kind == "received") == 2


def test_a_cycle_is_counted_under_who_had_it_at_its_end() -> None:
    lines = [line(0, "in"), given_to(5, "usr_a"), given_to(8, "usr_b"), turned(20, "open", "resolved", "usr_c")]
    facts, _ = facts_of(talk(*lines, status="resolved"), wall)
    told = {each.kind: each for each in facts if each.kind in ("created", "closed", "resolution")}
    assert {kind: each.agent_id for kind, each in told.items()} == {
        "created": "usr_b", "closed": "usr_b", "resolution": "usr_c"
    }  # fmt: skip
    assert told["created"].until == T0 + 20 * MINUTE
    still, _ = facts_of(talk(*lines[:3], assignee_id="usr_b"), wall)
    assert next(each for each in still if each.kind == "created").until == NO_END


def test_messages_count_under_who_had_the_conversation_then() -> None:
    team = line(5, "system", system={"code": "team_assigned", "params": {"from": None, "to": "tea_1"}})
    left = line(40, "system", system={"code": "team_left", "params": {"from": "tea_1", "to": None}})
    said = [line(0, "in"), line(7, "in"), line(18, "in"), line(19, "out", "usr_b"), line(33, "in"), line(62, "in")]
    facts, _ = facts_of(talk(*said, team, given_to(16, "usr_a"), given_to(30, None, "usr_a"), left), wall)
    told = [((each.at - T0) // MINUTE, each.kind, each.agent_id, each.team_id, each.n) for each in facts
            if each.kind in ("received", "sent")]  # fmt: skip
    assert sorted(told) == [
        (0, "received", None, None, 2), (18, "received", "usr_a", "tea_1", 1), (19, "sent", "usr_b", "tea_1", 1),
        (33, "received", None, "tea_1", 1), (62, "received", None, None, 1),
    ]  # fmt: skip


def test_promises_are_judged_once() -> None:
    one = talk(line(0, "in"), line(10, "out", "usr_a"), line(20, "in"))
    facts, waits = facts_of(one, wall)
    since = {(each.target, each.since_ms) for each in waits}
    ms = int(T0.timestamp() * 1000)
    assert since == {("first_response", ms), ("next_response", ms + 20 * 60_000), ("resolution", ms)}
    kept = judged(waits, Promises(promised=lambda target, since: True))
    assert [(each.kind, each.target) for each in kept] == [("kept", "first_response")]
    broken = {("first_response", ms): T0 + 5 * MINUTE, ("resolution", ms): T0 + 30 * MINUTE}
    missed = judged(waits, Promises(broken))
    assert [(each.kind, each.target, each.at) for each in missed] == [
        ("missed", "first_response", T0 + 5 * MINUTE), ("missed", "resolution", T0 + 30 * MINUTE)
    ]  # fmt: skip
    known = {"first_response": {"": facts[0].at}}
    # Nothing was promised when it was judged.
    assert judged(waits, Promises({}, lambda target, since: True, known)) == []


# -- cells ---------------------------------------------------------------------------------------------------------

AGENTS, CHANNELS = ("usr_a", "usr_b", None), ("chn_1", "chn_2")
KINDS = ("created", "reopened", "closed", "received", "first_response", "csat", "nps")


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    at = T0 + timedelta(seconds=draw(st.integers(-40 * 3600, 40 * 3600)))
    row: dict[str, Any] = {
        "kind": kind, "at": at, "n": draw(st.integers(1, 3)) if kind == "received" else 1,
        "channel_id": draw(st.sampled_from(CHANNELS)), "agent_id": draw(st.sampled_from(AGENTS)), "team_id": None,
        "labels": draw(st.sampled_from(([""], ["a"], ["a", "b"]))),
    }  # fmt: skip
    if kind == "first_response":
        row |= {"ms": draw(st.integers(0, 10**9)), "business_ms": draw(st.integers(0, 10**8))}
    if kind in ("csat", "nps"):
        row["score"] = draw(st.integers(0, 10))
    return row


class Shelf:
    """Cells as they are kept, changed bit by bit."""

    def __init__(self) -> None:
        self.fields: dict[Any, Counter[str]] = {}

    def add(self, changes: Changes) -> None:
        for place, fields in changes.items():
            self.fields.setdefault(place, Counter()).update(fields)

    def cells(self, dimension: str, *, ever: bool = False) -> list[dict[str, Any]]:
        return [_cell(place, fields) for place, fields in self.fields.items()
                if place[1] == dimension and (place[4] == EVER) == ever]  # fmt: skip


def _cell(place: Any, fields: Counter[str]) -> dict[str, Any]:
    kind, dimension, value, channel_id, day = place
    cell: dict[str, Any] = {"kind": kind, "dimension": dimension, "value": value, "channel_id": channel_id, "day": day}
    for path, by in fields.items():
        *parts, last = path.split(".")
        inside = cell
        for part in parts:
            inside = inside.setdefault(part, {})
        inside[last] = by
    return cell


@settings(max_examples=60, deadline=None)
@given(
    kept=st.lists(rows(), max_size=25), gone=st.lists(rows(), max_size=10), zone=st.sampled_from(ZONES),
    by=st.sampled_from(("day", "hour", "week_hour", "agent", "channel", "label")),
    ends=st.tuples(st.integers(-150, 100), st.integers(1, 120)),
)  # fmt: skip
def test_what_is_folded_is_what_counting_finds(
    kept: list[dict[str, Any]], gone: list[dict[str, Any]], zone: str, by: Any, ends: tuple[int, int]
) -> None:
    shelf = Shelf()
    for each in (*gone, *kept):
        shelf.add(changes_of([], [each]))
    shelf.add(changes_of(gone, []))
    since = grained(T0) + ends[0] * timedelta(minutes=15)
    span = Span(since, since + ends[1] * timedelta(minutes=15))
    makers: dict[str, Any] = {"day": by_day, "hour": by_hour, "week_hour": by_hour_of_week}
    steps = makers[by](span, ZoneInfo(zone)) if by in makers else None
    dimension = by if by in ("agent", "label") else "channel"
    groups = folded(shelf.cells(dimension), span, by, steps)
    inside = [each for each in kept if span.since <= each["at"] < span.until]
    _same(groups, inside, by, zone)
    opened = opened_of(shelf.cells(dimension), shelf.cells(dimension, ever=True), by)
    made = table(REPORTS["backlog"], "day", span, groups, added(groups.values()), by_day(span, ZoneInfo(zone)), opened,
                 business=False)  # fmt: skip
    if dimension != "label":
        for row in made.rows:
            end = row.spans[-1].until
            assert row.values[2] == sum(_sign(each) for each in kept if each["at"] < end)


def _sign(row: dict[str, Any]) -> int:
    return {"created": 1, "reopened": 1, "closed": -1}.get(row["kind"], 0)


def _same(groups: Any, facts: Iterable[dict[str, Any]], by: str, zone: str) -> None:
    wanted: dict[tuple[str, str], Sum] = {}
    for each in facts:
        for key in _keys(each, by, zone):
            one = wanted.setdefault((key, each["kind"]), Sum())
            one.n += each["n"]
            one.ms += each.get("ms", 0)
            one.business_ms += each.get("business_ms", 0)
            if "ms" in each:
                one.times[bucket_of(each["ms"])] += 1
                one.business[bucket_of(each["business_ms"])] += 1
            if "score" in each:
                one.scores[each["score"]] += 1
    have = {(key, kind): one for key, kinds in groups.items() for kind, one in kinds.items() if one.n}
    assert have.keys() == wanted.keys()
    for place, one in wanted.items():
        kept = have[place]
        assert (kept.n, kept.ms, kept.business_ms) == (one.n, one.ms, one.business_ms)
        assert (+kept.times, +kept.business, +kept.scores) == (one.times, one.business, one.scores)


def _keys(row: dict[str, Any], by: str, zone: str) -> list[str]:
    local = row["at"].astimezone(ZoneInfo(zone))
    if by == "label":
        return list(row["labels"])
    if by == "day":
        return [local.date().isoformat()]
    if by == "week_hour":
        return [f"{('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')[local.weekday()]}-{local.hour:02}"]
    if by == "hour":
        return [f"{local:%Y-%m-%dT%H}:00{local.isoformat()[-6:]}"]
    return [row["channel_id"] if by == "channel" else row["agent_id"] or ""]


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=60), st.sampled_from((0.5, 0.9)))
def test_a_percentile_is_off_by_less_than_a_twentieth(times: list[int], share: float) -> None:
    one = Sum(n=len(times), times=Counter(bucket_of(each) for each in times))
    exact = sorted(times)[max(1, -(-int(share * 100) * len(times) // 100)) - 1]
    told = one.percentile(share, business=False)
    assert told is not None and (exact < 1000 or abs(told - exact) <= exact / 20)
    assert middle_of(0) < 1000


# -- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Amsterdam", "2026-03-29", 23), ("Europe/Amsterdam", "2026-10-25", 25), ("UTC", "2026-03-29", 24),
     ("Asia/Kathmandu", "2026-03-29", 24)],
)  # fmt: skip
def test_a_day_on_which_clocks_change_has_its_own_hours(zone: str, day: str, hours: int) -> None:
    clock = ZoneInfo(zone)
    since = datetime.fromisoformat(day).replace(tzinfo=clock)
    until = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=clock)
    span = period(since, until)
    assert len(by_hour(span, clock).steps) == hours
    assert until.astimezone(UTC) - since.astimezone(UTC) == timedelta(hours=hours)
    (only,) = by_day(span, clock).steps
    assert only.key == day
    week = by_hour_of_week(span, clock)
    assert sum(len(each.spans) for each in week.steps) == hours


@given(st.sampled_from(ZONES), st.integers(0, 24 * 4 * 400), st.integers(1, 24 * 4 * 30))
@settings(max_examples=40, deadline=None)
def test_steps_cover_the_time_without_overlap(zone: str, start: int, length: int) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC) + start * timedelta(minutes=15)
    span = Span(since, since + length * timedelta(minutes=15))
    for made in (by_day(span, ZoneInfo(zone)), by_hour(span, ZoneInfo(zone)), by_hour_of_week(span, ZoneInfo(zone))):
        spans = sorted((each for step in made.steps for each in step.spans), key=lambda each: each.since)
        assert spans[0].since == span.since and spans[-1].until == span.until
        assert all(one.until == other.since for one, other in pairwise(spans))
        assert len({step.key for step in made.steps}) == len(made.steps)
        assert made.of(span.since) is not None and made.of(span.until) is None


def test_a_time_that_is_empty_or_too_long_is_refused() -> None:
    for days, hours in ((0, False), (401, False), (40, True)):
        with pytest.raises(WrongInput):
            period(T0, T0 + timedelta(days=days), hours=hours)


def test_formulas_are_quoted_in_a_table() -> None:
    one = documents(talk(line(0, "in"), labels=["=cmd|' /C calc'!A0"]), [Fact("created", "0", T0)])
    shelf = Shelf()
    shelf.add(changes_of([], one.values()))
    span = period(T0, T0 + timedelta(hours=1))
    groups = folded(shelf.cells("label"), span, "label", None)
    text = as_csv(table(REPORTS["volume"], "label", span, groups, {}, None, None, business=False), {})
    assert "\"'=cmd|' /C calc'!A0\"" in text or "'=cmd|' /C calc'!A0" in text
    assert "\n=cmd" not in text
