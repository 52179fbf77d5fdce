"""Sending by Mailgun's API, against a peer that answers by script; and the signature as Mailgun's own test vectors."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from channels.adapter import Account, Delivery, Unverified
from channels.failures import Failure, SendFailed
from channels.providers.mail.forms import Form, read_form
from channels.providers.mail.mailgun.adapter import WEBHOOKS, MailgunAdapter, MailgunSettings
from tests.channels.peer import Asked, Peer, Reply, answer, loopback_client
from tests.channels.providers.mail.outgoing import (
    FILES,
    is_uncertain_when_lost,
    message,
    nobody_is_called_for_what_no_header_may_hold,
    passes_or_stays,
    refused,
    rich,
)

TAKEN = {"id": "<snd_1@example.com>", "message": "Queued. Thank you."}
Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def adapter() -> AsyncIterator[MailgunAdapter]:
    http = loopback_client()
    yield MailgunAdapter(http)
    await http.close()


@pytest.fixture
async def peer() -> Peer:
    return Peer([answer(TAKEN)])


@pytest.fixture
async def account(peer: Peer, local_server: Serve) -> Account:
    return made(await local_server(peer.app()))


def made(base: str, **more: Any) -> Account:
    given = {
        "from_address": "care@example.com", "from_name": "Käse, GmbH", "domain": "mg.example.com", "api_base": base,
        "api_key": "canary-key", "signing_key": "canary-signing",
    }  # fmt: skip
    return Account("chn_1", "mailgun", "Shop", MailgunSettings.model_validate({**given, **more}))


def form_of(asked: Asked) -> Form:
    return read_form(Delivery("POST", asked.body, {"content-type": (asked.headers["content-type"],)}))


def texts(form: Form) -> dict[str, str]:
    return {name: b", ".join(values).decode() for name, values in form.fields.items()}


async def test_what_mailgun_is_asked(adapter: MailgunAdapter, peer: Peer, account: Account) -> None:
    receipt = await adapter.send(account, rich())
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/v3/mg.example.com/messages")
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"api:canary-key").decode()
    assert texts(form_of(asked)) == {
        "from": "=?utf-8?b?S8Okc2UsIEdtYkg=?= <care@example.com>",
        "to": "anna@example.net",
        "cc": "b@c.de",
        "subject": "Grüße",
        "text": "Hello",
        "html": "<p>Hello</p>",
        "h:Message-Id": "<snd_1@example.com>",
        "h:Reply-To": "care+tok@example.com",
        "h:In-Reply-To": "<a@b>",
        "h:References": "<x@y> <a@b>",
        "h:List-Unsubscribe": "<https://crm.example.com/u/x>",
        "h:List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "v:key": "snd_1",
    }
    assert receipt.message_ids == ("snd_1@example.com",)


async def test_files(adapter: MailgunAdapter, peer: Peer, account: Account) -> None:
    await adapter.send(account, message(html="<img src=cid:i1>").model_copy(update={"attachments": FILES}))
    body = peer.asked[0].body
    assert b'name="attachment"; filename="a%22.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n' in body
    assert b'name="inline"; filename="i1"\r\nContent-Type: image/png\r\n\r\nPNG\r\n' in body


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (answer({"message": "'to' parameter is not a valid address"}, status=400), Failure.RECIPIENT_UNREACHABLE),
        (answer({"message": "from parameter is missing"}, status=400), Failure.CONTENT_REJECTED),
        (answer("Forbidden", status=401), Failure.ACCOUNT_PROBLEM),
        (answer({"message": "pay"}, status=402), Failure.ACCOUNT_PROBLEM),
        (answer({"message": "Domain not found"}, status=404), Failure.ACCOUNT_PROBLEM),
        (answer("<html>", status=413), Failure.CONTENT_REJECTED),
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=500), Failure.TEMPORARY),
        (answer("<html>", status=504), Failure.UNCERTAIN),
        (answer({}, status=503), Failure.TEMPORARY),
        (answer({}, status=418), Failure.UNKNOWN),
        (answer("<html>", status=200), Failure.UNCERTAIN),
        (answer([], status=200), Failure.UNCERTAIN),
    ],
)
async def test_refusals(adapter: MailgunAdapter, peer: Peer, account: Account, reply: Reply, failure: Failure) -> None:
    peer.will(reply)
    error = await refused(adapter, account)
    assert error.failure is failure and len(peer.asked) == 1
    assert error.retry_after_s == (7.0 if failure is Failure.RATE_LIMITED else None)


async def test_what_goes_wrong_with_everybody(
    adapter: MailgunAdapter, peer: Peer, account: Account, free_port: Callable[[], int]
) -> None:
    await nobody_is_called_for_what_no_header_may_hold(adapter, peer, account)
    await is_uncertain_when_lost(MailgunAdapter, peer, account)
    await passes_or_stays(adapter, made(f"http://127.0.0.1:{free_port()}"), made("http://10.0.0.1"))


async def test_check(adapter: MailgunAdapter, peer: Peer, account: Account) -> None:
    peer.will(answer({"domain": {"name": "mg.example.com", "state": "active"}}), answer({"domain": {"state": "off"}}))
    assert "active" in await adapter.check(account)
    assert (peer.asked[0].method, peer.asked[0].path) == ("GET", "/v3/domains/mg.example.com")
    with pytest.raises(SendFailed, match="off"):
        await adapter.check(account)


async def test_webhooks_and_a_route_are_set_once(adapter: MailgunAdapter, peer: Peer, account: Account) -> None:
    url = "https://crm.example.com/webhooks/mailgun/chn_1"
    missing, done = answer({"message": "Webhook not found"}, status=404), answer({"message": "ok"})
    peer.will(missing, done, *[done] * (len(WEBHOOKS) - 1), answer({"items": []}), done)
    assert "1 new route" in str(await adapter.register_webhook(account, url))
    first, second, *_, listing, route = peer.asked
    assert (first.method, first.path) == ("PUT", "/v3/domains/mg.example.com/webhooks/delivered")
    assert (second.method, texts(form_of(second))) == ("POST", {"id": "delivered", "url": url})
    assert (listing.method, listing.path, route.method) == ("GET", "/v3/routes", "POST")
    rule = texts(form_of(route))
    assert rule["expression"] == r'match_recipient("^care(\+.*)?@example\.com$")'
    assert rule["action"] == f'forward("{url}"), stop()'
    kept = {"items": [{"expression": rule["expression"], "actions": [f'forward("{url}")']}]}
    peer.will(*[done] * len(WEBHOOKS), answer(kept))
    assert "0 new routes" in str(await adapter.register_webhook(account, url))


def test_published_signatures(fixtures_dir: Path) -> None:
    """Computed as the upstream tests do; the key is theirs."""
    adapter, account = (
        MailgunAdapter(loopback_client()),
        made("http://x.example", signing_key="TEST_WEBHOOK_SIGNING_KEY"),
    )
    for name in ("delivered", "failed-permanent", "inbound-form"):
        body = (fixtures_dir / "email" / f"mailgun-{name}.json").read_bytes()
        given = json.loads(body)
        proof = given.get("signature") if isinstance(given.get("signature"), dict) else given
        kind = "application/json" if proof is not given else "application/x-www-form-urlencoded"
        delivery = Delivery(
            "POST", body if proof is not given else urlencode(given).encode(), {"content-type": (kind,)}
        )
        then = datetime.fromtimestamp(int(proof["timestamp"]), UTC)
        adapter.verify(account, delivery, then)
        with pytest.raises(Unverified):
            adapter.verify(account, delivery, datetime(2026, 11, 22, tzinfo=UTC))


def test_other_content_under_a_seen_signature_has_the_same_key() -> None:
    adapter, account = MailgunAdapter(loopback_client()), made("http://x.example")
    seen = Delivery("POST", b'{"signature": {"token": "t1"}, "event-data": {"event": "opened"}}')
    forged = replace(seen, body=b'{"signature": {"token": "t1"}, "event-data": {"event": "unsubscribed"}}')
    assert adapter.delivery_key(account, seen) == adapter.delivery_key(account, forged) == "token t1"
