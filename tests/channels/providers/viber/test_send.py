"""Sending, files, people and the check, against a peer that plays Viber's API."""

from __future__ import annotations

from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.viber.adapter import EVENT_TYPES, ViberAdapter
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
from tests.channels.providers.viber.conftest import account

ANNA = "01234567890A="
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
TAKEN = answer('{"status":0,"status_message":"ok","message_token":5741311803571721087}')
PICTURE = Attachment(kind=AttachmentKind.IMAGE, media_type="image/jpeg", url="https://shop.example/a.jpg")


def out(**fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=Address(channel_id="chn_viber", external_id=ANNA), **fields)


def said(status: int, message: str = "because") -> Reply:
    return answer({"status": status, "status_message": message})


async def sent(adapter: ViberAdapter, to: Account, peer: Peer, message: OutboundMessage) -> list[dict[str, Any]]:
    """The bodies it took, without what is the same in all of them."""
    peer.will(TAKEN)
    peer.asked.clear()
    await adapter.send(to, message)
    bodies = [asked.json for asked in peer.asked]
    for body in bodies:
        assert body.pop("receiver") == ANNA and body.pop("min_api_version") == 1
        assert body.pop("sender") and body.pop("tracking_data")
    return bodies


async def failure_of(adapter: ViberAdapter, to: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, message)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


# -- what goes out ------------------------------------------------------------------------------------------


async def test_text(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    peer.will(TAKEN)
    receipt = await adapter.send(connected, out(text="Hello 👋"))
    assert receipt.message_ids == ("5741311803571721087",), "every digit of a 64-bit token"
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/pa/send_message")
    assert asked.headers["x-viber-auth-token"] == "canary-token"
    assert asked.json == {
        "receiver": ANNA, "min_api_version": 1, "sender": {"name": "Tea"}, "tracking_data": '{"key": "snd_1"}',
        "type": "text", "text": "Hello 👋",
    }  # fmt: skip


async def test_a_token_beyond_63_bits(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    for token in ("18446744073709551615", "18446744073709551616", '"4912661846655238145"'):
        peer.will(answer(f'{{"status":0,"message_token":{token}}}'))
        assert (await adapter.send(connected, out(text="x"))).message_ids == (token.strip('"'),)


async def test_who_writes(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    own = account(api_base=connected.settings.api_base, sender_name="Tea house", sender_avatar="https://s.example/a")
    peer.will(TAKEN)
    await adapter.send(own, out(text="x"))
    await adapter.send(own, out(text="x", sender_name="Mei " * 10))
    assert peer.asked[0].json["sender"] == {"name": "Tea house", "avatar": "https://s.example/a"}
    assert peer.asked[1].json["sender"]["name"] == ("Mei " * 10)[:28]


async def test_a_keyboard(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="Shop", url="https://shop.example"), Button(title="No"))
    (body,) = await sent(adapter, connected, peer, out(text="Sure?", buttons=buttons))
    assert body["keyboard"] == {
        "Type": "keyboard",
        "DefaultHeight": False,
        "Buttons": [
            {"Columns": 6, "Rows": 1, "Text": "Yes", "ActionType": "reply", "ActionBody": "y"},
            {"Columns": 6, "Rows": 1, "Text": "Shop", "ActionType": "open-url", "ActionBody": "https://shop.example"},
            {"Columns": 6, "Rows": 1, "Text": "No", "ActionType": "reply", "ActionBody": "No"},
        ],
    }
    files = await sent(adapter, connected, peer, out(attachments=(PICTURE, PICTURE), buttons=buttons))
    assert ["keyboard" in body for body in files] == [False, True]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (PICTURE, {"type": "picture", "text": "", "media": "https://shop.example/a.jpg"}),
        (
            PICTURE.model_copy(update={"size_bytes": 1_000_001, "file_name": "big.jpg"}),
            {"type": "file", "media": "https://shop.example/a.jpg", "size": 1_000_001, "file_name": "big.jpg"},
        ),
        (
            Attachment(
                kind=AttachmentKind.VIDEO, url="https://s.example/v.mp4", size_bytes=9, duration_s=3,
                extra={"preview_url": "https://s.example/v.jpg"},
            ),
            {
                "type": "video", "media": "https://s.example/v.mp4", "size": 9, "duration": 3,
                "thumbnail": "https://s.example/v.jpg",
            },
        ),
        (
            Attachment(kind=AttachmentKind.VIDEO, url="https://s.example/v.mp4?x=1", size_bytes=26_000_001),
            {"type": "file", "media": "https://s.example/v.mp4?x=1", "size": 26_000_001, "file_name": "v.mp4"},
        ),
        (
            Attachment(kind=AttachmentKind.VOICE, url="https://s.example/a.ogg", size_bytes=9),
            {"type": "file", "media": "https://s.example/a.ogg", "size": 9, "file_name": "a.ogg"},
        ),
        (
            Attachment(kind=AttachmentKind.FILE, url="https://s.example/a.pdf"),
            {"type": "url", "media": "https://s.example/a.pdf"},
        ),
        (
            Attachment(kind=AttachmentKind.STICKER, extra={"sticker_id": "46105"}),
            {"type": "sticker", "sticker_id": 46105},
        ),
    ],
)  # fmt: skip
async def test_files(
    file: Attachment, expected: dict[str, Any], adapter: ViberAdapter, connected: Account, peer: Peer
) -> None:
    assert await sent(adapter, connected, peer, out(attachments=(file,))) == [expected]


