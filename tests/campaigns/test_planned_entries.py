"""People enter on a date that we know of them: planned when it changes, once, whatever dies or happens at once."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.clock import now
from campaigns.store.planned import DATE
from profiles.edit import ProfilePatch
from profiles.store.belongings import Joining
from tests.campaigns.conftest import World
from tests.dying import Dying

STAY: dict[str, Any] = {"id": "w", "type": "wait", "for": "P30D", "next": None}
BIRTHDAY = {"type": "date", "field": "attributes.birthday", "yearly": True, "at": "09:00"}
MOMENT = {"type": "date", "field": "attributes.renewal"}
AGAIN = {"mode": "after_exit"}


async def knows(world: World, profile_id: str, **attributes: Any) -> None:
    await world.editor.patch(profile_id, ProfilePatch(attributes=attributes), source="api", by="t")


async def dates(world: World) -> list[dict[str, Any]]:
    return await world.db.collection("planned_entries").find({"kind": DATE}).sort("profile_id", 1).to_list(None)


async def overdue(world: World) -> None:
    past = now() - timedelta(seconds=1)
    for name in ("planned_entries", "intakes"):
        await world.db.collection(name).update_many({"lease": {"$type": "string"}}, {"$set": {"due_at": past}})
    await world.db.collection("profiles").update_many(
        {"appraise_at": {"$exists": True}}, {"$set": {"appraise_at": past}}
    )


def soon() -> str:
    return (now() + timedelta(hours=1)).isoformat(timespec="milliseconds")


async def comes(world: World, ago: timedelta = timedelta(minutes=1), years: int = 0) -> None:
    """The time of every planned renewal has come so long ago: what is told of it, and the plan, lie in the past."""
    for row in await dates(world):
        at = now() - ago
        told = at.replace(year=at.year - years).isoformat(timespec="milliseconds")
        change = {"$set": {"attributes.renewal": told}}
        await world.db.collection("profiles").update_one({"_id": row["profile_id"]}, change)
        plan = {"$set": {"due_at": at, "key": f"{told}:{at.year}"}}
        await world.db.collection("planned_entries").update_one({"_id": row["_id"]}, plan)


async def test_mautic_306_a_date_of_the_person_begins_a_journey(world: World) -> None:
    """It has no such trigger, since 2013."""
    journey = await world.journey(STAY, trigger=MOMENT)
    anna = await world.person("Anna")
    await knows(world, anna, renewal=soon())
    await world.take_in()
    (row,) = await dates(world)
    assert row["journey_id"] == journey and await world.rows() == []
    await comes(world)
    await world.take_in()
    run = await world.run()
    assert run["profile_id"] == anna and run["cause"].startswith("date:") and run["data"]["event"]["name"] == "date"
    assert await dates(world) == []
    await world.take_in()
    assert len(await world.rows()) == 1


async def test_changed_taken_away_and_told_again(world: World) -> None:
    await world.journey(STAY, trigger=BIRTHDAY)
    anna = await world.person("Anna")
    await world.look()
    assert await dates(world) == []
    seen = []
    for birthday in ("1990-05-12", "1990-05-13", None, "1990-05-12", "nonsense", "--07-01"):
        await knows(world, anna, birthday=birthday)
        await world.look()
        seen.append([f"{row['due_at']:%m-%d %H:%M} {row['key'].partition(':')[0]}" for row in await dates(world)])
    assert seen == [
        ["05-12 07:00 1990-05-12"], ["05-13 07:00 1990-05-13"], [], ["05-12 07:00 1990-05-12"], [],
        ["07-01 07:00 --07-01"],
    ]  # fmt: skip


async def test_when_the_person_moves_the_date_moves_with_them(world: World) -> None:
    await world.journey(STAY, trigger=BIRTHDAY)
    anna = await world.person("Anna")
    await knows(world, anna, birthday="1990-05-12")
    hours = []
    for zone in (None, "Asia/Tokyo", "America/New_York", "Mars/Phobos"):
        await world.db.collection("profiles").update_one(
            {"_id": anna}, {"$set": {"time_zone": zone}, "$inc": {"rev": 1}}
        )
        await world.profiles.appraisals.due([anna])
        await world.look()
        (row,) = await dates(world)
        hours.append((f"{row['due_at']:%H:%M}", row["unknown_zone"]))
    assert hours == [("07:00", None), ("00:00", None), ("13:00", None), ("07:00", "Mars/Phobos")]


async def test_parcelvoy_610_and_627_an_unknown_zone_neither_stops_nor_delays_anybody(world: World) -> None:
    await world.journey(STAY, trigger=MOMENT)
    people = await world.people(4)
    for each, zone in zip(people, ("Mars", "", "Europe/Berlin", None), strict=True):
        await world.db.collection("profiles").update_one(
            {"_id": each}, {"$set": {"time_zone": zone}, "$inc": {"rev": 1}}
        )
        await knows(world, each, renewal=soon())
    await world.take_in()
    await comes(world)
    await world.take_in()
    rows = await world.rows()
    told = {row["profile_id"]: row["data"]["event"]["properties"].get("unknown_zone") for row in rows}
    assert told == dict(zip(people, ("Mars", None, None, None), strict=True))


async def test_who_was_there_before_is_planned_in_the_background(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.intakes.PLANNED", 4)
    people = await world.people(11)
    for each in people[:9]:
        await knows(world, each, birthday="1990-05-12")
    await world.look()
    journey = await world.journey(STAY, trigger=BIRTHDAY)
    await world.take_in()
    assert [row["profile_id"] for row in await dates(world)] == sorted(people[:9])
    (intake,) = (await world.worker.backfills.intakes(journey)).data
    assert (intake["kind"], intake["state"], intake["seen"], intake["entered"]) == ("dates", "done", 11, 9)
    planned = await world.worker.backfills.planned(journey)
    assert planned.people == 9 and planned.next_at is not None and not planned.at_least
    await world.take_in()
    assert len((await world.worker.backfills.intakes(journey)).data) == 1


async def test_a_new_version_plans_anew_and_forgets_the_old_dates(world: World) -> None:
    journey = await world.journey(STAY, trigger=BIRTHDAY)
    both, one = await world.people(2)
    await knows(world, both, birthday="1990-05-12", namesday="1990-06-01")
    await knows(world, one, birthday="1990-05-12")
    await world.take_in()
    await world.journeys.patch(journey, {"trigger": {**BIRTHDAY, "field": "attributes.namesday"}})
    await world.journeys.publish(journey)
    await world.take_in()
    await world.take_in()
    assert [(row["profile_id"], row["key"][:10], row["version"]) for row in await dates(world)] == [
        (both, "1990-06-01", 2)
    ]


@pytest.mark.parametrize("ends", ["draining", "archived"])
async def test_a_journey_that_ends_forgets_its_dates_and_plans_anew_when_it_is_opened(world: World, ends: Any) -> None:
    journey = await world.journey(STAY, trigger=BIRTHDAY)
    anna, bea = await world.people(2)
    await knows(world, anna, birthday="1990-05-12")
    await world.take_in()
    assert len(await dates(world)) == 1
    if ends == "archived":
        await world.journeys.set_status(journey, "paused")
    await world.journeys.set_status(journey, ends)
    assert await world.worker.intakes.tidy() == 1 and await dates(world) == []
    await knows(world, bea, birthday="1991-01-01")
    await world.take_in()
    assert await dates(world) == []
    if ends == "draining":
        await world.journeys.set_status(journey, "live")
        await world.take_in()
        assert [row["profile_id"] for row in await dates(world)] == sorted([anna, bea])


async def test_into_a_paused_journey_people_come_and_wait_at_the_door(world: World) -> None:
    journey = await world.journey(STAY, trigger=MOMENT)
    anna = await world.person("Anna")
    await world.journeys.set_status(journey, "paused")
    await knows(world, anna, renewal=soon())
    await world.look()
    await comes(world)
    await world.take_in()
    assert (await world.run())["state"] == "held"


async def test_the_entry_filter_is_asked_on_the_day(world: World) -> None:
    wants = {"field": "tags", "op": "contains", "value": "vip"}
    await world.journey(STAY, trigger=MOMENT, entry_filter=wants)
    anna, bea = await world.people(2)
    await knows(world, anna, renewal=soon())
    await knows(world, bea, renewal=soon())
    await world.look()
    await world.editor.patch(bea, ProfilePatch(add_tags=["vip"]), source="api", by="t")
    await comes(world)
    await world.take_in()
    assert (await world.run())["profile_id"] == bea


async def test_next_year_again_and_never_twice_in_one(world: World) -> None:
    await world.journey({**STAY, "for": "PT0S"}, trigger={**MOMENT, "yearly": True}, reentry=AGAIN)
    anna = await world.person("Anna")
    await knows(world, anna, renewal=soon())
    await world.look()
    await comes(world, years=3)
    for _ in range(3):
        await world.take_in()
        await world.settle()
        # a look at the person on the same day, and one who comes to a western zone, where it is not yet nine
        zone = {"$set": {"time_zone": "America/New_York"}, "$inc": {"rev": 1}}
        await world.db.collection("profiles").update_one({"_id": anna}, zone)
        await world.profiles.appraisals.due([anna])
    assert len(await world.rows()) == 1
    (row,) = await dates(world)
    assert row["due_at"].year == now().year + 1 and row["key"].endswith(str(now().year + 1))


async def test_what_is_a_little_late_counts_and_what_is_days_late_does_not(world: World) -> None:
    await world.journey(STAY, trigger=MOMENT)
    anna, bea = await world.people(2)
    for each, ago in ((anna, timedelta(hours=23)), (bea, timedelta(hours=25))):
        await knows(world, each, renewal=soon())
        await world.look()
        await comes(world, ago)
        await world.take_in()
    assert (await world.run())["profile_id"] == anna and await dates(world) == []


async def test_a_plan_from_what_was_does_not_stay(world: World) -> None:
    """A worker that was away while the person changed writes its old plan: the person is looked at once more."""
    journey = await world.journey(STAY, trigger=BIRTHDAY)
    anna = await world.person("Anna")
    await knows(world, anna, birthday="1990-05-12")
    old = dict((await world.profiles.documents([anna]))[anna])
    await knows(world, anna, birthday="1990-03-01")
    await world.look()
    picture = await world.worker.live.anew()
    await world.worker.planner.look([old], [picture.journeys[journey]])
    assert (await dates(world))[0]["key"].startswith("1990-05-12")
    await world.look()
    assert (await dates(world))[0]["key"].startswith("1990-03-01")


async def test_two_that_were_one_person_come_once(world: World) -> None:
    await world.journey({**STAY, "for": "PT0S"}, trigger=MOMENT, reentry=AGAIN)
    anna, other = await world.people(2)
    at = soon()
    await knows(world, anna, renewal=at)
    await knows(world, other, renewal=at)
    await world.look()
    assert len(await dates(world)) == 2
    stone = {"merged_into": anna, "joined": anna, "_id": other, "rev": 9}
    await world.db.collection("profiles").replace_one({"_id": other}, stone)
    await comes(world)
    for _ in range(2):
        await world.take_in()
        await world.settle()
    assert (await world.run())["profile_id"] == anna and await dates(world) == []


async def test_a_merge_takes_the_dates_of_the_one_and_leaves_the_events(world: World) -> None:
    await world.journey(STAY, trigger=BIRTHDAY)
    await world.journey(STAY, trigger={"type": "event", "event": "x"},
                        entry_filter={"field": "tags", "op": "contains", "value": "vip"})  # fmt: skip
    anna, other = await world.people(2)
    await knows(world, other, birthday="1990-05-12")
    await world.look()
    await world.happens("x", other)
    await world.react()
    joining = Joining("mrg_1", other, anna)
    assert await world.planned.belongings.move(joining) == 1 and await world.planned.belongings.move(joining) == 0
    rows = await world.db.collection("planned_entries").find().to_list(None)
    assert [(row["kind"], row["profile_id"]) for row in rows] == [("event", anna)]


async def test_who_is_gone_comes_no_more(world: World) -> None:
    await world.journey(STAY, trigger=MOMENT)
    anna = await world.person("Anna")
    await knows(world, anna, renewal=soon())
    await world.look()
    await comes(world)
    await world.db.collection("profiles").delete_one({"_id": anna})
    await world.take_in()
    assert await world.rows() == [] and await dates(world) == []


async def test_many_workers_at_once_let_everybody_in_once(world: World) -> None:
    await world.journey({**STAY, "for": "PT0S"}, trigger=MOMENT, reentry=AGAIN)
    people = await world.people(40)
    for each in people:
        await knows(world, each, renewal=soon())
    await world.look()
    one, two = world.worker, world.new_worker()
    await comes(world)
    for _ in range(6):
        await asyncio.gather(one.planner.drain(7), two.planner.drain(7), one.walker.advance(10), two.planner.drain(7))
    await world.settle()
    assert sorted(row["profile_id"] for row in await world.rows()) == sorted(people)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_at_every_write_everybody_comes_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the change of the person to the run: a death before and after each write."""
    await world.journey({**STAY, "for": "PT0S"}, trigger=MOMENT, reentry=AGAIN)
    await world.worker.intakes.enlist()
    await world.worker.intakes.drain()
    people = await world.people(3)
    dying = Dying(monkeypatch, ("update_many", "update_one", "bulk_write", "insert_many", "insert_one", "delete_many"))

    async def day() -> None:
        await world.look()
        armed, dying.armed = dying.armed, False
        await comes(world)
        dying.armed = armed
        while await world.worker.planner.drain(500):
            pass

    async def one(at: int, after: bool) -> None:
        for name in ("enrolments", "planned_entries"):
            await world.db.collection(name).delete_many({})
        for each in people:
            await knows(world, each, renewal=soon())
        await dying.on(at, after, day)
        for _ in range(3):
            await overdue(world)
            await day()
        rows = await world.rows()
        assert sorted(row["profile_id"] for row in rows) == sorted(people), (at, after)
        assert await dates(world) == []

    await one(-1, False)
    writes = dying.count
    places = [(at, after) for at in range(1, min(writes, 20) + 1) for after in (False, True)]
    random.Random(7).shuffle(places)
    begun = time.monotonic()
    for place, (at, after) in enumerate(places):
        await one(at, after)
        if place >= 15 and time.monotonic() - begun > 120:
            break


