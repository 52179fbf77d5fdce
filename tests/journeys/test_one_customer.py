"""The main job from end to end: somebody writes, is known, buys, is answered, nurtured and followed up."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.journeys.outside import eventually
from tests.journeys.talks import Person, WhatsApp
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)

#: In the order in which a message may pass through them.
TICKS = ["queued", "sent", "delivered", "read"]


async def test_a_webhook_becomes_a_known_customer_who_is_answered_nurtured_and_followed_up(
    world: World, somebody: Callable[[str], Person]
) -> None:
    channel, ada = await world.whatsapp(), somebody("Ada Lovelace")
    welcome = await world.recipe("welcome", wait="PT1H", channels=["whatsapp"])
    thanks = await world.recipe("thank_you_review", wait="PT2S", channels=["whatsapp"])
    await world.journeys_known()

    # A signed webhook becomes a conversation of a known customer.
    await channel.says(ada, "Hello! Do you ship to Norway?")
    conversation = await world.conversation(channel.id)
    profile_id = conversation["profile_id"]
    assert conversation["display_name"] == "Ada Lovelace"
    assert conversation["address"]["external_id"] == ada.phone
    assert conversation["status"] == "open" and conversation["waiting_since"] is not None

    # The journey greets her, once, and waits for her answer. Being greeted is not being answered.
    greeting = await sent(world, channel, ada, 1)
    assert greeting.text.startswith("Hello Ada, good to hear from you!")
    run = (await runs_of(world, welcome, profile_id))[0]
    explained = await eventually(lambda: standing_at(world, run["id"], "answer"), "the run to wait for an answer")
    assert explained["why"]["code"] == "wait.event" and explained["until"] is not None
    assert (await world.conversation(channel.id))["waiting_since"] is not None

    # Her shop order, told by phone number, is hers.
    order = await world.api.post("/orders", tea(f"HT-{world.number()}", f"phone:+{ada.phone}", "pending"), status=201)
    assert order["profile_id"] == profile_id
    profile = await world.api.get(f"/profiles/{profile_id}")
    assert profile["orders"]["count"] == 1
    assert {each["kind"] for each in profile["identities"]} == {"channel", "phone"}

    # An agent answers; asked twice under one key, it goes out once, to the number she wrote from.
    path, reply = f"/conversations/{conversation['id']}/messages", {"text": "We do, in 3 to 5 days."}
    message = await world.api.post(path, reply, status=201, key="norway")
    assert (await world.api.post(path, reply, key="norway"))["id"] == message["id"]
    call = await sent(world, channel, ada, 2)
    send = await world.api.get(f"/sends/{message['send_id']}")
    assert (call.text, call.to, call.key) == (reply["text"], ada.phone, send["send_key"])
    await ticks_never_run_backwards(world, channel, ada, message["id"], call.message_id)

    # Her answer ends the journey that waited for it.
    await channel.says(ada, "Great, thank you!")
    await eventually(lambda: ended(world, run["id"], "completed"), "the journey to end")
    assert "engaged" in (await world.api.get(f"/profiles/{profile_id}"))["tags"]
    await world.api.post(path, {"text": "Any time!"}, status=201)
    await sent(world, channel, ada, 3)

    # Delivered: thank-you, a pause, review ask. Nothing else was ever sent.
    for status in ("paid", "fulfilled", "delivered"):
        await world.api.post(f"/orders/{order['id']}/status", {"status": status})
    assert "has been delivered. Thank you" in (await sent(world, channel, ada, 4)).text
    assert "how do you like Two porcelain cups?" in (await sent(world, channel, ada, 5)).text
    followed = (await runs_of(world, thanks, profile_id))[0]
    await eventually(lambda: ended(world, followed["id"], "completed"), "the follow-up to end")
    await world.quiet()
    assert len(world.outside.of(channel.account, ada.phone)) == 5
    await told_by_the_timeline(world, profile_id)


async def test_a_refunded_order_gets_no_review_ask(world: World, somebody: Callable[[str], Person]) -> None:
    channel, bea, cem = await world.whatsapp(), somebody("Bea Costa"), somebody("Cem Yılmaz")
    thanks = await world.recipe("thank_you_review", wait="PT3S", channels=["whatsapp"])
    await world.journeys_known()
    for one in (bea, cem):
        await channel.says(one, "Hi")
    rows = await eventually(lambda: conversations(world, channel, 2), "two conversations")
    for row in rows:
        await world.api.post(f"/conversations/{row['id']}/messages", {"text": "Hello!"}, status=201)

    # Bea gives hers back while the review ask waits; Cem's money went back before the parcel came.
    hers = await world.api.post("/orders", tea(f"HT-{world.number()}", f"phone:+{bea.phone}", "delivered"), status=201)
    his = await world.api.post("/orders", tea(f"HT-{world.number()}", f"phone:+{cem.phone}", "refunded"), status=201)
    await world.api.post(f"/orders/{his['id']}/status", {"status": "delivered"})
    assert "has been delivered" in (await sent(world, channel, bea, 2)).text
    await world.api.post(f"/orders/{hers['id']}/status", {"status": "refunded"})

    run = (await runs_of(world, thanks, hers["profile_id"]))[0]
    await eventually(lambda: ended(world, run["id"], "exit_condition"), "the run to end")
    await asyncio.sleep(3.5)
    await world.quiet()
    assert len(world.outside.of(channel.account, bea.phone)) == 2
    assert [call.text for call in world.outside.of(channel.account, cem.phone)] == ["Hello!"]


# -- what the story is told with ---------------------------------------------------------------------------------------


def tea(external_id: str, identity: str, status: str) -> dict[str, Any]:
    """An order as a shop tells it."""
    return {
        "external_id": external_id, "identity": identity, "status": status, "currency": "EUR", "total": 2290,
        "lines": [{"sku": "CUP-002", "name": "Two porcelain cups", "quantity": 1, "price_minor": 2290}],
        "url": f"https://harbour-tea.example/orders/{external_id}",
    }  # fmt: skip


async def sent(world: World, channel: WhatsApp, one: Person, count: int) -> Any:
    """The latest message to somebody, as soon as there are `count` of them; more would be one too many."""
    await eventually(lambda: len(world.outside.of(channel.account, one.phone)) >= count, f"message {count}")
    calls = world.outside.of(channel.account, one.phone)
    assert len(calls) == count, [call.text for call in calls]
    return calls[-1]


async def runs_of(world: World, journey_id: str, profile_id: str) -> list[dict[str, Any]]:
    path = f"/journeys/{journey_id}/enrolments?profile={profile_id}"
    rows: list[dict[str, Any]] = await eventually(lambda: world.api.rows(path), "a run")
    return rows


async def standing_at(world: World, run_id: str, node: str) -> dict[str, Any] | None:
    run: dict[str, Any] = await world.api.get(f"/enrolments/{run_id}")
    return run if run["node"] == node else None


async def ended(world: World, run_id: str, why: str) -> bool:
    run = await world.api.get(f"/enrolments/{run_id}")
    return bool(run["state"] == "ended" and run["why"]["code"] == f"end.{why}")


async def conversations(world: World, channel: WhatsApp, count: int) -> list[dict[str, Any]] | None:
    rows = await world.api.rows(f"/conversations?channel={channel.id}")
    return rows if len(rows) == count else None


async def ticks_never_run_backwards(world: World, channel: WhatsApp, one: Person, message_id: str, wamid: str) -> None:
    """Each receipt moves the message one step; the same ones again, and late ones, move nothing."""
    now = int(time.time())

    async def status() -> str:
        return str((await world.api.get(f"/messages/{message_id}"))["status"])

    async def shows(wanted: str) -> bool:
        seen = await status()
        assert TICKS.index(seen) <= TICKS.index(wanted), f"{seen} before {wanted}"
        return seen == wanted

    await eventually(lambda: shows("sent"), "the first tick")
    for ahead_s, tick in enumerate(("delivered", "read")):
        await channel.receipt(wamid, tick, one, now + ahead_s)
        await eventually(lambda tick=tick: shows(tick), tick)  # type: ignore[misc]
    for late in ("sent", "delivered", "read", "sent"):
        await channel.receipt(wamid, late, one, now + 5)
    await world.quiet()
    assert await status() == "read"
    history = (await world.api.get(f"/messages/{message_id}"))["status_history"]
    assert {each["status"] for each in history} >= {"sent", "delivered", "read"}


async def told_by_the_timeline(world: World, profile_id: str) -> None:
    """What happened can be read from the profile."""
    entries = await world.api.rows(f"/profiles/{profile_id}/timeline")
    names = {each["name"] for each in entries}
    assert names >= {"message.received", "order.created", "order.paid", "order.delivered"}, names
