"""Schedules come round and the past is taken in: each occurrence once, each person once, whatever dies."""

import asyncio
import random
import time
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from base.clock import now
from base.errors import Conflict, NotFound, WrongInput
from profiles.edit import ProfilePatch
from tests.campaigns.conftest import World
from tests.dying import WRITES, Dying

STAY: dict[str, Any] = {"id": "w", "type": "wait", "for": "P30D", "next": None}
GO: dict[str, Any] = {**STAY, "for": "PT0S"}
AGAIN = {"mode": "after_exit"}
ALL = {"field": "name", "op": "exists"}
VIP = {"field": "tags", "op": "contains", "value": "vip"}


def daily(segment_id: str, ago: timedelta = timedelta(seconds=2), **more: Any) -> dict[str, Any]:
    """A schedule that came round so long ago today (or yesterday)."""
    at = (now() - ago).astimezone(ZoneInfo("Europe/Berlin"))
    return {"type": "schedule", "rrule": "FREQ=DAILY", "segment_id": segment_id, "at": f"{at:%H:%M:%S}", **more}


async def opened(world: World, journey: str, ago: timedelta) -> None:
    """As if it had been published then."""
    at = now() - ago
    await world.db.collection("journeys").update_one({"_id": journey}, {"$set": {"published_at": at, "opened_at": at}})
    world.worker.live.forget()


async def intakes(world: World, journey: str) -> list[dict[str, Any]]:
    return (await world.worker.backfills.intakes(journey)).data


async def abandoned(world: World) -> None:
    past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
    await world.db.collection("intakes").update_many({"state": "pending"}, past)


async def test_a_schedule_takes_in_everybody_of_the_segment(world: World) -> None:
    people = await world.people(8)
    journey = await world.journey(STAY, trigger=daily(await world.segment(ALL)))
    await opened(world, journey, timedelta(minutes=5))
    await world.take_in()
    rows = await world.rows()
    assert sorted(row["profile_id"] for row in rows) == sorted(people)
    (intake,) = await intakes(world, journey)
    assert (intake["state"], intake["seen"], intake["entered"]) == ("done", 8, 8)
    assert {row["cause"] for row in rows} == {f"schedule:{intake['at'].isoformat().replace('+00:00', 'Z')}"}
    assert {row["since"] for row in rows} == {intake["at"]}
    await world.take_in(world.new_worker())
    assert len(await world.rows()) == 8 and len(await intakes(world, journey)) == 1


async def test_mautic_3669_two_schedulers_in_the_same_second_begin_one_occurrence(world: World) -> None:
    """Its crons started in the same second sent everything twice."""
    people = await world.people(9)
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL)), reentry=AGAIN)
    await opened(world, journey, timedelta(minutes=5))
    workers = [world.worker, *(world.new_worker() for _ in range(3))]
    begun = await asyncio.gather(*(each.intakes.enlist() for each in workers))
    assert sum(begun) == 1
    await asyncio.gather(*(each.intakes.drain() for each in workers))
    await world.settle()
    for each in workers:
        await world.take_in(each)
    await world.settle()
    assert sorted(row["profile_id"] for row in await world.rows()) == sorted(people)


async def test_what_was_missed_within_the_hour_runs_and_what_is_older_is_noted(world: World) -> None:
    await world.people(2)
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL), timedelta(minutes=55)), reentry=AGAIN)
    await opened(world, journey, timedelta(days=3, hours=2))
    await world.take_in()
    found = await intakes(world, journey)
    assert [each["state"] for each in found] == ["done", "missed", "missed", "missed"]
    assert len(await world.rows()) == 2 and all(each["reason"] for each in found[1:])
    old = await world.journey(GO, trigger=daily(await world.segment(ALL), timedelta(minutes=65)))
    await opened(world, old, timedelta(hours=3))
    await world.take_in()
    assert [each["state"] for each in await intakes(world, old)] == ["missed"]


