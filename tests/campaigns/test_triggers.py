"""Segments, messages and events at the door: once per transition, once per message, and a late word still counts."""

from datetime import timedelta
from typing import Any

from base.clock import now
from base.mongo import Document
from campaigns.entering import Entrant
from campaigns.replies import ANSWER_MAX, answered_by
from channels.vocabulary import DeliveryStatus, DeliveryUpdate
from profiles.edit import ProfilePatch
from profiles.membership import SegmentPatch
from tests.campaigns.conftest import World
from tests.campaigns.test_matching import happened

STAY: dict[str, Any] = {"id": "w", "type": "wait", "for": "P30D", "next": None}
GO: dict[str, Any] = {**STAY, "for": "PT0S"}
SEND: dict[str, Any] = {"id": "s", "type": "send", "content": {"text": "Hi"}, "next": None}
AGAIN = {"mode": "after_exit"}
VIP = {"field": "tags", "op": "contains", "value": "vip"}


async def tagged(world: World, profile_id: str, on: bool) -> None:
    patch = ProfilePatch(add_tags=["vip"]) if on else ProfilePatch(remove_tags=["vip"])
    await world.editor.patch(profile_id, patch, source="api", by="t")
    await world.look()
    await world.settle()


# -- segments ------------------------------------------------------------------------------------------------------


async def test_entering_and_leaving_a_segment_begins_once_per_transition(world: World) -> None:
    segment, other = await world.segment(VIP), await world.segment({"field": "tags", "op": "contains", "value": "x"})
    entered = await world.journey(GO, trigger={"type": "segment_entered", "segment_id": segment}, reentry=AGAIN)
    left = await world.journey(GO, trigger={"type": "segment_left", "segment_id": segment}, reentry={"mode": "per_key"})
    await world.journey(GO, trigger={"type": "segment_entered", "segment_id": other})
    anna = await world.person("Anna")
    for on, counts in ((True, (1, 0)), (True, (1, 0)), (False, (1, 1)), (True, (2, 1)), (False, (2, 2))):
        await tagged(world, anna, on)
        await world.profiles.appraisals.due([anna])  # a look that finds the same tells nothing
        await world.look()
        await world.settle()
        assert (len(await world.rows(journey_id=entered)), len(await world.rows(journey_id=left))) == counts
    assert len(await world.rows()) == 4
    keys = {row["entry_key"] for row in await world.rows(journey_id=left)}
    assert len(keys) == 2 and all(segment in key for key in keys)


async def test_a_rebuild_that_finds_the_same_begins_nothing(world: World) -> None:
    anna = await world.person("Anna")
    await tagged(world, anna, True)
    segment = await world.segment(VIP)
    await world.journey(GO, trigger={"type": "segment_entered", "segment_id": segment}, reentry=AGAIN)
    await world.segments.change(segment, SegmentPatch(rule={"any": [VIP, VIP]}))
    await world.segment_builder.drain()
    await world.look()
    await world.settle()
    assert await world.rows() == []


# -- messages ------------------------------------------------------------------------------------------------------


async def sent_to(world: World, profile_id: str) -> tuple[str, Document]:
    """A journey has written to the person; its id and the send."""
    journey = await world.journey(SEND)
    await world.journeys.enrol(journey, profile_id)
    await world.settle()
    (send,) = [each for each in await world.inbox.sends.raw({}) if each["source"]["id"] == journey]
    return journey, send


async def receipt(world: World, send: Document, status: DeliveryStatus, key: str) -> None:
    update = DeliveryUpdate(
        event_id=key, occurred_at=now(), message_id=send["provider_message_ids"][0], status=status, permanent=True
    )
    await world.inbox.receipts.apply([(send["channel_id"], update)])
    await world.settle()


