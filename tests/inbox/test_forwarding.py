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
from inbox.store import ConversationRoom, MessageRoom
from profiles.holdings import Traces
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


async def test_who_is_erased_is_quoted_nowhere_in_what_was_forwarded(house: House) -> None:
    """The subject, what the supplier's mails quote, and those that name them; the supplier's other words stay."""
    canary = "xq7vkz2mwp"
    channel_id = await house.channel("mail")
    mail = MailParts(message_id="<m1@shop>", subject=f"Pot {canary}", to=("help@shop.example",))
    talk = await house.conversation(channel_id, ANNA, "mail", text=f"It has not come {canary}", mail=mail)
    (line,) = (await house.inbox.messages.page(talk.id)).data
    forward = await house.inbox.forwarding.forward(line.id, TO, AGENT, "k")
    await house.deliver_all()
    (sent,) = house.adapter("mail").calls
    for number, text in enumerate(("Tomorrow at nine", f"Tell {ANNA} that it is late")):
        parts = MailParts(
            message_id=f"<a{number}@x>", subject=f"Re: Fwd: Pot {canary}", in_reply_to=(sent.mail.message_id,),
            reply_token=sent.mail.reply_token, full_text=f"{text}\n> {canary}", html=f"<p>{text}<q>{canary}</q></p>",
        )  # fmt: skip
        arrival = house.arrival(channel_id, SUPPLIER, f"a{number}", text, provider="mail", mail=parts)
        await house.inbox.receiver.receive([arrival])
    child_id = forward.conversation_id or ""

    async def held(what: str) -> set[str]:
        """Collections in which something about the child says this."""
        found = set()
        for name in ("conversations", "messages", "message_words", "events"):
            wanted = {"$or": [{"_id": child_id}, {"conversation_id": child_id}]}
            rows = await house.database.collection(name).find(wanted).to_list(None)
            found |= {name} if what in str(rows) else set()
        return found

    assert await held(canary) == {"conversations", "messages"}
    assert await held(ANNA) == {"conversations", "messages", "events"}
    traces = Traces((talk.profile_id,), words=(ANNA,))
    rooms = (MessageRoom(house.database, house.clock), ConversationRoom(house.database, house.inbox.conversations))
    for room in (*rooms, *rooms):
        await room.erase(traces)
    assert await held(canary) == set() and await held(ANNA) == set()
    child = await house.inbox.conversations.get(child_id)
    assert child is not None and child.subject is None and child.last_message is not None
    kept = [each for each in (await house.inbox.messages.page(child_id)).data if each.direction == "in"]
    assert {(each.text, each.deleted_at is not None) for each in kept} == {("Tomorrow at nine", False), (None, True)}
