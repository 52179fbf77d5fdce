"""Steps at which people stand in line, wait together or part: throttle, digest, winner; journeys that start others."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.clock import now
from campaigns.definition import must_read
from campaigns.digests import in_order
from campaigns.models import SplitStep
from campaigns.turns import expected, may_pass
from campaigns.winning import Measured, best
from tests.campaigns.conftest import World

PACE: dict[str, Any] = {"id": "t", "type": "throttle", "rate": 3, "per": "PT1H", "next": None}
GATHER: dict[str, Any] = {"id": "d", "type": "digest", "window": "PT5M", "next": "s"}
TELL: dict[str, Any] = {
    "id": "s", "type": "send",
    "content": {"text": "{% for e in journey.digest %}{{ e.properties.n }} {% endfor %}({{ journey.digest|length }})"},
}  # fmt: skip
PER_KEY = {"reentry": {"mode": "per_key"}, "trigger": {"type": "event", "event": "x"}}
BEGUN = datetime(2026, 11, 28, tzinfo=UTC)


async def passed(world: World) -> list[datetime]:
    rows = await world.db.collection("turns").find({"state": "passed"}).sort("place", 1).to_list(None)
    return [row["passed_at"] for row in rows]


async def due(world: World) -> None:
    """Everybody in line looks now, whatever they expected."""
    await world.db.collection("enrolments").update_many({"wait.kind": "turn"}, {"$set": {"due_at": now()}})


# -- throttle ------------------------------------------------------------------------------------------------------


async def test_so_many_pass_in_the_order_in_which_they_came(world: World) -> None:
    await world.journey(PACE, trigger={"type": "event", "event": "x"})
    people = await world.people(8)
    for person in people:
        await world.happens("x", person)
        await world.settle()
    rows = {row["profile_id"]: row for row in await world.rows()}
    assert [rows[person]["state"] for person in people] == ["ended"] * 3 + ["waiting"] * 5
    expected_in = [(rows[person]["wait"]["about"]["until"] - now()).total_seconds() / 3600 for person in people[3:]]
    assert [round(hours, 1) for hours in expected_in] == [1, 1, 1, 2, 2]
    said = await world.journeys.explain(rows[people[7]]["_id"])
    assert said.why.code == "wait.turn" and said.why.params["ahead"] == 4
    assert said.until == said.why.params["until"]
    await due(world)
    await world.settle()
    assert len(await world.rows(state="ended")) == 3  # nobody passes by asking again
    await world.travel(minutes=61)
    await due(world)
    await world.settle()
    rows = {row["profile_id"]: row for row in await world.rows()}
    assert [rows[person]["state"] for person in people] == ["ended"] * 6 + ["waiting"] * 2


async def test_two_workers_let_no_more_pass(world: World) -> None:
    """The truth is in the database: whoever looks, in any span of an hour at most three have passed."""
    await world.journey(PACE, trigger={"type": "event", "event": "x"})
    two = world.new_worker()
    for person in await world.people(40):
        await world.happens("x", person)
    await world.react()
    for _ in range(6):
        for _ in range(3):
            await asyncio.gather(world.worker.walker.advance(7), two.walker.advance(7))
        at = sorted(await passed(world))
        assert all(later - first >= timedelta(hours=1) for first, later in zip(at, at[3:], strict=False)), at
        await world.travel(minutes=25)
        await due(world)
    assert len(await passed(world)) >= 6


async def test_after_a_pause_they_do_not_all_pass_at_once(world: World) -> None:
    journey = await world.journey(PACE, trigger={"type": "event", "event": "x"})
    for person in await world.people(9):
        await world.happens("x", person)
    await world.settle()
    await world.journeys.set_status(journey, "paused")
    await world.travel(hours=12)
    await world.journeys.set_status(journey, "live")
    await world.settle()
    assert len(await world.rows(state="ended")) == 6


async def test_who_leaves_the_line_makes_room(world: World) -> None:
    await world.journey(PACE, trigger={"type": "event", "event": "x"})
    people = await world.people(12)
    for person in people:
        await world.happens("x", person)
        await world.settle()
    for person in people[3:9]:
        await world.journeys.exit((await world.run(profile_id=person))["_id"])
    await world.travel(minutes=61)
    await due(world)
    await world.settle()
    rows = {row["profile_id"]: row for row in await world.rows()}
    assert {rows[person]["end"]["reason"] for person in people[9:]} == {"completed"}


async def test_journeys_may_share_a_line(world: World) -> None:
    for name in ("x", "y"):
        await world.journey({**PACE, "scope": "callcentre"}, trigger={"type": "event", "event": name})
    for person in await world.people(4):
        await world.happens("x", person)
        await world.happens("y", person)
    await world.settle()
    assert len(await world.rows(state="ended")) == 3


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 90)), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_never_more_than_the_rate_in_any_span(rate: int, looks: list[tuple[int, int]]) -> None:
    """The model of a line: who looks when is anybody's guess; passing out of order and late among the guesses."""
    per = timedelta(seconds=60)
    line: list[dict[str, Any]] = [{"_id": i, "place": i, "state": "waiting"} for i in range(10)]
    at = BEGUN
    for who, seconds in looks:
        at += timedelta(seconds=seconds)
        row = line[who]
        waiting = [each for each in line if each["state"] == "waiting"][:rate]
        recent = [each for each in line if each["state"] == "passed" and each["until"] > at]
        if row["state"] == "waiting" and may_pass(row["place"], rate, waiting, recent):
            row |= {"state": "passed", "passed_at": at, "until": at + per}
        elif row["state"] == "waiting":
            before = [each for each in recent if each["place"] < row["place"]]
            ahead = sum(each["state"] == "waiting" and each["place"] < row["place"] for each in line)
            assert expected(ahead, rate, per, before, at) > at
    times = sorted(row["passed_at"] for row in line if row["state"] == "passed")
    assert all(later - first >= per for first, later in zip(times, times[rate:], strict=False))


