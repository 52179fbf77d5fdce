"""The mail listener over real sockets: 250 only for what was kept, and limits for everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiosmtplib
import pytest

from base.errors import Unavailable
from base.http import AddressGuard, HttpClient
from channels.adapter import Account
from channels.providers.mail.email.adapter import EmailAdapter, EmailSettings
from channels.vocabulary import MessageReceived
from webhooks.mail_listener import MailListener, as_delivery

RAW = b"From: anna@example.net\r\nTo: care@example.com\r\nMessage-ID: <1@x>\r\nSubject: Hi\r\n\r\nHello\r\n"


@dataclass
class Store:
    """Stands where the journal stands: keeps, is away, is slow, or breaks."""

    kept: list[tuple[str, str, bytes]] = field(default_factory=list)
    fault: Exception | None = None
    refuses: bool = False
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def accept(self, recipient: str, sender: str, raw: bytes) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.delay_s)
        if self.fault is not None:
            raise self.fault
        if self.refuses:
            return False
        self.kept.append((recipient, sender, raw))
        return True

    async def known(self, recipient: str) -> bool:
        self.asked.append(recipient)
        if recipient.startswith("away"):
            raise Unavailable("database")
        return recipient.lower().partition("+")[0].partition("@")[0] in ("care", "reply", "sales", "用户")


@asynccontextmanager
async def listening(store: Store, **options: Any) -> AsyncIterator[MailListener]:
    listener = MailListener("127.0.0.1", 0, store.accept, store.known, **options)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


class Line:
    """One raw connection: says a line, reads the answer (several lines where the code has a hyphen)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *lines: str | bytes, answers: int = 1) -> list[str]:
        for line in lines:
            self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return [await self.hear() for _ in range(answers)]

    async def hear(self) -> str:
        async with asyncio.timeout(5):
            while (line := (await self.reader.readline()).decode()) and line[3:4] == "-":
                pass
        return line.strip()


@asynccontextmanager
async def connected(listener: MailListener) -> AsyncIterator[Line]:
    line = Line(*await asyncio.open_connection(*listener.address))
    try:
        yield line
    finally:
        line.writer.close()


async def mail(
    line: Line, *recipients: str, raw: bytes = RAW, lmtp: bool = True, sender: str = "anna@example.net"
) -> list[str]:
    """Hand over one mail; the answers to its end."""
    await line.hear()
    await line.say("LHLO mx.example.net" if lmtp else "EHLO mx.example.net")
    assert (await line.say(f"MAIL FROM:<{sender}>"))[0].startswith("250")
    taken = [answer for each in recipients for answer in await line.say(f"RCPT TO:<{each}>")]
    wanted = sum(answer.startswith("250") for answer in taken)
    assert (await line.say("DATA"))[0].startswith("354")
    stuffed = b"\r\n".join(b"." + part if part.startswith(b".") else part for part in raw.split(b"\r\n"))
    return await line.say(stuffed + b".", answers=wanted if lmtp else 1)


# -- kept or not -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
async def test_kept_means_250(protocol: Any) -> None:
    store = Store()
    async with listening(store, protocol=protocol) as listener, connected(listener) as line:
        answers = await mail(line, "care+tok@example.com", lmtp=protocol == "lmtp")
    assert answers == ["250 2.0.0 Kept"] and store.kept == [("care+tok@example.com", "anna@example.net", RAW)]