async def test_what_we_know_of_somebody_changes_at_the_cost_of_one_small_look(world: World) -> None:
    """Nothing is written for who has no such date, and nothing again for whose date stays."""
    await world.journey(STAY, trigger=BIRTHDAY)
    people = await world.people(5)
    await knows(world, people[0], birthday="1990-05-12")
    await world.look()
    before = await dates(world)
    for each in people:
        await world.editor.patch(each, ProfilePatch(add_tags=["seen"]), source="api", by="t")
    await world.look()
    assert await dates(world) == before and len(before) == 1
    assert datetime.now(UTC) < before[0]["due_at"]


async def test_an_onlooker_that_fails_holds_nobody_up_and_is_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.journey(STAY, trigger=BIRTHDAY)
    segment = await world.segment({"field": "tags", "op": "contains", "value": "vip"})
    anna = await world.person("Anna")
    await knows(world, anna, birthday="1990-05-12")
    await world.editor.patch(anna, ProfilePatch(add_tags=["vip"]), source="api", by="t")

    async def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(world.planned, "plan", broken)
        await world.look()
    row = (await world.profiles.documents([anna]))[anna]
    assert row["segments"] == [segment] and timedelta(minutes=8) < row["appraise_at"] - now() < timedelta(minutes=11)
    await world.profiles.appraisals.due([anna])
    await world.look()
    assert len(await dates(world)) == 1
