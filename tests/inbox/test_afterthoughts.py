"""Second thoughts: taken back or not at all, moved, sent again under a new key; and no answer over unread news."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound, Refused, WrongInput
from channels.failures import Failure, SendFailed
from inbox.drafts import DraftInput, DraftKey
from inbox.guard import NewerMessages
from inbox.models import Actor, ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

BO = Actor("usr_bo", "Bo")


async def _talk(house: House, provider: str = "scripted") -> tuple[str, Any]:
    channel_id = await house.channel(provider)
    return channel_id, await house.conversation(channel_id, "anna", provider)


async def _draft(house: House, conversation_id: str, user_id: str = "usr_anna") -> DraftInput | None:
    found = await house.inbox.drafts.get(DraftKey(conversation_id, user_id))
    return found.written if found else None


async def test_undo_races_the_worker_and_exactly_one_wins(house: House) -> None:
    """Two workers deliver while two agents take back: it went out and stands, or it is gone and no call was made."""
    _, talk = await _talk(house)
    for number in range(12):
        line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text=f"{number}"), f"k{number}")
        before = len(house.adapter().calls)
        undone = [house.inbox.afterthoughts.undo(line.id, who) for who in (AGENT, BO)]
        delivered = [house.inbox.delivery.deliver(10) for _ in range(2)]
        order = undone + delivered if number % 2 else delivered + undone
        results = await asyncio.gather(*order, return_exceptions=True)
        await house.inbox.delivery.deliver(10)
        late = [each for each in results if isinstance(each, Conflict)]
        assert not [each for each in results if isinstance(each, Exception) and each not in late]
        fresh = await house.inbox.messages.get(line.id)
        sent = len(house.adapter().calls) - before
        assert fresh is not None
        assert (sent, fresh.status, len(late)) in ((1, "sent", 2), (0, "cancelled", 0)), results


async def test_an_undo_that_dies_anywhere_is_done_or_not_at_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, talk = await _talk(house)
    dying = Dying(monkeypatch)
    before = await house.inbox.conversations.get(talk.id)
    for at in range(1, 20):
        for after in (False, True):
            key = f"k{at}{after}"
            line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text=key), key, undo_s=600)
            died = await dying.on(at, after, lambda line=line: house.inbox.afterthoughts.undo(line.id, AGENT))
            send = (await house.inbox.sends.raw({"message_id": line.id}))[0]
            fresh, draft = await house.inbox.messages.get(line.id), await _draft(house, talk.id)
            assert fresh is not None
            gone = fresh.status == "cancelled"
            assert (send["state"] == "skipped") == gone == (draft is not None and key in draft.text)
            await house.inbox.afterthoughts.undo(line.id, AGENT)
            again = await house.inbox.conversations.get(talk.id)
            assert again is not None and before is not None
            assert (again.waiting_since, again.message_count) == (before.waiting_since, 1)
            await house.inbox.drafts.remove(DraftKey(talk.id, "usr_anna"))
        if not died:
            return
    raise AssertionError("an undo writes more often than that")


async def test_what_is_taken_back_is_a_draft_again(house: House) -> None:
    _, talk = await _talk(house)
    key = DraftKey(talk.id, "usr_anna")
    row = await house.inbox.conversations.row(talk.id)
    assert row is not None
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Oops"), "k1", undo_s=10)
    await house.inbox.drafts.save(key, row, DraftInput(text="Begun meanwhile"), 0)
    await house.inbox.afterthoughts.undo(line.id, AGENT)
    assert await _draft(house, talk.id) == DraftInput(text="Oops\n\nBegun meanwhile")
    again = await house.inbox.outbox.reply(
        talk.id, AGENT, ReplyInput(text="Better"), "k2", undo_s=10, clears_draft=True
    )
    assert await _draft(house, talk.id) is None
    await house.inbox.afterthoughts.undo(again.id, BO)  # whoever takes it back has it in hand
    assert await _draft(house, talk.id) is None
    assert await _draft(house, talk.id, "usr_bo") == DraftInput(text="Better")


async def test_a_window_about_to_close_leaves_less_time_to_undo(house: House) -> None:
    _, talk = await _talk(house, "windowed")
    house.clock.ahead = timedelta(hours=23, minutes=59, seconds=55)
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Just in time"), "k1", undo_s=60)
    assert line.due_at is None
    await house.all_due()
    await house.inbox.delivery.deliver(10)
    fresh = await house.inbox.messages.get(line.id)
    assert fresh is not None and fresh.status == "sent"


async def test_a_later_reply_is_moved_and_sent_now(house: House) -> None:
    _, talk = await _talk(house, "windowed")
    at = house.clock() + timedelta(hours=2)
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Later", send_at=at), "k1")
    sooner = await house.inbox.outbox.reply(
        talk.id, AGENT, ReplyInput(text="Sooner", send_at=at - timedelta(hours=1)), "k2"
    )
    later = house.inbox.afterthoughts.later
    assert [each.id for each in await later([talk.id])] == [sooner.id, line.id]
    moved = await house.inbox.afterthoughts.move(sooner.id, at + timedelta(hours=3))
    assert moved.due_at == at + timedelta(hours=3)
    assert [each.id for each in await later([talk.id])] == [line.id, sooner.id]
    with pytest.raises(Refused) as caught:
        await house.inbox.afterthoughts.move(line.id, house.clock() + timedelta(days=2))
    assert caught.value.code == "window_closed"
    with pytest.raises(WrongInput):
        await house.inbox.afterthoughts.move(line.id, house.clock() - timedelta(days=2))
    await house.inbox.afterthoughts.move(line.id, None)
    await house.inbox.delivery.deliver(10)
    assert [call.text for call in house.adapter("windowed").calls] == ["Later"]
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and fresh.waiting_since is None and fresh.first_reply_at is not None
    with pytest.raises(Conflict, match="too late"):
        await house.inbox.afterthoughts.move(line.id, at)
    with pytest.raises(NotFound):
        await house.inbox.afterthoughts.move("msg_nowhere", at)
    await house.inbox.afterthoughts.undo(sooner.id, AGENT)
    assert await later([talk.id]) == []


async def test_a_retry_calls_the_provider_again_under_a_new_key(house: House) -> None:
    """CW 14120: a retry that reused the first key was answered from memory and never went out."""
    _, talk = await _talk(house)
    adapter = house.adapter()
    adapter.script = lambda message: SendFailed(Failure.CONTENT_REJECTED, "no")
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Hello"), "k1")
    with pytest.raises(Conflict, match="did not fail"):
        await house.inbox.afterthoughts.retry(line.id, AGENT)
    await house.inbox.delivery.deliver(10)
    adapter.script = None
    twice = await asyncio.gather(*(house.inbox.afterthoughts.retry(line.id, each) for each in (AGENT, BO)))
    assert twice[0].id == twice[1].id != line.id
    assert (await house.inbox.afterthoughts.retry(line.id, AGENT)).id == twice[0].id
    await house.inbox.delivery.deliver(10)
    assert [call.text for call in adapter.calls] == ["Hello", "Hello"]
    assert len({call.key for call in adapter.calls}) == 2
    first, second = await house.inbox.messages.get(line.id), await house.inbox.messages.get(twice[0].id)
    assert first is not None and second is not None
    assert (first.retried_by, second.retry_of, second.status) == (second.id, first.id, "sent")


async def test_a_retry_taken_back_may_be_tried_once_more(house: House) -> None:
    _, talk = await _talk(house)
    house.adapter().script = lambda message: SendFailed(Failure.CONTENT_REJECTED, "no")
    line = await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Hello"), "k1")
    await house.inbox.delivery.deliver(10)
    again = await house.inbox.afterthoughts.retry(line.id, AGENT)
    await house.inbox.afterthoughts.undo(again.id, AGENT)
    third = await house.inbox.afterthoughts.retry(line.id, AGENT)
    assert third.id != again.id and third.text == "Hello"


async def test_sending_over_a_newer_message_asks(house: House) -> None:
    channel_id, talk = await _talk(house)
    reply = house.inbox.outbox.reply
    news = [house.arrival(channel_id, "anna", f"m{number}", f"News {number}") for number in range(2)]
    await house.inbox.receiver.receive(news)
    with pytest.raises(NewerMessages) as caught:
        await reply(talk.id, AGENT, ReplyInput(text="x", seen_seq=talk.seq), "k1")
    assert caught.value.code == "newer_messages" and len(caught.value.since) == 2
    assert await house.inbox.sends.raw({}) == []
    note = await reply(talk.id, AGENT, ReplyInput(text="a note", note=True, seen_seq=talk.seq), "n1")
    sent = await reply(talk.id, AGENT, ReplyInput(text="x", seen_seq=talk.seq, send_anyway=True), "k1")
    assert (note.direction, sent.direction) == ("note", "out")
    # What one wrote oneself is known, a colleague's answer is not.
    seen = sent.seq - 2
    assert (await reply(talk.id, AGENT, ReplyInput(text="y", seen_seq=seen), "k2")).direction == "out"
    with pytest.raises(NewerMessages):
        await reply(talk.id, BO, ReplyInput(text="z", seen_seq=seen), "k3")
    assert (await reply(talk.id, BO, ReplyInput(text="z", seen_seq=seen + 3), "k4")).direction == "out"
    # What a colleague has planned for later is not said yet.
    tomorrow = house.clock() + timedelta(days=1)
    planned = await reply(talk.id, BO, ReplyInput(text="Tomorrow", send_at=tomorrow), "k5")
    assert (await reply(talk.id, AGENT, ReplyInput(text="a", seen_seq=planned.seq - 1), "k6")).direction == "out"


async def test_a_draft_is_kept_per_person_and_never_over_a_newer_one(house: House) -> None:
    _, talk = await _talk(house)
    row = await house.inbox.conversations.row(talk.id)
    assert row is not None
    drafts, mine, hers = house.inbox.drafts, DraftKey(talk.id, "usr_anna"), DraftKey(talk.id, "usr_bo")
    first = await drafts.save(mine, row, DraftInput(text="One"), 0)
    assert first is not None
    for rev in (0, 7):
        with pytest.raises(Conflict):
            await drafts.save(mine, row, DraftInput(text="Another window"), rev)
    second = await drafts.save(mine, row, DraftInput(text="Two", cc=("a@example.org",)), first.rev)
    assert second is not None and second.rev == first.rev + 1 and await drafts.get(hers) is None
    assert await drafts.begun_in([talk.id, "cnv_x"], "usr_anna") == {talk.id}
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Two"), "k1", clears_draft=True)
    with pytest.raises(Conflict):  # the last keystrokes come after it was sent: it does not rise again
        await drafts.save(mine, row, DraftInput(text="Two!"), second.rev)
    assert await drafts.get(mine) is None
    house.clock.ahead = timedelta(seconds=1)
    third = await drafts.save(mine, row, DraftInput(text="Three"), 0)
    assert third is not None and third.rev > second.rev, "a window that still knows an old version is not believed"
    assert await drafts.save(mine, row, DraftInput(), third.rev) is None
    assert await drafts.save(mine, row, DraftInput(text="  "), 0) is None
