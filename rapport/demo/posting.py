"""How the pretended providers post to Rapport: the real bodies, signed the real way; mail by SMTP."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from email.message import EmailMessage
from email.utils import formatdate, parseaddr

import aiohttp
import aiosmtplib
import orjson

from base.clock import now
from base.signing import hmac_hex, standard_headers
from rapport.demo.cast import Channel, Person
from rapport.demo.providers import Delivered
from rapport.demo.stage import FROM_ADDRESS, NAMES, WHATSAPP_NUMBER, Stage

log = logging.getLogger(__name__)


class Posting:
    """Posts webhooks until they are taken, as providers do."""

    def __init__(self, stage: Stage, base_url: str, mail_listen: str | None) -> None:
        self._stage = stage
        self._base_url = base_url
        self._mail_host, _, self._mail_port = (mail_listen or "127.0.0.1:8025").rpartition(":")
        self._serial = itertools.count(int(time.time() * 1000))
        self._session: aiohttp.ClientSession | None = None
        self.refused = 0  # what nobody took

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def message(self, channel: Channel, one: Person, text: str, answered: Delivered | None = None) -> None:
        """`one` writes `text`; by mail it answers what was `answered`."""
        if channel == "email":
            await self._mail(one, text, answered)
            return
        bodies = {
            "whatsapp": self._whatsapp_message,
            "telegram": self._telegram_message,
            "generic": self._generic_message,
        }
        await self._post(channel, bodies[channel](one, text))

    async def receipt(self, delivered: Delivered, status: str) -> None:
        """The device tells: `sent`, `delivered` or `read`. Telegram and plain mail tell nothing."""
        if delivered.channel == "whatsapp":
            receipt = {"id": delivered.message_id, "status": status, "timestamp": str(int(time.time())),
                       "recipient_id": delivered.to, "biz_opaque_callback_data": delivered.key}  # fmt: skip
            await self._post("whatsapp", _envelope({"statuses": [receipt]}))
        if delivered.channel == "generic" and status != "sent":
            data = {"id": delivered.message_id, "key": delivered.key, "occurred_at": _iso()}
            await self._post("generic", {"type": f"message.{status}", "data": data})

    def _whatsapp_message(self, one: Person, text: str) -> object:
        sender = one.phone.removeprefix("+")
        message = {"from": sender, "id": f"wamid.{next(self._serial)}", "timestamp": str(int(time.time())),
                   "type": "text", "text": {"body": text}}  # fmt: skip
        return _envelope({"contacts": [{"wa_id": sender, "profile": {"name": one.name}}], "messages": [message]})

    def _telegram_message(self, one: Person, text: str) -> object:
        number = next(self._serial) % 2**31
        given, _, family = one.name.partition(" ")
        sender = {"id": int(one.telegram_id), "is_bot": False, "first_name": given, "language_code": one.language}
        if family:
            sender["last_name"] = family
        chat = {"id": int(one.telegram_id), "type": "private", "first_name": given}
        message = {"message_id": number, "date": int(time.time()), "from": sender, "chat": chat, "text": text}
        return {"update_id": number, "message": message}

    def _generic_message(self, one: Person, text: str) -> object:
        person = {"id": f"app-{one.number}", "name": one.name, "email": one.email}
        data = {"id": f"in-{next(self._serial)}", "from": person, "text": text, "occurred_at": _iso()}
        return {"type": "message.received", "data": data}

    async def _post(self, channel: Channel, payload: object) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        body = orjson.dumps(payload)
        url = f"{self._base_url}/webhooks/{channel}/{self._stage.channels[channel]}"
        headers = {"Content-Type": "application/json", **self._signature(channel, body)}
        for pause_s in (0.2, 0.5, 1, 2, 4, 8):
            try:
                async with self._session.post(url, data=body, headers=headers) as answer:
                    if answer.status < 500:
                        self.refused += answer.status >= 400
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                log.debug("rapport does not answer yet")
            await asyncio.sleep(pause_s)
        self.refused += 1

    def _signature(self, channel: Channel, body: bytes) -> dict[str, str]:
        if channel == "whatsapp":
            return {"X-Hub-Signature-256": "sha256=" + hmac_hex(self._stage.app_secret, body)}
        if channel == "telegram":
            return {"X-Telegram-Bot-Api-Secret-Token": self._stage.secret_token}
        return standard_headers([self._stage.generic_secret], f"msg_{secrets.token_hex(8)}", now(), body)

    async def _mail(self, one: Person, text: str, answered: Delivered | None) -> None:
        mail = EmailMessage()
        mail["From"] = f"{one.name} <{one.email}>"
        mail["To"] = answered.reply_to if answered else f"{NAMES['email']} <{FROM_ADDRESS}>"
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{next(self._serial)}@people.example>"
        mail["Subject"] = _subject(one, answered)
        if answered:
            mail["In-Reply-To"] = answered.message_id
            mail["References"] = answered.references
        mail.set_content(text)
        recipient = parseaddr(str(mail["To"]))[1]
        try:
            await aiosmtplib.send(mail, hostname=self._mail_host, port=int(self._mail_port), sender=one.email,
                                  recipients=[recipient], start_tls=False, timeout=10)  # fmt: skip
        except (aiosmtplib.SMTPException, OSError) as error:
            self.refused += 1
            log.debug("mail not taken", extra={"error": type(error).__name__})


def _subject(one: Person, answered: Delivered | None) -> str:
    if answered:
        return f"Re: {answered.subject}" if not answered.subject.lower().startswith("re:") else answered.subject
    return "咨询" if one.language == "zh" else "A question about my tea"


def _envelope(value: dict[str, object]) -> object:
    metadata = {"display_phone_number": "31205550142", "phone_number_id": WHATSAPP_NUMBER}
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "104996122399160", "changes": [change]}]}


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
