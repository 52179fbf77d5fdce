"""Sending by Postmark's API, against a peer that answers by script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from base.http import HttpClient
from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.mail.postmark.adapter import PostmarkAdapter, PostmarkSettings
from channels.vocabulary import Address, Attachment, AttachmentKind, OutboundMail, OutboundMessage
from tests.channels.peer import Peer, Reply, answer, cut, loopback_client, slow

TAKEN = {
    "To": "anna@example.net",
    "SubmittedAt": "2026-11-22T10:00:00Z",
    "MessageID": "pm-1",
    "ErrorCode": 0,
    "Message": "OK",
}
Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def adapter() -> AsyncIterator[PostmarkAdapter]:
    http = loopback_client()
    yield PostmarkAdapter(http)
    await http.close()


@pytest.fixture
async def peer() -> Peer:
    return Peer([answer(TAKEN)])


@pytest.fixture
async def account(peer: Peer, local_server: Serve) -> Account:
    return made(await local_server(peer.app()))


def made(base: str, **more: Any) -> Account:
    given = {
        "from_address": "shop@example.com", "from_name": "Käse, GmbH", "reply_address": "box@inbound.example",
        "server_token": "canary-token", "webhook_user": "u", "webhook_password": "canary-password", "api_base": base,
    }  # fmt: skip
    return Account("chn_1", "postmark", "Shop", PostmarkSettings.model_validate({**given, **more}))


def message(**mail: Any) -> OutboundMessage:
    to = Address(channel_id="chn_1", external_id="anna@example.net")
    return OutboundMessage(key="snd_1", to=to, text="Hello", mail=OutboundMail(**{"subject": "Grüße", **mail}))


async def test_what_postmark_is_asked(adapter: PostmarkAdapter, peer: Peer, account: Account) -> None:
    outgoing = message(
        html="<p>Hello</p>", reply_token="tok", in_reply_to="a@b", references=("x@y", "a@b"), cc=("b@c.de",)
    )
    receipt = await adapter.send(account, outgoing)
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/email")
    assert asked.headers["x-postmark-server-token"] == "canary-token"
    assert asked.json == {
        "From": "=?utf-8?b?S8Okc2UsIEdtYkg=?= <shop@example.com>",
        "To": "anna@example.net",
        "Cc": "b@c.de",
        "Subject": "Grüße",
        "TextBody": "Hello",
        "HtmlBody": "<p>Hello</p>",
        "ReplyTo": "box+tok@inbound.example",
        "MessageStream": "outbound",
        "Metadata": {"key": "snd_1"},
        "Headers": [
            {"Name": "Message-ID", "Value": "<snd_1@example.com>"},
            {"Name": "X-PM-KeepID", "Value": "true"},
            {"Name": "In-Reply-To", "Value": "<a@b>"},
            {"Name": "References", "Value": "<x@y> <a@b>"},
        ],
    }
    assert receipt.message_ids == ("pm-1", "snd_1@example.com")


async def test_mail_with_an_unsubscribe_link_goes_to_the_broadcast_stream(
    adapter: PostmarkAdapter, peer: Peer, local_server: Serve
) -> None:
    account = made(await local_server(peer.app()), broadcast_stream="broadcast")
    await adapter.send(account, message(list_unsubscribe_url="https://crm.example.com/u/x"))
    await adapter.send(account, message())
    assert [asked.json["MessageStream"] for asked in peer.asked] == ["broadcast", "outbound"]
    assert {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"} in peer.asked[0].json["Headers"]


async def test_files(adapter: PostmarkAdapter, peer: Peer, account: Account) -> None:
    files = (
        Attachment(kind=AttachmentKind.FILE, media_type="application/pdf", file_name="a.pdf", content=b"%PDF"),
        Attachment(kind=AttachmentKind.IMAGE, media_type="image/png", content=b"PNG", inline=True, content_id="i1"),
    )
    await adapter.send(account, message(html="<img src=cid:i1>").model_copy(update={"attachments": files}))
    assert peer.asked[0].json["Attachments"] == [
        {"Name": "a.pdf", "Content": "JVBERg==", "ContentType": "application/pdf"},
        {"Name": "file", "Content": "UE5H", "ContentType": "image/png", "ContentID": "cid:i1"},
    ]


async def test_a_key_too_long_for_metadata_is_left_out(adapter: PostmarkAdapter, peer: Peer, account: Account) -> None:
    await adapter.send(account, message().model_copy(update={"key": "k" * 81}))
    assert "Metadata" not in peer.asked[0].json


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (answer({"ErrorCode": 10, "Message": "Bad token"}, status=401), Failure.ACCOUNT_PROBLEM),
        (answer({"ErrorCode": 300, "Message": "Invalid 'To'"}, status=422), Failure.CONTENT_REJECTED),
        (answer({"ErrorCode": 400, "Message": "Sender signature"}, status=422), Failure.ACCOUNT_PROBLEM),
        (answer({"ErrorCode": 405, "Message": "No credits"}, status=422), Failure.ACCOUNT_PROBLEM),
        (answer({"ErrorCode": 406, "Message": "Inactive recipient"}, status=422), Failure.RECIPIENT_UNREACHABLE),
        (answer({"ErrorCode": 406, "Message": "Inactive recipient"}, status=200), Failure.RECIPIENT_UNREACHABLE),
        (answer({"ErrorCode": 9999, "Message": "New"}, status=422), Failure.UNKNOWN),
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=500), Failure.TEMPORARY),
        (answer({}, status=503), Failure.TEMPORARY),
        (answer("<html>", status=200), Failure.UNCERTAIN),
        (answer([], status=200), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
    ],
)
async def test_refusals(adapter: PostmarkAdapter, peer: Peer, account: Account, reply: Reply, failure: Failure) -> None:
    peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message())
    assert caught.value.failure is failure and len(peer.asked) == 1
    assert "canary" not in f"{caught.value!r} {caught.value.detail}"
    if failure is Failure.RATE_LIMITED:
        assert caught.value.retry_after_s == 7.0


async def test_too_slow_is_uncertain(peer: Peer, account: Account) -> None:
    class Hasty(HttpClient):
        async def request(self, method: str, url: str, **more: Any) -> Any:
            return await super().request(method, url, **{**more, "timeout_s": 0.1})

    http = Hasty(loopback_client().guard)
    peer.will(slow(1.0))
    with pytest.raises(SendFailed) as caught:
        await PostmarkAdapter(http).send(account, message())
    await http.close()
    assert caught.value.failure is Failure.UNCERTAIN


async def test_nobody_there_and_private_addresses(adapter: PostmarkAdapter, free_port: Callable[[], int]) -> None:
    for base, failure in (
        (f"http://127.0.0.1:{free_port()}", Failure.TEMPORARY),
        ("http://10.0.0.1", Failure.ACCOUNT_PROBLEM),
    ):
        with pytest.raises(SendFailed) as caught:
            await adapter.send(made(base), message())
        assert caught.value.failure is failure


async def test_what_cannot_be_written_is_refused_before_any_call(
    adapter: PostmarkAdapter, peer: Peer, account: Account
) -> None:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message(subject="a\r\nBcc: x@y.z"))
    assert caught.value.failure is Failure.CONTENT_REJECTED and not peer.asked


async def test_check(adapter: PostmarkAdapter, peer: Peer, account: Account) -> None:
    peer.will(answer({"ID": 1, "Name": "Shop server"}))
    assert "Shop server" in await adapter.check(account)
    assert (peer.asked[0].method, peer.asked[0].path) == ("GET", "/server")


async def test_settings_refuse_what_would_not_work() -> None:
    for bad in ({"webhook_user": "a:b"}, {"webhook_password": "short"}, {"api_base": "ftp://x"}, {"from_address": "x"}):
        with pytest.raises(ValueError, match="validation error"):
            made(**{"base": "https://api.postmarkapp.com", **bad})
