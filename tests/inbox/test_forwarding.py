"""Forwarding a mail: a conversation of its own, answers that stay there, and a customer who hears nothing of it."""

import asyncio
from functools import partial
from typing import Any

import pytest

from base.errors import Conflict, WrongInput
from channels.failures import Failure, SendFailed
from channels.vocabulary import Attachment, AttachmentKind, MailParts
from inbox.forwarding import ForwardInput
from inbox.models import ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

ANNA, SUPPLIER = "anna@shop.example", "pots@supplier.example"
TO = ForwardInput(to=f"Pots <{SUPPLIER}>", text="Is it on its way?")


async def _mail(house: House) -> tuple[str, Any, str]:
    """A customer's mail with a file: its channel, conversation and message."""
    channel_id = await house.channel("mail")
    mail = MailParts(message_id="<m1@shop>", subject="Where is my pot?", to=("help@shop.example",))
    file = Attachment(kind=AttachmentKind.FILE, file_name="pot.txt", media_type="text/plain", content=b"A blue pot")
    talk = await house.conversation(
        channel_id, ANNA, "mail", text="It has not come.", mail=mail, attachments=(file,)
    )  # fmt: skip
    lines = (await house.inbox.messages.page(talk.id)).data
    with pytest.raises(Conflict, match="on its way"):
        await house.inbox.forwarding.forward(lines[-1].id, TO, AGENT, "too soon")
    assert await house.inbox.files.fetch(10) == 1
    return channel_id, talk, lines[-1].id


def _answer(house: House, channel_id: str, mail: Any, sender: str, number: int, **more: Any) -> Any:
    token = {"reply_token": mail.mail.reply_token} if more.pop("by_token", True) else {}
    parts = MailParts(
        message_id=f"<a{number}@x>", subject="Re: Fwd", in_reply_to=(mail.mail.message_id,),
        references=(mail.mail.message_id,), **token, **more,
    )  # fmt: skip
    return house.arrival(channel_id, sender, f"a{number}", "Tomorrow", provider="mail", mail=parts)


async def test_a_forward_and_its_answer_stay_apart(house: House) -> None:
    channel_id, talk, message_id = await _mail(house)
    forwarding = house.inbox.forwarding
    forward = partial(forwarding.forward, message_id, TO, AGENT)
    both = await asyncio.gather(*(forward("k1", owner_id="usr_anna") for _ in range(4)))
    assert len({each.id for each in both}) == 1
    child = await house.inbox.conversations.get(both[0].conversation_id or "")
    assert child is not None and (child.parent_id, child.assignee_id) == (talk.id, "usr_anna")
    assert child.profile_id != talk.profile_id and child.subject == "Fwd: Where is my pot?"
    assert child.last_message is not None and child.last_message.text == "Is it on its way?"
    await house.deliver_all()
    (sent,) = house.adapter("mail").calls
    assert sent.to.external_id == SUPPLIER and sent.mail is not None and sent.mail.cc == ()
    assert (sent.text or "").startswith("Is it on its way?") and "It has not come." in (sent.text or "")
    assert [(each.file_name, each.content) for each in sent.attachments] == [("pot.txt", b"A blue pot")]
    (told,) = [each for each in (await house.inbox.messages.page(talk.id)).data if each.direction == "system"]
    assert told.system is not None and told.system["params"]["conversation_id"] == child.id
    await house.conversation(channel_id, SUPPLIER, "mail", mail=MailParts(message_id="<own@x>", subject="Offer"))
    arrivals = [
        _answer(house, channel_id, sent, SUPPLIER, 1), _answer(house, channel_id, sent, SUPPLIER, 2, by_token=False),
        _answer(house, channel_id, sent, "colleague@supplier.example", 3),
    ]  # fmt: skip
    outcomes = (await house.inbox.receiver.receive(arrivals)).outcomes
    assert {each.conversation_id for each in outcomes} == {child.id}
    assert len((await house.inbox.messages.page(talk.id)).data) == 2
    house.adapter("mail").script = lambda message: SendFailed(Failure.CONTENT_REJECTED, "No.")
    failed = await forward("k3")
    await house.deliver_all()
    retried = await house.inbox.afterthoughts.retry(failed.id, AGENT)
    assert (retried.conversation_id, retried.profile_id) == (failed.conversation_id, talk.profile_id)
    again = await forward("k2")
    assert again.conversation_id != child.id


async def test_the_customer_is_in_no_cc_of_a_supplier(house: House) -> None:
    channel_id, talk, message_id = await _mail(house)
    forwarding, outbox = house.inbox.forwarding, house.inbox.outbox
    for wrong, path in ((ForwardInput(to=ANNA.upper()), "to"), (ForwardInput(to=SUPPLIER, cc=(f"A <{ANNA}>",)), "cc"),
                        (ForwardInput(to="help@shop.example"), "to"), (ForwardInput(to="nobody"), "to")):  # fmt: skip
        with pytest.raises(WrongInput) as refused:
            await forwarding.forward(message_id, wrong, AGENT, "k1")
        assert refused.value.errors[0].path == path
    line = await forwarding.forward(message_id, TO, AGENT, "k2")
    child = line.conversation_id or ""
    with pytest.raises(WrongInput, match="no copy"):
        await outbox.reply(child, AGENT, ReplyInput(text="And?", cc=("x@y.example", f"<{ANNA}>")), "k3")
    await outbox.reply(child, AGENT, ReplyInput(text="And?", cc=("x@y.example",)), "k4")
    chat = await house.conversation(await house.channel(), "bo")
    (hello,) = (await house.inbox.messages.page(chat.id)).data
    with pytest.raises(WrongInput, match="mails"):
        await forwarding.forward(hello.id, TO, AGENT, "k5")
    await house.deliver_all()
    readers = {each.to.external_id for each in house.adapter("mail").calls}
    copies = {address for each in house.adapter("mail").calls for address in (each.mail.cc if each.mail else ())}
    assert readers == {SUPPLIER} and copies == {"x@y.example"} and channel_id and talk.id


async def test_what_was_forwarded_is_the_customers_and_dies_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, talk, message_id = await _mail(house)
    dying = Dying(monkeypatch)
    for at in range(1, 16):
        key = f"k{at}"
        work = lambda k=key: house.inbox.forwarding.forward(message_id, TO, AGENT, k)  # noqa: E731
        await dying.on(at, at % 2 == 0, work)
        line = await work()
        child = await house.inbox.conversations.get(line.conversation_id or "")
        assert child is not None and child.message_count == 1 and line.profile_id == talk.profile_id
    children = await house.inbox.conversations.raw({"parent_id": talk.id})
    sends = await house.inbox.sends.raw({})
    assert len(children) == len(sends) == 15 and {each["profile_id"] for each in sends} == {talk.profile_id}
    told = [each for each in (await house.inbox.messages.page(talk.id)).data if each.direction == "system"]
    assert len(told) == 15
    events = await house.events.find(talk.profile_id, ["message.forwarded"])
    assert {each.properties["forward_conversation_id"] for each in events} == {each["_id"] for each in children}
    assert len(events) == 15 and {each.properties["message_id"] for each in events} == {message_id}
