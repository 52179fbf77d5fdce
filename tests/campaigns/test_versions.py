"""Editing a journey in which people walk: who goes along, who stays, and nobody is sent anything twice."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, NotFound, WrongInput
from campaigns.migrating import SETTLING
from tests.campaigns.conftest import World
from tests.dying import WRITES, Died, Dying

HELLO: dict[str, Any] = {"id": "hello", "type": "send", "channels": ["chat"], "content": {"text": "Hello"}}
BYE: dict[str, Any] = {**HELLO, "id": "bye", "content": {"text": "Bye"}}


def wait(span: str, *, id: str = "w", next: str | None = "bye") -> dict[str, Any]:
    return {"id": id, "type": "wait", "for": span, "next": next}


async def entered(world: World, journey: str, count: int = 1) -> list[str]:
    people = await world.people(count)
    for profile_id in people:
        await world.journeys.enrol(journey, profile_id)
    await world.settle()
    return people


async def edited(world: World, journey: str, *steps: Any, migrate: dict[str, Any] | None = None, **more: Any) -> Any:
    await world.journeys.patch(journey, {"steps": list(steps), **more.pop("fields", {})})
    return await world.journeys.publish(journey, "usr_1", migrate=migrate, **more)


async def carried(world: World, worker: Any = None) -> None:
    """Batches worked off as if enough time had passed since they began."""
    long_ago = {"created_at": now() - SETTLING, "due_at": now() - timedelta(seconds=1)}
    rows = world.db.collection("journey_migrations")
    await rows.update_many({"state": {"$in": ["pending", "undoing"]}}, {"$set": long_ago})
    await (worker or world.worker).migrations.drain()


async def test_mautic_838_people_keep_their_version_unless_they_are_taken_along(world: World) -> None:
    """An edit of a campaign there changed it under the feet of everybody in it."""
    journey = await world.journey({**HELLO, "next": "w"}, wait("P3D"), {**BYE, "next": None})
    await entered(world, journey, 3)
    text = {**BYE, "content": {"text": "Another"}, "next": None}
    found = await edited(world, journey, {**HELLO, "next": "w"}, wait("P9D"), text)
    assert (found.version, found.runs_staying, found.runs_moving, found.moves) == (2, 3, 0, ())
    await carried(world)
    assert {row["version"] for row in await world.rows()} == {1}
    await world.travel(days=3)
    await world.settle()
    assert world.sent() == ["Hello"] * 3 + ["Bye"] * 3


async def test_mautic_6323_a_changed_wait_is_reckoned_from_its_original_start(world: World) -> None:
    """There a changed delay held for nobody who was waiting already."""
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    early = await entered(world, journey, 4)
    await world.travel(days=3)
    late = await world.person("Late")
    await world.journeys.enrol(journey, late)
    await world.settle()
    before = await edited(world, journey, wait("P2D"), {**BYE, "next": None}, dry_run=True)
    (move,) = before.moves
    assert (move.node, move.what, move.people, move.now, move.later) == ("w", "changed", 5, 4, 1)
    assert (before.move_now, before.move_later, before.runs_staying) == (4, 1, 5)
    assert {row["version"] for row in await world.rows()} == {1}, "a preview moved somebody"
    done = await world.journeys.publish(journey, "usr_1", migrate={})
    assert (done.runs_moving, done.runs_staying, done.move_now) == (5, 0, 4)
    await carried(world)
    await world.settle()
    assert world.sent() == ["Bye"] * 4
    run = await world.run(profile_id=late)
    assert run["version"] == 2 and abs(run["due_at"] - run["entered_at"] - timedelta(days=2)) < timedelta(hours=2)
    assert {row["state"] for row in await world.rows(profile_id={"$in": early})} == {"ended"}


async def test_mautic_6445_steps_put_in_behind_a_person_are_not_run(world: World) -> None:
    journey = await world.journey({**HELLO, "next": "w"}, wait("P3D"), {**BYE, "next": None})
    await entered(world, journey, 2)
    new = {**HELLO, "id": "new", "content": {"text": "New"}, "next": "w"}
    await edited(world, journey, {**HELLO, "next": "new"}, new, wait("P3D"), {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.travel(days=3)
    await world.settle()
    assert sorted(world.sent()) == ["Bye", "Bye", "Hello", "Hello"]
    assert {row["version"] for row in await world.rows()} == {2}
    later = await world.person("Later")
    await world.journeys.enrol(journey, later)
    await world.settle()
    assert world.sent()[-2:] == ["Hello", "New"]


async def test_parcelvoy_432_who_stands_at_a_removed_step_goes_on_and_is_not_lost(world: World) -> None:
    """Removed steps left people nowhere there: no longer in the journey, and not at its end."""
    journey = await world.journey(wait("P3D", next="b"), wait("P3D", id="b"), {**BYE, "next": None})
    await entered(world, journey, 2)
    await edited(world, journey, {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    assert world.sent() == ["Bye", "Bye"]
    for row in await world.rows():
        assert await world.codes(row["_id"]) == ["version.gone", "wait.send", "send.accepted", "end.completed"]
        said = await world.journeys.explain(row["_id"])
        assert (said.version, said.version_before, said.version_by) == (2, 1, "usr_1")
        assert said.log[1].sentence.startswith("Taken along from version 1 to version 2")


async def test_a_removed_step_leads_where_its_author_says_or_out(world: World) -> None:
    steps = (wait("P3D", id="a", next="b"), wait("P3D", id="b"), {**HELLO, "next": "bye"}, {**BYE, "next": None})
    goal = {"when": {"event": "never"}, "on_meet": "jump:hello"}
    journey = await world.journey(*steps, goal=goal)
    (one,) = await entered(world, journey)
    kept = (wait("P3D", id="b"), {**HELLO, "next": "bye"}, {**BYE, "next": None})
    for wrong in ({"a": "nowhere"}, {"b": "bye"}):
        with pytest.raises(WrongInput):
            await edited(world, journey, *kept, migrate=wrong)
    assert (await world.journeys.get(journey))["live_version"] == 1
    await edited(world, journey, *kept, migrate={"a": "hello"})
    await carried(world)
    await world.settle()
    assert world.sent() == ["Hello", "Bye"]
    other = await world.person("Other")
    await world.journeys.enrol(journey, other)
    await world.settle()
    await edited(world, journey, {**HELLO, "next": "bye"}, {**BYE, "next": None}, migrate={"b": None})
    await carried(world)
    run = await world.run(profile_id=other)
    assert run["state"] == "ended" and run["end"]["reason"] == "step_removed" and len(world.sent()) == 2
    assert await world.codes(run["_id"]) == ["version.out"] and one != other
    (batch, *_) = (await world.worker.migrations.page(journey)).data
    assert (batch["state"], batch["moved"], batch["ended"], batch["nodes"]) == ("done", 1, 1, {"b": None})


async def test_people_may_be_taken_along_later_too_and_again_after_an_undo(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    with pytest.raises(Conflict):
        await world.journeys.migrate(journey, {})
    await entered(world, journey, 3)
    await edited(world, journey, wait("P5D", id="v"), {**BYE, "next": None})
    late = await world.person("Late")
    await world.journeys.enrol(journey, late)
    await world.settle()
    assert await world.journeys.behind(journey) == 3
    with pytest.raises(WrongInput) as caught:
        await world.journeys.migrate(journey, {"w": "nowhere"}, "usr_1")
    assert caught.value.errors[0].path == "nodes.w"
    looked = await world.journeys.migrate(journey, {"w": "v"}, "usr_1", dry_run=True)
    (move,) = looked.moves
    assert (move.node, move.what, move.to, move.people) == ("w", "gone", "v", 3)
    assert (looked.version, looked.people, looked.move_now, looked.migration_id) == (2, 3, 3, None)
    await carried(world)
    assert await world.journeys.behind(journey) == 3, "a preview moved somebody"
    for _ in range(2):
        done = await world.journeys.migrate(journey, {"w": "v"}, "usr_1")
        await carried(world)
        batch = await world.worker.migrations.get(journey, str(done.migration_id))
        assert (batch["state"], batch["moved"], batch["by"]) == ("done", 3, "usr_1")
        assert await world.journeys.behind(journey) == 0 and {row["node"] for row in await world.rows()} == {"v"}
        with pytest.raises(Conflict):
            await world.journeys.migrate(journey, {}, "usr_1")
        await world.worker.migrations.undo(journey, batch["_id"], "usr_1")
        await carried(world)
        assert await world.journeys.behind(journey) == 3


async def test_what_is_asked_for_later_is_begun_by_whoever_finds_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the note on the journey and the batch."""
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 2)
    await edited(world, journey, wait("P20D"), {**BYE, "next": None})

    async def dies(head: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(world.worker.migrations, "begin", dies)
        with pytest.raises(KeyboardInterrupt):
            await world.journeys.migrate(journey, {}, "usr_1")
    world.worker.live.forget()
    assert (await world.worker.migrations.enlist(), await world.worker.migrations.enlist()) == (1, 0)
    await carried(world)
    assert {row["version"] for row in await world.rows()} == {2}


async def test_a_send_that_is_under_way_is_not_repeated_by_an_edit(world: World) -> None:
    journey = await world.journey({**HELLO, "next": None})
    for profile_id in await world.people(2):
        await world.journeys.enrol(journey, profile_id)
    await world.settle(deliver=False)
    key = {send["send_key"] for send in await world.inbox.sends.raw({})}
    await edited(world, journey, {**HELLO, "content": {"text": "Better"}, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    assert {send["send_key"] for send in await world.inbox.sends.raw({})} == key
    assert world.sent() == ["Better"] * 2


async def test_undo_puts_back_who_has_not_moved_on(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    first = await entered(world, journey, 2)
    await world.travel(days=3)
    second = [await world.person(f"S{i}") for i in range(2)]
    for profile_id in second:
        await world.journeys.enrol(journey, profile_id)
    await world.settle()
    done = await edited(world, journey, wait("P2D"), {**BYE, "next": None}, migrate={})
    migrations = world.worker.migrations
    with pytest.raises(Conflict):
        await migrations.undo(journey, done.migration_id, "usr_2")
    with pytest.raises(NotFound):
        await migrations.undo((await world.journeys.create({}))["_id"], done.migration_id, "usr_2")
    await carried(world)
    await world.settle()
    await migrations.undo(journey, done.migration_id, "usr_2")
    await carried(world)
    await world.settle()
    row = await migrations.get(journey, done.migration_id)
    assert (row["state"], row["moved"], row["put_back"], row["undone_by"]) == ("undone", 4, 2, "usr_2")
    assert len(world.sent()) == 2
    for profile_id in second:
        run = await world.run(profile_id=profile_id)
        assert run["version"] == 1 and run["due_at"] > now() + timedelta(days=9) and "migrated" not in run
        assert await world.codes(run["_id"]) == ["version.changed", "version.back"]
    assert {row["version"] for row in await world.rows(profile_id={"$in": first})} == {2}
    await migrations.undo(journey, done.migration_id, "usr_3")
    assert (await migrations.get(journey, done.migration_id))["undone_by"] == "usr_2"


async def test_a_send_that_was_dropped_while_somebody_was_elsewhere_is_asked_for_again(world: World) -> None:
    """Its step was removed before it went; the move is undone before they went further."""
    journey = await world.journey({**HELLO, "next": "w"}, wait("P3D"), {**BYE, "next": None})
    await world.journeys.enrol(journey, (await world.people(1))[0])
    await world.settle(deliver=False)
    done = await edited(world, journey, wait("P3D"), {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    assert world.sent() == [] and (await world.run())["node"] == "w"
    await world.worker.migrations.undo(journey, done.migration_id, None)
    await carried(world)
    await world.settle()
    assert world.sent() == ["Hello"] and (await world.run())["node"] == "w"


async def test_two_moves_are_undone_one_after_the_other(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 2)
    one = await edited(world, journey, wait("P20D"), {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    two = await edited(world, journey, wait("P30D"), {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    for done, version in ((two, 2), (one, 1)):
        await world.worker.migrations.undo(journey, done.migration_id, None)
        await carried(world)
        await world.settle()
        assert {row["version"] for row in await world.rows()} == {version}
    assert {(row["due_at"] - row["entered_at"]).days for row in await world.rows()} <= {9, 10}


async def test_a_paused_journey_moves_its_people_and_holds_them(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 2)
    await world.travel(days=3)
    await world.journeys.set_status(journey, "paused")
    await edited(world, journey, wait("P2D"), {**BYE, "next": None}, migrate={})
    await carried(world)
    await world.settle()
    assert {(row["state"], row["version"]) for row in await world.rows()} == {("held", 2)} and world.sent() == []
    await world.journeys.set_status(journey, "live", overdue="skip_older_than", older_than="PT0S")
    await world.settle()
    assert world.sent() == ["Bye", "Bye"]


async def test_what_a_publication_asked_for_is_begun_by_whoever_comes_next(world: World, monkeypatch: Any) -> None:
    """It died between making the version live and beginning the batch."""
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 2)

    async def dies(head: Any) -> Any:
        raise RuntimeError("died")

    monkeypatch.setattr(world.worker.migrations, "begin", dies)
    with pytest.raises(RuntimeError):
        await edited(world, journey, wait("P2D"), {**BYE, "next": None}, migrate={})
    other = world.new_worker()
    assert await other.migrations.enlist() == 1 and await other.migrations.enlist() == 0
    await carried(world, other)
    assert {row["version"] for row in await world.rows()} == {2}


async def test_who_came_in_by_an_old_picture_is_taken_along_too(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 2)
    stale = world.new_worker()
    await stale.live.now()
    await edited(world, journey, wait("P2D"), {**BYE, "next": None}, migrate={})
    await world.worker.migrations.drain()
    assert (await world.worker.migrations.page(journey)).data[0]["state"] == "pending"
    late = await world.person("Late")
    await world.db.collection("enrolments").insert_one(
        {**(await world.rows())[0], "_id": "enr_late", "profile_id": late, "version": 1, "migrated": None, "rev": 0}
    )
    await carried(world)
    assert {row["version"] for row in await world.rows()} == {2}
    assert (await world.worker.migrations.page(journey)).data[0]["moved"] == 3


async def test_a_pinned_wording_stays_as_it_was_published(world: World) -> None:
    template = await world.template_rows.add("T", "chat", {"text": "Old"}, None)
    named = {"type": "send", "channels": ["chat"], "template_id": template["_id"], "next": None}

    async def worded(text: str) -> None:
        content = {"$set": {"content": f'{{"text":"{text}"}}'}}
        await world.db.collection("templates").update_one({"_id": template["_id"]}, content)

    for wording, said in ((None, "New"), ("latest", "New"), ("pinned", "Old")):
        await worded("Old")
        journey = await world.journey({"id": "s", **named, **({"wording": wording} if wording else {})})
        await worded("New")
        await world.journeys.enrol(journey, await world.person("Anna"))
        await world.settle()
        assert world.sent()[-1] == said, wording
    arms = [{"weight": 1, "next": "a"}, {"weight": 1, "next": "b"}]
    await worded("Old")
    one, two = {"id": "a", **named, "next": "c"}, {"id": "b", **named, "next": "c"}
    journey = await world.journey({"id": "x", "type": "split", "arms": arms}, one, two, {"id": "c", **named})
    await worded("New")
    await world.journeys.enrol(journey, await world.person("Bert"))
    await world.settle()
    assert world.sent()[-2:] == ["Old", "New"], "arms keep their wording, what comes after them does not"


async def test_two_workers_move_everybody_once(world: World) -> None:
    journey = await world.journey(wait("P10D"), {**BYE, "next": None})
    await entered(world, journey, 40)
    await edited(world, journey, wait("P9D"), {**BYE, "next": None}, migrate={})
    await world.db.collection("enrolments").update_many({}, {"$set": {"due_at": now()}})
    workers = [world.new_worker() for _ in range(3)]

    async def moving(worker: Any) -> None:
        for _ in range(6):
            past = {"$set": {"due_at": now() - timedelta(seconds=1)}, "$unset": {"lease": ""}}
            await world.db.collection("journey_migrations").update_many({"state": "pending"}, past)
            await worker.migrations.drain()

    await asyncio.gather(*(moving(each) for each in workers), *(each.walker.advance(20) for each in workers))
    await carried(world)
    await world.settle()
    for row in await world.rows():
        assert row["version"] == 2
        assert await world.codes(row["_id"]) == ["version.changed"]


OLD = (
    wait("P10D", id="a", next="b"), wait("P10D", id="b"),
    {**BYE, "next": None},
)  # fmt: skip


async def _guarded(dying: Dying | None, work: Any) -> None:
    """Die in it where that is wanted."""
    try:
        if dying is not None:
            dying.armed = True
        await work()
    except Died:
        if dying is not None:
            dying.at = -1  # who comes after lives
    finally:
        if dying is not None:
            dying.armed = False


async def _expired(world: World) -> None:
    """Whoever had something in their hands is given up; the batch has settled; runs are worked off."""
    past = {"due_at": now() - timedelta(seconds=1), "created_at": now() - SETTLING}
    rows = world.db.collection("journey_migrations")
    await rows.update_many({"state": {"$in": ["pending", "undoing"]}}, {"$set": past})
    leased = {"lease": {"$type": "string"}}
    await world.db.collection("enrolments").update_many(leased, {"$set": {"due_at": past["due_at"]}})
    await world.settle()


async def _day(world: World, dying: Dying | None) -> int:
    """An edit that removes where people stand, and its undo; with one death on the way. The writes it took."""
    for name in ("enrolments", "enrolment_log", "journey_counts", "sends", "events", "messages", "journeys",
                 "journey_versions", "journey_migrations"):  # fmt: skip
        await world.db.collection(name).delete_many({})
    world.provider().sent.clear()
    world.provider().accepted.clear()
    people = [row["_id"] async for row in world.db.collection("profiles").find({}, {"_id": 1})]
    journey = await world.journey(*OLD)
    for profile_id in people:
        await world.journeys.enrol(journey, profile_id)
    await world.settle()
    await world.journeys.patch(journey, {"steps": [wait("P20D", id="b"), {**BYE, "next": None}]})
    before, migrations = dying.count if dying else 0, world.worker.migrations
    await _guarded(dying, lambda: world.journeys.publish(journey, "usr_1", migrate={}))
    if (await world.journeys.get(journey))["live_version"] == 1:
        await world.journeys.publish(journey, "usr_1", migrate={})
    await world.worker.live.anew()
    await migrations.enlist()
    for _ in range(3):
        await _expired(world)
        await _guarded(dying, migrations.drain)
    (batch,) = (await migrations.page(journey)).data
    assert (batch["state"], batch["moved"]) == ("done", len(people))
    places = {(row["node"], row["version"], row["visits"]["b"]) for row in await world.rows()}
    assert places == {("b", batch["to"], 1)}
    await _guarded(dying, lambda: migrations.undo(journey, batch["_id"], "usr_1"))
    await migrations.undo(journey, batch["_id"], "usr_1")
    for _ in range(3):
        await _expired(world)
        await _guarded(dying, migrations.drain)
    used = dying.count - before if dying else 0
    await _expired(world)
    (batch,) = (await migrations.page(journey)).data
    assert (batch["state"], batch["put_back"]) == ("undone", len(people))
    for row in await world.rows():
        assert (row["node"], row["version"], row["state"]) == ("a", 1, "waiting")
        await world.runs.keep_tails([row])
        assert await world.codes(row["_id"]) == ["version.gone", "version.back"]
    assert world.sent() == []
    return used


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_at_every_write_of_publish_move_and_undo(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.people(4)
    dying = Dying(monkeypatch, WRITES)
    writes = await _day(world, dying)
    assert writes > 8
    for at in range(1, writes + 1):
        for after in (False, True):
            dying.count, dying.at, dying.after = 0, at, after
            await _day(world, dying)