async def test_captions(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    (body,) = await sent(adapter, connected, peer, out(text="Look", attachments=(PICTURE,)))
    assert (body["type"], body["text"]) == ("picture", "Look")
    found = await sent(adapter, connected, peer, out(text="x" * 769, attachments=(PICTURE,)))
    assert [(body["type"], len(body["text"])) for body in found] == [("picture", 0), ("text", 769)]
    long = PICTURE.model_copy(update={"caption": "y" * 769})
    found = await sent(adapter, connected, peer, out(text="x", attachments=(long,)))
    assert [len(body["text"]) for body in found] == [0, 769, 1]
    paper = Attachment(kind=AttachmentKind.FILE, url="https://s.example/a.pdf", size_bytes=9, caption="The bill")
    found = await sent(adapter, connected, peer, out(text="x", attachments=(paper,)))
    assert [body.get("text") for body in found] == [None, "The bill", "x"]


async def test_a_place(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    place = Location(latitude=50.76891, longitude=6.11499, name="Shop")
    found = await sent(adapter, connected, peer, out(text="Here", location=place))
    assert [body["type"] for body in found] == ["location", "text"]
    assert found[0]["location"] == {"lat": 50.76891, "lon": 6.11499}


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({}, Failure.CONTENT_REJECTED),
        ({"buttons": (Button(title="x"),)}, Failure.CONTENT_REJECTED),
        ({"text": "x" * 7001}, Failure.NOT_SUPPORTED),
        ({"text": "x", "template": TemplateCall(name="t", language="en")}, Failure.NOT_SUPPORTED),
        ({"text": "x", "buttons": (Button(title="x" * 251),)}, Failure.CONTENT_REJECTED),
        ({"text": "茶" * 7000, "buttons": (Button(title="x", payload="茶" * 3500),)}, Failure.CONTENT_REJECTED),
        ({"attachments": (Attachment(kind=AttachmentKind.IMAGE, content=PNG),)}, Failure.CONTENT_REJECTED),
        ({"attachments": (PICTURE.model_copy(update={"size_bytes": 50_000_001}),)}, Failure.NOT_SUPPORTED),
        (
            {"attachments": (Attachment(kind=AttachmentKind.STICKER, url="https://s.example/a.webp"),)},
            Failure.NOT_SUPPORTED,
        ),
    ],
)
async def test_refused_before_any_call(
    fields: dict[str, Any], failure: Failure, adapter: ViberAdapter, connected: Account, peer: Peer
) -> None:
    assert (await failure_of(adapter, connected, out(**fields))).failure is failure
    assert not peer.asked


