"""Sending to somebody's system played by a local server that verifies our signature with an independent library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from standardwebhooks import Webhook

from base.http import AddressGuard, HttpClient
from channels.adapter import Account, Delivery
from channels.capabilities import Idempotency
from channels.failures import Failure, SendFailed
from channels.providers.generic.adapter import GenericAdapter
from channels.providers.generic.outgoing import retry_after, webhook_id
from channels.providers.generic.settings import GenericSettings
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMail,
    OutboundMessage,
    OutboundReaction,
    TemplateCall,
)
from tests.conftest import LocalServer

SECRET = "whsec_Y2FuYXJ5LWdlbmVyaWMtc2VjcmV0LTI0"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Receiver:
    """Somebody's system: keeps what it accepted by id, as it is required to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.accepted: dict[str, dict[str, Any]] = {}
        self.script: list[web.Response | float | str] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/rapport", self.take)
        app.router.add_get("/file", self.file)
        return app

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        if "webhook-signature" in request.headers:
            Webhook(SECRET).verify(body, dict(request.headers))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, web.Response):
            return step
        message_id = request.headers["webhook-id"]
        repeated = message_id in self.accepted
        self.accepted.setdefault(message_id, json.loads(body))
        if isinstance(step, float):
            await asyncio.sleep(step)
        if step == "cut":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"id": f"x-{len(self.accepted)}", "repeated": repeated})

    async def file(self, request: web.Request) -> web.Response:
        assert not {name.lower() for name in request.headers} & {"webhook-signature", "authorization", "cookie"}
        return web.Response(body=b"%PDF-1.7 ...", content_type="text/html")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def base(receiver: Receiver, local_server: LocalServer) -> str:
    return await local_server(receiver.app())


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(AddressGuard(["127.0.0.0/8"]))
    yield client
    await client.close()


@pytest.fixture
def adapter(http: HttpClient) -> GenericAdapter:
    return GenericAdapter(http)


def account_at(send_url: str | None, **more: Any) -> Account:
    settings = GenericSettings.model_validate({"secret": SECRET, "send_url": send_url, **more})
    return Account("chn_1", "generic", "Shop", settings)


def message(key: str = "snd_1", **more: Any) -> OutboundMessage:
    return OutboundMessage(key=key, to=Address(channel_id="chn_1", external_id="cust-42", handle="anna"), **more)


async def failure_of(adapter: GenericAdapter, account: Account, sent: OutboundMessage | None = None) -> SendFailed:
    with pytest.raises(SendFailed) as raised:
        await adapter.send(account, sent or message(text="x"))
    assert SECRET not in f"{raised.value} {raised.value!r}"
    return raised.value


