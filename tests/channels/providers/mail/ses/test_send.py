"""Sending by SES against a peer that answers by script; the request signature against Amazon's published examples."""

from __future__ import annotations

import base64
import email
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.mail.ses.adapter import SesAdapter, SesSettings
from channels.providers.mail.ses.sigv4 import Signer
from channels.vocabulary import Attachment, AttachmentKind
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

TOPIC = "arn:aws:sns:eu-central-1:123456789012:Mail"
THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
EXAMPLE = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1")
Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def adapter() -> AsyncIterator[SesAdapter]:
    http = loopback_client()
    yield SesAdapter(http)
    await http.close()


@pytest.fixture
async def peer() -> Peer:
    return Peer([answer({"MessageId": "0100017f-1-000000"})])


@pytest.fixture
async def account(peer: Peer, local_server: Serve) -> Account:
    return made(await local_server(peer.app()))


def made(base: str, **more: Any) -> Account:
    given = {
        "from_address": "care@example.com", "from_name": "Care", "region": "eu-central-1", "api_base": base,
        "access_key_id": "AKIDEXAMPLE000000", "secret_access_key": "canary-secret", "topic_arn": TOPIC,
        "configuration_set": "events",
    }  # fmt: skip
    return Account("chn_1", "ses", "Shop", SesSettings.model_validate({**given, **more}))


async def test_what_ses_is_asked(adapter: SesAdapter, peer: Peer, account: Account) -> None:
    receipt = await adapter.send(account, rich().model_copy(update={"attachments": FILES}))
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/v2/email/outbound-emails")
    proof = asked.headers["authorization"]
    assert proof.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE000000/")
    assert "/eu-central-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=" in proof
    body = asked.json
    mail = email.message_from_bytes(base64.b64decode(body["Content"].pop("Raw")["Data"]))
    assert body == {
        "FromEmailAddress": "care@example.com",
        "Destination": {"ToAddresses": ["anna@example.net"], "CcAddresses": ["b@c.de"]},
        "Content": {},
        "EmailTags": [{"Name": "rapport_key", "Value": "snd_1"}],
        "ConfigurationSetName": "events",
    }
    assert mail["Message-ID"] == "<snd_1@example.com>" and mail["Reply-To"] == "care+tok@example.com"
    assert [part.get_content_type() for part in mail.walk() if not part.is_multipart()] == [
        "text/plain", "text/html", "image/png", "application/pdf",
    ]  # fmt: skip
    assert receipt.message_ids == (
        "0100017f-1-000000", "0100017f-1-000000@eu-central-1.amazonses.com", "snd_1@example.com",
    )  # fmt: skip


async def test_a_signature_the_peer_can_make_again(adapter: SesAdapter, peer: Peer, account: Account) -> None:
    await adapter.send(account, message())
    (asked,) = peer.asked
    signer = Signer("AKIDEXAMPLE000000", "canary-secret", "eu-central-1", "ses")
    at = datetime.strptime(asked.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    url = f"http://{asked.headers['host']}{asked.path}"
    again = signer.headers("POST", url, asked.body, at, {"Content-Type": asked.headers["content-type"]})
    assert again["Authorization"] == asked.headers["authorization"]


@pytest.mark.parametrize(
    ("service", "method", "url", "extra", "signature"),
    [
        (
            "service", "GET", "https://example.amazonaws.com/", {},
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "iam", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
)  # fmt: skip
def test_published_signatures(service: str, method: str, url: str, extra: dict[str, str], signature: str) -> None:
    """From Amazon's test suite (get-vanilla) and from its manual (ListUsers)."""
    made = Signer(*EXAMPLE, service).headers(method, url, b"", THEN, extra)
    assert made["Authorization"].endswith(f"Signature={signature}")
    assert made["X-Amz-Date"] == "20150830T123600Z"
    assert EXAMPLE[1] not in repr(Signer(*EXAMPLE, service))


async def test_a_key_that_is_no_tag_is_left_out(adapter: SesAdapter, peer: Peer, local_server: Serve) -> None:
    account = made(await local_server(peer.app()), configuration_set="")
    await adapter.send(account, message().model_copy(update={"key": "a key"}))
    assert not {"EmailTags", "ConfigurationSetName"} & set(peer.asked[0].json)


def failing(status: int, kind: str, words: str = "no") -> Reply:
    return answer({"message": words}, status=status, headers={"x-amzn-ErrorType": f"{kind}:http://amazon/doc"})


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (failing(400, "MessageRejected", "Transaction failed: bad content"), Failure.CONTENT_REJECTED),
        (failing(400, "MessageRejected", "Email address is not verified."), Failure.ACCOUNT_PROBLEM),
        (failing(400, "MailFromDomainNotVerifiedException"), Failure.ACCOUNT_PROBLEM),
        (failing(400, "SendingPausedException"), Failure.ACCOUNT_PROBLEM),
        (failing(400, "AccountSuspendedException"), Failure.ACCOUNT_PROBLEM),
        (failing(404, "NotFoundException"), Failure.ACCOUNT_PROBLEM),
        (failing(400, "BadRequestException"), Failure.CONTENT_REJECTED),
        (failing(400, "LimitExceededException"), Failure.RATE_LIMITED),
        (failing(429, "TooManyRequestsException"), Failure.RATE_LIMITED),
        (answer({"__type": "com.amazon#ThrottlingException"}, status=400), Failure.RATE_LIMITED),
        (failing(403, "InvalidSignatureException"), Failure.ACCOUNT_PROBLEM),
        (failing(403, "SomethingNew"), Failure.ACCOUNT_PROBLEM),
        (failing(418, "SomethingNew"), Failure.UNKNOWN),
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=500), Failure.TEMPORARY),
        (answer("<html>", status=504), Failure.UNCERTAIN),
        (answer({}, status=503), Failure.TEMPORARY),
        (answer("<html>", status=200), Failure.UNCERTAIN),
        (answer([], status=200), Failure.UNCERTAIN),
    ],
)
async def test_refusals(adapter: SesAdapter, peer: Peer, account: Account, reply: Reply, failure: Failure) -> None:
    peer.will(reply)
    error = await refused(adapter, account)
    assert error.failure is failure and len(peer.asked) == 1