async def test_a_schedule_does_not_come_before_it_was_published(world: World) -> None:
    await world.people(1)
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL)))
    await world.take_in()
    assert await intakes(world, journey) == [] and await world.rows() == []


async def test_while_a_journey_is_paused_occurrences_wait_and_are_missed_when_it_takes_too_long(world: World) -> None:
    await world.people(2)
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL)), reentry=AGAIN)
    await opened(world, journey, timedelta(minutes=5))
    await world.journeys.set_status(journey, "paused")
    await world.take_in()
    (intake,) = await intakes(world, journey)
    assert intake["state"] == "pending" and await world.rows() == []
    await world.journeys.set_status(journey, "live")
    await abandoned(world)
    await world.take_in()
    assert (await intakes(world, journey))[0]["state"] == "done" and len(await world.rows()) == 2
    late = {"$set": {"state": "pending", "seen": 0, "at": now() - timedelta(hours=2), "due_at": now()}}
    await world.db.collection("intakes").update_one({"_id": intake["_id"]}, late)
    await world.take_in()
    assert (await intakes(world, journey))[0]["state"] == "missed"


async def test_one_that_ends_takes_nobody_in_any_more(world: World) -> None:
    await world.people(2)
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL)))
    await opened(world, journey, timedelta(minutes=5))
    await world.worker.intakes.enlist()
    await world.journeys.set_status(journey, "draining")
    await world.take_in()
    (intake,) = await intakes(world, journey)
    assert intake["state"] == "cancelled" and await world.rows() == []


async def test_a_segment_that_is_gone_is_said(world: World) -> None:
    segment = await world.segment(ALL)
    journey = await world.journey(GO, trigger=daily(segment))
    await world.db.collection("segments").delete_one({"_id": segment})
    await opened(world, journey, timedelta(minutes=5))
    await world.take_in()
    (intake,) = await intakes(world, journey)
    assert intake["state"] == "failed" and "no such segment" in intake["reason"]
    with pytest.raises(WrongInput) as caught:
        await world.journey(GO, trigger=daily(segment))
    assert caught.value.errors[0].path == "trigger.segment_id"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_at_every_write_each_member_enters_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = await world.people(7)  # three stretches
    journey = await world.journey(GO, trigger=daily(await world.segment(ALL)), reentry=AGAIN)
    await opened(world, journey, timedelta(minutes=5))
    dying = Dying(monkeypatch, (*WRITES, "delete_many"))

    async def work() -> None:
        worker = world.new_worker()
        await worker.intakes.enlist()
        await worker.intakes.drain()

    async def one(at: int, after: bool) -> None:
        for name in ("enrolments", "intakes", "enrolment_log"):
            await world.db.collection(name).delete_many({})
        await dying.on(at, after, work)
        for _ in range(3):
            await abandoned(world)
            await work()
            await world.settle()  # who was in it is out again, so that a second entry would be let in
        assert sorted(row["profile_id"] for row in await world.rows()) == sorted(people), (at, after)
        (intake,) = await intakes(world, journey)
        assert intake["state"] == "done" and intake["seen"] == 7

    await one(-1, False)
    places = [(at, after) for at in range(1, dying.count + 1) for after in (False, True)]
    random.Random(3).shuffle(places)
    begun = time.monotonic()
    for place, (at, after) in enumerate(places):
        await one(at, after)
        if place >= 15 and time.monotonic() - begun > 120:
            break


# -- the past ------------------------------------------------------------------------------------------------------