# -- digest --------------------------------------------------------------------------------------------------------


async def test_several_events_become_one_message(world: World) -> None:
    await world.journey(GATHER, TELL, **PER_KEY)
    person, other = await world.people(2)
    for n in (1, 2, 3):
        await world.happens("x", person, n=n, ago_s=10 - n)
        await world.settle()
    await world.happens("x", other, n=9)
    await world.settle()
    assert world.sent() == [] and len(await world.rows(state="waiting")) == 2
    await world.travel(minutes=6)
    await world.settle()
    assert sorted(world.sent()) == ["1 2 3 (3)", "9 (1)"]
    ends = sorted(row["end"]["reason"] for row in await world.rows())
    assert ends == ["completed", "completed", "digested", "digested"]
    await world.happens("x", person, n=4)
    await world.settle()
    await world.travel(minutes=6)
    await world.settle()
    assert world.sent()[-1] == "4 (1)"


async def test_novu_1633_2569_two_events_at_the_same_moment_open_one_window(world: World) -> None:
    """novu#1633, #2569: near-simultaneous events opened two windows, and two messages went out."""
    await world.journey(GATHER, TELL, **PER_KEY)
    two = world.new_worker()
    people = await world.people(12)
    for n, person in itertools.product(range(4), people):
        await world.happens("x", person, n=n)
    await world.react()
    for _ in range(4):
        await asyncio.gather(world.worker.walker.advance(15), two.walker.advance(15))
    await world.settle()
    opened = await world.db.collection("digests").find({}).to_list(None)
    assert len(opened) == 12 and {row["count"] for row in opened} == {4}
    await world.travel(minutes=6)
    await world.settle()
    assert len(world.sent()) == 12 and all(text.endswith("(4)") for text in world.sent())


async def test_novu_12373_a_retried_digest_does_not_merge_into_itself(world: World, monkeypatch: Any) -> None:
    """novu#12373: a job that was tried again found its own digest, merged into it and vanished."""
    await world.journey(GATHER, TELL, **PER_KEY)
    person = (await world.people(1))[0]
    await world.happens("x", person, n=1)
    await world.react()
    real = world.runs.write

    async def dies(changes: Any, rows: Any) -> Any:
        raise asyncio.CancelledError

    for _ in range(2):  # it takes its place and dies before it can write down that it waits
        monkeypatch.setattr(world.runs, "write", dies)
        with pytest.raises(asyncio.CancelledError):
            await world.worker.walker.advance(10)
        monkeypatch.setattr(world.runs, "write", real)
        await world.db.collection("enrolments").update_many({}, {"$set": {"due_at": now() - timedelta(seconds=1)}})
    await world.happens("x", person, n=2)
    await world.settle()
    await world.travel(minutes=6)
    monkeypatch.setattr(world.runs, "write", dies)
    with pytest.raises(asyncio.CancelledError):
        await world.worker.walker.advance(10)  # closed, but not written
    monkeypatch.setattr(world.runs, "write", real)
    await world.db.collection("enrolments").update_many(
        {"state": "waiting"}, {"$set": {"due_at": now() - timedelta(seconds=1)}}
    )
    await world.settle()
    assert world.sent() == ["1 2 (2)"]