async def test_what_goes_wrong_with_everybody(
    adapter: SesAdapter, peer: Peer, account: Account, free_port: Callable[[], int]
) -> None:
    await nobody_is_called_for_what_no_header_may_hold(adapter, peer, account)
    foreign = await refused(adapter, account, message(to="käthe@example.net"))
    assert foreign.failure is Failure.NOT_SUPPORTED and not peer.asked
    await is_uncertain_when_lost(SesAdapter, peer, account)
    await passes_or_stays(adapter, made(f"http://127.0.0.1:{free_port()}"), made("http://10.0.0.1"))


async def test_check(adapter: SesAdapter, peer: Peer, account: Account) -> None:
    quota = {"Max24HourSend": 200.0, "SentLast24Hours": 3.0}
    peer.will(
        answer({"SendingEnabled": True, "ProductionAccessEnabled": False, "SendQuota": quota}),
        answer({"SendingEnabled": False}),
    )
    said = await adapter.check(account)
    assert "3 of 200" in said and "sandbox" in said
    assert (peer.asked[0].method, peer.asked[0].path) == ("GET", "/v2/email/account")
    with pytest.raises(SendFailed, match="switched off"):
        await adapter.check(account)


async def test_every_topic_is_subscribed(adapter: SesAdapter, peer: Peer, local_server: Serve) -> None:
    other = "arn:aws:sns:us-east-1:123456789012:In"
    account = made(await local_server(peer.app()), topic_arn=f"{TOPIC} {other}")
    peer.will(answer("<SubscribeResponse/>"))
    assert "2 topics" in str(await adapter.register_webhook(account, "https://crm.example.com/webhooks/ses/chn_1"))
    assert [dict(parse_qsl(asked.body.decode()))["TopicArn"] for asked in peer.asked] == [TOPIC, other]
    assert "/us-east-1/sns/aws4_request" in peer.asked[1].headers["authorization"]
    peer.will(answer("<Error><Code>AuthorizationError</Code></Error>", status=403))
    with pytest.raises(SendFailed) as caught:
        await adapter.register_webhook(account, "https://crm.example.com/x")
    assert (caught.value.failure, caught.value.provider_code) == (Failure.ACCOUNT_PROBLEM, "AuthorizationError")
    assert await adapter.register_webhook(made("http://x.example", topic_arn=""), "https://x.example") is None


async def test_a_mail_in_s3_is_fetched(adapter: SesAdapter, peer: Peer, account: Account) -> None:
    file = Attachment(kind=AttachmentKind.FILE, media_id="s3:our-mails/in/a b")
    peer.will(answer(b"From: a@b.c\r\n\r\nHi"), answer("<Error><Code>AccessDenied</Code></Error>", status=403))
    assert await adapter.media(account, file, max_bytes=1000) == (b"From: a@b.c\r\n\r\nHi", "message/rfc822")
    (asked,) = peer.asked
    assert asked.path == "/our-mails/in/a b" and "x-amz-content-sha256" in asked.headers
    with pytest.raises(SendFailed, match="s3:GetObject"):
        await adapter.media(account, file, max_bytes=1000)
    for odd in ("http://x", "s3:", "s3:UPPER/x", "s3:a.b@evil.example/x", None):
        with pytest.raises(SendFailed) as caught:
            await adapter.media(account, file.model_copy(update={"media_id": odd}), max_bytes=1000)
        assert caught.value.failure is Failure.NOT_SUPPORTED
    assert len(peer.asked) == 2


def test_settings_refuse_what_would_not_work() -> None:
    for bad in (
        {"region": "evil.example/"},
        {"topic_arn": "https://x"},
        {"access_key_id": "a b"},
        {"api_base": "ftp://x"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            made(**{"base": "", **bad})
