"""From one message on another conversation: no line in both, none in neither, and merged back it is as before."""

import pytest

from base.errors import NotFound, WrongInput
from inbox.models import ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House


async def _talk(house: House, count: int = 4) -> tuple[str, str, list[str]]:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    for number in range(1, count):
        await house.inbox.receiver.receive([house.arrival(channel_id, "anna", f"m{number}", f"Line {number}")])
    rows = await house.inbox.messages.raw({"conversation_id": talk.id, "direction": "in"})
    return channel_id, talk.id, [row["_id"] for row in rows]


async def _lines(house: House, conversation_id: str) -> list[str]:
    rows = await house.inbox.messages.raw({"conversation_id": conversation_id, "direction": {"$ne": "system"}})
    return [row["_id"] for row in rows]


async def test_what_follows_is_another_conversation_and_both_go_on(house: House) -> None:
    channel_id, old, lines = await _talk(house)
    await house.inbox.actions.set_labels(old, ["vip"], AGENT)
    new = await house.inbox.splitting.split(old, lines[2], AGENT)
    assert (new.status, new.labels, new.split_from) == ("open", ("vip",), old)
    assert (new.message_count, new.unread, new.waiting_since is not None) == (2, 2, True)
    before = await house.inbox.conversations.get(old)
    assert before is not None and (before.status, before.message_count, before.unread) == ("open", 2, 2)
    assert before.last_message is not None and before.last_message.text == "Line 1"
    assert (await _lines(house, old), await _lines(house, new.id)) == (lines[:2], lines[2:])
    assert (await house.event_names())["conversation.split"] == 1
    line = await house.inbox.outbox.reply(new.id, AGENT, ReplyInput(text="To the second"), "k")
    assert line.conversation_id == new.id
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "next")])
    assert result.outcomes[0].conversation_id == old
    for status in ("resolved", "open", "pending"):
        await house.inbox.actions.set_status(new.id, status, AGENT)  # type: ignore[arg-type]
    await house.inbox.actions.set_status(old, "resolved", AGENT)
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "again")])
    assert result.outcomes[0].conversation_id == old


async def test_merged_back_it_is_one_thread_again(house: House) -> None:
    _, old, lines = await _talk(house)
    new = await house.inbox.splitting.split(old, lines[2], AGENT)
    merge = await house.inbox.merging.merge(old, [new.id], AGENT)
    talk = await house.inbox.conversations.get(new.id)
    assert talk is not None and (talk.id, talk.message_count, talk.unread) == (old, 4, 4)
    page = await house.inbox.messages.page(list(talk.threads), limit=50)
    assert {each.id for each in page.data if each.direction == "in"} == set(lines)
    assert merge.act_id is not None
    await house.inbox.merging.unmerge(merge.act_id, AGENT)
    again = await house.inbox.conversations.get(new.id)
    assert again is not None and (again.id, again.status, again.message_count) == (new.id, "open", 2)


async def test_an_answer_that_was_moved_fails_where_it_stands(house: House) -> None:
    _, old, lines = await _talk(house)
    line = await house.inbox.outbox.reply(old, AGENT, ReplyInput(text="Late"), "k", undo_s=600)
    new = await house.inbox.splitting.split(old, lines[3], AGENT)
    assert new.waiting_since is None and await _lines(house, new.id) == [lines[3], line.id]
    await house.inbox.afterthoughts.undo(line.id, AGENT)
    after = await house.inbox.conversations.get(new.id)
    assert after is not None and (after.message_count, after.waiting_since is not None) == (1, True)


async def test_what_cannot_be_split_is_refused(house: House) -> None:
    channel_id, old, lines = await _talk(house)
    other = await house.conversation(channel_id, "bo")
    for wrong, fault in ((lines[0], WrongInput), ("msg_" + "0" * 26, NotFound)):
        with pytest.raises(fault):
            await house.inbox.splitting.split(old, wrong, AGENT)
    with pytest.raises(NotFound):
        await house.inbox.splitting.split(other.id, lines[2], AGENT)
    with pytest.raises(NotFound):
        await house.inbox.splitting.split("cnv_" + "0" * 26, lines[2], AGENT)


async def test_a_split_killed_at_every_await_is_done_or_not_at_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, old, lines = await _talk(house)
    dying = Dying(monkeypatch)
    for at in range(1, 40):
        for after in (False, True):
            died = await dying.on(at, after, lambda: house.inbox.splitting.split(old, lines[2], AGENT))
            rows = await house.inbox.conversations.raw({"split_from": old, "merged_into": None})
            held = await _lines(house, old)
            for row in rows:
                held += await _lines(house, row["_id"])
            assert sorted(held) == sorted(lines) and len(rows) <= 1
            if rows:
                return
        assert died
    raise AssertionError("a split writes more often than that")
