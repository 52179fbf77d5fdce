"""Inbound: one customer, one conversation, one message each, whatever comes how often and in which order."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from base.errors import RapportError
from channels.vocabulary import (
    Address,
    ContactLeft,
    GroupMoved,
    MailParts,
    MessageDeleted,
    MessageEdited,
    Person,
    ProfileSeen,
    Reaction,
    Unrecognised,
)
from inbox.models import Actor, ReplyInput
from inbox.receive import PartlyReceived
from inbox.reply_token import make_reply_token
from tests.inbox.conftest import AGENT, REPLY_KEY, House


async def test_a_first_message_makes_a_person_a_conversation_and_an_event(house: House) -> None:
    channel_id = await house.channel()
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m1", "Hello?")])
    assert (result.created_messages, result.duplicates) == (1, 0)
    conversation = await house.inbox.conversations.get(result.outcomes[0].conversation_id or "")
    assert conversation is not None
    assert (conversation.status, conversation.unread, conversation.message_count, conversation.seq) == ("open", 1, 1, 1)
    assert conversation.last_message is not None and conversation.last_message.text == "Hello?"
    assert conversation.waiting_since == conversation.last_inbound_at is not None
    names = await house.event_names()
    assert names == {"profile.created": 1, "conversation.created": 1, "message.received": 1}
    (event,) = await house.events.find(conversation.profile_id, ["message.received"])
    assert event.properties["first_contact"] is True and event.properties["text"] == "Hello?"
    kinds = [row["type"] for row in await house.feed.after(0)]
    assert kinds == ["conversation.created", "message.created"]


async def test_fifty_first_messages_at_once_are_one_person_and_one_conversation(house: House) -> None:
    """D5 and F15."""
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, "anna", f"m{i}", f"picture {i}") for i in range(50)]
    await asyncio.gather(*(house.inbox.receiver.receive([each]) for each in arrivals))
    conversations = await house.inbox.conversations.raw({})
    assert len(conversations) == 1
    assert await house.database.collection("profiles").count_documents({}) == 1
    rows = await house.inbox.messages.raw({"conversation_id": conversations[0]["_id"]})
    assert len(rows) == 50 and sorted(row["seq"] for row in rows) == list(range(1, 51))
    assert (conversations[0]["message_count"], conversations[0]["unread"], conversations[0]["seq"]) == (50, 50, 50)
    assert (await house.event_names())["message.received"] == 50


async def test_two_processes_take_the_same_batch_at_once(house: House, second_house: House) -> None:
    """F13: two receivers without a common lock, the same events, overlapping batches."""
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, f"p{i % 7}", f"m{i}") for i in range(60)]
    shuffled = [random.Random(n).sample(arrivals, 60) for n in range(6)]
    rooms = [house, second_house] * 3
    await asyncio.gather(*(room.inbox.receiver.receive(batch) for room, batch in zip(rooms, shuffled, strict=True)))
    assert len(await house.inbox.messages.raw({})) == 60
    assert len(await house.inbox.conversations.raw({})) == 7
    assert (await house.event_names())["message.received"] == 60
    assert sum(row["unread"] for row in await house.inbox.conversations.raw({})) == 60


async def test_a_duplicate_changes_nothing(house: House) -> None:
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, "anna", f"m{i}") for i in range(3)]
    await house.inbox.receiver.receive(arrivals)
    before = await house.inbox.conversations.raw({})
    again = await house.inbox.receiver.receive([*arrivals, *arrivals])
    assert (again.created_messages, again.duplicates) == (0, 6)
    assert await house.inbox.conversations.raw({}) == before
    assert all(outcome.message_id for outcome in again.outcomes)


async def test_a_forced_duplicate_key_is_read_again_and_nothing_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: our look says "new", the index says "there": the others of the batch are stored all the same."""
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, "anna", f"m{i}") for i in range(5)]
    await house.inbox.receiver.receive(arrivals[:2])
    honest, lies = house.inbox.messages.seen, 2

    async def forgetful(dedupes: Any) -> Any:
        nonlocal lies
        lies -= 1
        return {} if lies >= 0 else await honest(dedupes)

    monkeypatch.setattr(house.inbox.messages, "seen", forgetful)
    result = await house.inbox.receiver.receive(arrivals)
    assert (result.created_messages, result.duplicates) == (3, 2)
    assert len(await house.inbox.messages.raw({})) == 5


