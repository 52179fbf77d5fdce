"""Asking for a message to be sent: once per key, refused with a reason before anything is written, undone in time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound, Refused, WrongInput
from base.mongo import DuplicateKeyError
from channels.vocabulary import TemplateCall
from inbox.models import ReplyInput, SendRequest, Source
from tests.inbox.conftest import AGENT, House


async def test_the_same_client_key_is_the_same_message(house: House) -> None:
    """D7 and F28: the browser tries again after a cut answer, twice at once."""
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    replies = [house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Yes"), "k1") for _ in range(6)]
    messages = await asyncio.gather(*replies)
    assert len({message.id for message in messages}) == 1
    assert len(await house.inbox.sends.raw({})) == 1
    fresh = await house.inbox.conversations.get(conversation.id)
    assert fresh is not None and (fresh.message_count, fresh.seq, fresh.waiting_since) == (2, 2, None)
    assert fresh.first_reply_at is not None and fresh.last_message is not None and fresh.last_message.text == "Yes"
    await house.inbox.delivery.deliver(10)
    again = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Other words"), "k1")
    assert again.id == messages[0].id and again.text == "Yes"
    assert len(house.adapter().calls) == 1


async def test_many_agents_write_at_once(house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    replies = [house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text=f"{n}"), f"k{n}") for n in range(8)]
    messages = await asyncio.gather(*replies)
    assert sorted(message.seq for message in messages) == list(range(2, 10))


async def test_a_note_stays_inside(house: House) -> None:
    channel_id = await house.channel("windowed")
    conversation = await house.conversation(channel_id, "anna", "windowed")
    house.clock.ahead = timedelta(days=3)
    note = await house.inbox.actions.note(conversation.id, AGENT, "She is upset", "k1")
    assert (note.direction, note.status, note.send_id) == ("note", None, None)
    fresh = await house.inbox.conversations.get(conversation.id)
    assert fresh is not None and fresh.waiting_since is not None and fresh.first_reply_at is None
    assert await house.inbox.sends.raw({}) == []


async def test_the_window_is_asked_for_the_time_of_sending(house: House) -> None:
    channel_id = await house.channel("windowed")
    conversation = await house.conversation(channel_id, "anna", "windowed")
    reply = house.inbox.outbox.reply
    tomorrow = house.clock() + timedelta(hours=25)
    with pytest.raises(Refused) as caught:
        await reply(conversation.id, AGENT, ReplyInput(text="Later", send_at=tomorrow), "k0")
    assert caught.value.code == "window_closed"
    house.clock.ahead = timedelta(hours=25)
    with pytest.raises(Refused):
        await reply(conversation.id, AGENT, ReplyInput(text="Sorry for the wait"), "k1")
    assert len(await house.inbox.messages.raw({})) == 1, "nothing was written"
    template = TemplateCall(name="hello", language="en")
    assert (await reply(conversation.id, AGENT, ReplyInput(template=template), "k2")).status == "queued"


@pytest.mark.parametrize(
    "reply",
    [
        ReplyInput(text="  "),
        ReplyInput(text="x" * 2000),
        ReplyInput(text="x", reply_to="msg_elsewhere"),
        ReplyInput(text="x", note=True, template=TemplateCall(name="a", language="en")),
        ReplyInput(template=TemplateCall(name="a", language="en")),
    ],
)
async def test_what_makes_no_sense_is_refused(house: House, reply: ReplyInput) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    with pytest.raises(WrongInput) as caught:
        await house.inbox.outbox.reply(conversation.id, AGENT, reply, "k1")
    assert caught.value.errors
    assert len(await house.inbox.messages.raw({})) == 1


async def test_who_cannot_be_reached_is_not_written_to(house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    reply = house.inbox.outbox.reply
    await house.consent.suppress(conversation.identity_id, "bounce")
    with pytest.raises(Refused, match="bounce"):
        await reply(conversation.id, AGENT, ReplyInput(text="x"), "k1")
    await house.consent.release(conversation.identity_id, "usr_1")
    await house.channels.update(channel_id, state="disconnected")
    with pytest.raises(Refused, match="no longer connected"):
        await reply(conversation.id, AGENT, ReplyInput(text="x"), "k1")
    with pytest.raises(NotFound):
        await reply("cnv_nowhere", AGENT, ReplyInput(text="x"), "k1")


async def test_a_reply_can_be_taken_back_in_time(house: House) -> None:
    channel_id = await house.channel()
    before = await house.conversation(channel_id, "anna")
    message = await house.inbox.outbox.reply(before.id, AGENT, ReplyInput(text="Oops"), "k1", undo_s=10)
    await house.inbox.delivery.deliver(10)
    assert house.adapter().calls == []
    for _ in range(2):
        undone = await house.inbox.afterthoughts.undo(message.id, AGENT)
        assert (undone.status, undone.text) == ("cancelled", None)
    after = await house.inbox.conversations.get(before.id)
    assert after is not None and after.last_message is not None and before.last_message is not None
    assert after.last_message.id == before.last_message.id and after.waiting_since == before.waiting_since
    assert (after.first_reply_at, after.message_count) == (None, 1)
    page = await house.inbox.messages.page(before.id)
    assert [line.direction for line in page.data] == ["in"]
    late = await house.inbox.outbox.reply(before.id, AGENT, ReplyInput(text="Right"), "k2")
    await house.inbox.delivery.deliver(10)
    with pytest.raises(Conflict, match="too late"):
        await house.inbox.afterthoughts.undo(late.id, AGENT)


async def test_send_later_answers_when_it_is_sent(house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    at = house.clock() + timedelta(hours=2)
    message = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Later", send_at=at), "k1")
    assert message.due_at == at
    fresh = await house.inbox.conversations.get(conversation.id)
    assert fresh is not None and fresh.waiting_since is not None and fresh.first_reply_at is None
    assert await house.inbox.delivery.deliver(10) == 0
    await house.all_due()
    await house.inbox.delivery.deliver(10)
    fresh = await house.inbox.conversations.get(conversation.id)
    sent = await house.inbox.messages.get(message.id)
    assert fresh is not None and fresh.waiting_since is None and fresh.first_reply_at is not None
    assert (
        sent is not None and sent.due_at is None and sent.status == "sent" and sent.provider_at >= message.provider_at
    )


async def test_a_group_is_answered_in_the_group(house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna", group_id="family")
    await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Hello all"), "k1")
    await house.inbox.delivery.deliver(10)
    assert house.adapter().calls[0].to.external_id == "family"


def _request(house: House, known: Any, channel_id: str, key: str, text: str = "Hi") -> SendRequest:
    return SendRequest(
        key, "marketing", Source("journey", "jrn_1"), known.profile_id, known.identity_id, channel_id, {"text": text}
    )


async def test_a_second_request_returns_the_first_outcome(house: House) -> None:
    channel_id = await house.channel()
    (known,) = await house.people(channel_id, 1)
    request = house.inbox.outbox.request
    first = await request([_request(house, known, channel_id, "k1"), _request(house, known, channel_id, "k1", "no")])
    assert first[0].id == first[1].id and first[0].content["text"] == "Hi"
    await house.inbox.delivery.deliver(10)
    second = await request([_request(house, known, channel_id, "k2"), _request(house, known, channel_id, "k1", "x")])
    assert (second[1].id, second[1].state, second[0].state) == (first[0].id, "accepted", "planned")
    many = await asyncio.gather(*(request([_request(house, known, channel_id, f"m{n % 3}")]) for n in range(12)))
    assert len({sends[0].id for sends in many}) == 3


async def test_a_request_is_part_of_its_callers_transaction(house: House) -> None:
    channel_id = await house.channel()
    (known,) = await house.people(channel_id, 1)
    wanted = [_request(house, known, channel_id, "t1"), _request(house, known, channel_id, "t2")]

    async def work(session: Any) -> Any:
        return await house.inbox.outbox.request(wanted, session)

    first = await house.database.in_transaction(work)
    again = await house.database.in_transaction(work)
    assert [send.id for send in first] == [send.id for send in again]

    async def fails(session: Any) -> None:
        await house.inbox.outbox.request([_request(house, known, channel_id, "t3")], session)
        raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        await house.database.in_transaction(fails)
    assert await house.inbox.sends.by_keys(["t3"]) == {}
    assert issubclass(DuplicateKeyError, Exception)
