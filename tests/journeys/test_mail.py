"""E-mail both ways with real SMTP: threads hold by headers, and by our signed reply address when headers are gone."""

import asyncio
import time
from collections.abc import Callable
from email.utils import parseaddr

import aiosmtplib
import pytest

from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)


async def test_a_mail_is_answered_and_the_answer_to_the_answer_comes_back_into_the_same_conversation(
    world: World, somebody: Callable[[str], Person]
) -> None:
    box, dora = await world.mailbox(), somebody("Dora Klein")
    await told_to_the_listener(world, box.address)
    first_id = await box.says(dora, "Is the teapot dishwasher safe?", subject="Glass teapot")
    conversation = await world.conversation(box.id)
    assert conversation["subject"] == "Glass teapot" and conversation["display_name"] == "Dora Klein"
    assert conversation["address"]["external_id"] == dora.email

    path = f"/conversations/{conversation['id']}/messages"
    reply = await world.api.post(path, {"text": "Yes, without the lid."}, status=201)
    mail = (await eventually(lambda: world.outside.mails_to(dora.email), "the agent's mail"))[0]
    assert parseaddr(mail["From"])[1] == box.address and mail["Subject"] == "Re: Glass teapot"
    assert mail["In-Reply-To"] == first_id and first_id in mail["References"]
    assert mail.get_body(("plain",)).get_content().strip().startswith("Yes, without the lid.")
    reply_to = parseaddr(mail["Reply-To"])[1]
    local, _, domain = box.address.partition("@")
    assert reply_to.startswith(f"{local}+") and reply_to.endswith(f"@{domain}")

    await next_second()
    # A program that keeps neither subject nor headers: the token in the address is enough.
    await box.says(dora, "And the cups?", subject="One more thing", to=reply_to)
    await eventually(lambda: said(world, conversation["id"], "And the cups?"), "the answer by the token alone")
    await next_second()
    # A program that keeps the headers and writes to the plain address.
    ours = str(mail["Message-ID"])
    await box.says(dora, "Thanks!", subject="Re: Glass teapot", In_Reply_To=ours, References=f"{first_id} {ours}")
    await eventually(lambda: said(world, conversation["id"], "Thanks!"), "the answer by its headers")
    rows = await world.api.rows(f"/conversations?channel={box.id}")
    assert [row["id"] for row in rows] == [conversation["id"]]
    lines = await world.messages(conversation["id"])
    spoken = [line["text"].strip() for line in lines if line["direction"] in ("in", "out")]
    expected = ["Is the teapot dishwasher safe?", "Yes, without the lid.", "And the cups?", "Thanks!"]
    assert spoken == expected
    assert (await world.api.get(f"/messages/{reply['id']}"))["status"] in ("sent", "delivered")
    assert len(world.outside.mails_to(dora.email)) == 1


async def test_a_token_of_somebody_elses_making_opens_no_conversation(
    world: World, somebody: Callable[[str], Person]
) -> None:
    box, eva, mallory = await world.mailbox(), somebody("Eva Lund"), somebody("Mallory Mann")
    await told_to_the_listener(world, box.address)
    await box.says(eva, "Hello", subject="A question")
    conversation = await world.conversation(box.id)
    local, _, domain = box.address.partition("@")
    forged = f"{local}+{conversation['id'].removeprefix('cnv_')}{'0' * 24}@{domain}"
    await box.says(mallory, "Let me in", subject="A question", to=forged)

    async def both() -> bool:
        return len(await world.api.rows(f"/conversations?channel={box.id}")) == 2

    await eventually(both, "a conversation of Mallory's own")
    assert [line["text"].strip() for line in await world.messages(conversation["id"], "in")] == ["Hello"]


async def test_mail_for_an_address_that_is_not_ours_is_refused(world: World, somebody: Callable[[str], Person]) -> None:
    box, finn = await world.mailbox(), somebody("Finn Berg")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused, match=r"5\.1\.1"):
        await box.says(finn, "Buy this", subject="An offer", to="nobody@harbour-tea.example")


# -- what the stories are told with ------------------------------------------------------------------------------------


async def told_to_the_listener(world: World, address: str) -> None:
    """The listener looks up our addresses every few seconds: wait until it takes this one."""

    async def taken() -> bool:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=world.mail_port, start_tls=False, timeout=60) as smtp:
            await smtp.mail("probe@people.example")
            try:
                return (await smtp.rcpt(address)).code == 250
            except aiosmtplib.SMTPResponseException:
                return False

    await eventually(taken, f"the listener to take {address}")


async def next_second() -> None:
    """Mails carry whole seconds, and a thread stands in the order of the senders' clocks: nobody answers at once."""
    await asyncio.sleep(1.05 - time.time() % 1)


async def said(world: World, conversation_id: str, text: str) -> bool:
    return any((line["text"] or "").strip() == text for line in await world.messages(conversation_id, "in"))
