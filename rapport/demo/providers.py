"""Pretended providers: they take what Rapport sends, answer as the real ones do, and hand every message to the play."""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from rapport.demo.cast import Channel


@dataclass(frozen=True)
class Delivered:
    """A message that reached a customer's device."""

    channel: Channel
    #: The customer's id on that channel.
    to: str
    text: str
    #: What the provider calls the message.
    message_id: str
    #: Rapport's own key, where the channel echoes it.
    key: str | None = None
    #: Mail only: what an answer has to carry.
    subject: str = ""
    reply_to: str = ""
    references: str = ""


Handler = Callable[[Delivered], None]


#: What WhatsApp lets the shop say after the window: name, language, words.
APPROVED = (
    ("order_update", "en", "Hi {{1}}, there is news about your order {{2}}. Answer here if you have questions."),
    ("order_update", "zh_CN", "{{1}}，您的订单{{2}}有新消息。有问题请直接回复。"),
    ("back_to_you", "en", "Hi {{1}}, we have an answer to your question. Shall we go on here?"),
)


class PretendedProviders:
    """WhatsApp Cloud API, Telegram Bot API, a generic receiver, an SMTP host and a shop's page on loopback ports."""

    def __init__(self, delivered: Handler, page: Callable[[], str] = str) -> None:
        """`page`: what the demo's shop shows."""
        self._delivered = delivered
        self._page = page
        self._serial = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._smtp: asyncio.Server | None = None

    async def start(self, http_port: int, smtp_port: int) -> None:
        """Listen. Port 0 picks a free one (see `ports`)."""
        app = web.Application(client_max_size=30_000_000)
        app.router.add_get("/", self._shop)
        app.router.add_post("/graph/{version}/{phone}/messages", self._whatsapp)
        app.router.add_get("/graph/{version}/{phone}", self._whatsapp_number)
        app.router.add_get("/graph/{version}/{account}/message_templates", self._whatsapp_templates)
        app.router.add_post("/telegram/{bot}/{method}", self._telegram)
        app.router.add_get("/telegram/{bot}/{method}", self._telegram)
        app.router.add_post("/generic", self._generic)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", http_port).start()
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(lambda: SMTP(self, enable_SMTPUTF8=True), "127.0.0.1", smtp_port)

    @property
    def ports(self) -> tuple[int, int]:
        """(HTTP, SMTP)."""
        if self._runner is None or self._smtp is None:
            raise RuntimeError("not started")
        return int(self._runner.addresses[0][1]), int(self._smtp.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._smtp is not None:
            self._smtp.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _shop(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page(), content_type="text/html")

    async def _whatsapp(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if body.get("status") == "read":
            return web.json_response({"success": True})
        message_id = f"wamid.DEMO{next(self._serial):08d}"
        self._delivered(
            Delivered("whatsapp", str(body.get("to")), _whatsapp_text(body), message_id,
                      body.get("biz_opaque_callback_data"))
        )  # fmt: skip
        contacts = [{"input": body.get("to"), "wa_id": body.get("to")}]
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": message_id}]}
        )

    async def _whatsapp_number(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["phone"], "display_phone_number": "+31 20 555 0142",
                                  "verified_name": "Harbour Tea", "quality_rating": "GREEN"})  # fmt: skip

    async def _whatsapp_templates(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [_approved(*each) for each in APPROVED]})

    async def _telegram(self, request: web.Request) -> web.Response:
        method, raw = request.match_info["method"], await request.read()
        body: dict[str, Any] = orjson.loads(raw) if raw.startswith(b"{") else dict(await request.post() or {})
        return web.json_response({"ok": True, "result": self._telegram_result(method, body)})

    def _telegram_result(self, method: str, body: dict[str, Any]) -> Any:
        if method == "getMe":
            return {"id": 4242, "is_bot": True, "first_name": "Harbour Tea", "username": "harbour_tea_bot"}
        if method == "getWebhookInfo":
            return {"url": "set by the demo", "pending_update_count": 0}
        if not method.startswith("send") or method == "sendChatAction":
            return True
        number, chat = next(self._serial), str(body.get("chat_id"))
        text = str(body.get("text") or body.get("caption") or "")
        self._delivered(Delivered("telegram", chat, text, f"{chat}:{number}"))
        return {"message_id": number, "date": 0, "chat": {"id": int(chat), "type": "private"}, "text": text}

    async def _generic(self, request: web.Request) -> web.Response:
        data = orjson.loads(await request.read()).get("data", {})
        to, message_id = data.get("to", {}), f"gen-{next(self._serial)}"
        self._delivered(
            Delivered("generic", str(to.get("id") if isinstance(to, dict) else to), str(data.get("text") or ""),
                      message_id, data.get("id"))
        )  # fmt: skip
        return web.json_response({"id": message_id})

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's name for "a mail was handed over"."""
        raw = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        part = mail.get_body(("plain", "html"))
        text = part.get_content() if part is not None else ""
        sent_id = str(mail.get("Message-ID", ""))
        for recipient in envelope.rcpt_tos:
            self._delivered(
                Delivered("email", recipient, text.strip(), sent_id, subject=str(mail.get("Subject", "")),
                          reply_to=str(mail.get("Reply-To") or mail.get("From", "")),
                          references=f"{mail.get('References', '')} {sent_id}".strip())
            )  # fmt: skip
        return "250 OK"


def _approved(name: str, language: str, body: str) -> dict[str, Any]:
    return {
        "name": name, "language": language, "status": "APPROVED", "category": "UTILITY",
        "components": [{"type": "BODY", "text": body}],
    }  # fmt: skip


def _whatsapp_text(body: dict[str, Any]) -> str:
    if body.get("type") == "template":
        return f"[template {body['template'].get('name')}]"
    interactive = body.get("interactive", {})
    return str(body.get("text", {}).get("body") or interactive.get("body", {}).get("text") or "")
