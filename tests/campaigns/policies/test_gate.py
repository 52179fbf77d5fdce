"""Caps, quiet hours and the breaker on a real ledger, with several workers at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from base.clock import now
from base.errors import Conflict
from base.ids import new_id
from campaigns.policies.models import SendingPolicies, Wishes
from channels.failures import Failure, SendFailed
from channels.vocabulary import OutboundMessage
from inbox.models import Send, Source
from profiles.store.belongings import Joining
from tests.campaigns.broadcasts.conftest import Post, post
from tests.campaigns.conftest import World, world

__all__ = ["post", "world"]
HELLO: Mapping[str, Any] = {"id": "hello", "type": "send", "channels": ["chat"], "content": {"text": "Hi"}}


async def rule(world: World, **policies: Any) -> None:
    rev = (await world.worker.policies.get()).rev
    await world.worker.policies.save(SendingPolicies.model_validate(policies), rev, "usr_x")


async def enrol(world: World, journey_id: str, profile_id: str) -> None:
    await world.journeys.enrol(journey_id, profile_id)


async def sends(world: World) -> list[dict[str, Any]]:
    return await world.inbox.sends.raw({})


async def test_mautic_6729_a_cap_holds_for_campaigns_too(world: World) -> None:
    """Frequency rules were ignored by campaigns. Here two journeys share one cap."""
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    anna = await world.person()
    for name in ("A", "B"):
        await enrol(world, await world.journey(HELLO, name=name), anna)
    await world.settle()
    assert len(world.sent()) == 1
    waiting = next(row for row in await sends(world) if row["state"] == "deferred")
    assert waiting["reason"]["code"] == "capped" and "1 a day" in waiting["reason"]["sentence"]
    assert now() < waiting["due_at"] <= now() + timedelta(hours=25), "until midnight where she lives"
    run = await world.run(journey_id=waiting["source"]["id"])
    said = await world.journeys.explain(run["_id"])
    assert "1 a day" in said.why.sentence and said.until == waiting["due_at"]


async def test_klaviyo_smart_sending_defers_and_comes_later(world: World) -> None:
    """A cart mail held back by a cap is sent when there is room, not dropped."""
    await rule(world, caps=[{"most": 1, "per": "PT5H"}])
    anna = await world.person()
    for name in ("A", "B"):
        await enrol(world, await world.journey(HELLO, name=name), anna)
    await world.settle()
    assert len(world.sent()) == 1
    await world.travel(hours=6)
    await world.db.collection("send_slots").delete_many({})  # they are worked out from the ledger
    await world.settle()
    assert len(world.sent()) == 2
    assert Counter(row["state"] for row in await sends(world)) == {"accepted": 2}


async def test_order_notices_pass_and_the_author_may_want_skip(world: World) -> None:
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    anna = await world.person()
    for name in ("A", "B"):
        await enrol(world, await world.journey(HELLO, name=name, **{"class": "transactional"}), anna)
    await world.settle()
    assert len(world.sent()) == 2, "transactional messages are exempt"
    for name in ("C", "D"):
        await enrol(world, await world.journey(HELLO, name=name), anna)
    await world.worker.walker.advance(500)
    await world.db.collection("sends").update_many({"state": "planned"}, {"$set": {"content.if_capped": "skip"}})
    await world.settle()
    assert len(world.sent()) == 3, "those two do not count for marketing"
    skipped = next(row for row in await sends(world) if row["state"] == "skipped")
    assert skipped["reason"]["code"] == "capped" and "not wanted later" in skipped["reason"]["sentence"]


async def test_a_cap_is_exact_whoever_takes_at_once(world: World) -> None:
    """Forty sends of one person, taken by four workers at the same moment; the ledger is empty before."""
    await rule(world, caps=[{"most": 3, "per": "P1D"}, {"most": 5, "per": "P7D", "channel": "chat"}])
    anna = await world.person()
    workers = [world.new_worker() for _ in range(4)]
    letters = [send(world, anna, i) for i in range(40)]
    shares = [[(each, Wishes()) for each in letters[i::4]] for i in range(4)]
    held = await asyncio.gather(*(w.rules.taken(s, now()) for w, s in zip(workers, shares, strict=True)))
    assert sum(len(s) - len(h) for s, h in zip(shares, held, strict=True)) == 3
    row = await world.db.collection("send_slots").find_one({"_id": anna})
    assert row is not None and len(row["slots"]) == 3


async def test_of_three_at_once_one_goes_although_nobody_was_counted_before(world: World) -> None:
    """Each saw the two others handed over and took them for gone: all three waited until the next day."""
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    anna = await world.person()
    for name in ("A", "B", "C"):
        await enrol(world, await world.journey(HELLO, name=name), anna)
    await world.settle()
    assert len(world.sent()) == 1
    assert Counter(row["state"] for row in await sends(world)) == {"accepted": 1, "deferred": 2}


async def test_two_workers_deliver_many_and_nobody_gets_more(world: World, post: Post) -> None:
    """The whole way: three broadcasts to the same forty people, two deliveries side by side."""
    await rule(world, caps=[{"most": 2, "per": "P1D"}])
    await post.people(40)
    for _ in range(3):
        await post.started()
    await asyncio.gather(post.deliver(), world.inbox.delivery.deliver(500), post.deliver())
    await post.settle()
    per_person = Counter(row["profile_id"] for row in await sends(world) if row["state"] == "accepted")
    assert len(per_person) == 40 and set(per_person.values()) == {2}
    assert len(world.sent()) == 80


async def test_what_failed_gives_its_place_back(world: World) -> None:
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    anna = await world.person()
    world.provider().script = lambda _: SendFailed(Failure.CONTENT_REJECTED, "no")
    await enrol(world, await world.journey(HELLO, name="A"), anna)
    await world.settle()
    world.provider().script = None
    await enrol(world, await world.journey(HELLO, name="B"), anna)
    await world.settle()
    assert Counter(row["state"] for row in await sends(world)) == {"failed": 1, "accepted": 1}


async def test_who_are_one_person_share_a_cap(world: World) -> None:
    """The slots of both are worked out anew from the ledger, which moved."""
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    anna, other = await world.person(), await world.person("Anna 2")
    await enrol(world, await world.journey(HELLO, name="A"), other)
    await world.settle()
    joining = Joining("mrg_x", other, anna)
    await world.inbox.sends.belongings.move(joining)
    await world.slots.belongings.move(joining)
    held = await world.worker.rules.taken([(send(world, anna, 1), Wishes())], now())
    assert len(held) == 1


async def test_a_cap_counts_what_went_before_it_was_made(world: World) -> None:
    anna = await world.person()
    await enrol(world, await world.journey(HELLO, name="A"), anna)
    await world.settle()
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    await enrol(world, await world.journey(HELLO, name="B"), anna)
    await world.settle()
    assert len(world.sent()) == 1


async def test_mautic_2518_hours_of_the_house_hold_for_journeys(world: World) -> None:
    """No window for actions of a campaign. The hours are those of the person, and overnight ones do not invert."""
    at = now().astimezone(UTC)
    quiet = {"from": f"{(at - timedelta(hours=1)):%H:%M}", "to": f"{(at + timedelta(hours=2)):%H:%M}", "zone": "UTC"}
    await rule(world, quiet_hours=quiet)
    await enrol(world, await world.journey(HELLO, name="A"), await world.person())
    await enrol(world, await world.journey(HELLO, name="B", **{"class": "transactional"}), await world.person("B"))
    open_ = {"from": "00:00", "to": "00:00"}
    await enrol(world, await world.journey(HELLO, name="C", quiet_hours=open_), await world.person("C"))
    await world.settle()
    assert len(world.sent()) == 2, "marketing waits; order notices and who opted out of quiet hours go"
    waiting = next(row for row in await sends(world) if row["state"] == "deferred")
    assert waiting["reason"]["code"] == "quiet_hours"


async def test_no_consent_is_said_before_quiet_hours(world: World) -> None:
    """The reason shown is the one that counts: who said no is not told to wait for the morning."""
    at = now().astimezone(UTC)
    quiet = {"from": f"{(at - timedelta(hours=1)):%H:%M}", "to": f"{(at + timedelta(hours=2)):%H:%M}", "zone": "UTC"}
    await rule(world, quiet_hours=quiet, caps=[{"most": 1, "per": "P1D"}])
    anna = await world.person()
    identity = (await world.profiles.identities_of(anna))[0]
    await enrol(world, await world.journey(HELLO), anna)
    await world.worker.walker.advance(500)
    await world.db.collection("identities").update_one({"_id": identity.id}, {"$set": {"suppressed": {
        "reason": "bounced", "at": now()}}})  # fmt: skip
    await world.settle()
    assert [row["reason"]["code"] for row in await sends(world)] == ["suppressed"]


async def test_too_many_failures_stop_the_step_and_keep_the_people(world: World) -> None:
    await rule(world, breaker={"least_people": 5, "least_percent": 20, "minutes": 10})
    people = await world.people(12)
    journey_id = await world.journey(HELLO, name="Welcome")
    bad = set(people[:5])

    def refuse(message: OutboundMessage) -> Any:
        return SendFailed(Failure.CONTENT_REJECTED, "no") if world_bad(message) else None

    numbers = {f"p{i}" for i, each in enumerate(people) if each in bad}

    def world_bad(message: OutboundMessage) -> bool:
        return message.to.external_id in numbers

    world.provider().script = refuse
    for each in people[:5]:
        await enrol(world, journey_id, each)
    await world.settle()
    tasks = await world.db.collection("tasks").find({}).to_list(None)
    assert len(tasks) == 1 and "Welcome" in tasks[0]["text"] and "5 of 5 people" in tasks[0]["text"]
    source = tasks[0]["source"]
    assert source["code"] == "step_stopped" and source["params"]["failed"] == source["params"]["ended"] == 5
    for each in people[5:]:
        await enrol(world, journey_id, each)
    await world.settle()
    assert world.sent() == []
    held = [row for row in await sends(world) if row["state"] == "deferred"]
    assert len(held) == 7 and {row["reason"]["code"] for row in held} == {"step_stopped"}
    assert all(row["state"] == "waiting" for row in await world.rows(profile_id={"$in": people[5:]}))
    (stop,) = await world.worker.policies.breaker.all_stopped()
    await world.worker.policies.breaker.resume(stop["_id"], "usr_x")
    await world.settle()
    assert len(world.sent()) == 7 and not await world.worker.policies.breaker.all_stopped()


async def test_a_repeated_failure_of_one_person_counts_once(world: World) -> None:
    """mautic#14470, #15512: failures of one contact were counted again and again."""
    await rule(world, breaker={"least_people": 2, "least_percent": 1, "minutes": 10})
    world.provider().script = lambda _: SendFailed(Failure.CONTENT_REJECTED, "no")
    anna = await world.person()
    journey_id = await world.journey(HELLO, reentry={"mode": "per_key"})
    for number in range(3):
        await world.journeys.enrol(journey_id, anna, key=f"k{number}")
        await world.settle()
    assert not await world.worker.policies.breaker.all_stopped()


async def test_rules_are_saved_once_and_taken_back(world: World) -> None:
    book = world.worker.policies
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    held = await book.get()
    assert held.rev == 1 and held.undoable
    try:
        await book.save(SendingPolicies(), 0, None)
        raise AssertionError("two people changed it")
    except Conflict:
        pass
    back = await book.undo(1, None)
    assert back.policies == SendingPolicies() and not back.undoable


def send(world: World, profile_id: str, number: int) -> Send:
    return Send(
        id=new_id("snd"), send_key=f"k{number}", send_class="marketing", source=Source("journey"),
        profile_id=profile_id, identity_id="idn_x", channel_id=world.ids["chat"], content={}, state="handed",
        planned_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