async def test_what_happened_before_is_taken_in_once(world: World) -> None:
    people = await world.people(7)
    for each, days in zip(people, (1, 2, 3, 10, 29, 31, 40), strict=True):
        await world.happens("signed_up", each, ago_s=days * 86400)
    await world.happens("other", people[0])
    while await world.react():
        pass
    journey = await world.journey(GO, trigger={"type": "event", "event": "signed_up"}, reentry=AGAIN)
    found = await world.worker.backfills.outlook(journey, "P30D")
    # events are kept when they are told: those of the test are all kept just now
    assert (found.people, found.at_least) == (5, False)
    intake = await world.worker.backfills.begin(journey, "P30D", by="usr_1", key="k")
    assert intake["total"] == 5
    await world.take_in()
    await world.settle()
    assert sorted(row["profile_id"] for row in await world.rows()) == sorted(people[:5])
    for _ in range(2):
        await world.worker.backfills.begin(journey, "P30D", key="k")
        await world.worker.backfills.begin(journey, "P30D")
        await world.take_in()
        await world.settle()
    assert len(await world.rows()) == 5
    assert (await world.worker.backfills.outlook(journey, "P30D")).people == 0
    assert {each["state"] for each in await intakes(world, journey)} == {"done"}


async def test_what_the_trigger_has_taken_in_the_past_does_not_take_in_again(world: World) -> None:
    anna, bea = await world.people(2)
    journey = await world.journey(GO, trigger={"type": "event", "event": "x"}, reentry=AGAIN)
    await world.happens("x", anna, ago_s=5)
    await world.settle()
    await world.happens("x", bea, ago_s=80 * 3600)  # too old for the trigger
    await world.settle()
    assert [row["profile_id"] for row in await world.rows()] == [anna]
    await world.worker.backfills.begin(journey)
    await world.take_in()
    await world.settle()
    assert sorted(row["profile_id"] for row in await world.rows()) == sorted([anna, bea])


async def test_members_of_a_segment_are_taken_in_who_never_were_in_the_journey(world: World) -> None:
    people = await world.people(8)
    for each in people[:6]:
        await world.editor.patch(each, ProfilePatch(add_tags=["vip"]), source="api", by="t")
    await world.look()
    segment = await world.segment(VIP)
    wants = {"field": "score", "op": "eq", "value": 0}
    journey = await world.journey(
        GO, trigger={"type": "segment_entered", "segment_id": segment}, reentry=AGAIN, entry_filter=wants
    )
    await world.db.collection("profiles").update_one({"_id": people[1]}, {"$set": {"score": 9}})
    await world.journeys.enrol(journey, people[0])
    await world.settle()
    found = await world.worker.backfills.outlook(journey)
    assert (found.people, found.at_least) == (4, False)
    for _ in range(2):
        await world.worker.backfills.begin(journey)
        await world.take_in()
        await world.settle()
    assert sorted(row["profile_id"] for row in await world.rows()) == sorted([people[0], *people[2:6]])


async def test_a_backfill_can_be_called_off(world: World) -> None:
    (anna,) = await world.people(1)
    await world.happens("x", anna, ago_s=5)
    await world.react()
    journey = await world.journey(GO, trigger={"type": "event", "event": "x"})
    intake = await world.worker.backfills.begin(journey)
    done = await world.worker.backfills.call_off(journey, intake["_id"])
    assert done["state"] == "cancelled"
    await world.take_in()
    assert await world.rows() == []
    with pytest.raises(NotFound):
        await world.worker.backfills.call_off(journey, "itk_x")
    with pytest.raises(NotFound):
        await world.worker.backfills.call_off("jrn_" + "0" * 26, intake["_id"])


async def test_what_cannot_be_taken_in_is_said(world: World) -> None:
    backfills = world.worker.backfills
    by_hand = await world.journey(GO)
    with pytest.raises(Conflict) as caught:
        await backfills.begin(by_hand)
    assert caught.value.code == "nothing_to_take_in"
    journey = await world.journey(GO, trigger={"type": "event", "event": "x"})
    for window in ("yesterday", "-P1D", "P400D", "PT0S", ""):
        with pytest.raises(WrongInput) as wrong:
            await backfills.outlook(journey, window)
        assert wrong.value.errors[0].path == "window"
    await world.journeys.set_status(journey, "draining")
    with pytest.raises(Conflict):
        await backfills.outlook(journey)
    with pytest.raises((NotFound, Conflict)):
        await backfills.outlook("jrn_x")
