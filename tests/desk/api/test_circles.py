"""Rules and journeys that set each other off stop after a few turns, and say so."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from campaigns.engine import JOURNEYS_MAX
from inbox.models import Actor
from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput
from tests.desk.api.conftest import World
from tests.desk.api.test_automation_rules import outcomes, rule

TAGGED: dict[str, Any] = {"type": "event", "event": "profile.tag_added"}
GONE: dict[str, Any] = {"type": "event", "event": "profile.tag_removed"}
LOOP_ON: dict[str, Any] = {"type": "changed", "field": "tags", "to": "loop"}
LOOP_OFF: dict[str, Any] = {"type": "changed", "field": "tags", "from": "loop"}
#: Rounds after which what still goes on is taken for a circle.
ROUNDS_MAX = 80


@pytest.fixture(autouse=True)
async def _nothing_before(own_world: World) -> AsyncIterator[None]:
    """No rules, no journeys, no duties, no tags."""
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    for name in ("automation_rules", "rule_runs", "journeys", "journey_versions", "enrolments", "enrolment_log"):
        await rows[name].delete_many({})
    await runtime.editor.patch(own_world.ours.profile, ProfilePatch(tags=[]), by="usr_anna")
    await runtime.desk_actions.set_status(own_world.ours.conversation, "open", Actor("usr_anna", "Anna"))
    await rows["events"].update_many({}, {"$set": {"state": "done"}})
    runtime.walker._live.forget()
    yield


async def settled(world: World) -> None:
    """Until nothing follows any more."""
    runtime = world.runtime
    for _ in range(ROUNDS_MAX):
        done = await runtime.reactor.react(500) + await runtime.rule_runner.drain(100)
        if not done + await runtime.walker.advance(100) + await runtime.appraisal.drain(100):
            return
    raise AssertionError("it goes round for ever")


async def journey(world: World, name: str, trigger: dict[str, Any], step: dict[str, Any], **more: Any) -> str:
    """One that is on, of one step, and takes people in as often as they come."""
    draft = {
        "name": name, "trigger": trigger, "steps": [{"id": "s", "next": None, **step}],
        "reentry": {"mode": "after_exit"}, **more,
    }  # fmt: skip
    head = await world.runtime.journeys.create(draft)
    await world.runtime.journeys.publish(head["_id"])
    world.runtime.walker._live.forget()
    return str(head["_id"])


async def begins_with(world: World, **patch: Any) -> None:
    """A colleague changes the person, and everything that follows happens."""
    await world.runtime.editor.patch(world.ours.profile, ProfilePatch(**patch), by="usr_anna")
    await settled(world)


async def ends(world: World, *journeys: str) -> list[str]:
    """Why the runs in these journeys ended, the first one first."""
    found = world.runtime.db.handle["enrolments"].find({"journey_id": {"$in": journeys}}).sort("_id", 1)
    return [(row.get("end") or {"reason": "lives"})["reason"] async for row in found]


async def why(world: World, journey_id: str) -> str:
    """What its last run says of itself, by the API."""
    last = await world.runtime.db.handle["enrolments"].find_one({"journey_id": journey_id}, sort=[("_id", -1)])
    async with world.client() as client, client.get(f"/api/v1/enrolments/{last['_id']}") as answer:
        told = await answer.json()
        assert answer.status == 200, told
        assert told["log"][-1]["sentence"] == told["why"]["sentence"], told
        return str(told["why"]["sentence"])


def tags(**change: Any) -> dict[str, Any]:
    """A step that changes tags."""
    return {"type": "update", **change}


async def test_a_rule_and_a_journey_that_it_starts(own_world: World) -> None:
    walk = await journey(own_world, "Untag", {"type": "api"}, tags(remove_tags=["loop"], add_tags=["other"]))
    starts = await rule(own_world, "Start it", [{"type": "journey", "journey_id": walk}], on=TAGGED)
    await begins_with(own_world, add_tags=["loop"])
    assert await outcomes(own_world, starts) == [("fitted", [""]), ("loop", [])]
    assert await ends(own_world, walk) == ["completed"]
    await begins_with(own_world, add_tags=["again"])
    assert [each for each, _ in await outcomes(own_world, starts)] == ["fitted", "loop", "fitted"], "people begin anew"


async def test_a_rule_and_a_journey_that_begins_by_what_it_does(own_world: World) -> None:
    walk = await journey(own_world, "Off", LOOP_ON, tags(remove_tags=["loop"]))
    on = await rule(own_world, "On", [{"type": "tags", "add": ["loop"]}], on=GONE)
    await begins_with(own_world, add_tags=["loop"])
    assert await outcomes(own_world, on) == [("fitted", [""]), ("loop", [])]
    assert await ends(own_world, walk) == ["completed", "completed"]


async def test_a_rule_that_waits_for_the_message_of_a_journey(own_world: World) -> None:
    """The rule tags, the tag begins a journey, what it writes in the timeline sets off the rule."""
    walk = await journey(own_world, "Note", {"type": "event", "event": "profile.tag_added"}, {
        "type": "note", "text": "Was tagged",
    })  # fmt: skip
    noted = await rule(own_world, "Tag", [{"type": "tags", "add": ["a"]}, {"type": "tags", "remove": ["a"]}],
                       on={"type": "event", "event": "note.added"})  # fmt: skip
    await begins_with(own_world, add_tags=["x"])
    assert [each for each, _ in await outcomes(own_world, noted)] == ["fitted", "loop"]
    assert await ends(own_world, walk) == ["completed", "completed"]


@pytest.mark.parametrize("policy", [{"mode": "after_exit"}, {"mode": "per_key"},
                                    {"mode": "after_exit", "if_active": "restart"}])  # fmt: skip
async def test_two_journeys_that_begin_by_each_other(own_world: World, policy: dict[str, Any]) -> None:
    tagged, gone = LOOP_ON, LOOP_OFF
    off = await journey(own_world, "Off", tagged, tags(remove_tags=["loop"]), reentry=policy)
    on = await journey(own_world, "On", gone, tags(add_tags=["loop"]), reentry=policy)
    await begins_with(own_world, add_tags=["loop"])
    assert await ends(own_world, off, on) == ["completed"] * (JOURNEYS_MAX + 1) + ["loop"]
    assert await why(own_world, on) == "Loop stopped: 10 journeys had led to one another already."


async def test_a_journey_that_begins_itself_by_way_of_a_rule_below_it(own_world: World) -> None:
    """Rule ↔ rule by way of a journey: the chain holds both."""
    walk = await journey(own_world, "Middle", LOOP_OFF, tags(add_tags=["loop"]))
    first = await rule(own_world, "Off", [{"type": "tags", "remove": ["loop"]}], on=TAGGED)
    second = await rule(own_world, "Off too", [{"type": "labels", "add": ["seen"]}], on=GONE)
    await begins_with(own_world, add_tags=["loop"])
    assert [each for each, _ in await outcomes(own_world, first)] == ["fitted", "loop"]
    assert [each for each, _ in await outcomes(own_world, second)] == ["fitted"]
    assert await ends(own_world, walk) == ["completed"]


async def test_journeys_that_begin_by_segments(own_world: World) -> None:
    """Nobody enters a segment on purpose: what changed the person is the cause."""
    rule_ = {"field": "tags", "op": "any_of", "value": ["loop"]}
    segment = await own_world.runtime.segments.create(SegmentInput(name="Loopers", rule=rule_), by="usr_anna")
    await own_world.runtime.segment_builder.drain()
    on = await journey(own_world, "In", {"type": "segment_entered", "segment_id": segment["_id"]},
                       tags(remove_tags=["loop"]))  # fmt: skip
    off = await journey(own_world, "Out", {"type": "segment_left", "segment_id": segment["_id"]},
                        tags(add_tags=["loop"]))  # fmt: skip
    await begins_with(own_world, add_tags=["loop"])
    assert await ends(own_world, on, off) == ["completed"] * (JOURNEYS_MAX + 1) + ["loop"]


async def test_a_journey_that_starts_a_journey_that_tags(own_world: World) -> None:
    """What is started and what begins by events counts together."""
    second = await journey(own_world, "Second", {"type": "api"}, tags(remove_tags=["loop"]))
    first = await journey(own_world, "First", LOOP_ON, {"type": "start_journey", "journey_id": second})
    third = await journey(own_world, "Third", LOOP_OFF, tags(add_tags=["loop"]))
    await begins_with(own_world, add_tags=["loop"])
    found = await ends(own_world, first, second, third)
    assert found == ["completed"] * (JOURNEYS_MAX + 1) + ["loop"]


async def test_a_rule_and_a_run_that_wake_each_other_end_with_the_visits_of_the_run(own_world: World) -> None:
    """Nothing begins, so no chain grows: what a run may come to again is bounded by itself."""
    steps: list[dict[str, Any]] = [
        {"id": "off", "type": "update", "remove_tags": ["loop"], "next": "wait"},
        {"id": "wait", "type": "wait_event", "any": [{"event": "profile.tag_added", "next": "again"}],
         "timeout": "P1D", "timeout_next": None},
        {"id": "again", "type": "jump", "to": "off"},
    ]  # fmt: skip
    head = await own_world.runtime.journeys.create(
        {"name": "Waits", "trigger": LOOP_ON, "steps": steps, "max_visits": 6, "reentry": {"mode": "after_exit"}}
    )
    await own_world.runtime.journeys.publish(head["_id"])
    own_world.runtime.walker._live.forget()
    on = await rule(own_world, "On", [{"type": "tags", "add": ["loop"]}], on=GONE)
    await begins_with(own_world, add_tags=["loop"])
    found = await ends(own_world, head["_id"])
    assert found[0] == "too_many_visits" and len(found) <= 2, found
    assert len(await outcomes(own_world, on)) <= 8
