"""Triggers, backfills and intakes over HTTP: faults with their path, a count before, progress, missed occurrences."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.ids import new_id
from profiles.events import NewEvent
from tests.desk.api.conftest import World
from tests.desk.api.test_resources import ask

STEPS = [{"id": "w", "type": "wait", "for": "P30D", "next": None}]
GONE = "seg_" + "0" * 26


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    return own_world


async def published(world: World, trigger: dict[str, Any], **more: Any) -> str:
    async with world.client("marketer") as client:
        body = {"name": "J", "trigger": trigger, "steps": STEPS, **more}
        made = await ask(client, "POST", "/journeys", body, 201)
        await ask(client, "POST", f"/journeys/{made['id']}/publish", {})
        return str(made["id"])


@pytest.mark.parametrize(
    ("trigger", "path", "words"),
    [
        ({"type": "date", "field": "rfm.r", "offset": "P1D"}, "trigger.field", "holds no date"),
        ({"type": "date", "field": "created_at", "at": "25:00"}, "trigger.at", "no time of day"),
        ({"type": "schedule", "rrule": "FREQ=WEEKLY", "segment_id": GONE}, "trigger", "name a start"),
        ({"type": "schedule", "rrule": "daily", "segment_id": GONE}, "trigger.rrule", "FREQ"),
        ({"type": "message", "what": "read"}, "trigger.what", "opened"),
        ({"type": "segment_left", "segment_id": "regulars"}, "trigger.segment_id", "id of a segment"),
        ({"type": "event", "event": "x", "max_age": "3 days"}, "trigger.max_age", "ISO 8601"),
    ],
)
async def test_a_trigger_that_makes_no_sense_is_refused_with_its_path(
    world: World, trigger: dict[str, Any], path: str, words: str
) -> None:
    async with world.client("marketer") as client:
        told = await ask(client, "POST", "/journeys", {"name": "J", "trigger": trigger, "steps": STEPS}, 422)
        assert path in {fault["path"] for fault in told["errors"]}
        assert words in str(told["errors"])


async def test_what_a_trigger_names_must_be_there_when_it_is_published(world: World) -> None:
    async with world.client("marketer") as client:
        nobody = "jrn_" + "0" * 26
        for trigger, path in (
            ({"type": "segment_entered", "segment_id": GONE}, "trigger.segment_id"),
            ({"type": "message", "what": "opened", "journey_id": nobody}, "trigger.journey_id"),
        ):
            made = await ask(client, "POST", "/journeys", {"name": "J", "trigger": trigger, "steps": STEPS}, 201)
            told = await ask(client, "POST", f"/journeys/{made['id']}/publish", {}, 422)
            assert [fault["path"] for fault in told["errors"]] == [path]
        yearly = {"type": "date", "field": "attributes.birthday", "yearly": True}
        made = await ask(client, "POST", "/journeys", {"name": "J", "trigger": yearly, "steps": STEPS}, 201)
        told = await ask(client, "POST", f"/journeys/{made['id']}/publish", {"dry_run": True})
        assert [each["path"] for each in told["warnings"]] == ["reentry.mode"]


async def test_a_backfill(world: World) -> None:
    runtime = world.runtime
    event = NewEvent("came_before", new_id("evt"), now() - timedelta(days=2), world.ours.profile)
    await runtime.events.record([event])
    while await runtime.reactor.react(500):
        pass
    journey = await published(world, {"type": "event", "event": "came_before", "max_age": "P1D"})
    path = f"/journeys/{journey}"
    async with world.client("marketer") as client:
        seen = await ask(client, "POST", f"{path}/backfill", {"window": "P7D", "dry_run": True})
        assert seen == {"people": 1, "at_least": False, "intake": None}
        assert (await ask(client, "GET", f"{path}/intakes"))["data"] == []
        begun = (await ask(client, "POST", f"{path}/backfill", {"window": "P7D"}))["intake"]
        assert (begun["kind"], begun["state"], begun["total"]) == ("backfill", "pending", 1)
        await runtime.intakes.drain()
        (done,) = (await ask(client, "GET", f"{path}/intakes"))["data"]
        assert (done["id"], done["state"], done["entered"]) == (begun["id"], "done", 1)
        assert (await ask(client, "GET", path))["runs"] == {"waiting": 1}
        seen = await ask(client, "POST", f"{path}/backfill", {"dry_run": True})
        assert seen["people"] == 0
        again = (await ask(client, "POST", f"{path}/backfill", {}))["intake"]
        stopped = await ask(client, "POST", f"{path}/intakes/{again['id']}/cancel", {})
        assert stopped["state"] == "cancelled"
        await ask(client, "POST", f"{path}/intakes/{new_id('itk')}/cancel", {}, 404)
        await ask(client, "POST", f"{path}/backfill", {"window": "P9Y"}, 422)
        page = await ask(client, "GET", f"{path}/intakes?limit=1")
        rest = await ask(client, "GET", f"{path}/intakes?limit=1&cursor={page['next_cursor']}")
        assert [each["id"] for each in page["data"] + rest["data"]] == [again["id"], begun["id"]]
    by_hand = await published(world, {"type": "api"})
    async with world.client("marketer") as client:
        told = await ask(client, "POST", f"/journeys/{by_hand}/backfill", {}, 409)
        assert told["code"] == "nothing_to_take_in"


async def test_publishing_may_take_in_at_once(world: World) -> None:
    event = NewEvent("was_there", new_id("evt"), now() - timedelta(days=2), world.ours.profile)
    await world.runtime.events.record([event])
    async with world.client("marketer") as client:
        body = {"name": "J", "trigger": {"type": "event", "event": "was_there"}, "steps": STEPS}
        made = await ask(client, "POST", "/journeys", body, 201)
        await ask(client, "POST", f"/journeys/{made['id']}/publish", {"backfill": "P30D"})
        (intake,) = (await ask(client, "GET", f"/journeys/{made['id']}/intakes"))["data"]
        assert (intake["kind"], intake["total"]) == ("backfill", 1)


async def test_who_is_planned(world: World) -> None:
    journey = await published(world, {"type": "date", "field": "attributes.born", "yearly": True})
    async with world.client("marketer") as client:
        assert (await ask(client, "GET", f"/journeys/{journey}"))["planned"] is None
        await ask(client, "PATCH", f"/profiles/{world.ours.profile}", {"attributes": {"born": "1990-05-12"}})
        while await world.runtime.appraisal.drain(500):
            pass
        planned = (await ask(client, "GET", f"/journeys/{journey}"))["planned"]
        assert planned["people"] == 1 and planned["next_at"][5:10] == "05-12"
