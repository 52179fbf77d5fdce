"""Failures of other programs that have no better place. The whole list: docs/known-failures.md."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.ids import new_id
from channels.vocabulary import Address, Person
from inbox.models import SendRequest, Source
from profiles.resolve import Sighting
from tests.campaigns.conftest import Mate, World
from tests.dying import WRITES, Dying

WAITS: tuple[dict[str, Any], ...] = (
    {"type": "wait", "for": "PT1H"}, {"type": "wait_event", "any": [{"event": "never"}], "timeout": "PT1H"},
    {"type": "throttle", "rate": 1, "per": "PT1H", "scope": "one"}, {"type": "digest", "window": "PT1H"},
    {"type": "task", "text": "Call", "wait_done": True, "timeout": "PT1H"},
    {"type": "notify", "text": "Look", "assignee": "role:agent", "wait_done": True, "timeout": "PT1H"},
    {"type": "webhook", "url": "https://x.example/"}, {"type": "send", "content": {"text": "Hi"}},
)  # fmt: skip


async def test_mautic_9880_asking_twice_within_seconds_makes_one_row(world: World) -> None:
    """mautic#9880: two rows of one mail, three seconds apart."""
    person = await world.person()
    (identity,) = await world.profiles.identities_of(person)
    chat = world.ids["chat"]
    request = SendRequest("k1", "transactional", Source("reply"), person, identity.id, chat, {"text": "Hi"})
    await asyncio.gather(*(world.inbox.outbox.request([request]) for _ in range(3)))
    await world.travel(seconds=3)
    await world.inbox.outbox.request([request])
    assert len(await world.inbox.sends.raw({})) == 1
    await world.inbox.delivery.deliver(10)
    assert world.sent() == ["Hi"]


@pytest.mark.parametrize("step", WAITS, ids=lambda step: str(step["type"]))
async def test_mautic_7751_15640_nobody_is_pending_for_ever(world: World, step: dict[str, Any]) -> None:
    """mautic#7751, #15640: pending for ever, until a command "resume stuck" was shipped. Whatever a run waits for, it
    has a time at which it is looked at again, although nobody rings and nothing happens."""
    world.mates.people = [Mate("usr_ann")]
    world.phone.script = lambda *_: TimeoutError()
    journey = await world.journey({"id": "s", **step}, reentry={"mode": "per_key"})
    for person in await world.people(2):
        await world.journeys.enrol(journey, person)
    await world.worker.walker.advance(10)
    for _ in range(80):
        rows = await world.rows(state="waiting")
        assert all(row["due_at"] <= now() + timedelta(hours=8, minutes=1) for row in rows), rows
        if not rows:
            break
        await world.travel(hours=8)
        await world.worker.walker.advance(10)
        await world.inbox.delivery.deliver(10)
        await world.call()
    assert {row["state"] for row in await world.rows()} == {"ended"}


async def test_mautic_2004_workers_that_overlap_take_nobodys_future_steps_away(world: World) -> None:
    """mautic#2004: two crons at once removed people from the campaign and deleted what was to come."""
    await world.journey({"id": "w", "type": "wait", "for": "PT1H", "next": "s"},
                        {"id": "s", "type": "send", "content": {"text": "Later"}},
                        trigger={"type": "event", "event": "x"}, exit_when={"event": "stop"})  # fmt: skip
    people = await world.people(30)
    for person in people:
        await world.happens("x", person)
    workers = (world.worker, world.new_worker())

    async def overlap() -> None:
        for _ in range(6):
            work = [call(20) for each in workers for call in (each.reactor.react, each.walker.advance)]
            await asyncio.gather(*work)

    await overlap()
    for person in people[:10]:
        await world.happens("stop", person)
    await overlap()
    waiting = {row["profile_id"] for row in await world.rows(state="waiting")}
    assert waiting == set(people[10:])
    await world.travel(hours=1)
    await world.settle()
    assert len(world.sent()) == 20


async def test_mautic_9634_a_journey_is_opened_from_an_index_alone(world: World) -> None:
    """mautic#9634: the editor took five minutes with 700,000 contacts, because their rows were read."""
    journey = await world.journey({"id": "w", "type": "wait", "for": "PT1H"})
    for person in await world.people(20):
        await world.journeys.enrol(journey, person)
    group = {"_id": {"v": "$version", "s": "$state", "n": "$node"}, "n": {"$sum": 1}}
    asked = {"aggregate": "enrolments", "cursor": {}, "hint": "place",
             "pipeline": [{"$match": {"journey_id": journey}}, {"$group": group}]}  # fmt: skip
    plan = str(await world.db.handle.command("explain", asked, verbosity="executionStats"))
    assert "'FETCH'" not in plan and "IXSCAN" in plan
    assert [row["n"] for row in await world.runs.places(journey)] == [20]


async def test_mautic_6651_a_long_log_is_read_by_its_run_alone(world: World) -> None:
    """mautic#6651: a million rows of log a month, and pages that took minutes. Here waiting writes no row at all, and a
    run's rows lie side by side."""
    steps = [{"id": f"w{n}", "type": "wait", "for": "PT1H", "next": f"w{n + 1}" if n < 19 else None} for n in range(20)]
    journey = await world.journey(*steps)
    for person in await world.people(3):
        await world.journeys.enrol(journey, person)
    for _ in range(21):
        await world.settle()
        await world.travel(hours=1)
    run = (await world.rows())[0]["_id"]
    assert len(await world.codes(run)) == 21, "one line a step and one for the end"
    where = {"_id": {"$gt": f"{run}:", "$lt": f"{run};"}}
    plan = await world.db.handle.command(
        "explain", {"find": "enrolment_log", "filter": where}, verbosity="executionStats"
    )
    stats = plan["executionStats"]
    assert stats["totalDocsExamined"] == stats["nReturned"] == 21


async def test_mautic_8921_two_hundred_people_at_once_cost_as_many_calls_as_twenty(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mautic#8921: two hundred upserts over the API took two minutes at a million contacts."""
    calls = Dying(monkeypatch, (*WRITES, "find_one"))

    async def cost(count: int) -> int:
        seen = [
            Sighting(Address(channel_id=world.ids["chat"], external_id=new_id("prf")), "chat", now(), Person(name="P"),
                     True)
            for _ in range(count)
        ]  # fmt: skip
        await calls.on(-1, False, lambda: world.resolver.resolve(seen))
        return calls.count

    few, many = await cost(20), await cost(200)
    assert 0 < many <= few + 2
