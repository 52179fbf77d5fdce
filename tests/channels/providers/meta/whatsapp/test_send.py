"""Sending, files and the check, against a peer that plays the Graph API."""

from __future__ import annotations

from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.meta.whatsapp.adapter import WhatsAppAdapter
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMessage,
    OutboundReaction,
    TemplateCall,
)
from tests.channels.peer import Peer, Reply, answer, cut, slow
from tests.channels.providers.meta.whatsapp.conftest import BUSINESS, NUMBER

ANNA = Address(channel_id="chn_wa", external_id="491701234567")
TAKEN = answer({"messaging_product": "whatsapp", "contacts": [{}], "messages": [{"id": "wamid.OUT"}]})
IMAGE = Attachment(kind=AttachmentKind.IMAGE, url="https://shop.example/a.jpg")


def refused(code: int, status: int = 400, detail: str = "because", **headers: str) -> Reply:
    error = {"code": code, "message": f"(#{code}) no", "error_data": {"details": detail}}
    return answer({"error": error}, status=status, headers=headers)


def out(to: Address = ANNA, **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="send-key-1", to=to, **fields)


async def sent(
    adapter: WhatsAppAdapter, account: Account, peer: Peer, message: OutboundMessage
) -> list[dict[str, Any]]:
    """The bodies the peer was given."""
    peer.will(TAKEN)
    peer.asked.clear()
    receipt = await adapter.send(account, message)
    bodies = [asked.json for asked in peer.asked]
    assert receipt.message_ids == ("wamid.OUT",) * len(bodies)
    return bodies


async def failure(adapter: WhatsAppAdapter, account: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message)
    assert "canary" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.detail}"
    return caught.value


# -- what goes out ------------------------------------------------------------------------------------------


async def test_text(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    [body] = await sent(adapter, connected, peer, out(text="see https://shop.example", reply_to="wamid.Q"))
    assert body == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "491701234567",
        "biz_opaque_callback_data": "send-key-1",
        "type": "text",
        "text": {"body": "see https://shop.example", "preview_url": True},
        "context": {"message_id": "wamid.Q"},
    }
    [asked] = peer.asked
    assert (asked.method, asked.path) == ("POST", f"/v25.0/{NUMBER}/messages")
    assert asked.headers["authorization"] == "Bearer canary-token"