async def test_send(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    receipt = await adapter.send(account_at(f"{base}/rapport"), message(text="Hello"))
    assert receipt.message_ids == ("x-1",) and not receipt.repeated
    expected = {"id": "snd_1", "to": {"id": "cust-42", "handle": "anna"}, "text": "Hello"}
    assert receiver.accepted == {"snd_1": {"type": "message.send", "data": expected}}


async def test_everything_is_carried(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    files = (
        Attachment(kind=AttachmentKind.IMAGE, url="https://cdn.example/a.png", media_type="image/png"),
        Attachment(kind=AttachmentKind.FILE, file_name="a.txt", content=b"\x00\xff"),
    )
    sent = message(
        text="ü",
        attachments=files,
        buttons=(Button(title="Yes", payload="y"),),
        location=Location(latitude=52.1, longitude=4.5),
        mail=OutboundMail(subject="Your order"),
        reply_to="m-1",
        sender_name="Mia",
        automatic=True,
    )
    await adapter.send(account_at(f"{base}/rapport"), sent)
    data = receiver.accepted["snd_1"]["data"]
    assert data == {
        "id": "snd_1",
        "to": {"id": "cust-42", "handle": "anna"},
        "text": "ü",
        "attachments": [
            {"kind": "image", "media_type": "image/png", "url": "https://cdn.example/a.png"},
            {"kind": "file", "file_name": "a.txt", "content": "AP8="},
        ],
        "buttons": [{"title": "Yes", "payload": "y"}],
        "location": {"latitude": 52.1, "longitude": 4.5},
        "mail": {"subject": "Your order"},
        "reply_to": "m-1",
        "sender_name": "Mia",
        "automatic": True,
    }


async def test_a_repeat_is_the_same_message(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    account = account_at(f"{base}/rapport")
    receiver.script = ["cut"]
    assert (await failure_of(adapter, account)).failure is Failure.UNCERTAIN
    receipt = await adapter.send(account, message(text="x"))
    assert receipt.repeated and receipt.message_ids == ("x-1",)
    (first, body), (second, again) = receiver.requests
    assert first["webhook-id"] == second["webhook-id"] and body == again
    assert adapter.capabilities.idempotency is Idempotency.KEY


def test_webhook_ids() -> None:
    assert webhook_id("reply:cnv_1:abc") == "reply:cnv_1:abc"
    for odd in ("", "a.b", "a\r\nb", "ü", "x" * 300):
        assert webhook_id(odd) == webhook_id(odd) and webhook_id(odd).isalnum()
    assert webhook_id("a.b") != webhook_id("a.c")


async def test_stripe_style_goes_both_ways(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    account = account_at(f"{base}/rapport", scheme="stripe")
    await adapter.send(account, message(text="Hello"))
    ((headers, body),) = receiver.requests
    assert "webhook-signature" not in headers and headers["webhook-id"] == "snd_1"
    own = Delivery("POST", body, {"stripe-signature": (headers["Stripe-Signature"],)})
    adapter.verify(account, own, datetime.now(UTC))


async def test_proxy_takes_the_place_of_the_host(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    await adapter.send(account_at("https://shop.example.com/rapport?x=1", api_base=base), message(text="x"))
    assert len(receiver.accepted) == 1
    proxied = account_at("https://shop.example.com/rapport?x=1", api_base="https://proxy.example/out/").settings
    assert proxied.destination == "https://proxy.example/out/rapport?x=1"


async def test_receives_only(adapter: GenericAdapter) -> None:
    assert (await failure_of(adapter, account_at(None))).failure is Failure.NOT_SUPPORTED
    assert "only receives" in await adapter.check(account_at(None))


async def test_templates_are_not_carried(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    failed = await failure_of(adapter, account_at(base), message(template=TemplateCall(name="t", language="en")))
    assert failed.failure is Failure.NOT_SUPPORTED and not receiver.requests


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (301, Failure.ACCOUNT_PROBLEM),
        (400, Failure.CONTENT_REJECTED),
        (401, Failure.ACCOUNT_PROBLEM),
        (404, Failure.CONTENT_REJECTED),
        (410, Failure.ACCOUNT_PROBLEM),
        (422, Failure.CONTENT_REJECTED),
        (500, Failure.TEMPORARY),
        (503, Failure.TEMPORARY),
    ],
)
async def test_refusals(adapter: GenericAdapter, base: str, receiver: Receiver, status: int, failure: Failure) -> None:
    receiver.script = [web.Response(status=status, text="<html>", headers={"Location": "https://evil.example/"})]
    failed = await failure_of(adapter, account_at(f"{base}/rapport"))
    assert (failed.failure, failed.provider_code) == (failure, str(status))


async def test_refusals_in_our_own_words(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    account = account_at(f"{base}/rapport")
    said = {"failure": "recipient_blocked", "detail": "left in May", "code": "B7"}
    receiver.script = [web.json_response(said, status=422), web.json_response({"failure": "x"}, status=422)]
    failed = await failure_of(adapter, account)
    assert (failed.failure, str(failed), failed.provider_code) == (Failure.RECIPIENT_BLOCKED, "left in May", "B7")
    assert (await failure_of(adapter, account)).failure is Failure.CONTENT_REJECTED


async def test_slow_down(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    receiver.script = [web.Response(status=429, headers={"Retry-After": "12"}), web.Response(status=429)]
    failed = await failure_of(adapter, account_at(f"{base}/rapport"))
    assert (failed.failure, failed.retry_after_s) == (Failure.RATE_LIMITED, 12)
    failed = await failure_of(adapter, account_at(f"{base}/rapport"))
    assert (failed.failure, failed.retry_after_s) == (Failure.RATE_LIMITED, None)


def test_retry_after_forms() -> None:
    forms = {
        "12": 12.0,
        "-3": 0.0,
        "Sun, 22 Nov 2026 12:01:00 GMT": 60.0,
        "Sun, 22 Nov 2026 11:00:00 GMT": 0.0,
        "Sun, 22 Nov 2026 12:01:00": None,
        "soon": None,
        "": None,
    }
    for given, seconds in forms.items():
        assert retry_after({"retry-after": given}, NOW) == seconds
    assert retry_after({}, NOW) is None


async def test_slow(base: str, receiver: Receiver, http: HttpClient) -> None:
    class Impatient:
        async def request(self, method: str, url: str, **more: Any) -> Any:
            return await http.request(method, url, **{**more, "timeout_s": 0.2})

    receiver.script = [2.0]
    assert (await failure_of(GenericAdapter(Impatient()), account_at(f"{base}/rapport"))).failure is Failure.UNCERTAIN


async def test_nobody_there(adapter: GenericAdapter, free_port: Any) -> None:
    failed = await failure_of(adapter, account_at(f"http://127.0.0.1:{free_port()}/rapport"))
    assert failed.failure is Failure.TEMPORARY


async def test_private_address_is_not_dialled(base: str, receiver: Receiver) -> None:
    guarded = HttpClient(AddressGuard())
    failed = await failure_of(GenericAdapter(guarded), account_at(f"{base}/rapport"))
    await guarded.close()
    assert failed.failure is Failure.ACCOUNT_PROBLEM and not receiver.requests


async def test_check(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    account = account_at(f"{base}/rapport")
    assert "200" in await adapter.check(account)
    receiver.script = [web.Response(status=400)]
    assert "400" in await adapter.check(account), "it may refuse to know a ping"
    receiver.script = [web.Response(status=401)]
    with pytest.raises(SendFailed) as raised:
        await adapter.check(account)
    assert raised.value.failure is Failure.ACCOUNT_PROBLEM
    assert json.loads(receiver.requests[0][1])["type"] == "ping"


async def test_media(adapter: GenericAdapter, base: str) -> None:
    file = Attachment(kind=AttachmentKind.FILE, url=f"{base}/file", media_type="text/plain")
    assert await adapter.media(account_at(None), file, max_bytes=100) == (b"%PDF-1.7 ...", "application/pdf")
    for wrong, most in ((file, 3), (file.model_copy(update={"url": f"{base}/gone"}), 100), (file, 1)):
        with pytest.raises(SendFailed) as raised:
            await adapter.media(account_at(None), wrong, max_bytes=most)
        assert raised.value.failure is Failure.CONTENT_REJECTED


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": ""},
        {"secret": "whsec_"},
        {"secret": "canary not base64"},
        {"scheme": "stripe", "secret": " "},
        {"scheme": "none"},
        {"send_url": "ftp://x/y"},
        {"send_url": "/rapport"},
        {"api_base": "proxy:8080"},
        {"surplus": "1"},
    ],
)
def test_wrong_settings(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        GenericSettings.model_validate({"secret": SECRET, **wrong})
    assert "canary" not in str(raised.value.errors(include_input=False))


async def test_reactions(adapter: GenericAdapter, base: str, receiver: Receiver) -> None:
    reaction = OutboundReaction(message_id="their-1", emoji="👍", former="❤️")
    account = account_at(f"{base}/rapport")
    for _ in range(2):
        assert (await adapter.react(account, message(text=None, reaction=reaction))).message_ids == ()
    (told,) = receiver.accepted.values()
    assert told["type"] == "message.react"
    assert {name: told["data"][name] for name in ("id", "message_id", "emoji")} == {
        "id": "snd_1", "message_id": "their-1", "emoji": "👍",
    }  # fmt: skip
    gone = OutboundReaction(message_id="their-1")
    await adapter.react(account, message("snd_2", text=None, reaction=gone))
    assert receiver.accepted["snd_2"]["data"]["emoji"] is None