async def test_a_full_digest_goes_on_at_once_and_keys_keep_them_apart(world: World) -> None:
    await world.journey({**GATHER, "max": 2, "key": "event.properties.sku"}, TELL, **PER_KEY)
    person = (await world.people(1))[0]
    for n, sku in ((1, "a"), (2, "b"), (3, "a"), (4, "a")):
        await world.happens("x", person, n=n, sku=sku, ago_s=10 - n)
        await world.settle()
    assert world.sent() == ["1 3 (2)"] and len(await world.rows(state="waiting")) == 2


async def test_a_digest_without_its_first_run_goes_on_with_the_next(world: World) -> None:
    await world.journey(GATHER, TELL, **PER_KEY)
    person = (await world.people(1))[0]
    await world.happens("x", person, n=1, ago_s=5)
    await world.settle()
    await world.journeys.exit((await world.run())["_id"])
    await world.happens("x", person, n=2)
    await world.settle()
    await world.travel(minutes=6)
    await world.settle()
    assert world.sent() == ["1 2 (2)"]


def test_what_a_digest_holds_is_in_order_once_and_bounded() -> None:
    properties = {"n": 1, "long": "x" * 9000}
    late = {"id": "b", "name": "x", "occurred_at": BEGUN + timedelta(seconds=1), "properties": properties}
    early = {"id": "a", "name": "x", "occurred_at": BEGUN, "properties": {}}
    found = in_order([late, early, late])
    assert [each["id"] for each in found] == ["a", "b"] and found[1]["properties"] == {"n": 1}


# -- winner --------------------------------------------------------------------------------------------------------


def contest(**winner: Any) -> dict[str, Any]:
    arms = [{"weight": 1, "name": "a", "next": "sa"}, {"weight": 1, "name": "b", "next": "sb"}]
    return {"id": "p", "type": "split", "arms": arms,
            "winner": {"metric": "replied", "min_sample": 3, "decide_by": "P1D", **winner}}  # fmt: skip


SENDS = [{"id": f"s{arm}", "type": "send", "content": {"text": arm.upper()}, "next": None} for arm in "ab"]


async def test_the_best_arm_is_chosen_once_and_gets_everybody_who_comes_later(world: World) -> None:
    journey = await world.journey(contest(), *SENDS, trigger={"type": "event", "event": "x"})
    people = await world.people(40)
    for person in people[:20]:
        await world.happens("x", person)
    await world.settle()
    arms = {row["profile_id"]: row["data"]["p"]["arm"] for row in await world.rows()}
    assert min(list(arms.values()).count(arm) for arm in (0, 1)) >= 3
    for person in people[:20]:
        if arms[person] == 1:
            await world.says(person, "Thanks")
    two = world.new_worker()
    assert await world.worker.winners.decide() == 0  # not yet
    await world.travel(hours=25)
    assert sum(await asyncio.gather(world.worker.winners.decide(), two.winners.decide())) == 1
    assert await world.worker.winners.decide() == 0
    (row,) = await world.db.collection("split_winners").find({}).to_list(None)
    assert (row["arm"], row["why"], row["journey_id"]) == ("b", "best", journey)
    world.provider().sent.clear()
    for person in people[20:]:
        await world.happens("x", person)
    await world.settle()
    assert set(world.sent()) == {"B"} and len(world.sent()) == 20
    late = await world.run(profile_id=people[30])
    assert "split.winner" in await world.codes(late["_id"])


@pytest.mark.parametrize("metric", ["opened", "clicked", "goal", "revenue"])
async def test_what_counts_for_an_arm(world: World, metric: str) -> None:
    wait = {"id": "w", "type": "wait", "for": "P5D", "next": None}
    sends = [{**each, "next": "w"} for each in SENDS]
    more = {"goal": {"when": {"event": "order.paid"}}} if metric == "goal" else {}
    step = contest(metric=metric, min_sample=1)
    await world.journey(step, *sends, wait, trigger={"type": "event", "event": "x"}, **more)
    for person in await world.people(12):
        await world.happens("x", person)
    await world.settle()
    for row in await world.rows():
        if row["data"]["p"]["arm"] == 0:
            continue
        if metric in ("opened", "clicked"):
            await world.happens(f"message.{metric}", row["profile_id"], enrolment_id=row["_id"])
        elif metric == "revenue":
            await world.order(row["profile_id"], number=row["_id"], status="paid")
        else:
            await world.happens("order.paid", row["profile_id"])
    await world.settle()
    await world.db.collection("enrolment_log").update_many(
        {}, [{"$set": {"at": {"$dateSubtract": {"startDate": "$at", "unit": "hour", "amount": 25}}}}]
    )
    assert await world.worker.winners.decide() == 1
    (row,) = await world.db.collection("split_winners").find({}).to_list(None)
    assert row["arm"] == "b", row


