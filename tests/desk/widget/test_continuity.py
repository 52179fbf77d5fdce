"""Whoever has left the chat gets the answer by mail: once, and the reply leads back into the same thread."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from base.clock import now
from base.http import AddressGuard
from channels.vocabulary import Attachment, AttachmentKind
from inbox.models import Actor, ReplyInput
from tests.channels.providers.mail.email.sink import Sink, real_sink
from tests.desk.widget.conftest import ADA, Chat, MakeChat, Socket, a_key, eventually, signed
from webhooks.mail import MailDoor

pytestmark = pytest.mark.timeout(120)


@dataclass
class Left:
    """A chat whose answers follow by mail, and where those end up."""

    chat: Chat
    sink: Sink
    address: str
    patch: pytest.MonkeyPatch

    async def later(self, minutes: float = 11) -> None:
        """So many minutes pass, and the clockwork looks."""
        runtime = self.chat.desk.runtime
        self.patch.setattr(runtime.continuity, "_clock", lambda: now() + timedelta(minutes=minutes))
        await runtime.continuity.sweep()
        await self.chat.work()

    def mails(self) -> list[Any]:
        return [email.message_from_bytes(each.data, policy=email.policy.default) for each in self.sink.mails]

    async def wrote(self, text: str, **hello: Any) -> tuple[Socket, str]:
        """Somebody writes; their window and the conversation."""
        visitor = await self.chat.visitor(**hello)
        await visitor.say(text)
        await self.chat.work()
        rows = await self.chat.conversations()
        return visitor, next(row["_id"] for row in rows if row["last_message"]["text"] == text)

    async def gone(self, visitor: Socket) -> None:
        """They close the window; it is forgotten that they were there."""
        await visitor.ws.close()
        presence = self.chat.desk.runtime.presence

        async def nobody(channel_id: str, external_id: str) -> bool:
            return False

        self.patch.setattr(presence, "here", nobody)


@pytest.fixture
async def left(make_chat: MakeChat, desk: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Left]:
    async with real_sink() as sink:
        monkeypatch.setattr(desk.runtime.registry.get("email"), "_guard", AddressGuard(["127.0.0.0/8"]))
        address = f"care{sink.port}@harbour-tea.example"
        box = await desk.runtime.channels.add(
            "email",
            "Care",
            {"from_address": address, "smtp_host": "127.0.0.1", "smtp_port": sink.port, "smtp_tls": "none"},
        )
        chat = await make_chat(title="Harbour Tea", continuity_channel=box.id)
        yield Left(chat, sink, address, monkeypatch)


ME = {"name": "Mei", "email": "mei@people.example"}


async def test_an_answer_nobody_saw_goes_by_mail_once_and_the_reply_comes_back(left: Left) -> None:
    visitor, talk = await left.wrote("Is the teapot back?", me=ME)
    await left.gone(visitor)
    note = Attachment(kind=AttachmentKind.FILE, media_type="text/plain", file_name="offer.txt", content=b"49 EUR")
    await left.chat.answer(talk, "Inside the house only", note=True)
    await left.chat.answer(talk, "Yes, since this morning.", attachments=[note])
    await left.chat.work()
    await left.chat.answer(talk, "Shall I put one aside?", agent=Actor("usr_b", "bo@harbour-tea.example"))
    await left.later(5)
    assert left.mails() == []
    await left.later()
    await left.later()
    await asyncio.gather(*(left.later(30) for _ in range(3)))
    (mail,) = left.mails()
    body = mail.get_body(("plain",)).get_content()
    assert mail["Subject"] == "Your chat with Harbour Tea" and left.sink.mails[0].recipients == ["mei@people.example"]
    assert body.index("Ada Agent wrote:") < body.index("Yes, since this morning.")
    assert body.index("Harbour Tea wrote:") < body.index("Shall I put one aside?")
    assert "Inside the house" not in body and "bo@" not in body and "teapot back" not in body
    assert [part.get_content() for part in mail.iter_attachments()] == ["49 EUR"]
    rows = await left.chat.desk.runtime.messages.raw({"conversation_id": talk, "direction": "system"})
    assert [(row["system"]["code"], row["status"]) for row in rows] == [("continued", "sent")]

    # The reply by mail stands in the same thread, and the visitor sees it when they come back.
    reply = EmailMessage()
    reply["From"], reply["To"], reply["Subject"] = "Mei <mei@people.example>", mail["Reply-To"], "Re: your chat"
    reply["Message-ID"], reply["In-Reply-To"] = "<r1@people.example>", mail["Message-ID"]
    reply.set_content("Yes please, by mail.")
    door = MailDoor(left.chat.desk.runtime)
    to = re.search(r"[\w.+-]+@[\w.-]+", str(mail["Reply-To"]))
    assert to is not None and await door.accept(to[0], "mei@people.example", reply.as_bytes())
    await left.chat.work()
    again = await left.chat.visitor(visitor.welcome["token"])
    texts = [line.get("text") for line in again.welcome["lines"]]
    assert texts == [
        "Is the teapot back?",
        "Yes, since this morning.",
        "Shall I put one aside?",
        "Yes please, by mail.",
    ]
    assert again.welcome["lines"][-1]["mail"] is True

    # The agent goes on in the thread; what is unseen again follows by mail again, without what went before.
    await left.gone(again)
    await left.chat.answer(talk, "It waits for you.")
    await left.later(45)
    body = left.mails()[1].get_body(("plain",)).get_content()
    assert "It waits for you." in body and "this morning" not in body and len(left.mails()) == 2
    assert left.mails()[1]["In-Reply-To"] == "<r1@people.example>"


async def test_whoever_read_it_or_is_there_gets_no_mail(left: Left) -> None:
    visitor, talk = await left.wrote("Hello", me=ME)
    await left.chat.answer(talk, "Read at once")
    line = await visitor.line("Read at once")
    await visitor.send(t="read", ids=[line["id"]])

    async def read() -> bool:
        await left.chat.work()
        return bool((await left.chat.desk.runtime.messages.raw({"_id": line["id"]}))[0]["status"] == "read")

    await eventually(read)
    await left.later()
    (row,) = await left.chat.desk.runtime.conversations.raw({"_id": talk})
    assert "unseen_due_at" not in row
    await left.chat.answer(talk, "In a window behind others")
    await left.later()
    (row,) = await left.chat.desk.runtime.conversations.raw({"_id": talk})
    assert left.mails() == [] and row["unseen_due_at"] > now()  # they are there: looked at again in a minute
    await left.gone(visitor)
    await left.later(20)
    assert len(left.mails()) == 1


async def test_whoever_comes_back_before_the_mail_went_gets_none(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, talk = await left.wrote("Hello", me=ME)
    await left.gone(visitor)
    await left.chat.answer(talk, "An answer")
    runtime = left.chat.desk.runtime
    box = next(
        each
        for each in await runtime.channels.list(provider="email")
        if each.name == "Care" and left.address in str(each.settings)
    )
    await runtime.channels.update(box.id, state="paused")
    await left.later()
    again = await left.chat.visitor(visitor.welcome["token"])
    await again.send(t="read", ids=[again.welcome["lines"][-1]["id"]])

    async def read() -> bool:
        await left.chat.work()
        return bool((await runtime.messages.raw({"conversation_id": talk, "direction": "out"}))[0]["status"] == "read")

    await eventually(read)
    (send,) = await runtime.sends.raw({"source.kind": "continuity", "conversation_id": talk})
    answers = await runtime.continuity.prepare([await runtime.sends.get(send["_id"])], {}, now())
    assert answers[send["_id"]].code == "seen_meanwhile"


@pytest.mark.parametrize("who", ["nameless", "no_channel", "gone_channel"])
async def test_without_an_address_or_a_mailbox_nothing_is_sent_and_the_duty_ends(left: Left, who: str) -> None:
    visitor, talk = await left.wrote(f"Hello {who}", **({} if who == "nameless" else {"me": ME}))
    await left.gone(visitor)
    await left.chat.answer(talk, "An answer")
    runtime = left.chat.desk.runtime
    if who == "no_channel":
        await runtime.channels.update(left.chat.channel.id, settings={"continuity_channel": ""})
    if who == "gone_channel":
        settings = left.chat.channel.settings
        await runtime.channels.remove(settings["continuity_channel"])
    await left.later()
    (row,) = await runtime.conversations.raw({"_id": talk})
    assert left.mails() == [] and "unseen_due_at" not in row


async def test_a_proved_address_comes_before_a_typed_one_and_chinese_is_answered_in_chinese(left: Left) -> None:
    mail = "mei.tan@people.example"
    claim = signed(mail, email=mail, name="Mei Tan")
    visitor, talk = await left.wrote("你好", identity=claim, lang="zh-CN")
    await left.gone(visitor)
    await left.chat.answer(talk, "有货。")
    await left.later()
    (found,) = left.mails()
    assert left.sink.mails[0].recipients == [mail] and found["Subject"] == "您与Harbour Tea的对话"
    assert "直接回复此邮件" in found.get_body(("plain",)).get_content()


async def test_somebody_elses_typed_address_is_written_to_and_joins_nobody(left: Left) -> None:
    runtime = left.chat.desk.runtime
    owner = await runtime.resolver.refer("email", "victim@people.example", create=True)
    visitor, talk = await left.wrote("Buy cheap pills", me={"email": "victim@people.example"})
    await left.gone(visitor)
    await left.chat.answer(talk, "We sell tea.")
    await left.later()
    (row,) = await runtime.conversations.raw({"_id": talk})
    assert owner is not None and row["profile_id"] != owner.profile_id
    (mail,) = left.mails()
    assert "pills" not in mail.as_string() and "We sell tea." in mail.get_body(("plain",)).get_content()


async def test_a_token_of_a_chat_opens_it_to_its_own_mailbox_alone(left: Left) -> None:
    runtime = left.chat.desk.runtime
    visitor, talk = await left.wrote("Hello", me=ME)
    await left.gone(visitor)
    await left.chat.answer(talk, "An answer")
    await left.later()
    (mail,) = left.mails()
    to = re.search(r"\+([\w]+)@", str(mail["Reply-To"]))
    assert to is not None
    other = await runtime.channels.add("email", "Other", {"from_address": f"other{left.sink.port}@harbour-tea.example"})
    address = f"other{left.sink.port}+{to[1]}@harbour-tea.example"
    reply = EmailMessage()
    reply["From"], reply["To"], reply["Message-ID"] = "mallory@people.example", address, "<m1@people.example>"
    reply.set_content("Let me in")
    assert await MailDoor(runtime).accept(address, "mallory@people.example", reply.as_bytes())
    await left.chat.work()
    (row,) = await runtime.messages.raw({"text": re.compile("Let me in"), "channel_id": other.id})
    assert row["conversation_id"] != talk


async def test_other_channels_are_not_watched(left: Left) -> None:
    runtime = left.chat.desk.runtime
    plain = Chat(
        left.chat.desk,
        await runtime.channels.add("webchat", "Plain", {"allowed_origins": ["https://shop.example.com"]}),
        left.chat.client,
    )
    visitor = await plain.visitor(me=ME)
    await visitor.say("Hello")
    talk = await plain.conversation()
    await runtime.outbox.reply(talk["_id"], ADA, ReplyInput(text="Hi"), a_key())
    await plain.work()
    (row,) = await plain.conversations()
    assert "unseen_due_at" not in row
    await plain.close()
