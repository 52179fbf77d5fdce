"""A pause holds everybody and keeps due times; a resume asks what becomes of those whose time came meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from tests.campaigns.conftest import World

HELLO: dict[str, Any] = {
    "id": "hello",
    "type": "send",
    "content": {"text": "Hello {{ profile.first_name }}"},
    "next": "late",
}
STEPS: list[dict[str, Any]] = [
    {"id": "w", "type": "wait", "for": "PT1H", "next": "hello"},
    HELLO,
    {"id": "late", "type": "wait", "for": "PT0S", "next": None},
]
TRIGGER = {"trigger": {"type": "event", "event": "x"}}


async def paused_with(world: World, *names: str) -> str:
    journey = await world.journey(*STEPS, **TRIGGER)
    for name in names:
        await world.happens("x", await world.person(name))
    await world.settle()
    await world.journeys.set_status(journey, "paused")
    return journey


async def test_dittofeed_a_pause_drops_nobody(world: World) -> None:
    """dittofeed: whoever reached a message while the journey was paused fell out of it."""
    journey = await paused_with(world, "Anna")
    due = (await world.run())["due_at"]
    await world.happens("x", await world.person("Bert"))  # comes during the pause: waits at the door
    await world.settle()
    assert {row["state"] for row in await world.rows()} == {"held"}
    assert (await world.rows())[0]["due_at"] == due
    await world.travel(hours=3)
    await world.settle()
    assert world.sent() == []
    assert await world.journeys.overdue(journey) == 2
    said = await world.journeys.explain((await world.rows())[0]["_id"])
    assert said.why.code == "wait.held" and said.until is None
    await world.journeys.set_status(journey, "live")
    await world.settle()
    assert sorted(world.sent()) == ["Hello Anna", "Hello Bert"]


async def test_resume_may_shift_everybody_by_the_pause(world: World) -> None:
    journey = await paused_with(world, "Anna")
    await world.travel(hours=5)
    await world.journeys.set_status(journey, "live", overdue="shift")
    await world.settle()
    run = await world.run()
    assert world.sent() == [] and abs(run["due_at"] - (now() + timedelta(hours=1))) < timedelta(minutes=5)
    await world.happens("something_else", run["profile_id"])
    await world.travel(minutes=61)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_a_pause_takes_from_a_wait_only_what_the_run_has_stood_in_it(world: World) -> None:
    journey = await paused_with(world, "Anna")
    await world.travel(hours=5)
    await world.happens("x", await world.person("Bert"))  # comes in at the end of the pause
    await world.settle()
    await world.journeys.set_status(journey, "live", overdue="shift")
    await world.settle()
    for run in await world.rows():
        assert abs(run["due_at"] - (now() + timedelta(hours=1))) < timedelta(minutes=5)


async def test_what_happened_in_a_pause_counts_at_once_although_waits_are_shifted(world: World) -> None:
    wait = {"id": "w", "type": "wait_event", "timeout": "P9D", "any": [{"event": "pong", "next": "hello"}]}
    journey = await world.journey(wait, {**HELLO, "next": None}, **TRIGGER)
    anna = await world.person("Anna")
    await world.happens("x", anna)
    await world.settle()
    await world.journeys.set_status(journey, "paused")
    await world.travel(days=3)
    await world.happens("pong", anna)
    await world.settle()
    await world.journeys.set_status(journey, "live", overdue="shift")
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_resume_may_skip_what_is_too_late(world: World) -> None:
    journey = await paused_with(world, "Anna")
    await world.travel(hours=3)  # overdue by two hours
    await world.happens("x", await world.person("Bert"))
    await world.settle()
    await world.journeys.set_status(journey, "live", overdue="skip_older_than", older_than="PT90M")
    await world.settle()
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["Hello Bert"]
    anna = (await world.rows())[0]
    assert anna["end"]["reason"] == "completed" and not anna["skip_next"]
    assert "send.skipped" in await world.codes(anna["_id"])


async def test_listmonk_2313_pause_and_resume_ten_times_sends_once(world: World) -> None:
    """listmonk#2313: after a pause the resume began at the top: up to 5 copies for some, none for a third."""
    journey = await world.journey(*STEPS, **TRIGGER)
    for profile_id in await world.people(12):
        await world.happens("x", profile_id)
    await world.settle()
    await world.travel(hours=1)
    for _ in range(10):
        await world.worker.walker.advance(3)
        await world.journeys.set_status(journey, "paused")
        await world.worker.walker.advance(3)
        await world.inbox.delivery.deliver(2)
        await world.journeys.set_status(journey, "live")
        await world.inbox.delivery.deliver(2)
    await world.travel(minutes=2)  # sends that were put off look again
    await world.settle()
    assert len(world.sent()) == 12
    assert {row["end"]["reason"] for row in await world.rows()} == {"completed"}