async def test_poison_harms_only_itself(house: House) -> None:
    """D8: 80 events, one of which no database takes."""
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, f"p{i}", f"m{i}") for i in range(80)]
    bad = house.arrival(channel_id, "p13", "bad")
    object.__setattr__(bad.event, "group_id", 2**70)  # what BSON refuses
    arrivals[13] = bad
    with pytest.raises(PartlyReceived) as caught:
        await house.inbox.receiver.receive(arrivals)
    assert [position for position, _ in caught.value.result.failed] == [13]
    assert caught.value.result.created_messages == 79
    assert len(await house.inbox.messages.raw({})) == 79
    with pytest.raises(OverflowError):
        await house.inbox.receiver.receive([bad])


@pytest.mark.parametrize(
    ("status", "days", "reused"),
    [("resolved", 1, True), ("resolved", 20, False), ("snoozed", 0, True), ("pending", 0, True)],
)
async def test_a_customer_who_writes_again(house: House, status: Any, days: int, reused: bool) -> None:
    channel_id = await house.channel()
    first = await house.conversation(channel_id, "anna")
    until = house.clock() + timedelta(days=40) if status == "snoozed" else None
    await house.inbox.actions.set_status(first.id, status, AGENT, snoozed_until=until)
    house.clock.ahead = timedelta(days=days)
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "again")])
    assert (result.outcomes[0].conversation_id == first.id) is reused
    now = await house.inbox.conversations.get(result.outcomes[0].conversation_id or "")
    assert now is not None and now.status == "open" and now.snoozed_until is None and now.waiting_since is not None
    if reused:
        codes = [row["system"]["code"] for row in await house.inbox.messages.raw({"direction": "system"})]
        assert codes[-1] == ("reopened" if status == "resolved" else "woken")
        changed = await house.events.find(first.profile_id, ["conversation.status_changed"])
        assert changed[0].properties["by"] == "customer"


async def test_spam_is_collected_without_a_sound(house: House) -> None:
    channel_id = await house.channel()
    first = await house.conversation(channel_id, "spammer")
    await house.inbox.actions.set_status(first.id, "spam", AGENT)
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "spammer", "more", "buy")])
    now = await house.inbox.conversations.get(first.id)
    assert result.outcomes[0].conversation_id == first.id
    assert now is not None and (now.status, now.unread, now.waiting_since) == ("spam", 0, None)
    assert (await house.event_names())["message.received"] == 1


async def test_groups_and_accounts_are_kept_apart(house: House) -> None:
    one, two = await house.channel(), await house.channel()
    result = await house.inbox.receiver.receive(
        [
            house.arrival(one, "anna", "m1"),
            house.arrival(two, "anna", "m2"),
            house.arrival(one, "anna", "m3", group_id="family"),
        ]
    )
    assert len({outcome.conversation_id for outcome in result.outcomes}) == 3


