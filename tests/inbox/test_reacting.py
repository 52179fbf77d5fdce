"""Our reactions to messages of theirs: sent once, changed, taken back, and a failure that is seen."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Refused, WrongInput
from channels.failures import Failure, SendFailed
from inbox.models import Actor, ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House, ReactingAdapter

BO = Actor("usr_bo", "Bo")


async def _talk(house: House) -> tuple[ReactingAdapter, Any, str]:
    channel_id = await house.channel("reacting")
    talk = await house.conversation(channel_id, "anna", "reacting")
    adapter = house.adapter("reacting")
    assert isinstance(adapter, ReactingAdapter)
    return adapter, talk, (await house.inbox.messages.page(talk.id)).data[0].id


async def _shown(house: House, message_id: str) -> tuple[Any, Any]:
    line = await house.inbox.messages.get(message_id)
    assert line is not None
    ours = line.reacted or {}
    return ours.get("emoji"), ours.get("state")


async def test_a_reaction_is_sent_once_and_taken_back(house: House) -> None:
    adapter, talk, message_id = await _talk(house)
    reactions = house.inbox.reactions
    await asyncio.gather(*(reactions.react(message_id, "👍", (AGENT, BO)[n % 2]) for n in range(6)))
    assert await _shown(house, message_id) == ("👍", "sending")
    await house.deliver_all()
    assert await _shown(house, message_id) == ("👍", "sent") and len(adapter.reacted) == 1
    await reactions.react(message_id, "👍", AGENT)
    await house.deliver_all()
    assert len(adapter.reacted) == 1 and adapter.standing == {"first-anna": "👍"}
    await reactions.react(message_id, "❤", AGENT)
    await reactions.react(message_id, "🎉", BO)
    await house.deliver_all()
    assert adapter.standing == {"first-anna": "🎉"} and len(adapter.reacted) == 2
    await reactions.react(message_id, None, AGENT)
    await house.deliver_all()
    assert adapter.standing == {} and await _shown(house, message_id) == (None, "sent")
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and (fresh.message_count, fresh.seq) == (talk.message_count, talk.seq)
    assert fresh.waiting_since == talk.waiting_since and not adapter.calls
    names = await house.event_names()
    assert not {"message.sent", "message.failed"} & set(names)
    assert names["message.reacted"] == 4
    assert len((await house.inbox.messages.page(talk.id)).data) == 1


async def test_a_failure_is_seen_and_the_same_again_sends_once_more(house: House) -> None:
    adapter, _, message_id = await _talk(house)
    adapter.script = lambda message: SendFailed(Failure.CONTENT_REJECTED, "No such emoji here.")
    await house.inbox.reactions.react(message_id, "👍", AGENT)
    await house.deliver_all()
    line = await house.inbox.messages.get(message_id)
    assert line is not None and line.reacted is not None and line.reacted["state"] == "failed"
    assert "No such emoji" in line.reacted["reason"]["detail"] and line.status != "failed"
    adapter.script = None
    await house.inbox.reactions.react(message_id, "👍", AGENT)
    await house.deliver_all()
    assert await _shown(house, message_id) == ("👍", "sent") and len(adapter.reacted) == 2


async def test_what_cannot_be_reacted_to_is_refused(house: House) -> None:
    _, talk, message_id = await _talk(house)
    reactions = house.inbox.reactions
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Hi"), "k1")
    for target, emoji in ((line.id, "👍"), (message_id, "🦄")):
        with pytest.raises(WrongInput):
            await reactions.react(target, emoji, AGENT)
    plain = await house.conversation(await house.channel(), "bo")
    (hello,) = (await house.inbox.messages.page(plain.id)).data
    with pytest.raises(Refused):
        await reactions.react(hello.id, "👍", AGENT)
    house.clock.ahead = timedelta(hours=25)
    with pytest.raises(Refused) as refused:
        await reactions.react(message_id, "👍", AGENT)
    assert refused.value.code == "window_closed"


async def test_dying_anywhere_a_reaction_is_whole_or_not_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, _, message_id = await _talk(house)
    dying, emojis = Dying(monkeypatch), ("👍", "❤️")
    for at in range(1, 12):
        for after in (False, True):
            emoji = emojis[(at + after) % 2]
            work = lambda each=emoji: house.inbox.reactions.react(message_id, each, AGENT)  # noqa: E731
            await dying.on(at, after, work)
            await work()
            await house.deliver_all()
            assert await _shown(house, message_id) == (emoji, "sent")
            assert adapter.standing == {"first-anna": emoji}
    rows = await house.inbox.sends.raw({})
    assert len({row["send_key"] for row in rows}) == len(rows) == (await house.event_names())["message.reacted"]
