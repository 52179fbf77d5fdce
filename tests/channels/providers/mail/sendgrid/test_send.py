"""Sending by SendGrid's API, against a peer that answers by script; keys in rotation; which proof opens which door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.adapter import Account, Unverified
from channels.failures import Failure, SendFailed
from channels.providers.mail.sendgrid.adapter import SendgridAdapter, SendgridSettings
from channels.vocabulary import DeliveryStatus, DeliveryUpdate
from tests.channels.contract import NOW, with_headers
from tests.channels.peer import Peer, Reply, answer, loopback_client
from tests.channels.providers.mail.outgoing import (
    FILES,
    is_uncertain_when_lost,
    message,
    nobody_is_called_for_what_no_header_may_hold,
    passes_or_stays,
    refused,
    rich,
)
from tests.channels.providers.mail.sendgrid.contract import SendgridInboundContract
from tests.channels.providers.mail.sendgrid.events.contract import SendgridEventContract, public_key

TAKEN = answer("", status=202, headers={"X-Message-Id": "14c5d75ce93"})
Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def adapter() -> AsyncIterator[SendgridAdapter]:
    http = loopback_client()
    yield SendgridAdapter(http)
    await http.close()


@pytest.fixture
async def peer() -> Peer:
    return Peer([TAKEN])


@pytest.fixture
async def account(peer: Peer, local_server: Serve) -> Account:
    return made(await local_server(peer.app()))


def made(base: str, **more: Any) -> Account:
    given = {
        "from_address": "care@example.com", "from_name": "Käse, GmbH", "reply_address": "box@in.example.com",
        "api_key": "canary-key", "inbound_password": "canary-inbound", "api_base": base,
    }  # fmt: skip
    return Account("chn_1", "sendgrid", "Shop", SendgridSettings.model_validate({**given, **more}))


async def test_what_sendgrid_is_asked(adapter: SendgridAdapter, peer: Peer, account: Account) -> None:
    receipt = await adapter.send(account, rich())
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/v3/mail/send")
    assert asked.headers["authorization"] == "Bearer canary-key"
    assert asked.json == {
        "personalizations": [{"to": [{"email": "anna@example.net"}], "cc": [{"email": "b@c.de"}]}],
        "from": {"email": "care@example.com", "name": "Käse, GmbH"},
        "reply_to": {"email": "box+tok@in.example.com"},
        "subject": "Grüße",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
        "headers": {
            "Message-ID": "<snd_1@example.com>",
            "In-Reply-To": "<a@b>",
            "References": "<x@y> <a@b>",
            "List-Unsubscribe": "<https://crm.example.com/u/x>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "custom_args": {"rapport_key": "snd_1"},
    }
    assert receipt.message_ids == ("14c5d75ce93", "snd_1@example.com")


async def test_files_and_what_may_not_be_empty(adapter: SendgridAdapter, peer: Peer, account: Account) -> None:
    outgoing = message(html="<img src=cid:i1>", cc=("Anna@example.net",)).model_copy(update={"attachments": FILES})
    await adapter.send(account, outgoing)
    assert peer.asked[0].json["attachments"] == [
        {"content": "JVBERg==", "filename": 'a".pdf', "type": "application/pdf", "disposition": "attachment"},
        {"content": "UE5H", "filename": "file", "type": "image/png", "disposition": "inline", "content_id": "i1"},
    ]
    assert "cc" not in peer.asked[0].json["personalizations"][0], "an address may stand in one place only"
    await adapter.send(account, message(subject="").model_copy(update={"text": None, "attachments": FILES[:1]}))
    assert (peer.asked[1].json["subject"], peer.asked[1].json["content"][0]["value"]) == ("…", " ")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (
            answer({"errors": [{"message": "Bad", "field": "personalizations.0.to.0.email"}]}, status=400),
            Failure.RECIPIENT_UNREACHABLE,
        ),
        (answer({"errors": [{"message": "Bad", "field": "subject"}]}, status=400), Failure.CONTENT_REJECTED),
        (answer({"errors": [{"message": "grant is invalid", "field": None}]}, status=401), Failure.ACCOUNT_PROBLEM),
        (answer({"errors": [{"message": "unverified sender", "field": "from"}]}, status=403), Failure.ACCOUNT_PROBLEM),
        (answer("<html>", status=413), Failure.CONTENT_REJECTED),
        (answer({}, status=429, headers={"X-RateLimit-Reset": "9999999999"}), Failure.RATE_LIMITED),
        (answer({}, status=429, headers={"Retry-After": "3600"}), Failure.RATE_LIMITED),
        (answer("<html>", status=500), Failure.TEMPORARY),
        (answer("<html>", status=504), Failure.UNCERTAIN),
        (answer({"errors": "odd"}, status=503), Failure.TEMPORARY),
        (answer([], status=418), Failure.UNKNOWN),
    ],
)
async def test_refusals(adapter: SendgridAdapter, peer: Peer, account: Account, reply: Reply, failure: Failure) -> None:
    peer.will(reply)
    error = await refused(adapter, account)
    assert error.failure is failure and len(peer.asked) == 1
    assert error.retry_after_s == (3600.0 if failure is Failure.RATE_LIMITED else None)


async def test_what_goes_wrong_with_everybody(
    adapter: SendgridAdapter, peer: Peer, account: Account, free_port: Callable[[], int]
) -> None:
    await nobody_is_called_for_what_no_header_may_hold(adapter, peer, account)
    foreign = await refused(adapter, account, message(to="käthe@example.net"))
    assert foreign.failure is Failure.NOT_SUPPORTED and not peer.asked
    await is_uncertain_when_lost(SendgridAdapter, peer, account)
    await passes_or_stays(adapter, made(f"http://127.0.0.1:{free_port()}"), made("http://10.0.0.1"))


async def test_an_answer_without_an_id_is_taken(adapter: SendgridAdapter, peer: Peer, account: Account) -> None:
    peer.will(answer("<html>", status=202))
    assert (await adapter.send(account, message())).message_ids == ("snd_1@example.com",)


async def test_check(adapter: SendgridAdapter, peer: Peer, account: Account) -> None:
    peer.will(answer({"scopes": ["mail.send"]}), answer({"scopes": ["stats.read"]}))
    assert "no receipts" in await adapter.check(account)
    assert (peer.asked[0].method, peer.asked[0].path) == ("GET", "/v3/scopes")
    with pytest.raises(SendFailed, match=r"mail\.send"):
        await adapter.check(account)


# -- in ------------------------------------------------------------------------------------------------


def test_two_keys_stand_side_by_side_while_they_change() -> None:
    contract, adapter = SendgridEventContract(), SendgridAdapter(loopback_client())
    both = contract.account({"event_public_key": f"{public_key('new')} {public_key('own')}"})
    delivery = contract.post(b"[]")
    for signer in ("new", "own"):
        adapter.verify(both, contract.sign(delivery, signer, NOW), NOW)
    with pytest.raises(Unverified):
        adapter.verify(both, contract.sign(delivery, "third", NOW), NOW)
    with pytest.raises(ValueError, match="verification key"):
        contract.account({"event_public_key": "MFkwEw=="})


def test_neither_proof_opens_the_other_door() -> None:
    adapter = SendgridAdapter(loopback_client())
    mails, events = SendgridInboundContract(), SendgridEventContract()
    account = events.account()
    with pytest.raises(Unverified):
        adapter.verify(account, mails.sign(events.post(b"[]"), "canary-inbound-password", NOW), NOW)
    form = events.sign(mails.post(b"--xYzZY--"), "own", NOW)
    with pytest.raises(Unverified):
        adapter.verify(account, form, NOW)


def test_a_repeated_post_of_one_mail_has_one_key() -> None:
    adapter, contract = SendgridAdapter(loopback_client()), SendgridInboundContract()
    account = contract.account()
    part = '--{0}\r\nContent-Disposition: form-data; name="headers"\r\n\r\nMessage-ID: <a@b>\r\n\r\n--{0}--'
    keys = set()
    for boundary in ("one", "two"):
        delivery = contract.post(part.format(boundary).encode(), f"multipart/form-data; boundary={boundary}")
        keys.add(adapter.delivery_key(account, delivery))
    assert len(keys) == 1
    assert adapter.delivery_key(account, replace(delivery, body=b"x")) not in keys


def test_the_published_event_is_a_drop(fixtures_dir: Path) -> None:
    contract, adapter = SendgridEventContract(), SendgridAdapter(loopback_client())
    (vector,) = contract.vectors(fixtures_dir)
    (event,) = adapter.parse(contract.account(), with_headers(vector.delivery, {}))
    assert isinstance(event, DeliveryUpdate)
    assert (event.status, event.failure) == (DeliveryStatus.FAILED, Failure.RECIPIENT_UNREACHABLE)
    assert event.message_id == "LRzXl_NHStOGhQ4kofSm_A"