async def test_an_ordinary_client_hands_over_bytes_unchanged() -> None:
    store = Store()
    raw = b"From: a@b.c\r\n\r\n.\r\n..dots\r\n\xff\xfe raw \x80 bytes\r\n" + b"x" * 20_000 + b"\r\n"
    async with listening(store, protocol="smtp") as listener:
        host, port = listener.address
        async with aiosmtplib.SMTP(hostname=host, port=port, start_tls=False, local_hostname="x") as client:
            await client.sendmail("a@b.c", ["care@example.com", "sales@example.com"], raw)
    assert [(recipient, body) for recipient, _, body in store.kept] == [
        ("care@example.com", raw), ("sales@example.com", raw),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "store",
    [Store(fault=Unavailable("away")), Store(refuses=True), Store(fault=RuntimeError("bug")), Store(delay_s=60)],
)
@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
async def test_not_kept_means_451(store: Store, protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(store, protocol=protocol, accept_s=0.1) as listener, connected(listener) as line:
        answers = await mail(line, "care@example.com", lmtp=protocol == "lmtp")
    assert [answer[:3] for answer in answers] == ["451"] and not store.kept


async def test_lmtp_answers_for_each_receiver() -> None:
    store = Store()

    async def accept(recipient: str, sender: str, raw: bytes) -> bool:
        return recipient != "sales@example.com" and await store.accept(recipient, sender, raw)

    listener = MailListener("127.0.0.1", 0, accept, store.known)
    await listener.start()
    async with connected(listener) as line:
        answers = await mail(line, "care@example.com", "nobody@example.com", "sales@example.com", "care+t@example.com")
    await listener.stop()
    assert [answer[:3] for answer in answers] == ["250", "451", "250"]
    assert [recipient for recipient, _, _ in store.kept] == ["care@example.com", "care+t@example.com"]


async def test_smtp_has_one_answer_and_no_half_yes() -> None:
    store = Store()

    async def accept(recipient: str, sender: str, raw: bytes) -> bool:
        return recipient != "sales@example.com" and await store.accept(recipient, sender, raw)

    listener = MailListener("127.0.0.1", 0, accept, store.known, protocol="smtp")
    await listener.start()
    async with connected(listener) as line:
        answers = await mail(line, "care@example.com", "sales@example.com", lmtp=False)
    await listener.stop()
    assert [answer[:3] for answer in answers] == ["451"]


async def test_several_mails_over_one_connection() -> None:
    store = Store()
    async with listening(store) as listener, connected(listener) as line:
        await mail(line, "care@example.com")
        for _ in range(3):
            await line.say("MAIL FROM:<>")
            await line.say("RCPT TO:<care@example.com>")
            await line.say("DATA")
            assert await line.say(RAW + b".") == ["250 2.0.0 Kept"]
    assert [sender for _, sender, _ in store.kept] == ["anna@example.net", "", "", ""]


# -- receivers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "answer"),
    [
        ("care@example.com", "250"),
        ("reply+token@example.com", "250"),
        ("用户@example.cn", "250"),
        ("nobody@example.com", "550"),
        ("away@example.com", "451"),
        ("care", "553"),
        ('"a b"@example.com', "553"),
        ("care@example.com\0", "5"),
    ],
)
async def test_receivers(recipient: str, answer: str) -> None:
    async with listening(Store()) as listener, connected(listener) as line:
        await line.hear()
        await line.say("LHLO x")
        await line.say("MAIL FROM:<a@b.c>")
        assert (await line.say(f"RCPT TO:<{recipient}>"))[0].startswith(answer)


async def test_receivers_that_are_no_utf8_are_refused() -> None:
    async with listening(Store()) as listener, connected(listener) as line:
        await line.hear()
        await line.say("LHLO x")
        await line.say("MAIL FROM:<a@b.c>")
        assert (await line.say(b"RCPT TO:<care\xff@example.com>"))[0].startswith("553")
        assert (await line.say(b"VRFY \xff@x"))[0][0] in "245"
        assert (await line.say("NOOP"))[0].startswith("250")


async def test_receivers_are_counted() -> None:
    store = Store()
    async with listening(store, max_recipients=3) as listener, connected(listener) as line:
        await line.hear()
        await line.say("LHLO x")
        await line.say("MAIL FROM:<a@b.c>")
        answers = [(await line.say(f"RCPT TO:<care+{number}@example.com>"))[0][:3] for number in range(5)]
    assert answers == ["250", "250", "250", "452", "452"]


# -- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "answers"), [("lmtp", 2), ("smtp", 1)])
async def test_too_large(protocol: Any, answers: int) -> None:
    store = Store()
    async with listening(store, protocol=protocol, max_bytes=1000) as listener, connected(listener) as line:
        told = await mail(
            line, "care@example.com", "sales@example.com", raw=RAW + b"x" * 2000 + b"\r\n", lmtp=protocol == "lmtp"
        )
        assert [answer[:3] for answer in told] == ["552"] * answers and not store.kept
        assert (await line.say("MAIL FROM:<a@b.c> SIZE=5000"))[0].startswith("552")
        assert (await line.say("NOOP"))[0].startswith("250"), "and nothing is left over in the conversation"


async def test_a_line_too_long() -> None:
    store = Store()
    async with listening(store) as listener, connected(listener) as line:
        told = await mail(line, "care@example.com", raw=b"Subject: x\r\n\r\n" + b"x" * 200_000 + b"\r\n")
    assert told[0].startswith("500") and not store.kept