async def test_what_became_of_a_message_begins_once_per_message_and_kind(world: World) -> None:
    anna = await world.person("Anna")
    journey, send = await sent_to(world, anna)
    clicked = await world.journey(GO, trigger={"type": "message", "what": "clicked"}, reentry=AGAIN)
    own = {"type": "message", "what": "clicked", "journey_id": journey, "step": "s"}
    of_step = await world.journey(GO, trigger=own, reentry=AGAIN)
    elsewhere = await world.journey(GO, trigger={**own, "step": "other"}, reentry=AGAIN)
    of_another = await world.journey(GO, trigger={**own, "journey_id": clicked, "step": "s"}, reentry=AGAIN)
    opened = await world.journey(GO, trigger={"type": "message", "what": "opened", "journey_id": journey})
    bounced = await world.journey(GO, trigger={"type": "message", "what": "bounced"})
    for key in ("c1", "c2", "c2", "c3"):
        await receipt(world, send, DeliveryStatus.CLICKED, key)
    assert (await world.run(journey_id=clicked))["cause"] == f"{send['send_key']}:clicked"
    await world.run(journey_id=of_step)
    for none in (elsewhere, of_another, opened, bounced):
        assert await world.rows(journey_id=none) == []
    await receipt(world, send, DeliveryStatus.OPENED, "o1")
    await world.run(journey_id=opened)
    await receipt(world, send, DeliveryStatus.BOUNCED, "b1")
    await world.run(journey_id=bounced)


async def test_mautic_9798_what_a_scanner_opened_begins_nothing_unless_it_is_asked_for(world: World) -> None:
    """Its journeys moved on because a security scanner followed every link."""
    anna = await world.person("Anna")
    _, send = await sent_to(world, anna)
    people_only = await world.journey(GO, trigger={"type": "message", "what": "opened"})
    anything = await world.journey(GO, trigger={"type": "message", "what": "opened", "bots": True})
    about = {"send_key": send["send_key"], "source": "journey", "source_id": send["source"]["id"]}
    await world.happens("message.opened", anna, bot=True, **about)
    await world.settle()
    assert await world.rows(journey_id=people_only) == [] and await world.run(journey_id=anything)
    await world.happens("message.opened", anna, **about)
    await world.settle()
    await world.run(journey_id=people_only)
    await world.happens("message.opened", anna)  # none of our sends
    await world.settle()


async def test_an_answer_to_a_journey_begins_another(world: World) -> None:
    anna, bea = await world.person("Anna"), await world.person("Bea")
    journey, send = await sent_to(world, anna)
    replied = await world.journey(STAY, trigger={"type": "message", "what": "replied", "journey_id": journey})
    await world.says(bea, "Hello")
    await world.says(anna, "Yes please")
    await world.says(anna, "And another thing")
    await world.settle()
    run = await world.run(journey_id=replied)
    assert (run["profile_id"], run["cause"]) == (anna, f"{send['send_key']}:replied")
    event = run["data"]["event"]
    assert event["name"] == "message.replied" and event["properties"]["text"] == "Yes please"
    assert event["properties"]["node_id"] == "s"


def test_whose_words_an_answer_is_to() -> None:
    at = now()

    def went(minutes: float, kind: str = "journey", channel: str = "chn_1", *ids: str) -> Document:
        return {"_id": f"snd_{minutes}", "send_key": f"k{minutes}", "channel_id": channel, "profile_id": "p",
                "handed_at": at - timedelta(minutes=minutes), "source": {"kind": kind, "id": "jrn_1"},
                "provider_message_ids": ids}  # fmt: skip

    def key(event: Any, *sends: Document) -> str | None:
        found = answered_by(event, sends)
        return found["send_key"] if found else None

    said = happened("message.received", at=at)
    said = type(said)(said.id, said.name, at, at, {}, "chn_1", None)
    quoting = type(said)(said.id, said.name, at, at, {"reply_to": "m-1"}, "chn_1", None)
    assert key(said) is None
    assert key(said, went(30), went(5)) == "k5"
    assert key(said, went(30), went(5, "reply")) is None  # a colleague wrote since
    assert key(said, went(5, "journey", "chn_2")) is None  # on another channel
    assert key(said, went(-5)) is None  # it went later
    assert key(said, went(ANSWER_MAX / timedelta(minutes=1) + 1)) is None
    assert key(quoting, went(30, "broadcast", "chn_1", "m-1"), went(5)) == "k30"
    assert key(quoting, went(30), went(5, "reply")) is None
    automatic = type(said)(said.id, said.name, at, at, {"automatic": True}, "chn_1", None)
    assert key(automatic, went(5)) is None


# -- events --------------------------------------------------------------------------------------------------------