async def test_any_order_gives_the_same_end(house: House) -> None:
    """F14 for messages: order of arrival does not matter."""
    start = house.clock() - timedelta(hours=2)
    ends = []
    for seed in range(4):
        channel_id = await house.channel()
        arrivals = [
            house.arrival(channel_id, "anna", f"m{i}", f"line {i}", at=start + timedelta(seconds=i), echo=i in (11, 30))
            for i in range(60)
        ]
        random.Random(seed).shuffle(arrivals)
        for begin in range(0, 60, 13):
            await house.inbox.receiver.receive(arrivals[begin : begin + 13])
        (row,) = await house.inbox.conversations.raw({"channel_id": channel_id})
        lines = [(m["text"], m["direction"]) for m in await house.inbox.messages.raw({"conversation_id": row["_id"]})]
        kept = (
            "unread",
            "message_count",
            "waiting_since",
            "last_inbound_at",
            "first_reply_at",
            "answered_at",
            "status",
        )
        ends.append(({k: row[k] for k in kept}, row["last_message"]["text"], lines))
    assert all(end == ends[0] for end in ends)
    assert ends[0][0]["waiting_since"] == start + timedelta(seconds=31)
    assert ends[0][0]["first_reply_at"] == start + timedelta(seconds=11)


async def test_edits_deletions_and_reactions_in_any_order(house: House) -> None:
    start = house.clock() - timedelta(hours=1)
    ends = []
    for seed in range(6):
        channel_id = await house.channel()
        address = Address(channel_id=channel_id, external_id="anna")

        def at(seconds: int) -> Any:
            return start + timedelta(seconds=seconds)

        arrivals = [
            house.arrival(channel_id, "anna", "m1", "frist", at=at(0)),
            house.arrival(channel_id, "anna", "m2", "secret", at=at(1)),
            house.event(channel_id, MessageEdited(event_id="e1", occurred_at=at(2), message_id="m1", text="firrst")),
            house.event(channel_id, MessageEdited(event_id="e2", occurred_at=at(3), message_id="m1", text="first")),
            house.event(channel_id, MessageDeleted(event_id="d1", occurred_at=at(4), message_id="m2")),
            house.event(channel_id, MessageEdited(event_id="e3", occurred_at=at(3), message_id="m2", text="secret!")),
        ] + [
            house.event(
                channel_id,
                Reaction(event_id=f"r{n}", occurred_at=at(5 + n), message_id="m1", emoji=emoji, address=address),
            )
            for n, emoji in enumerate(("👍", None, "🎉"))
        ]
        random.Random(seed).shuffle(arrivals)
        for each in arrivals:
            await house.inbox.receiver.receive([each])
        first, second = await house.inbox.messages.raw({"channel_id": channel_id})
        (row,) = await house.inbox.conversations.raw({"channel_id": channel_id})
        ends.append(
            (
                [first[k] for k in ("text", "original", "edited_at")],
                [(edit["text"], edit["at"]) for edit in first["edits"]],
                [(r["emoji"], r["by"]) for r in first["reactions"] if r["emoji"]],
                {k: second.get(k) for k in ("text", "original", "edits", "deleted_at")},
                row["last_message"].get("text"),
            )
        )
    assert all(end == ends[0] for end in ends), ends
    assert ends[0][0][:2] == ["first", "frist"] and ends[0][2] == [("🎉", "anna")]
    assert ends[0][3] == {"text": None, "original": None, "edits": None, "deleted_at": start + timedelta(seconds=4)}
    assert await house.database.collection("changes_early").count_documents({}) == 0


async def test_unknown_kinds_are_shown_and_open_no_window(house: House) -> None:
    channel_id = await house.channel()
    address = Address(channel_id=channel_id, external_id="anna")
    event = Unrecognised(event_id="u1", occurred_at=house.clock(), address=address, topic="poll_vote")
    result = await house.inbox.receiver.receive([house.event(channel_id, event)])
    message = await house.inbox.messages.get(result.outcomes[0].message_id or "")
    assert message is not None and message.direction == "system" and "poll_vote" in (message.unsupported or "")
    identity = await house.profiles.identity(message.identity_id or "")
    assert identity is not None and identity.last_inbound_at is None
    assert (await house.event_names())["message.received"] == 0


