"""Customers on each channel: how they write, and how their device's receipts come back, signed the real way."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, ClassVar

import aiohttp
import aiosmtplib
import orjson

from base.signing import hmac_hex, sign_standard
from tests.chaos.fake_graph import envelope


@dataclass(frozen=True)
class Person:
    """A customer. `phone` in digits, as WhatsApp writes it."""

    name: str
    phone: str
    email: str
    chat: int

    @classmethod
    def number(cls, n: int, name: str) -> Person:
        """The same number is always the same person."""
        return cls(name, f"49151{23450000 + n}", f"customer{n}@people.example", 500_000_000 + n)


@dataclass
class _Channel:
    session: aiohttp.ClientSession
    id: str
    path: str
    account: str
    secret: str
    serial: ClassVar[Any] = itertools.count(int(time.time() * 1000))

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        """The status of one webhook request."""
        headers = {"Content-Type": "application/json", **headers}
        async with self.session.post(self.path, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def signed(self, body: bytes) -> int:
        """Posted as the provider would."""
        return await self.post(body, self.signature(body))

    def signature(self, body: bytes) -> dict[str, str]:
        """The provider's proof of a body."""
        raise NotImplementedError


class WhatsApp(_Channel):
    """`account`: the phone number id."""

    def signature(self, body: bytes) -> dict[str, str]:
        return {"X-Hub-Signature-256": "sha256=" + hmac_hex(self.secret, body)}

    def text(self, one: Person, text: str) -> bytes:
        """The body of one message."""
        message = {"from": one.phone, "id": f"wamid.IN{next(self.serial)}", "timestamp": str(int(time.time())),
                   "type": "text", "text": {"body": text}}  # fmt: skip
        contact = {"wa_id": one.phone, "profile": {"name": one.name}}
        return envelope(self.account, contacts=[contact], messages=[message])

    async def says(self, one: Person, text: str) -> None:
        """A customer writes."""
        assert await self.signed(self.text(one, text)) == 200

    async def receipt(self, message_id: str, status: str, one: Person, at: int | None = None) -> None:
        """A tick comes back; `at` in Unix seconds."""
        entry = {"id": message_id, "status": status, "timestamp": str(at or int(time.time())),
                 "recipient_id": one.phone}  # fmt: skip
        assert await self.signed(envelope(self.account, statuses=[entry])) == 200


class Telegram(_Channel):
    """`account`: the bot token."""

    def signature(self, body: bytes) -> dict[str, str]:
        return {"X-Telegram-Bot-Api-Secret-Token": self.secret}

    async def says(self, one: Person, text: str) -> int:
        """A customer writes; the message's number."""
        number = next(self.serial) % 2**31
        given, _, family = one.name.partition(" ")
        sender = {"id": one.chat, "is_bot": False, "first_name": given, "last_name": family, "language_code": "en"}
        chat = {"id": one.chat, "type": "private", "first_name": given}
        message = {"message_id": number, "date": int(time.time()), "from": sender, "chat": chat, "text": text}
        assert await self.signed(orjson.dumps({"update_id": number, "message": message})) == 200
        return int(number)


class OwnSystem(_Channel):
    """`account`: the name in the address it is sent to."""

    def signature(self, body: bytes, message_id: str | None = None) -> dict[str, str]:
        message_id, stamp = message_id or f"msg_{secrets.token_hex(8)}", int(time.time())
        signature = sign_standard(self.secret, message_id, stamp, body)
        return {"webhook-id": message_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}

    async def tells(self, kind: str, **data: Any) -> None:
        """One event of any kind."""
        assert await self.signed(orjson.dumps({"type": kind, "data": data})) == 200

    async def says(self, one: Person, text: str) -> None:
        """A customer writes."""
        person = {"id": f"app-{one.chat}", "name": one.name}
        await self.tells("message.received", id=f"in-{next(self.serial)}", text=text, **{"from": person})


@dataclass
class Mailbox:
    """An address of ours, and the port where its mail is taken."""

    id: str
    address: str
    port: int

    async def says(self, one: Person, text: str, *, subject: str, to: str = "", **headers: str) -> str:
        """A customer's mail by SMTP; its Message-ID. `headers`: with `_` for `-`."""
        mail = EmailMessage()
        mail["From"] = f"{one.name} <{one.email}>"
        mail["To"] = to or self.address
        mail["Date"] = formatdate()
        mail["Message-ID"] = message_id = f"<{secrets.token_hex(8)}@people.example>"
        mail["Subject"] = subject
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(text)
        await aiosmtplib.send(
            mail, hostname="127.0.0.1", port=self.port, sender=one.email, recipients=[to or self.address],
            start_tls=False, timeout=60,
        )  # fmt: skip
        return message_id
