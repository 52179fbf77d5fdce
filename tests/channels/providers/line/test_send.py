"""Sending, files, people and the check, against a peer that plays the Messaging API."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.line.adapter import LineAdapter
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMessage,
    Person,
    TemplateCall,
)
from tests.channels.peer import Peer, Reply, answer, cut, slow
from tests.channels.providers.line.conftest import account

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
ANNA = "U4af4980629b1d3a3f5a2c1e0d9b8a7f6"
TAKEN = answer({"sentMessages": [{"id": "461230966842064897", "quoteToken": "IStG5h1Tz7b"}]})
PICTURE = Attachment(kind=AttachmentKind.IMAGE, url="https://shop.example/a.jpg")


def out(to: str = ANNA, **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=Address(channel_id="chn_line", external_id=to), **fields)


def refused(status: int, message: str, *details: dict[str, str], **headers: str) -> Reply:
    return answer({"message": message, "details": list(details)}, status=status, headers=headers)


async def sent(adapter: LineAdapter, to: Account, peer: Peer, message: OutboundMessage) -> list[dict[str, Any]]:
    """The message objects of the one push that it took."""
    peer.will(TAKEN)
    peer.asked.clear()
    await adapter.send(to, message)
    (asked,) = peer.asked
    assert (asked.method, asked.path, asked.json["to"]) == ("POST", "/v2/bot/message/push", message.to.external_id)
    found: list[dict[str, Any]] = asked.json["messages"]
    return found


async def failure_of(adapter: LineAdapter, to: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, message)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


# -- what goes out ------------------------------------------------------------------------------------------


async def test_text_with_a_retry_key_from_the_first_try(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    assert await sent(adapter, connected, peer, out(text="Hello 👋")) == [{"type": "text", "text": "Hello 👋"}]
    (first,) = peer.asked
    assert first.headers["authorization"] == "Bearer canary-token"
    assert str(uuid.UUID(first.headers["x-line-retry-key"])) == first.headers["x-line-retry-key"]
    await sent(adapter, connected, peer, out(text="Hello 👋"))
    assert peer.asked[0].headers["x-line-retry-key"] == first.headers["x-line-retry-key"]
    await sent(adapter, connected, peer, out(text="Hello 👋").model_copy(update={"key": "snd_2"}))
    assert peer.asked[0].headers["x-line-retry-key"] != first.headers["x-line-retry-key"]


async def test_the_receipt_names_each_message(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    peer.will(TAKEN)
    receipt = await adapter.send(connected, out(text="x"))
    assert (receipt.message_ids, receipt.repeated) == (("461230966842064897",), False)
    peer.will(answer({}, headers={"x-line-request-id": "8ac2"}))
    assert (await adapter.send(connected, out(text="x"))).message_ids == ("request:8ac2",)


async def test_409_is_a_success(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    said = {"message": "The retry key is already accepted"}
    peer.will(answer(said, status=409, headers={"x-line-accepted-request-id": "a1b2"}))
    receipt = await adapter.send(connected, out(text="x"))
    assert (receipt.message_ids, receipt.repeated) == (("request:a1b2",), True)
    peer.will(answer({**said, "sentMessages": [{"id": "46"}]}, status=409))
    assert (await adapter.send(connected, out(text="x"))).message_ids == ("46",)
    peer.will(answer("<html>", status=409))
    assert (await adapter.send(connected, out(text="x"))).repeated


async def test_to_a_group(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    assert await sent(adapter, connected, peer, out("Ca56f94637cc4347f90a25382909b24b9", text="all"))


async def test_files_by_address(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    video = Attachment(
        kind=AttachmentKind.VIDEO, url="https://s.example/v.mp4", caption="Watch",
        extra={"preview_url": "https://s.example/v.jpg"},
    )  # fmt: skip
    voice = Attachment(kind=AttachmentKind.VOICE, url="https://s.example/a.m4a", duration_s=3)
    found = await sent(adapter, connected, peer, out(text="Look", attachments=(PICTURE, video, voice)))
    assert found == [
        {
            "type": "image",
            "originalContentUrl": "https://shop.example/a.jpg",
            "previewImageUrl": "https://shop.example/a.jpg",
        },
        {
            "type": "video",
            "originalContentUrl": "https://s.example/v.mp4",
            "previewImageUrl": "https://s.example/v.jpg",
        },
        {"type": "text", "text": "Watch"},
        {"type": "audio", "originalContentUrl": "https://s.example/a.m4a", "duration": 3000},
        {"type": "text", "text": "Look"},
    ]


async def test_a_recording_of_unknown_length(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    sound = Attachment(kind=AttachmentKind.AUDIO, url="https://s.example/a.m4a")
    (found,) = await sent(adapter, connected, peer, out(attachments=(sound,)))
    assert found["duration"] == 60_000


async def test_sticker_and_place(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    sticker = Attachment(kind=AttachmentKind.STICKER, extra={"package_id": "446", "sticker_id": "1988"})
    shop = Location(latitude=35.6591, longitude=139.7037, name="Tea house", address="Shibuya 2-21-1")
    assert await sent(adapter, connected, peer, out(attachments=(sticker,), location=shop)) == [
        {"type": "sticker", "packageId": "446", "stickerId": "1988"},
        {
            "type": "location", "title": "Tea house", "address": "Shibuya 2-21-1",
            "latitude": 35.6591, "longitude": 139.7037,
        },
    ]  # fmt: skip
    (bare,) = await sent(adapter, connected, peer, out(location=Location(latitude=1, longitude=2)))
    assert bare["title"] == bare["address"] == "1.00000, 2.00000"


async def test_few_buttons_are_a_template(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="Shop", url="https://shop.example"), Button(title="No"))
    (found,) = await sent(adapter, connected, peer, out(text="Sure?", buttons=buttons))
    assert found == {
        "type": "template",
        "altText": "Sure?",
        "template": {
            "type": "buttons",
            "text": "Sure?",
            "actions": [
                {"type": "postback", "label": "Yes", "data": "y", "displayText": "Yes"},
                {"type": "uri", "label": "Shop", "uri": "https://shop.example"},
                {"type": "postback", "label": "No", "data": "No", "displayText": "No"},
            ],
        },
    }


async def test_more_buttons_or_text_are_quick_replies(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    five = tuple(Button(title=str(each)) for each in range(5))
    (found,) = await sent(adapter, connected, peer, out(text="Which?", buttons=five))
    assert found["type"] == "text" and len(found["quickReply"]["items"]) == 5
    (found,) = await sent(adapter, connected, peer, out(text="x" * 161, buttons=five[:1]))
    assert found["quickReply"]["items"][0]["action"]["data"] == "0"
    (found,) = await sent(adapter, connected, peer, out(attachments=(PICTURE,), buttons=five[:1]))
    assert found["type"] == "image" and "quickReply" in found


async def test_quoting(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    message = out(text="Yes", reply_to="444", quote_token="yHAz4Ua2wx7", attachments=(PICTURE,))
    picture, text = await sent(adapter, connected, peer, message)
    assert "quoteToken" not in picture and text["quoteToken"] == "yHAz4Ua2wx7"
    (asked,) = await sent(adapter, connected, peer, out(text="?", quote_token="q", buttons=(Button(title="A"),)))
    assert asked["quoteToken"] == "q" and "quickReply" in asked
    (plain,) = await sent(adapter, connected, peer, out(text="x", reply_to="444"))
    assert "quoteToken" not in plain


@pytest.mark.parametrize(("name", "shown"), [("Mei", True), ("x" * 21, False), ("Line support", False), (None, False)])
async def test_who_writes(adapter: LineAdapter, connected: Account, peer: Peer, name: str | None, shown: bool) -> None:
    (found,) = await sent(adapter, connected, peer, out(text="x", sender_name=name))
    assert found.get("sender") == ({"name": name} if shown else None)


async def test_more_than_five_are_two_pushes_with_two_keys(
    adapter: LineAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(TAKEN)
    receipt = await adapter.send(connected, out(text="x", attachments=(PICTURE,) * 6))
    assert [len(asked.json["messages"]) for asked in peer.asked] == [5, 2]
    assert len({asked.headers["x-line-retry-key"] for asked in peer.asked}) == 2
    assert len(receipt.message_ids) == 2


async def test_a_repeat_of_a_half_sent_message_doubles_nothing(
    adapter: LineAdapter, connected: Account, peer: Peer
) -> None:
    message = out(text="x", attachments=(PICTURE,) * 6)
    peer.will(TAKEN, refused(500, "Internal server error"))
    failed = await failure_of(adapter, connected, message)
    assert failed.failure is Failure.TEMPORARY and str(failed).startswith("1 of 2 parts were sent")
    peer.will(refused(409, "The retry key is already accepted"), TAKEN)
    receipt = await adapter.send(connected, message)
    keys = [asked.headers["x-line-retry-key"] for asked in peer.asked]
    assert keys[:2] == keys[2:] and not receipt.repeated


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({}, Failure.CONTENT_REJECTED),
        ({"text": "👋" * 2501}, Failure.NOT_SUPPORTED),
        ({"text": "x", "template": TemplateCall(name="t", language="en")}, Failure.NOT_SUPPORTED),
        ({"text": "x", "buttons": (Button(title="x" * 21),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": (Button(title="x", payload="y" * 301),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": (Button(title="x", url="https://" + "y" * 1000),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": tuple(Button(title="x") for _ in range(14))}, Failure.NOT_SUPPORTED),
        ({"buttons": (Button(title="x"),)}, Failure.CONTENT_REJECTED),
        ({"attachments": (Attachment(kind=AttachmentKind.FILE, url="https://x.example"),)}, Failure.NOT_SUPPORTED),
        ({"attachments": (Attachment(kind=AttachmentKind.IMAGE, content=PNG),)}, Failure.CONTENT_REJECTED),
        (
            {"attachments": (Attachment(kind=AttachmentKind.IMAGE, url="http://x.example/a.png"),)},
            Failure.CONTENT_REJECTED,
        ),
        (
            {"attachments": (Attachment(kind=AttachmentKind.STICKER, url="https://x.example/a.webp"),)},
            Failure.NOT_SUPPORTED,
        ),
    ],
)
async def test_refused_before_any_call(
    fields: dict[str, Any], failure: Failure, adapter: LineAdapter, connected: Account, peer: Peer
) -> None:
    assert (await failure_of(adapter, connected, out(**fields))).failure is failure
    assert not peer.asked


@pytest.mark.parametrize(
    ("reply", "failure", "said"),
    [
        (refused(400, "Failed to send messages"), Failure.RECIPIENT_UNREACHABLE, "Failed to send messages"),
        (
            refused(400, "The property, 'to', in the request body is invalid (line: -, column: -)"),
            Failure.RECIPIENT_UNREACHABLE,
            "The property, 'to'",
        ),
        (
            refused(400, "The request body has 1 error(s)", {"message": "May not be empty", "property": "messages[0]"}),
            Failure.CONTENT_REJECTED,
            "messages[0]: May not be empty",
        ),
        (refused(401, "Authentication failed"), Failure.ACCOUNT_PROBLEM, "Authentication failed"),
        (refused(403, "Access to this API is not available"), Failure.ACCOUNT_PROBLEM, "not available"),
        (refused(404, "Not found"), Failure.ACCOUNT_PROBLEM, "Not found"),
        (refused(413, "Request Entity Too Large"), Failure.CONTENT_REJECTED, "Too Large"),
        (refused(415, "Unsupported Media Type"), Failure.CONTENT_REJECTED, "Unsupported"),
        (refused(429, "The API rate limit has been exceeded. Try again later."), Failure.RATE_LIMITED, "rate limit"),
        (refused(429, "You have reached your monthly limit."), Failure.ACCOUNT_PROBLEM, "monthly limit"),
        (refused(500, "Internal server error"), Failure.TEMPORARY, "Internal"),
        (answer("<html>bad gateway", status=502), Failure.TEMPORARY, "LINE answered 502"),
        (answer("", status=302, headers={"Location": "https://x"}), Failure.ACCOUNT_PROBLEM, "LINE answered 302"),
        (answer("<html>"), Failure.UNCERTAIN, "could not be read"),
        (cut, Failure.UNCERTAIN, "broke"),
        (slow(5.0), Failure.UNCERTAIN, "in time"),
    ],
)
async def test_refusals(
    reply: Reply, failure: Failure, said: str, adapter: LineAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    failed = await failure_of(adapter, connected, out(text="x"))
    assert failed.failure is failure and said in str(failed)
    assert len(peer.asked) == 1, "the adapter repeats nothing by itself"


async def test_retry_after_is_honoured(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    peer.will(refused(429, "Too many requests", **{"Retry-After": "12"}))
    assert (await failure_of(adapter, connected, out(text="x"))).retry_after_s == 12.0


async def test_nobody_there(adapter: LineAdapter, free_port: Any) -> None:
    failed = await failure_of(adapter, account(api_base=f"http://127.0.0.1:{free_port()}"), out(text="x"))
    assert failed.failure is Failure.TEMPORARY


# -- files, people, check -----------------------------------------------------------------------------------


def kept(kind: AttachmentKind = AttachmentKind.IMAGE, **more: Any) -> Attachment:
    return Attachment(kind=kind, media_id="354718705033693861", **more)


async def test_a_file_kept_by_line(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer(PNG))
    assert await adapter.media(connected, kept(media_type="image/jpeg"), max_bytes=100) == (PNG, "image/png")
    (asked,) = peer.asked
    assert asked.path == "/v2/bot/message/354718705033693861/content"
    assert asked.headers["authorization"] == "Bearer canary-token"


def test_where_files_come_from() -> None:
    assert account().settings.files_from == "https://api-data.line.me"
    assert account(api_base="https://proxy.example").settings.files_from == "https://proxy.example"


async def test_a_file_still_in_preparation(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    for status, failure in (("processing", Failure.TEMPORARY), ("failed", Failure.CONTENT_REJECTED)):
        peer.asked.clear()
        peer.will(answer("", status=202), answer({"status": status}))
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, kept(AttachmentKind.VIDEO), max_bytes=100)
        assert caught.value.failure is failure
        assert peer.asked[1].path == "/v2/bot/message/354718705033693861/content/transcoding"


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (answer(b"x" * 101), Failure.CONTENT_REJECTED),
        (answer("", status=404), Failure.CONTENT_REJECTED),
        (answer("", status=410), Failure.CONTENT_REJECTED),
        (answer("", status=401), Failure.ACCOUNT_PROBLEM),
        (answer("", status=429), Failure.RATE_LIMITED),
        (answer("", status=503), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ],
)
async def test_files_that_do_not_come(
    reply: Reply, failure: Failure, adapter: LineAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await adapter.media(connected, kept(), max_bytes=100)
    assert caught.value.failure is failure


async def test_an_apps_own_address_does_not_get_the_token(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    outside = Attachment(kind=AttachmentKind.IMAGE, url=f"{connected.settings.api_base}/original.jpg")
    peer.will(answer(PNG))
    assert (await adapter.media(connected, outside, max_bytes=100))[1] == "image/png"
    assert "authorization" not in peer.asked[0].headers
    peer.will(answer("", status=404))
    for file in (outside, Attachment(kind=AttachmentKind.STICKER)):
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, file, max_bytes=100)
        assert caught.value.failure is Failure.CONTENT_REJECTED


async def test_lookup(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"displayName": "Anna", "userId": ANNA, "pictureUrl": "https://p.example/a", "language": "en"}))
    found = await adapter.lookup(connected, ANNA)
    assert found == Person(name="Anna", avatar_url="https://p.example/a", locale="en", platform_ids=(f"line:{ANNA}",))
    peer.will(answer({"groupId": "C1", "groupName": "Tea lovers"}))
    assert await adapter.lookup(connected, "C1") == Person(name="Tea lovers")
    assert [asked.path for asked in peer.asked] == [f"/v2/bot/profile/{ANNA}", "/v2/bot/group/C1/summary"]
    peer.will(refused(404, "Not found"))
    assert await adapter.lookup(connected, "U/../x") is None
    peer.will(refused(401, "Authentication failed"))
    with pytest.raises(SendFailed):
        await adapter.lookup(connected, ANNA)


async def test_check(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    bot = answer({"displayName": "Tea", "basicId": "@tea"})
    peer.will(bot, answer({"type": "limited", "value": 1000}), answer({"totalUsage": 500}))
    said = await adapter.check(connected)
    assert said == "Connected to Tea (@tea). 500 of this month's 1000 messages are used."
    peer.will(bot, answer({"type": "none"}), answer({"totalUsage": 5}))
    assert (await adapter.check(connected)).endswith("5 messages were sent this month; the plan sets no limit.")
    peer.will(refused(401, "Authentication failed"))
    with pytest.raises(SendFailed) as caught:
        await adapter.check(connected)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM


async def test_register_webhook(adapter: LineAdapter, connected: Account, peer: Peer) -> None:
    url = "https://crm.example/hooks/chn_line"
    peer.will(answer({}), answer({"endpoint": url, "active": True}))
    assert await adapter.register_webhook(connected, url) == f"LINE now posts to {url}."
    assert (peer.asked[0].method, peer.asked[0].json) == ("PUT", {"endpoint": url})
    peer.will(answer({}), answer({"endpoint": url, "active": False}))
    assert "Switch on Use webhook" in str(await adapter.register_webhook(connected, url))
    peer.will(refused(400, "Invalid webhook endpoint URL"))
    with pytest.raises(SendFailed):
        await adapter.register_webhook(connected, "https://x")