async def test_how_old_an_event_may_be_is_the_authors_choice(world: World) -> None:
    anna = await world.person("Anna")
    week = await world.journey(GO, trigger={"type": "event", "event": "x", "max_age": "P7D"})
    usual = await world.journey(GO, trigger={"type": "event", "event": "x"})
    hour = await world.journey(GO, trigger={"type": "event", "event": "x", "max_age": "PT1H"})
    await world.happens("x", anna, ago_s=100 * 3600)
    await world.settle()
    assert [row["journey_id"] for row in await world.rows()] == [week]
    await world.happens("x", anna, ago_s=70 * 3600)
    await world.settle()
    assert [row["journey_id"] for row in await world.rows()] == [week, usual]
    await world.happens("x", anna, ago_s=60)
    await world.settle()
    assert [row["journey_id"] for row in await world.rows()] == [week, usual, hour]


async def waiting(world: World) -> list[Document]:
    return await world.db.collection("planned_entries").find({"kind": "event"}).to_list(None)


async def passes(world: World, **span: float) -> None:
    """So much time passes for what waits."""
    for row in await waiting(world):
        back = {name: row[name] - timedelta(**span) for name in ("due_at", "at", "until")}
        await world.db.collection("planned_entries").update_one({"_id": row["_id"]}, {"$set": back})
    await world.worker.planner.drain(100)


async def test_who_says_a_little_later_who_they_are_still_counts(world: World) -> None:
    anna = await world.person("Anna")
    await world.journey(STAY, trigger={"type": "event", "event": "x"}, entry_filter=VIP)
    await world.happens("x", anna)
    await world.settle()
    assert await world.rows() == [] and len(await waiting(world)) == 1
    await passes(world, seconds=16)
    assert await world.rows() == [] and len(await waiting(world)) == 1
    await world.editor.patch(anna, ProfilePatch(add_tags=["vip"]), source="api", by="t")
    await world.settle()  # that they changed makes it due at once
    await world.worker.planner.drain(100)
    run = await world.run()
    assert run["cause"].startswith("evt_") and await waiting(world) == []
    await world.settle()
    assert len(await world.rows()) == 1


async def test_after_half_an_hour_it_is_too_late(world: World) -> None:
    anna = await world.person("Anna")
    await world.journey(STAY, trigger={"type": "event", "event": "x"}, entry_filter=VIP)
    await world.happens("x", anna)
    await world.settle()
    looks = []
    for minutes in (0.3, 1, 4, 10, 14):
        await passes(world, minutes=minutes)
        looks.append([row["looks"] for row in await waiting(world)])
    assert looks == [[2], [3], [4], [5], [5]]
    await passes(world, minutes=1)
    assert await waiting(world) == []
    await world.editor.patch(anna, ProfilePatch(add_tags=["vip"]), source="api", by="t")
    await world.settle()
    await world.worker.planner.drain(100)
    assert await world.rows() == []


async def test_only_what_may_change_is_tried_again_and_not_without_end(world: World) -> None:
    anna = await world.person("Anna")
    by_event = {"field": "event.properties.plan", "op": "eq", "value": "pro"}
    await world.journey(STAY, trigger={"type": "event", "event": "x"}, entry_filter=by_event)
    await world.happens("x", anna, plan="free")
    await world.settle()
    assert await waiting(world) == []
    await world.journey(STAY, trigger={"type": "event", "event": "x"}, entry_filter=VIP)
    for _ in range(30):
        await world.happens("x", anna)
    await world.settle()
    assert len(await waiting(world)) == 20


# -- the door ------------------------------------------------------------------------------------------------------


async def test_another_journey_is_a_cause_like_any_other(world: World) -> None:
    anna = await world.person("Anna")
    journey = await world.journey(GO, trigger={"type": "event", "event": "x"}, reentry=AGAIN)
    live = (await world.worker.live.anew()).journeys[journey]
    entrance = world.worker.intakes._entrance
    cause = "journey:enr_1:step:1"
    first = await entrance.admit([Entrant(live, anna, cause, now()), Entrant(live, anna, cause, now())])
    assert [each.created for each in first] == [True, False]
    await world.settle()
    again = (await entrance.admit([Entrant(live, anna, cause, now())]))[0]
    assert (again.created, again.reason, again.run_id) == (False, "already_entered", first[0].run_id)
    other = (await entrance.admit([Entrant(live, anna, "journey:enr_1:step:2", now())]))[0]
    assert other.created
    await world.journeys.set_status(journey, "draining")
    shut = (await world.worker.live.anew()).journeys[journey]
    refused = (await entrance.admit([Entrant(shut, anna, "journey:enr_2:step:1", now())]))[0]
    assert (refused.created, refused.reason) == (False, "closed")