@pytest.mark.parametrize(
    ("codes", "failure"),
    [
        ((1, 2, 7, 8, 9, 10, 15, 23, 24), Failure.ACCOUNT_PROBLEM),
        ((3, 4, 13, 14), Failure.CONTENT_REJECTED),
        ((5, 11, 21), Failure.RECIPIENT_UNREACHABLE),
        ((6,), Failure.RECIPIENT_BLOCKED),
        ((12,), Failure.RATE_LIMITED),
        ((16, 99, -1), Failure.TEMPORARY),
    ],
)
async def test_status_codes(
    codes: tuple[int, ...], failure: Failure, adapter: ViberAdapter, connected: Account, peer: Peer
) -> None:
    for code in codes:
        peer.will(said(code))
        failed = await failure_of(adapter, connected, out(text="x"))
        assert (failed.failure, failed.provider_code, failed.detail) == (failure, str(code), "because")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (answer("<html>", status=500), Failure.TEMPORARY),
        (answer("<html>", status=503), Failure.TEMPORARY),
        (answer("", status=401), Failure.ACCOUNT_PROBLEM),
        (answer("", status=404), Failure.ACCOUNT_PROBLEM),
        (answer("", status=413), Failure.CONTENT_REJECTED),
        (answer("", status=302, headers={"Location": "https://x"}), Failure.ACCOUNT_PROBLEM),
        (answer("<html>"), Failure.UNCERTAIN),
        (answer([]), Failure.UNCERTAIN),
        (answer({"message_token": 5}), Failure.UNCERTAIN),
        (answer({"status": 0}), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
        (slow(5.0), Failure.UNCERTAIN),
    ],
)
async def test_odd_answers(
    reply: Reply, failure: Failure, adapter: ViberAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    assert (await failure_of(adapter, connected, out(text="x"))).failure is failure
    assert len(peer.asked) == 1, "a send without idempotency is never repeated by the adapter"


async def test_retry_after_is_honoured(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer("slow down", status=429, headers={"Retry-After": "12"}))
    failed = await failure_of(adapter, connected, out(text="x"))
    assert (failed.failure, failed.retry_after_s) == (Failure.RATE_LIMITED, 12.0)


async def test_nobody_there(adapter: ViberAdapter, free_port: Any) -> None:
    failed = await failure_of(adapter, account(api_base=f"http://127.0.0.1:{free_port()}"), out(text="x"))
    assert failed.failure is Failure.TEMPORARY


async def test_a_half_sent_message_is_never_repeated_as_a_whole(
    adapter: ViberAdapter, connected: Account, peer: Peer
) -> None:
    message = out(attachments=(PICTURE, PICTURE))
    for reply, failure in (
        (said(12), Failure.UNCERTAIN),
        (answer("", status=500), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
        (said(6), Failure.RECIPIENT_BLOCKED),
    ):
        peer.will(TAKEN, reply)
        assert (await failure_of(adapter, connected, message)).failure is failure
    peer.will(TAKEN, said(12))
    assert str(await failure_of(adapter, connected, message)).startswith("1 of 2 parts were sent")


# -- files, people, check -----------------------------------------------------------------------------------


async def test_media(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    file = Attachment(kind=AttachmentKind.IMAGE, media_type="image/jpeg", url=f"{connected.settings.api_base}/1/p.jpg")
    peer.will(answer(PNG))
    assert await adapter.media(connected, file, max_bytes=100) == (PNG, "image/png")
    assert "x-viber-auth-token" not in peer.asked[0].headers
    for reply, failure in (
        (answer(b"x" * 101), Failure.CONTENT_REJECTED),
        (answer("expired", status=403), Failure.CONTENT_REJECTED),
        (answer("", status=503), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ):
        peer.will(reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, file, max_bytes=100)
        assert caught.value.failure is failure
    with pytest.raises(SendFailed):
        await adapter.media(connected, Attachment(kind=AttachmentKind.STICKER), max_bytes=100)


async def test_lookup(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    user = {"id": ANNA, "name": "Anna", "avatar": "https://a.example/a", "language": "en", "country": "NL"}
    peer.will(answer({"status": 0, "status_message": "ok", "message_token": 1, "user": user}))
    found = await adapter.lookup(connected, ANNA)
    assert found == Person(name="Anna", avatar_url="https://a.example/a", locale="en")
    assert (peer.asked[0].path, peer.asked[0].json) == ("/pa/get_user_details", {"id": ANNA})
    for reply in (said(5), said(6), said(3), answer({"status": 0})):
        peer.will(reply)
        assert await adapter.lookup(connected, ANNA) is None
    peer.will(said(12))
    with pytest.raises(SendFailed) as caught:
        await adapter.lookup(connected, ANNA)
    assert caught.value.failure is Failure.RATE_LIMITED


async def test_check(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"status": 0, "name": "Tea", "subscribers_count": 35, "webhook": "https://x"}))
    assert await adapter.check(connected) == "The token belongs to Tea with 35 subscribers. A webhook is registered."
    peer.will(answer({"status": 0, "name": "Tea"}))
    assert await adapter.check(connected) == "The token belongs to Tea. No webhook is registered yet."
    for reply, failure in ((said(2, "invalidAuthToken"), Failure.ACCOUNT_PROBLEM), (cut, Failure.TEMPORARY)):
        peer.will(reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.check(connected)
        assert caught.value.failure is failure


async def test_register_webhook(adapter: ViberAdapter, connected: Account, peer: Peer) -> None:
    url = "https://crm.example/hooks/chn_viber"
    peer.will(answer({"status": 0, "event_types": list(EVENT_TYPES)}))
    assert await adapter.register_webhook(connected, url) == f"Viber now posts to {url}."
    assert peer.asked[0].path == "/pa/set_webhook"
    assert peer.asked[0].json == {
        "url": url, "event_types": list(EVENT_TYPES), "send_name": True, "send_photo": True,
    }  # fmt: skip
    peer.will(said(1, "Result of callback was not 200"))
    with pytest.raises(SendFailed) as caught:
        await adapter.register_webhook(connected, url)
    assert "not 200" in str(caught.value)
