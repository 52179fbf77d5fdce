"""The page on which people are taken into a journey: counted, taken in, stopped; and what begins it, in words."""

import pytest

from base.ids import new_id
from profiles.edit import ProfilePatch
from profiles.events import NewEvent
from profiles.membership import SegmentInput
from tests.desk.test_pages import channel, wrote


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


GO = {"id": "w", "type": "wait", "for": "P30D", "next": None}


async def made(desk, trigger, **more):
    draft = {"name": "Later", "trigger": trigger, "steps": [GO], **more}
    journey = await desk.runtime.journeys.create(draft)
    await desk.runtime.journeys.publish(journey["_id"])
    return journey["_id"]


async def test_those_who_qualify_already_are_counted_and_taken_in(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    talk = await wrote(runtime, shop, "early", name="Early")
    await runtime.events.record([NewEvent("signed_up_early", new_id("evt"), runtime.clock(), talk.profile_id)])
    while await runtime.reactor.react(500):
        pass
    journey = await made(desk, {"type": "event", "event": "signed_up_early"})
    where = f"/journeys/{journey}/intakes"
    page = await person.page(where)
    assert 'data-testid="backfill"' in page and 'data-testid="begin"' not in page and 'data-testid="empty"' in page
    counted = await person.post(where, 200, window="P7D", do="count")
    assert "1 person would enter now." in counted and 'data-testid="begin"' in counted
    await person.post(where, window="P7D", do="begin")
    assert "<progress" in await person.page(where)
    await runtime.intakes.drain()
    page = await person.page(where)
    assert "1 entered" in page and ">Done<" in page
    assert (await runtime.journeys.totals(journey))["waiting"] == 1
    wrong = await person.post(where, 422, window="soon", do="count")
    assert "Say how far back it goes." in wrong


async def test_an_intake_is_stopped_and_only_by_who_may(desk, shop):
    runtime, person, agent = desk.runtime, await desk.person("marketer"), await desk.person("agent")
    journey = await made(desk, {"type": "event", "event": "something_else"})
    row = await runtime.backfills.begin(journey)
    where = f"/journeys/{journey}/intakes"
    assert "<form" not in (await agent.page(where)).split("<main", 1)[1].split("</main>", 1)[0]
    await agent.post(f"{where}/{row['_id']}/stop", 403)
    await agent.post(where, 403, do="begin")
    await person.post(f"{where}/{row['_id']}/stop")
    assert ">Stopped<" in await person.page(where)
    await person.post(f"{where}/{new_id('itk')}/stop", 404)


async def test_who_has_a_date_is_shown_and_what_begins_it_reads_as_a_sentence(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    talk = await wrote(runtime, shop, "born", name="Born")
    birthday = ProfilePatch(attributes={"birthday": "1990-05-12"})
    await runtime.editor.patch(talk.profile_id, birthday, source="api", by="t")
    trigger = {"type": "date", "field": "attributes.birthday", "yearly": True, "at": "09:00"}
    journey = await made(desk, trigger)
    page = await person.page(f"/journeys/{journey}")
    assert "On the day: birthday, every year at 09:00" in page
    await runtime.intakes.enlist()
    await runtime.intakes.drain()
    assert "with a date to come" in await person.page(f"/journeys/{journey}")
    page = await person.page(f"/journeys/{journey}/intakes")
    assert 'data-testid="planned"' in page and 'data-testid="backfill"' not in page and "1 planned" in page
    segment = await runtime.segments.create(
        SegmentInput(name="Loyal ones", rule={"field": "name", "op": "exists"}), "usr_1"
    )
    weekly = {"type": "schedule", "rrule": "FREQ=WEEKLY;BYDAY=MO", "segment_id": segment["_id"]}
    other = await made(desk, weekly, reentry={"mode": "after_exit"})
    for path in (f"/journeys/{other}", "/journeys"):
        assert "Every Monday at 09:00, everybody in “Loyal ones”" in await person.page(path)
    entered = await made(desk, {"type": "segment_entered", "segment_id": segment["_id"]})
    page = await person.page(f"/journeys/{entered}/intakes")
    assert "Who is in the segment already" in page and 'name="window"' not in page


@pytest.mark.parametrize("path", ["/journeys/jrn_x/intakes", "/journeys/jrn_01m8hjmd12pq7w0tcsdhxsj95d/intakes"])
async def test_what_is_not_there(desk, path):
    person = await desk.person("marketer")
    await person.page(path, status=404)