async def test_a_lone_line_feed_and_dot_ends_nothing() -> None:
    """SMTP smuggling: only CR LF dot CR LF is an end."""
    store = Store()
    evil = RAW + b"\n.\nMAIL FROM:<x@y.z>\r\nRCPT TO:<sales@example.com>\r\nDATA\r\n\r.\r\r\n.\nforged\r\n"
    async with listening(store) as listener, connected(listener) as line:
        await mail(line, "care@example.com", raw=evil)
    assert len(store.kept) == 1 and b"forged" in store.kept[0][2]


async def test_connections_are_bounded() -> None:
    async with listening(Store(), max_connections=2) as listener:
        async with connected(listener) as one, connected(listener) as two:
            assert (await one.hear()).startswith("220") and (await two.hear()).startswith("220")
            async with connected(listener) as three:
                assert (await three.hear()).startswith("421")
                assert await three.hear() == ""
        await asyncio.sleep(0.05)
        async with connected(listener) as again:
            assert (await again.hear()).startswith("220")


async def test_silence_and_slowness_are_bounded() -> None:
    store = Store()
    async with listening(store, idle_s=0.1, data_s=0.3) as listener:
        async with connected(listener) as line:
            assert (await line.hear()).startswith("220")
            assert await line.hear() == "", "silent: hung up"
        async with connected(listener) as line:
            await line.hear()
            for command in ("LHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<care@example.com>", "DATA"):
                await line.say(command)
            for _ in range(20):
                line.writer.write(b"drip\r\n")
                await asyncio.sleep(0.05)
                if line.reader.at_eof():
                    break
            assert line.reader.at_eof() and not listener.connections
    assert not store.kept


@pytest.mark.parametrize(
    "command", ["EHLO x", "GARBAGE", "RCPT TO:<care@example.com>", "DATA", "MAIL FROM:care", "\xff\xfe", ""]
)
async def test_out_of_order(command: str) -> None:
    async with listening(Store()) as listener, connected(listener) as line:
        await line.hear()
        assert (await line.say(command))[0][0] == "5"


async def test_a_sender_that_hangs_up_in_the_middle_disturbs_nobody() -> None:
    store = Store(delay_s=0.05)
    async with listening(store) as listener:
        async with connected(listener) as line:
            await line.hear()
            for command in ("LHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<care@example.com>", "DATA"):
                await line.say(command)
            line.writer.write(RAW + b".\r\n")
            line.writer.transport.abort()
        async with connected(listener) as line:
            assert await mail(line, "care@example.com") == ["250 2.0.0 Kept"]


# -- stopping, logs ----------------------------------------------------------------------------------


async def test_stop_answers_the_mail_under_way() -> None:
    store = Store(gate=asyncio.Event())
    listener = MailListener("127.0.0.1", 0, store.accept, store.known)
    await listener.start()
    async with connected(listener) as line:
        sending = asyncio.create_task(mail(line, "care@example.com"))
        while not [each for each in listener.connections if each.busy]:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0.05)
        assert store.gate is not None
        store.gate.set()
        assert await sending == ["250 2.0.0 Kept"]
        await stopping
        assert await line.hear() == ""
    await listener.stop()


async def test_addresses_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening(Store()) as listener, connected(listener) as line:
        await mail(line, "care@example.com")
    assert "anna@" not in caplog.text and "care@" not in caplog.text


# -- the way to the adapter ---------------------------------------------------------------------------


async def test_a_delivery_of_the_listener_is_verified_and_read() -> None:
    settings = EmailSettings.model_validate({"from_address": "care@example.com"})
    account = Account("chn_1", "email", "Care", settings)
    adapter = EmailAdapter(HttpClient(AddressGuard()))
    now = datetime(2026, 11, 22, tzinfo=UTC)
    delivery = as_delivery("care+tok@example.com", "anna@example.net", RAW, now)
    adapter.verify(account, delivery, now)
    (event,) = adapter.parse(account, delivery)
    assert isinstance(event, MessageReceived) and event.mail is not None and event.mail.reply_token == "tok"
    other = as_delivery("sales@example.com", "anna@example.net", RAW, now)
    assert adapter.delivery_key(account, delivery) != adapter.delivery_key(account, other)
