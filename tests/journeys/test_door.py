"""The door for webhooks: what is not signed leaves no trace, what comes often counts once."""

import asyncio
import time
from collections.abc import Callable

import orjson
import pytest

from base.signing import hmac_hex
from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)


async def _at_rest(world: World) -> dict[str, str]:
    """What is kept once nothing more follows from what came before: people are looked at for some seconds yet."""
    seen = [await world.digest()]

    async def still() -> bool:
        await asyncio.sleep(2)
        seen.append(await world.digest())
        return seen[-1] == seen[-2]

    await eventually(still, "rest")
    return seen[-1]


async def test_what_is_not_signed_by_the_provider_is_refused_and_leaves_no_trace(
    world: World, somebody: Callable[[str], Person]
) -> None:
    channel, other = await world.whatsapp(), await world.whatsapp()
    bot, system, box = await world.telegram(), await world.own_system(), await world.mailbox()
    omar = somebody("Omar Ibrahim")
    body = channel.text(omar, "Let me in")
    good = channel.signature(body)["X-Hub-Signature-256"]
    update = orjson.dumps({"update_id": 1, "message": {"message_id": 1, "text": "Let me in"}})
    event = orjson.dumps({"type": "message.received", "data": {"id": "1", "from": {"id": "1"}, "text": "Let me in"}})
    stale = {**system.signature(event), "webhook-timestamp": str(int(time.time()) - 3600)}
    await world.quiet()
    before = await _at_rest(world)
    attempts = [
        (channel, body, {}),
        (channel, body, {"X-Hub-Signature-256": ""}),
        (channel, body, {"X-Hub-Signature-256": "sha256="}),
        (channel, body, {"X-Hub-Signature-256": "sha256=" + "0" * 64}),
        (channel, body.replace(b"Let me in", b"Let me inn"), {"X-Hub-Signature-256": good}),
        (channel, body, other.signature(body)),
        (channel, body, {"X-Hub-Signature-256": "sha256=" + hmac_hex("", body)}),
        (channel, body, {"X-Hub-Signature": "sha1=" + hmac_hex(channel.secret, body, "sha1")}),
        (bot, update, {}),
        (bot, update, {"X-Telegram-Bot-Api-Secret-Token": bot.secret[:-1] + "x"}),
        (system, event, {}),
        (system, event.replace(b"Let", b"Yet"), system.signature(event)),
        (system, event, stale),
    ]
    for door, sent, headers in attempts:
        assert await door.post(sent, headers) == 401, (door.path, headers)
    path = f"/webhooks/email/{box.id}"
    async with world.api.session.post(path, data=b"Subject: x\r\n\r\nLet me in") as answer:
        assert answer.status == 401
    async with world.api.session.post("/webhooks/whatsapp/chn_00000000000000000000000000", data=body) as answer:
        assert answer.status == 404
    assert await world.digest() == before


@pytest.mark.parametrize("copies", [50])
async def test_a_delivery_that_comes_fifty_times_at_once_is_one_message(
    world: World, somebody: Callable[[str], Person], copies: int
) -> None:
    channel, pia = await world.whatsapp(), somebody("Pia Larsen")
    body = channel.text(pia, "Only once")
    assert await asyncio.gather(*(channel.signed(body) for _ in range(copies))) == [200] * copies
    conversation = await world.conversation(channel.id)
    await world.quiet()
    assert await channel.signed(body) == 200  # and once more, when all is done
    await world.quiet()
    assert len(await world.messages(conversation["id"], "in")) == 1
    assert (await world.conversation(channel.id))["unread"] == 1
    assert await world.db["deliveries"].count_documents({"channel_id": channel.id}) == 1
    assert await world.db["profiles"].count_documents({"_id": conversation["profile_id"]}) == 1
    events = {"name": "message.received", "channel_id": channel.id}
    assert await world.db["events"].count_documents(events) == 1


async def test_an_opt_out_stops_marketing_and_not_an_agents_answer(
    world: World, somebody: Callable[[str], Person]
) -> None:
    channel, quinn = await world.whatsapp(), somebody("Quinn Evans")
    journey = await world.journey(
        {
            "name": "Offers", "class": "marketing", "reentry": {"mode": "once"}, "trigger": {"type": "api"},
            "steps": [{"id": "offer", "type": "send", "channels": ["whatsapp"],
                       "content": {"text": "Ten percent off"}, "if_skipped": "continue", "next": None}],
        }
    )  # fmt: skip
    await channel.says(quinn, "Please no advertisements")
    conversation = await world.conversation(channel.id)
    await world.journeys_known()
    profile_id, identity_id = conversation["profile_id"], conversation["identity_id"]
    act = {"identity_id": identity_id, "purpose": "marketing", "granted": False, "source": "api"}
    await world.api.post(f"/profiles/{profile_id}/consents", act)

    await world.api.post(f"/journeys/{journey}/enrolments", {"profile_id": profile_id}, status=201)

    async def refused() -> list[str]:
        rows = await world.api.rows(f"/sends?profile={profile_id}&journey={journey}")
        return [each["reason"]["code"] for each in rows if each["status"] == "skipped"]

    assert await eventually(refused, "the offer to be skipped") == ["no_consent"]
    path = f"/conversations/{conversation['id']}/messages"
    await world.api.post(path, {"text": "Understood, no advertisements."}, status=201)
    await eventually(lambda: world.outside.of(channel.account, quinn.phone), "the agent's answer")
    await world.quiet()
    texts = [call.text for call in world.outside.of(channel.account, quinn.phone)]
    assert texts == ["Understood, no advertisements."]