async def test_a_user_id_has_a_field_of_its_own(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    to = Address(channel_id="chn_wa", external_id="US.13491208655302741918")
    [body] = await sent(adapter, connected, peer, out(to, text="hi"))
    assert body["recipient"] == "US.13491208655302741918"
    assert "to" not in body


@pytest.mark.parametrize(
    ("external_id", "kind"),
    [("491701234567", "individual"), ("+491701234567", "individual"), ("Y2FwaV9ncm91cDox", "group")],
)
async def test_groups_are_told_from_people(
    external_id: str, kind: str, adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    to = Address(channel_id="chn_wa", external_id=external_id)
    [body] = await sent(adapter, connected, peer, out(to, text="hi"))
    assert (body["to"], body["recipient_type"]) == (external_id, kind)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (IMAGE, {"type": "image", "image": {"link": "https://shop.example/a.jpg", "caption": "look"}}),
        (
            Attachment(kind=AttachmentKind.FILE, media_id="77", file_name="bill.pdf"),
            {"type": "document", "document": {"id": "77", "caption": "look", "filename": "bill.pdf"}},
        ),
        (
            Attachment(kind=AttachmentKind.VIDEO, media_id="77"),
            {"type": "video", "video": {"id": "77", "caption": "look"}},
        ),
    ],
)
async def test_one_file_takes_the_text_as_caption(
    file: Attachment, expected: dict[str, Any], adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    [body] = await sent(adapter, connected, peer, out(text="look", attachments=(file,)))
    assert expected.items() <= body.items()


async def test_what_cannot_be_one_message_is_split_in_order(
    adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    voice = Attachment(kind=AttachmentKind.VOICE, media_id="9")
    found = await sent(adapter, connected, peer, out(text="both", attachments=(IMAGE, voice), reply_to="wamid.Q"))
    assert [body["type"] for body in found] == ["image", "audio", "text"]
    assert found[1]["audio"] == {"id": "9", "voice": True}
    assert [("context" in body) for body in found] == [True, False, False]
    assert {body["biz_opaque_callback_data"] for body in found} == {"send-key-1"}


async def test_a_text_too_long_for_a_caption_follows(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    found = await sent(adapter, connected, peer, out(text="x" * 1025, attachments=(IMAGE,)))
    assert [body["type"] for body in found] == ["image", "text"]


async def test_location(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    place = Location(latitude=52.1, longitude=4.5, name="Shop")
    [body] = await sent(adapter, connected, peer, out(location=place))
    assert body["location"] == {"latitude": 52.1, "longitude": 4.5, "name": "Shop"}


async def test_reply_buttons(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="No"))
    [body] = await sent(adapter, connected, peer, out(text="Sure?", buttons=buttons))
    assert body["interactive"] == {
        "type": "button",
        "body": {"text": "Sure?"},
        "action": {
            "buttons": [
                {"type": "reply", "reply": {"id": "y", "title": "Yes"}},
                {"type": "reply", "reply": {"id": "No", "title": "No"}},
            ]
        },
    }


async def test_more_than_three_replies_become_a_list(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="x" * 24, payload="p" * 300), *(Button(title=f"Row {i}") for i in range(9)))
    [body] = await sent(adapter, connected, peer, out(text="Which?", buttons=buttons))
    assert body["interactive"]["type"] == "list"
    action = body["interactive"]["action"]
    [section] = action["sections"]
    assert action["button"] == "Options"
    assert section["rows"][:2] == [{"id": "p" * 200, "title": "x" * 24}, {"id": "Row 0", "title": "Row 0"}]
    assert len(section["rows"]) == 10


async def test_a_link_button(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    button = Button(title="Track", url="https://shop.example/t")
    [body] = await sent(adapter, connected, peer, out(text="On its way", buttons=(button,)))
    assert body["interactive"]["action"] == {
        "name": "cta_url",
        "parameters": {"display_text": "Track", "url": "https://shop.example/t"},
    }


async def test_template_with_parameters(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    call = TemplateCall(
        name="order_shipped",
        language="de",
        header=("https://shop.example/box.png?x=1",),
        body=("Anna", "two\nlines\t here"),
        buttons=("A17", "", "quick_reply:STOP", "copy_code:SAVE20"),
    )
    [body] = await sent(adapter, connected, peer, out(template=call))
    assert body["template"] == {
        "name": "order_shipped",
        "language": {"code": "de"},
        "components": [
            {
                "type": "header",
                "parameters": [{"type": "image", "image": {"link": "https://shop.example/box.png?x=1"}}],
            },
            {
                "type": "body",
                "parameters": [{"type": "text", "text": "Anna"}, {"type": "text", "text": "two lines here"}],
            },
            {
                "type": "button",
                "sub_type": "url",
                "index": "0",
                "parameters": [{"type": "text", "text": "A17"}],
            },
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": "2",
                "parameters": [{"type": "payload", "payload": "STOP"}],
            },
            {
                "type": "button",
                "sub_type": "copy_code",
                "index": "3",
                "parameters": [{"type": "coupon_code", "coupon_code": "SAVE20"}],
            },
        ],
    }
    [plain] = await sent(adapter, connected, peer, out(template=TemplateCall(name="hi", language="en")))
    assert plain["template"] == {"name": "hi", "language": {"code": "en"}}


async def test_stored_bytes_are_uploaded_first(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    file = Attachment(
        kind=AttachmentKind.FILE, media_type="application/pdf", file_name='bi"ll\r\n.pdf', content=b"%PDF-1.7"
    )
    peer.will(answer({"id": "4711"}), TAKEN)
    receipt = await adapter.send(connected, out(attachments=(file,)))
    upload, posted = peer.asked
    assert (upload.path, receipt.message_ids) == (f"/v25.0/{NUMBER}/media", ("wamid.OUT",))
    assert upload.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'filename="bill.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.7\r\n' in upload.body
    assert posted.json["document"]["id"] == "4711"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "x", "buttons": (Button(title="x" * 21),)}, Failure.CONTENT_REJECTED),
        ({"text": "x" * 1025, "buttons": (Button(title="ok"),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": tuple(Button(title=str(i)) for i in range(11))}, Failure.NOT_SUPPORTED),
        ({"text": "x", "buttons": tuple(Button(title="x" * 25) for _ in range(4))}, Failure.CONTENT_REJECTED),
        ({"text": "x" * 4097}, Failure.NOT_SUPPORTED),
        ({"buttons": (Button(title="ok"),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": (Button(title="a", url="https://x"), Button(title="b"))}, Failure.NOT_SUPPORTED),
        ({}, Failure.CONTENT_REJECTED),
        ({"attachments": (Attachment(kind=AttachmentKind.IMAGE),)}, Failure.CONTENT_REJECTED),
    ],
)
async def test_what_whatsapp_has_no_form_for_is_refused_before_the_call(
    fields: dict[str, Any], expected: Failure, adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    assert (await failure(adapter, connected, out(**fields))).failure is expected
    assert peer.asked == []


# -- what comes back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (refused(130429, 429), Failure.RATE_LIMITED, "130429"),
        (refused(131000, 500), Failure.TEMPORARY, "131000"),
        (refused(131047), Failure.WINDOW_CLOSED, "131047"),
        (refused(131050), Failure.CONSENT_WITHDRAWN, "131050"),
        (refused(131049), Failure.ENGAGEMENT_LIMITED, "131049"),
        (refused(131026), Failure.RECIPIENT_UNREACHABLE, "131026"),
        (refused(100, detail="Parameter 'to' is not a valid phone number"), Failure.RECIPIENT_UNREACHABLE, "100"),
        (refused(131062), Failure.NOT_SUPPORTED, "131062"),
        (refused(132001, 404), Failure.CONTENT_REJECTED, "132001"),
        (refused(190, 401), Failure.ACCOUNT_PROBLEM, "190"),
        (refused(777777), Failure.UNKNOWN, "777777"),
        (answer("<html>bad gateway</html>", status=502), Failure.TEMPORARY, "502"),
        (answer({"messages": []}), Failure.UNCERTAIN, None),
        (answer("not json"), Failure.UNCERTAIN, "200"),
        (cut, Failure.UNCERTAIN, None),
        (slow(5), Failure.UNCERTAIN, None),
    ],
)
async def test_each_class_of_failure(
    reply: Reply, expected: Failure, code: str | None, adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    failed = await failure(adapter, connected, out(text="hi"))
    assert (failed.failure, failed.provider_code, len(peer.asked)) == (expected, code, 1)
    assert str(failed)


async def test_retry_after_is_honoured(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    peer.will(refused(130429, 429, **{"Retry-After": "12"}))
    assert (await failure(adapter, connected, out(text="hi"))).retry_after_s == 12.0
    peer.will(refused(131056, 400))
    assert (await failure(adapter, connected, out(text="hi"))).retry_after_s == 6.0


async def test_a_half_sent_message_is_never_repeated_as_a_whole(
    adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    voice = Attachment(kind=AttachmentKind.VOICE, media_id="9")
    message = out(text="after", attachments=(voice,))
    for reply, expected in (
        (refused(130429, 429), Failure.UNCERTAIN),
        (refused(131000, 500), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
        (refused(131026), Failure.RECIPIENT_UNREACHABLE),
    ):
        peer.will(TAKEN, reply)
        assert (await failure(adapter, connected, message)).failure is expected
    peer.will(TAKEN, refused(130429, 429))
    assert "1 of 2 parts were sent" in str(await failure(adapter, connected, message))


# -- files and check --------------------------------------------------------------------------------------


async def test_media_in_two_steps(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    base = connected.settings.api_base
    peer.will(answer({"url": f"{base}/file/1", "mime_type": "image/jpeg", "file_size": 4, "id": "42"}), answer(b"JPEG"))
    found = await adapter.media(connected, Attachment(kind=AttachmentKind.IMAGE, media_id="42"), max_bytes=100)
    assert found == (b"JPEG", "image/jpeg")
    peer.will(answer({"url": f"{base}/file/1", "mime_type": "image/jpeg"}), answer(b"%PDF-1.7 not a picture"))
    sniffed = await adapter.media(connected, Attachment(kind=AttachmentKind.IMAGE, media_id="42"), max_bytes=100)
    assert sniffed[1] == "application/pdf"
    asked, fetched, *_ = peer.asked
    assert (asked.path, asked.query) == ("/v25.0/42", {"phone_number_id": NUMBER})
    assert fetched.headers["authorization"] == "Bearer canary-token"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"url": "https://evil.example/steal"}, Failure.CONTENT_REJECTED),
        ({"url": "https://evilfbsbx.com/steal"}, Failure.CONTENT_REJECTED),
        ({"url": "http://lookaside.fbsbx.com/x"}, Failure.CONTENT_REJECTED),
        ({"url": "https://[broken"}, Failure.CONTENT_REJECTED),
        ({}, Failure.CONTENT_REJECTED),
        ({"url": "{base}/f", "file_size": 101}, Failure.CONTENT_REJECTED),
        ({"error": {"code": 190}}, Failure.ACCOUNT_PROBLEM),
    ],
)
async def test_the_token_goes_nowhere_but_to_meta(
    where: dict[str, Any], expected: Failure, adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    if "url" in where:
        where = {**where, "url": where["url"].replace("{base}", connected.settings.api_base)}
    peer.will(answer(where))
    with pytest.raises(SendFailed) as caught:
        await adapter.media(connected, Attachment(kind=AttachmentKind.IMAGE, media_id="42"), max_bytes=100)
    assert (caught.value.failure, len(peer.asked)) == (expected, 1)


async def test_media_that_is_gone_or_too_large(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    where = answer({"url": f"{connected.settings.api_base}/f"})
    for reply, expected in (
        (answer(b"x" * 101), Failure.CONTENT_REJECTED),
        (answer("gone", status=404), Failure.UNKNOWN),
        (answer("", status=503), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ):
        peer.will(where, reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, Attachment(kind=AttachmentKind.IMAGE, media_id="42"), max_bytes=100)
        assert caught.value.failure is expected


async def test_check_names_the_number(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"display_phone_number": "+1 555", "verified_name": "Shop", "quality_rating": "GREEN", "id": "1"}))
    assert await adapter.check(connected) == "Connected to Shop (+1 555). Quality: green."
    assert peer.asked[0].path == f"/v25.0/{NUMBER}"
    peer.will(answer({"error": {"code": 100, "error_subcode": 33, "message": "no such object"}}, status=400))
    with pytest.raises(SendFailed) as caught:
        await adapter.check(connected)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM
    peer.will(answer({"id": "1"}))
    with pytest.raises(SendFailed):
        await adapter.check(connected)


async def test_register_webhook_gives_the_number_an_address(
    adapter: WhatsAppAdapter, connected: Account, peer: Peer
) -> None:
    url = "https://crm.example.com/webhooks/whatsapp/chn_wa"
    peer.will(answer({"success": True}))
    assert url in (await adapter.register_webhook(connected, url) or "")
    business, number = peer.asked
    assert business.path == f"/v25.0/{BUSINESS}/subscribed_apps"
    assert number.path == f"/v25.0/{NUMBER}"
    where = {"override_callback_uri": url, "verify_token": "canary-word"}
    assert number.json == {"webhook_configuration": where}
    peer.will(answer({"error": {"code": 2200, "message": "callback verification failed"}}, status=400))
    with pytest.raises(SendFailed) as caught:
        await adapter.register_webhook(connected, url)
    assert "canary" not in str(caught.value)


async def test_reactions(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    for emoji, told in (("👍", "👍"), (None, "")):
        peer.will(TAKEN)
        peer.asked.clear()
        reaction = OutboundReaction(message_id="wamid.IN", emoji=emoji)
        assert (await adapter.react(connected, out(reaction=reaction))).message_ids == ("wamid.OUT",)
        [asked] = peer.asked
        assert asked.json == {
            "messaging_product": "whatsapp", "recipient_type": "individual", "to": "491701234567",
            "biz_opaque_callback_data": "send-key-1", "type": "reaction",
            "reaction": {"message_id": "wamid.IN", "emoji": told},
        }  # fmt: skip
    able = adapter.capabilities.reacting
    assert able is not None and able.takes("🦄") and able.within_s == 30 * 24 * 3600
    peer.will(refused(131009))
    with pytest.raises(SendFailed):
        await adapter.react(connected, out(reaction=OutboundReaction(message_id="wamid.OLD", emoji="👍")))
