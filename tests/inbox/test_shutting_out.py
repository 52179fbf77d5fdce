"""Who is shut out is not heard: no event, no clock, no count, no send; and all of it can be taken back."""

from datetime import timedelta

import pytest

from base.errors import Refused
from channels.vocabulary import Person
from inbox.models import ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

QUIET = ("message.received", "conversation.created", "conversation.status_changed")


async def test_blocked_is_blocked(house: House) -> None:
    """Chatwoot 13736: a block that lets a new conversation in, and tells of it, is none."""
    first, other = await house.channel(), await house.channel("keyed")
    mail = Person(name="Anna", email="anna@example.org", verified=True)
    talk = await house.conversation(first, "anna", person=mail)
    closed = await house.conversation(other, "anna-too", "keyed", person=mail)
    assert closed.profile_id == talk.profile_id
    await house.inbox.actions.set_status(closed.id, "resolved", AGENT)
    act = await house.inbox.shutting_out.shut(talk.profile_id, AGENT)
    assert (act["changed"], act["kind"]) == (1, "shut_out")
    before = await house.event_names()
    again = await house.inbox.receiver.receive([
        house.arrival(first, "anna", "m2", person=mail), house.arrival(other, "anna-too", "m3", provider="keyed"),
        house.arrival(await house.channel("echoing"), "anna-three", "m4", provider="echoing", person=mail),
    ])  # fmt: skip
    assert [each.state for each in again.outcomes] == ["created"] * 3
    rows = {row["_id"]: row for row in await house.inbox.conversations.raw({"profile_id": talk.profile_id})}
    fresh = rows[again.outcomes[2].conversation_id or ""]
    assert (rows[talk.id]["status"], rows[closed.id]["status"], fresh["status"]) == ("spam", "resolved", "spam")
    assert all(row["unread"] == 0 and "waiting_since" not in row for row in rows.values())
    after = await house.event_names()
    assert {name: after[name] - before[name] for name in QUIET} == dict.fromkeys(QUIET, 0)
    for each in rows:
        with pytest.raises(Refused) as refused:
            await house.inbox.outbox.reply(each, AGENT, ReplyInput(text="x"), f"k-{each}")
        assert refused.value.code == "shut_out"
    assert len(await house.inbox.messages.raw({"direction": "in"})) == 5


async def test_a_conversation_opened_by_hand_stays_silent(house: House) -> None:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    await house.inbox.shutting_out.shut(talk.profile_id, AGENT)
    await house.inbox.actions.set_status(talk.id, "pending", AGENT)
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m2")])
    row = await house.inbox.conversations.row(talk.id)
    assert row is not None and row["status"] == "pending" and row["message_count"] == 2 and row["unread"] == 0
    assert (await house.event_names())["message.received"] == 1


async def test_what_was_planned_does_not_go_out(house: House) -> None:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Later"), "k", undo_s=600)
    await house.inbox.shutting_out.shut(talk.profile_id, AGENT)
    await house.all_due()
    await house.deliver_all()
    assert house.adapter().calls == []
    assert list((await house.verdicts()).values()) == [("skipped", "shut_out")]


async def test_letting_in_brings_everything_back(house: House) -> None:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    other = await house.conversation(channel_id, "bo")
    await house.inbox.actions.set_status(other.id, "spam", AGENT)
    for _ in range(2):
        await house.inbox.shutting_out.shut(talk.profile_id, AGENT)
    late = house.clock() + timedelta(seconds=5)
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m2", at=late)])
    act = await house.inbox.shutting_out.let_in(talk.profile_id, AGENT)
    assert act is not None and act["undone"] == 1
    assert await house.inbox.shutting_out.let_in(talk.profile_id, AGENT) is None
    back = await house.inbox.conversations.get(talk.id)
    assert back is not None
    assert (back.status, back.unread, back.waiting_since) == ("open", 1, talk.waiting_since)
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m3")])
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Welcome"), "k")
    names = await house.event_names()
    assert (names["profile.shut_out"], names["profile.let_in"], names["message.received"]) == (1, 1, 3)
    assert (await house.inbox.conversations.get(other.id)).status == "spam"  # type: ignore[union-attr]


async def test_shutting_out_that_dies_anywhere_is_carried_on_by_doing_it_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = await house.conversation(await house.channel(), "anna")
    dying, shutting = Dying(monkeypatch), house.inbox.shutting_out
    for at in range(1, 40):
        for after in (False, True):
            died = await dying.on(at, after, lambda: shutting.shut(talk.profile_id, AGENT))
            await house.database.collection("conversation_acts").update_many({}, {"$set": {"due_at": house.clock()}})
            await house.inbox.bulk.drain()
            await shutting.shut(talk.profile_id, AGENT)
            row = await house.inbox.conversations.get(talk.id)
            assert row is not None and row.status == "spam"
            await dying.on(at, after, lambda: shutting.let_in(talk.profile_id, AGENT))
            await shutting.let_in(talk.profile_id, AGENT)
            await house.database.collection("conversation_acts").update_many({}, {"$set": {"due_at": house.clock()}})
            await house.inbox.bulk.drain()
            back = await house.inbox.conversations.get(talk.id)
            person = await house.profiles.get(talk.profile_id)
            assert person is not None and person.shut_out is None
            if back is not None and back.status == "spam":  # let in, and died before its act was begun to be undone
                pytest.fail(f"stays spam after a death at {at}, {after}")
        if not died:
            return
    raise AssertionError("it writes more often than that")
