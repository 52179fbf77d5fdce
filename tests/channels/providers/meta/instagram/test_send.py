"""Where Instagram's sending differs from Messenger's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.meta.instagram.adapter import InstagramAdapter
from channels.providers.meta.instagram.card import InstagramSettings
from channels.vocabulary import Address, Attachment, AttachmentKind, Button, OutboundMessage, OutboundReaction
from tests.channels.peer import Peer, Reply, answer, cut, loopback_client, slow
from tests.conftest import LocalServer

KIM = Address(channel_id="chn_ig", external_id="5614879045272581")
TAKEN = answer({"recipient_id": "5614879045272581", "message_id": "g_out"})


def account(**settings: Any) -> Account:
    given = {
        "account_id": "17841452691600098", "access_token": "canary-token", "app_secret": "canary-app-secret",
        "verify_token": "canary-word", **settings,
    }  # fmt: skip
    return Account("chn_ig", "instagram", "Shop", InstagramSettings.model_validate(given))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def connected(peer: Peer, local_server: LocalServer) -> Account:
    return account(api_base=await local_server(peer.app()))


@pytest.fixture
async def adapter() -> AsyncIterator[InstagramAdapter]:
    client = loopback_client()
    made = InstagramAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()


def out(**fields: Any) -> OutboundMessage:
    return OutboundMessage(key="send-key-1", to=KIM, **fields)


def refused(code: int, subcode: int | None = None, status: int = 400, **headers: str) -> Reply:
    error = {"code": code, "message": "no", **({"error_subcode": subcode} if subcode else {})}
    return answer({"error": error}, status=status, headers=headers)


async def test_text(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    peer.will(TAKEN)
    assert (await adapter.send(connected, out(text="hi", reply_to="g_q"))).message_ids == ("g_out",)
    [asked] = peer.asked
    assert (asked.method, asked.path) == ("POST", "/v25.0/me/messages")
    assert asked.json == {"recipient": {"id": KIM.external_id}, "message": {"text": "hi"}}
    assert asked.headers["authorization"] == "Bearer canary-token"


async def test_private_reply_quick_replies_and_files(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    peer.will(TAKEN)
    buttons = (Button(title="S", payload="s"), Button(title="M"))
    await adapter.send(connected, out(text="Which size?", buttons=buttons, reply_to="comment:178"))
    image = Attachment(kind=AttachmentKind.IMAGE, url="https://shop.example/a.jpg")
    await adapter.send(connected, out(attachments=(image,)))
    reply, file = (asked.json for asked in peer.asked)
    assert reply["recipient"] == {"comment_id": "178"}
    assert [each["title"] for each in reply["message"]["quick_replies"]] == ["S", "M"]
    assert file["message"]["attachment"]["payload"]["url"] == "https://shop.example/a.jpg"


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "ü" * 501},
        {"attachments": (Attachment(kind=AttachmentKind.IMAGE, content=b"JPEG"),)},
        {"attachments": (Attachment(kind=AttachmentKind.IMAGE, url="https://x", size_bytes=8_000_001),)},
        {"attachments": (Attachment(kind=AttachmentKind.STICKER, url="https://x"),)},
    ],
)
async def test_what_instagram_has_no_form_for_is_refused_before_the_call(
    fields: dict[str, Any], adapter: InstagramAdapter, connected: Account, peer: Peer
) -> None:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(connected, out(**fields))
    assert caught.value.failure is Failure.NOT_SUPPORTED
    assert peer.asked == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(10, 2534022), Failure.WINDOW_CLOSED),
        (refused(100, 2534014), Failure.RECIPIENT_UNREACHABLE),
        (refused(613, status=429), Failure.RATE_LIMITED),
        (refused(190), Failure.ACCOUNT_PROBLEM),
        (refused(100), Failure.CONTENT_REJECTED),
        (refused(2, status=500), Failure.TEMPORARY),
        (refused(888888), Failure.UNKNOWN),
        (answer("<html>", status=503), Failure.TEMPORARY),
        (answer("no json"), Failure.UNCERTAIN),
        (answer({}), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
        (slow(5), Failure.UNCERTAIN),
    ],
)
async def test_each_class_of_failure(
    reply: Reply, expected: Failure, adapter: InstagramAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await adapter.send(connected, out(text="hi"))
    assert caught.value.failure is expected
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"


async def test_retry_after_is_honoured(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    peer.will(refused(4, status=429, **{"Retry-After": "30"}))
    with pytest.raises(SendFailed) as caught:
        await adapter.send(connected, out(text="hi"))
    assert caught.value.retry_after_s == 30.0


async def test_human_agent(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    peer.will(refused(10, 2534022), TAKEN)
    await adapter.send(account(api_base=connected.settings.api_base, human_agent=True), out(text="hi"))
    assert [asked.json.get("tag") for asked in peer.asked] == [None, "HUMAN_AGENT"]


async def test_lookup(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    for told, name in (
        ({"name": "Kim", "username": "kim"}, "Kim"),
        ({"username": "kim", "profile_pic": "https://cdn.example/k"}, "@kim"),
    ):
        peer.will(answer(told))
        person = await adapter.lookup(connected, KIM.external_id)
        assert person is not None
        assert (person.name, person.avatar_url) == (name, told.get("profile_pic"))
    peer.will(refused(100))
    assert await adapter.lookup(connected, KIM.external_id) is None


async def test_check_and_register(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"username": "shop", "id": "1"}))
    assert await adapter.check(connected) == "Connected to @shop."
    peer.will(answer({"id": "1"}))
    with pytest.raises(SendFailed) as caught:
        await adapter.check(connected)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM
    peer.will(answer({"success": True}))
    peer.asked.clear()
    said = await adapter.register_webhook(connected, "https://crm.example.com/webhooks/instagram/chn_ig")
    assert said is not None and "https://crm.example.com/webhooks/instagram/chn_ig" in said
    assert peer.asked[0].path == "/v25.0/me/subscribed_apps"
    assert "comments" in peer.asked[0].json["subscribed_fields"]


async def test_reactions(adapter: InstagramAdapter, connected: Account, peer: Peer) -> None:
    for emoji, told in (("❤️", "love"), ("🎉", "🎉")):
        peer.will(answer({"recipient_id": "1"}))
        peer.asked.clear()
        await adapter.react(connected, out(reaction=OutboundReaction(message_id="m_in", emoji=emoji)))
        assert peer.asked[0].json["payload"] == {"message_id": "m_in", "reaction": told}