def test_too_few_or_no_difference_leave_it_to_the_fallback() -> None:
    def split(**more: Any) -> SplitStep:
        definition = must_read({"name": "J", "trigger": {"type": "api"}, "steps": [contest(**more), *SENDS]})
        step = definition.steps[0]
        assert isinstance(step, SplitStep) and step.winner is not None
        return step

    def chosen(step: SplitStep, *measured: Measured) -> tuple[str | None, str]:
        assert step.winner is not None
        return best(step, step.winner, measured)

    assert chosen(split(), Measured("a", 10, 5), Measured("b", 10, 6)) == ("b", "best")
    assert chosen(split(), Measured("a", 10, 5), Measured("b", 2, 2)) == (None, "too_few")
    assert chosen(split(fallback="a"), Measured("b", 10, 9)) == ("a", "too_few")
    assert chosen(split(fallback="a"), Measured("a", 10, 5), Measured("b", 10, 5)) == ("a", "no_difference")
    assert chosen(split(fallback="b"), Measured("a", 10, 0), Measured("b", 10, 0)) == ("b", "no_difference")
    assert chosen(split(), Measured("a", 10, 5), Measured("b", 100, 49)) == ("a", "best")


# -- journeys that start others ------------------------------------------------------------------------------------


async def test_a_journey_starts_another_with_data_once(world: World) -> None:
    second = await world.journey({"id": "s", "type": "send", "content": {"text": "{{ journey.sku }} {{ journey.n }}"}})
    step = {"id": "j", "type": "start_journey", "journey_id": second,
            "data": {"sku": "{{ event.properties.sku }}", "n": 5}}  # fmt: skip
    await world.journey(step, trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit"})
    person = await world.person()
    for _ in range(2):
        await world.happens("x", person, sku="tea")
        await world.settle()
    assert world.sent() == ["tea 5"]
    first, again = [row for row in await world.rows() if row["journey_id"] != second]
    started = await world.run(journey_id=second)
    assert started["cause"] == f"journey:{first['_id']}:j:1"
    assert "start_journey.started" in await world.codes(first["_id"])
    log = {line["code"]: line["params"] for line in await world.runs.log_of(again["_id"])}
    assert log["start_journey.refused"]["why"] == "once"  # once is the rule of the other journey


async def test_journeys_that_start_each_other_end_with_a_word(world: World) -> None:
    head = await world.journeys.create({"name": "Ping", "trigger": {"type": "event", "event": "x"}})
    reentry = {"mode": "per_key"}
    pong = await world.journey({"id": "j", "type": "start_journey", "journey_id": head["_id"]}, reentry=reentry)
    steps = [{"id": "j", "type": "start_journey", "journey_id": pong}]
    await world.journeys.patch(head["_id"], {"steps": steps, "reentry": reentry})
    await world.journeys.publish(head["_id"])
    await world.happens("x", (await world.people(1))[0])
    await world.settle()
    rows = await world.rows()
    assert len(rows) == 11 and {row["state"] for row in rows} == {"ended"}
    codes = [code for row in rows for code in await world.codes(row["_id"])]
    assert codes.count("start_journey.started") == 10 and codes.count("start_journey.too_deep") == 1


async def test_a_journey_that_is_not_there_cannot_be_started(world: World) -> None:
    from base.errors import WrongInput

    with pytest.raises(WrongInput) as caught:
        await world.journey({"id": "j", "type": "start_journey", "journey_id": "jrn_" + "0" * 26})
    assert caught.value.errors[0].path == "steps[0].journey_id"
    second = await world.journey({"id": "t", "type": "task", "text": "x"})
    step = {"id": "j", "type": "start_journey", "journey_id": second}
    await world.journey(step, trigger={"type": "event", "event": "x"})
    await world.journeys.set_status(second, "archived")
    await world.happens("x", (await world.people(1))[0])
    await world.settle()
    log = await world.runs.log_of((await world.run())["_id"])
    assert log[0]["params"]["why"] == "not_running"
