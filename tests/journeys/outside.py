"""The providers' side of the wire: takes what Rapport sends, answers as the real ones do, and keeps a ledger."""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import orjson
from aiohttp import web

from tests.channels.providers.mail.email.sink import Sink


@dataclass(frozen=True)
class Call:
    """One request that reached a provider and was taken."""

    account: str
    method: str
    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any]
    message_id: str

    @property
    def text(self) -> str:
        """What the customer reads."""
        content = self.body.get("data", self.body)
        text = content.get("text")
        return str(text.get("body") if isinstance(text, dict) else text or "")

    @property
    def to(self) -> str:
        """The customer's id on that channel."""
        to = self.body.get("data", {}).get("to") or self.body.get("to") or self.body.get("chat_id")
        return str(to.get("id") if isinstance(to, dict) else to)

    @property
    def key(self) -> str:
        """Rapport's own key, where the channel carries one."""
        return str(self.body.get("biz_opaque_callback_data") or self.body.get("data", {}).get("id"))


@dataclass
class Outside:
    """WhatsApp's Graph API, Telegram's Bot API and somebody's own system on one port; mail servers beside it."""

    url: str = ""
    sink: Sink = field(default_factory=Sink)
    calls: list[Call] = field(default_factory=list)
    #: Account → what to answer instead, one after the other. Such calls are counted, not taken.
    refusals: dict[str, list[Callable[[], web.Response]]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _serial: Any = field(default_factory=lambda: itertools.count(1))

    def application(self) -> web.Application:
        """To be served on this machine."""
        app = web.Application()
        app.router.add_post("/graph/{version}/{account}/messages", self._graph)
        app.router.add_get("/graph/{version}/{account}", self._number)
        app.router.add_post("/telegram/bot{account}/{method}", self._telegram)
        app.router.add_post("/own/{account}", self._own)
        return app

    def of(self, account: str, to: str | None = None) -> list[Call]:
        """Messages taken for an account, oldest first."""
        return [call for call in self.calls if call.account == account and to in (None, call.to)]

    def mails_to(self, address: str) -> list[EmailMessage]:
        """Mails that ended up with this recipient, oldest first, parsed."""
        raw = [mail.data for mail in self.sink.mails if address in mail.recipients]
        return [email.message_from_bytes(each, policy=email.policy.default) for each in raw]  # type: ignore[misc]

    async def _take(self, request: web.Request, method: str, message_id: str) -> web.Response | Call:
        account, raw = request.match_info["account"], await request.read()
        if self.refusals.get(account):
            self.refused.append(account)
            return self.refusals[account].pop(0)()
        body = orjson.loads(raw) if raw.startswith(b"{") else {}
        call = Call(account, method, dict(request.headers), raw, body, message_id)
        self.calls.append(call)
        return call

    async def _graph(self, request: web.Request) -> web.Response:
        if (await request.json()).get("status") == "read":
            return web.json_response({"success": True})
        call = await self._take(request, "messages", f"wamid.OUT{next(self._serial):06d}")
        if isinstance(call, web.Response):
            return call
        return web.json_response({"messaging_product": "whatsapp", "messages": [{"id": call.message_id}]})

    async def _number(self, request: web.Request) -> web.Response:
        return web.json_response({"display_phone_number": "+49 30 5550142", "verified_name": "Harbour Tea"})

    async def _telegram(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if not method.startswith("send") or method == "sendChatAction":
            me = {"id": 4242, "is_bot": True, "first_name": "Harbour Tea", "username": "harbour_tea_bot"}
            return web.json_response({"ok": True, "result": me if method == "getMe" else True})
        number = next(self._serial)
        call = await self._take(request, method, str(number))
        if isinstance(call, web.Response):
            return call
        chat = {"id": int(call.to), "type": "private"}
        return web.json_response({"ok": True, "result": {"message_id": number, "date": 0, "chat": chat}})

    async def _own(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if body.get("type") == "ping":
            return web.json_response({})
        call = await self._take(request, str(body.get("type")), f"own-{next(self._serial)}")
        return call if isinstance(call, web.Response) else web.json_response({"id": call.message_id})


def slow_down(seconds: int) -> Callable[[], web.Response]:
    """Meta asks for a pause."""

    def answer() -> web.Response:
        error = {"error": {"code": 130429, "message": "Rate limit hit"}}
        return web.json_response(error, status=429, headers={"Retry-After": str(seconds)})

    return answer


async def eventually(look: Callable[[], Any], what: str, *, within_s: float = 40.0) -> Any:
    """Ask `look` (awaited where it is awaitable) until it gives something true; that. Quick looks, long patience."""
    loop = asyncio.get_running_loop()
    end, found = loop.time() + within_s, None
    while loop.time() < end:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited {within_s:.0f} s in vain for {what}; last seen: {found!r}")