async def test_people_leave_come_back_and_change_their_names(house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    address = Address(channel_id=channel_id, external_id="anna")
    now = house.clock()
    left = ContactLeft(event_id="l1", occurred_at=now + timedelta(seconds=1), address=address)
    seen = ProfileSeen(event_id="s1", occurred_at=now, address=address, person=Person(name="Anna Neu"))
    for _ in range(2):
        await house.inbox.receiver.receive([house.event(channel_id, left), house.event(channel_id, seen)])
    identity = await house.profiles.identity(conversation.identity_id)
    assert identity is not None and identity.reachable is False
    assert (await house.event_names())["contact.left"] == 1
    later = house.arrival(channel_id, "anna", "back", at=now + timedelta(seconds=5), person=Person(name="Anna Neu"))
    await house.inbox.receiver.receive([later])
    identity = await house.profiles.identity(conversation.identity_id)
    fresh = await house.inbox.conversations.get(conversation.id)
    assert identity is not None and identity.reachable is True
    assert fresh is not None and fresh.display_name == "Anna Neu"


async def test_an_echo_of_a_colleague_is_no_customer_and_an_echo_of_ours_is_no_message(house: House) -> None:
    channel_id = await house.channel("echoing")
    conversation = await house.conversation(channel_id, "anna", "echoing")
    reply = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Hello Anna"), "k1")
    await house.inbox.delivery.deliver(10)
    (send,) = await house.inbox.sends.raw({})
    ours = house.arrival(
        channel_id, "anna", "p-echo", "Hello Anna", provider="echoing", echo=True, correlation=send["send_key"]
    )
    by_id = house.arrival(channel_id, "anna", f"p-{send['send_key']}", "Hello Anna", provider="echoing", echo=True)
    foreign = house.arrival(channel_id, "anna", "c1", "From the app", provider="echoing", echo=True)
    result = await house.inbox.receiver.receive([ours, by_id, foreign])
    assert (result.created_messages, result.duplicates) == (1, 2)
    rows = await house.inbox.messages.raw({"conversation_id": conversation.id})
    assert [(row["text"], row["author"]["type"]) for row in rows] == [
        ("Hi", "customer"), ("Hello Anna", "agent"), ("From the app", "colleague"),
    ]  # fmt: skip
    assert rows[1]["_id"] == reply.id and "p-echo" in rows[1]["provider_message_ids"]
    fresh = await house.inbox.conversations.get(conversation.id)
    assert fresh is not None and fresh.unread == 1


async def test_an_echo_before_the_record_is_no_second_message(house: House) -> None:
    """No correlation, and the echo is quicker than the answer to our call."""
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Hello Anna"), "k1")
    (send,) = await house.inbox.sends.raw({})
    echo = house.arrival(channel_id, "anna", f"p-{send['send_key']}", "Hello Anna", echo=True)

    async def echo_first(message: Any) -> None:
        await house.inbox.receiver.receive([echo])

    house.adapter().script = echo_first
    await house.inbox.delivery.deliver(10)
    rows = await house.inbox.messages.raw({"direction": "out"})
    assert [(row["author"]["type"], row["status"]) for row in rows] == [("agent", "sent")]
    fresh = await house.inbox.conversations.get(conversation.id)
    assert fresh is not None and fresh.message_count == 2


def _mail(house: House, channel_id: str, sender: str, mail_id: str, **parts: Any) -> Any:
    mail = MailParts(message_id=f"<{mail_id}@x>", subject=parts.pop("subject", "Question"), **parts)
    return house.arrival(channel_id, sender, mail_id, provider="mail", mail=mail)


async def test_mail_finds_its_thread(house: House) -> None:
    channel_id = await house.channel("mail")
    first = await house.inbox.receiver.receive([_mail(house, channel_id, "anna@x.com", "a1")])
    thread = first.outcomes[0].conversation_id or ""
    await house.inbox.actions.set_status(thread, "resolved", AGENT)
    house.clock.ahead = timedelta(days=90)
    answer = _mail(house, channel_id, "anna@x.com", "a2", in_reply_to=("<a1@x>",))
    assert (await house.inbox.receiver.receive([answer])).outcomes[0].conversation_id == thread
    stranger = _mail(house, channel_id, "eve@x.com", "e1", in_reply_to=("<a1@x>",), references=("<a1@x>",))
    assert (await house.inbox.receiver.receive([stranger])).outcomes[0].conversation_id != thread
    token = make_reply_token(REPLY_KEY, thread)
    colleague = _mail(house, channel_id, "colleague@x.com", "c1", reply_token=token.upper())
    assert (await house.inbox.receiver.receive([colleague])).outcomes[0].conversation_id == thread
    forged = _mail(
        house, channel_id, "mallory@x.com", "f1", reply_token=token[:-1] + ("0" if token[-1] != "0" else "1")
    )
    assert (await house.inbox.receiver.receive([forged])).outcomes[0].conversation_id != thread


async def test_our_answer_by_mail_threads_and_its_answer_comes_back(house: House) -> None:
    channel_id = await house.channel("mail")
    first = await house.inbox.receiver.receive([_mail(house, channel_id, "anna@x.com", "a1", references=("<z@x>",))])
    thread = first.outcomes[0].conversation_id or ""
    await house.inbox.outbox.reply(thread, Actor("usr_b", "Bo"), ReplyInput(text="Sure"), "k1")
    await house.inbox.delivery.deliver(10)
    (message,) = house.adapter("mail").calls
    assert message.mail is not None and message.mail.subject == "Re: Question"
    assert message.mail.in_reply_to == "<a1@x>" and message.mail.references == ("<z@x>", "<a1@x>")
    assert message.mail.message_id == f"<{message.key}@shop.example>" and message.mail.reply_token
    assert message.to.external_id == "anna@x.com"
    await house.inbox.actions.set_status(thread, "resolved", AGENT)
    house.clock.ahead = timedelta(days=90)
    answer = _mail(house, channel_id, "anna@x.com", "a9", in_reply_to=(message.mail.message_id,))
    assert (await house.inbox.receiver.receive([answer])).outcomes[0].conversation_id == thread


async def test_strange_times_and_texts_are_tamed(house: House) -> None:
    channel_id = await house.channel()
    far = house.clock() + timedelta(days=3000)
    odd = house.arrival(channel_id, "anna", "x" * 5000, "nul\x00 and half \ud83d", at=far)
    result = await house.inbox.receiver.receive([odd])
    message = await house.inbox.messages.get(result.outcomes[0].message_id or "")
    assert message is not None and message.provider_at <= house.clock() and message.text == "nul and half \ufffd"
    assert (await house.inbox.receiver.receive([odd])).duplicates == 1


async def test_an_event_without_a_store_is_an_error_of_the_family(house: House) -> None:
    assert issubclass(PartlyReceived, RapportError)
    assert (await house.inbox.receiver.receive([])).outcomes == ()


async def test_a_group_that_moved_goes_on_in_its_threads(house: House) -> None:
    one = await house.channel()
    news = GroupMoved(event_id="mv", occurred_at=house.clock(), former_group_id="-44", group_id="-100")
    moved = house.event(one, news)
    await house.inbox.receiver.receive(
        [house.arrival(one, "anna", "m1", group_id="-44"), house.arrival(one, "bo", "m2", group_id="-44")]
    )
    await house.inbox.receiver.receive([house.arrival(one, "bo", "m3", group_id="-100")])  # quicker than the news
    for _ in range(2):  # both chats tell
        await house.inbox.receiver.receive([moved])
    await house.inbox.receiver.receive([house.arrival(one, "anna", "m4", group_id="-100")])
    rows = await house.database.collection("conversations").find({}).to_list(None)
    assert {row["group_id"] for row in rows} == {"-100"}
    assert sorted((row["status"], row["message_count"]) for row in rows) == [("open", 1), ("open", 2), ("resolved", 1)]
    assert await house.database.collection("profiles").count_documents({}) == 2
