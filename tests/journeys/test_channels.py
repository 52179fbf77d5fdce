"""Telegram and somebody's own system: in and out, signed both ways."""

from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from base.signing import verify_standard
from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)


async def test_telegram_in_and_out(world: World, somebody: Callable[[str], Person]) -> None:
    bot, gina = await world.telegram(), somebody("Gina Rossi")
    number = await bot.says(gina, "Ciao! Any news of my parcel?")
    conversation = await world.conversation(bot.id)
    assert conversation["display_name"] == "Gina Rossi" and conversation["address"]["external_id"] == str(gina.chat)
    line = (await world.messages(conversation["id"], "in"))[0]
    assert line["text"] == "Ciao! Any news of my parcel?"

    path = f"/conversations/{conversation['id']}/messages"
    reply = await world.api.post(path, {"text": "It arrives tomorrow.", "reply_to": line["id"]}, status=201)
    call = (await eventually(lambda: world.outside.of(bot.account), "the answer"))[0]
    assert (call.method, call.text, call.to) == ("sendMessage", "It arrives tomorrow.", str(gina.chat))
    assert call.body["reply_parameters"]["message_id"] == number

    async def ticked() -> bool:
        return (await world.api.get(f"/messages/{reply['id']}"))["status"] == "sent"

    await eventually(ticked, "the tick")
    assert len(world.outside.of(bot.account)) == 1


async def test_somebodys_own_system_in_and_out(world: World, somebody: Callable[[str], Person]) -> None:
    system, hugo = await world.own_system(), somebody("Hugo Haas")
    await system.says(hugo, "Hello from the app")
    conversation = await world.conversation(system.id)
    assert conversation["display_name"] == "Hugo Haas"

    path = f"/conversations/{conversation['id']}/messages"
    reply = await world.api.post(path, {"text": "Hello from the desk"}, status=201)
    call = (await eventually(lambda: world.outside.of(system.account), "the answer"))[0]
    send = await world.api.get(f"/sends/{reply['send_id']}")
    assert call.method == "message.send" and call.text == "Hello from the desk"
    assert (call.to, call.key) == (f"app-{hugo.chat}", send["send_key"])
    signed = {name.lower(): value for name, value in call.headers.items()}
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    assert verify_standard([system.secret], *(signed.get(name) for name in names), call.raw, datetime.now(UTC))

    # Its receipts come back the same way, by its own id or by our key.
    await system.tells("message.read", id=call.message_id, key=call.key)

    async def read() -> bool:
        return (await world.api.get(f"/messages/{reply['id']}"))["status"] == "read"

    await eventually(read, "the receipt")
    assert len(world.outside.of(system.account)) == 1


async def test_what_a_system_tells_besides_messages_reaches_the_same_person(
    world: World, somebody: Callable[[str], Person]
) -> None:
    system, ines = await world.own_system(), somebody("Ines Costa")
    await system.says(ines, "Hi")
    conversation = await world.conversation(system.id)
    number = f"OWN-{world.number()}"
    body = {"external_id": number, "identity": f"{system.id}:app-{ines.chat}", "status": "paid",
            "total": {"amount_minor": 990, "currency": "EUR"}}  # fmt: skip
    order = await world.api.post("/orders", body, status=201)
    assert order["profile_id"] == conversation["profile_id"]
    unknown = orjson.dumps({"type": "sofa.delivered", "data": {"id": "x1", "from": {"id": f"app-{ines.chat}"}}})
    assert await system.signed(unknown) == 200
    await world.quiet()
    assert await world.db["deliveries"].count_documents({"channel_id": system.id, "state": {"$ne": "done"}}) == 0