async def test_a_send_under_way_is_put_off_while_paused(world: World) -> None:
    journey = await world.journey(*STEPS, **TRIGGER)
    await world.happens("x", await world.person("Anna"))
    await world.settle()
    await world.travel(hours=1)
    await world.worker.walker.advance(10)
    await world.journeys.set_status(journey, "paused")
    await world.settle()
    (send,) = await world.inbox.sends.raw({})
    assert (send["state"], send["reason"]["code"]) == ("deferred", "journey_paused") and world.sent() == []
    await world.journeys.set_status(journey, "live")
    await world.travel(minutes=1)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_a_pause_while_the_message_is_on_its_way_holds_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    journey = await world.journey(*STEPS, **TRIGGER)
    await world.happens("x", await world.person("Anna"))
    await world.settle()
    await world.travel(hours=1)
    await world.worker.walker.advance(10)
    prepare = world.worker.source.prepare

    async def prepared_and_then_paused(sends: Any, barred: Any, now: Any) -> Any:
        answers = await prepare(sends, barred, now)
        await world.journeys.set_status(journey, "paused")
        return answers

    with monkeypatch.context() as patched:
        patched.setattr(world.worker.source, "prepare", prepared_and_then_paused)
        await world.inbox.delivery.deliver(10)
    (send,) = await world.inbox.sends.raw({})
    assert (send["state"], send["reason"]["code"]) == ("deferred", "journey_paused") and world.sent() == []
    assert send["tries"] == 0 and "first_handed_at" not in send, "no call was made"
    await world.journeys.set_status(journey, "live")
    await world.travel(minutes=1)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_a_resume_that_died_half_way_is_finished_by_the_walker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    journey = await paused_with(world, "Anna")
    await world.travel(hours=2)

    async def dies(*args: Any, **more: Any) -> int:
        raise KeyboardInterrupt

    real = world.runs.release
    monkeypatch.setattr(world.runs, "release", dies)
    with pytest.raises(KeyboardInterrupt):
        await world.journeys.set_status(journey, "live")
    monkeypatch.setattr(world.runs, "release", real)
    assert (await world.run())["state"] == "held"
    world.worker.walker._strays_at = 0
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_a_pause_that_died_half_way_is_finished_by_the_walker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    journey = await world.journey(*STEPS, **TRIGGER)
    for name in ("Anna", "Bert", "Cleo"):
        await world.happens("x", await world.person(name))
    await world.settle()
    monkeypatch.setattr("base.mongo.PART", 2)
    rows, calls = world.runs._rows, 0

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        async def update_many(self, *given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise RuntimeError("killed")
            return await rows.update_many(*given, **more)

    monkeypatch.setattr(world.worker.journeys._enrolments, "_rows", Dying())
    with pytest.raises(RuntimeError):
        await world.journeys.set_status(journey, "paused")
    assert sorted(row["state"] for row in await world.rows()) == ["held", "held", "waiting"]
    monkeypatch.undo()
    walker = world.new_worker().walker
    await walker.advance(100)
    assert {row["state"] for row in await world.rows()} == {"held"}
    await world.travel(hours=5)
    await world.journeys.set_status(journey, "live", overdue="shift")
    await world.settle()
    assert world.sent() == [], "the wait of each is moved by the pause"


async def test_a_run_held_by_an_old_picture_goes_on(world: World) -> None:
    """A worker that still believes in the pause holds a run after the resume."""
    journey = await paused_with(world, "Anna")
    other = world.new_worker()
    await other.live.now()
    await world.travel(hours=1)
    await world.journeys.set_status(journey, "live")
    await other.walker.advance(10)  # its picture is up to two seconds old
    assert (await world.run())["state"] == "held"
    world.worker.walker._strays_at = 0
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_an_answer_during_a_pause_is_not_forgotten(world: World) -> None:
    listen = {
        "id": "l", "type": "wait_event", "any": [{"event": "message.received", "next": None}],
        "timeout": "P1D", "timeout_next": "hello",
    }  # fmt: skip
    journey = await world.journey(listen, {**HELLO, "next": None}, **TRIGGER)
    anna = await world.person("Anna")
    await world.happens("x", anna)
    await world.settle()
    await world.journeys.set_status(journey, "paused")
    await world.says(anna, "here I am")
    await world.settle()
    await world.travel(days=2)
    await world.journeys.set_status(journey, "live")
    await world.settle()
    assert world.sent() == [] and (await world.run())["end"]["reason"] == "completed"


async def test_statuses_that_make_no_sense_are_refused(world: World) -> None:
    draft = (await world.journeys.create({"name": "d"}))["_id"]
    for wrong in ("live", "paused", "draining"):
        with pytest.raises(Conflict):
            await world.journeys.set_status(draft, wrong)  # type: ignore[arg-type]
    with pytest.raises(WrongInput):
        await world.journeys.set_status(draft, "running")  # type: ignore[arg-type]
    journey = await paused_with(world)
    with pytest.raises(WrongInput):
        await world.journeys.set_status(journey, "live", overdue="skip_older_than", older_than="long")
    with pytest.raises(WrongInput):
        await world.journeys.set_status(journey, "live", overdue="whatever")  # type: ignore[arg-type]
