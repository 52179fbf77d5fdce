"""A provider that behaves: takes messages, counts them by key, sends signed receipts back, sometimes stumbles."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from typing import Any

import aiohttp
import orjson
from aiohttp import web


class FakeGraph:
    """The sending half of the WhatsApp Cloud API, with a ledger of its own."""

    def __init__(self, seed: int) -> None:
        self.accepted: Counter[str] = Counter()
        self.texts: dict[str, str] = {}
        self.receipts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._random = random.Random(seed)
        self._serial = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{version}/{phone}/messages", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        dice = self._random.random()
        if dice < 0.02:
            error = {"error": {"code": 130429, "message": "Rate limit hit"}}
            return web.json_response(error, status=429, headers={"Retry-After": "1"})
        if dice < 0.04:
            return web.json_response({"error": {"code": 2, "message": "Service unavailable"}}, status=503)
        if dice < 0.06:
            await asyncio.sleep(0.3)
        self._serial += 1
        key, wamid = str(body.get("biz_opaque_callback_data")), f"wamid.OUT{self._serial}"
        self.accepted[key] += 1
        self.texts[key] = body.get("text", {}).get("body", "")
        for status in ("sent", "delivered"):
            self.receipts.put_nowait(
                {"id": wamid, "status": status, "timestamp": str(int(time.time())), "recipient_id": body.get("to"),
                 "biz_opaque_callback_data": key}
            )  # fmt: skip
        return web.json_response({"messaging_product": "whatsapp", "messages": [{"id": wamid}]})


def envelope(phone_number_id: str, **value: Any) -> bytes:
    """One webhook body of the platform."""
    change = {
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001111", "phone_number_id": phone_number_id},
            **value,
        },
    }
    entry = {"id": "104996122399160", "changes": [change]}
    return orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def text_message(phone_number_id: str, sender: str, message_id: str, text: str) -> bytes:
    """A customer writes."""
    message = {"from": sender, "id": message_id, "timestamp": str(int(time.time())), "type": "text",
               "text": {"body": text}}  # fmt: skip
    contact = {"wa_id": sender, "profile": {"name": f"Person {sender[-4:]}"}}
    return envelope(phone_number_id, contacts=[contact], messages=[message])


class Poster:
    """Posts signed webhooks until they are acknowledged, as providers do, and keeps the ledger of what was."""

    def __init__(self, urls: list[str], secret: str, seed: int) -> None:
        self._urls = urls
        self._secret = secret.encode()
        self._random = random.Random(seed)
        self.acknowledged: dict[str, float] = {}
        self.requests = 0
        self.latencies_ms: list[float] = []

    async def post(self, session: aiohttp.ClientSession, event: str, body: bytes) -> None:
        """Until 200, to any of the web processes; a refused connection counts as no answer."""
        digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
        for attempt in range(200):
            self.requests += 1
            started = time.perf_counter()
            try:
                url = self._random.choice(self._urls)
                async with session.post(url, data=body, headers=headers, timeout=_PATIENCE) as answer:
                    if answer.status == 200:
                        self.latencies_ms.append((time.perf_counter() - started) * 1000)
                        self.acknowledged.setdefault(event, time.time())
                        return
                    if answer.status != 503:
                        raise AssertionError(f"{answer.status}: {await answer.text()}")
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(min(0.1 * 1.3**attempt, 1.0))
        raise AssertionError(f"{event} was never acknowledged")


_PATIENCE = aiohttp.ClientTimeout(total=10)
