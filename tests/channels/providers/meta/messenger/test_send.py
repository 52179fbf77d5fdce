"""Sending, files, profiles and set-up, against a peer that plays the Graph API."""

from __future__ import annotations

from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.meta.messenger.adapter import MessengerAdapter
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
from tests.channels.providers.meta.messenger.conftest import ANNA_ID, PAGE, account

ANNA = Address(channel_id="chn_ms", external_id=ANNA_ID)
TAKEN = answer({"recipient_id": ANNA_ID, "message_id": "m_out"})
IMAGE = Attachment(kind=AttachmentKind.IMAGE, url="https://shop.example/a.jpg")
CLOSED = (10, 2018278)


def refused(code: int, subcode: int | None = None, status: int = 400, **headers: str) -> Reply:
    error = {"code": code, "message": f"(#{code}) no", **({"error_subcode": subcode} if subcode else {})}
    return answer({"error": error}, status=status, headers=headers)


def out(to: Address = ANNA, **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="send-key-1", to=to, **fields)


async def sent(
    adapter: MessengerAdapter, account: Account, peer: Peer, message: OutboundMessage
) -> list[dict[str, Any]]:
    """The bodies the peer was given."""
    peer.will(TAKEN)
    peer.asked.clear()
    receipt = await adapter.send(account, message)
    assert receipt.message_ids == ("m_out",) * len(peer.asked)
    return [asked.json for asked in peer.asked]


async def failure(adapter: MessengerAdapter, account: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message)
    assert "canary" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.detail}"
    return caught.value


# -- what goes out ------------------------------------------------------------------------------------------


async def test_text(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    [body] = await sent(adapter, connected, peer, out(text="hi", reply_to="m_q"))
    assert body == {
        "recipient": {"id": ANNA_ID},
        "messaging_type": "RESPONSE",
        "message": {"text": "hi", "metadata": "send-key-1"},
        "reply_to": {"mid": "m_q"},
    }
    [asked] = peer.asked
    assert (asked.method, asked.path) == ("POST", f"/v25.0/{PAGE}/messages")
    assert asked.headers["authorization"] == "Bearer canary-token"
    assert asked.query == {}


async def test_a_machines_message_is_an_update(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    [body] = await sent(adapter, connected, peer, out(text="hi", automatic=True))
    assert body["messaging_type"] == "UPDATE"


@pytest.mark.parametrize(
    ("external_id", "reply_to", "recipient"),
    [
        ("user_ref:abc", None, {"user_ref": "abc"}),
        (ANNA_ID, "comment:1_2", {"comment_id": "1_2"}),
        (ANNA_ID, "comment:", {"id": ANNA_ID}),
    ],
)
async def test_recipients(
    external_id: str,
    reply_to: str | None,
    recipient: dict[str, str],
    adapter: MessengerAdapter,
    connected: Account,
    peer: Peer,
) -> None:
    to = Address(channel_id="chn_ms", external_id=external_id)
    [body] = await sent(adapter, connected, peer, out(to, text="hi", reply_to=reply_to))
    assert body["recipient"] == recipient
    assert ("reply_to" in body) is (reply_to == "comment:")


async def test_quick_replies(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="Yes", payload="y"), *(Button(title=f"No {i}") for i in range(12)))
    [body] = await sent(adapter, connected, peer, out(text="Sure?", buttons=buttons))
    assert len(body["message"]["quick_replies"]) == 13
    assert body["message"]["quick_replies"][:2] == [
        {"content_type": "text", "title": "Yes", "payload": "y"},
        {"content_type": "text", "title": "No 0", "payload": "No 0"},
    ]


async def test_a_link_makes_a_template(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    buttons = (Button(title="Track", url="https://shop.example/t"), Button(title="Help", payload="h"))
    [body] = await sent(adapter, connected, peer, out(text="On its way", buttons=buttons))
    assert body["message"]["attachment"] == {
        "type": "template",
        "payload": {
            "template_type": "button",
            "text": "On its way",
            "buttons": [
                {"type": "web_url", "title": "Track", "url": "https://shop.example/t"},
                {"type": "postback", "title": "Help", "payload": "h"},
            ],
        },
    }


async def test_files_then_text(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    voice = Attachment(kind=AttachmentKind.VOICE, media_id="9", caption="listen")
    found = await sent(adapter, connected, peer, out(text="both", attachments=(IMAGE, voice), reply_to="m_q"))
    assert [body["message"] for body in found] == [
        {
            "attachment": {"type": "image", "payload": {"url": IMAGE.url, "is_reusable": False}},
            "metadata": "send-key-1",
        },
        {"attachment": {"type": "audio", "payload": {"attachment_id": "9"}}, "metadata": "send-key-1"},
        {"text": "listen", "metadata": "send-key-1"},
        {"text": "both", "metadata": "send-key-1"},
    ]
    assert [("reply_to" in body) for body in found] == [True, False, False, False]


async def test_stored_bytes_are_uploaded_first(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    file = Attachment(kind=AttachmentKind.FILE, media_type="application/pdf", file_name='bi"ll.pdf', content=b"%PDF")
    peer.will(answer({"attachment_id": "4711"}), TAKEN)
    await adapter.send(connected, out(attachments=(file,)))
    upload, posted = peer.asked
    assert upload.path == f"/v25.0/{PAGE}/message_attachments"
    assert b'name="filedata"; filename="bill.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n' in upload.body
    assert b'{"attachment": {"type": "file", "payload": {"is_reusable": false}}}' in upload.body
    assert posted.json["message"]["attachment"]["payload"] == {"attachment_id": "4711"}


async def test_a_failed_upload_sends_nothing(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    file = Attachment(kind=AttachmentKind.FILE, content=b"%PDF")
    for reply in (cut, answer({}), answer("", status=503)):
        peer.will(reply)
        peer.asked.clear()
        assert (await failure(adapter, connected, out(attachments=(file,)))).failure is Failure.TEMPORARY
        assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Failure.CONTENT_REJECTED),
        ({"text": "x" * 2001}, Failure.NOT_SUPPORTED),
        ({"location": Location(latitude=1, longitude=2)}, Failure.NOT_SUPPORTED),
        ({"template": TemplateCall(name="a", language="en")}, Failure.NOT_SUPPORTED),
        ({"attachments": (Attachment(kind=AttachmentKind.STICKER, media_id="1"),)}, Failure.NOT_SUPPORTED),
        ({"attachments": (IMAGE.model_copy(update={"size_bytes": 25_000_001}),)}, Failure.NOT_SUPPORTED),
        ({"attachments": (Attachment(kind=AttachmentKind.IMAGE),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": (Button(title="x" * 21),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "buttons": tuple(Button(title=str(i)) for i in range(14))}, Failure.NOT_SUPPORTED),
        ({"buttons": (Button(title="ok"),)}, Failure.CONTENT_REJECTED),
        (
            {"text": "x", "buttons": tuple(Button(title=str(i), url="https://x") for i in range(4))},
            Failure.NOT_SUPPORTED,
        ),
        ({"text": "x" * 641, "buttons": (Button(title="a", url="https://x"),)}, Failure.CONTENT_REJECTED),
        ({"text": "x", "attachments": (IMAGE,), "reply_to": "comment:1"}, Failure.NOT_SUPPORTED),
    ],
)
async def test_what_messenger_has_no_form_for_is_refused_before_the_call(
    fields: dict[str, Any], expected: Failure, adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    failed = await failure(adapter, connected, out(**fields))
    assert failed.failure is expected
    assert failed.detail
    assert peer.asked == []


# -- what comes back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (refused(4, status=429), Failure.RATE_LIMITED, "4"),
        (refused(9, 2018352), Failure.RATE_LIMITED, "9/2018352"),
        (refused(613), Failure.RATE_LIMITED, "613"),
        (refused(80006), Failure.RATE_LIMITED, "80006"),
        (refused(1200), Failure.TEMPORARY, "1200"),
        (refused(2, status=500), Failure.TEMPORARY, "2"),
        (refused(*CLOSED), Failure.WINDOW_CLOSED, "10/2018278"),
        (refused(10, 2534022), Failure.WINDOW_CLOSED, "10/2534022"),
        (refused(10, 2018300), Failure.NOT_SUPPORTED, "10/2018300"),
        (refused(10), Failure.ACCOUNT_PROBLEM, "10"),
        (refused(10, 1), Failure.ACCOUNT_PROBLEM, "10/1"),
        (refused(190, 463, status=401), Failure.ACCOUNT_PROBLEM, "190/463"),
        (refused(200), Failure.ACCOUNT_PROBLEM, "200"),
        (refused(230), Failure.ACCOUNT_PROBLEM, "230"),
        (refused(368), Failure.ACCOUNT_PROBLEM, "368"),
        (refused(551, 1545041), Failure.RECIPIENT_UNREACHABLE, "551/1545041"),
        (refused(100, 2018001), Failure.RECIPIENT_UNREACHABLE, "100/2018001"),
        (refused(100, 33), Failure.RECIPIENT_UNREACHABLE, "100/33"),
        (refused(100, 2534014), Failure.RECIPIENT_UNREACHABLE, "100/2534014"),
        (refused(100), Failure.CONTENT_REJECTED, "100"),
        (refused(777777), Failure.UNKNOWN, "777777"),
        (answer("<html>bad gateway</html>", status=502), Failure.TEMPORARY, "502"),
        (answer({"recipient_id": ANNA_ID}), Failure.UNCERTAIN, None),
        (answer("not json"), Failure.UNCERTAIN, "200"),
        (cut, Failure.UNCERTAIN, None),
        (slow(5), Failure.UNCERTAIN, None),
    ],
)
async def test_each_class_of_failure(
    reply: Reply, expected: Failure, code: str | None, adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    failed = await failure(adapter, connected, out(text="hi"))
    assert (failed.failure, failed.provider_code, len(peer.asked)) == (expected, code, 1)
    assert str(failed)


async def test_retry_after_is_honoured(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    peer.will(refused(613, status=429, **{"Retry-After": "12"}))
    assert (await failure(adapter, connected, out(text="hi"))).retry_after_s == 12.0


async def test_a_half_sent_message_is_never_repeated_as_a_whole(
    adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    for reply, expected in ((refused(613), Failure.UNCERTAIN), (cut, Failure.UNCERTAIN), (refused(551), None)):
        peer.will(TAKEN, reply)
        failed = await failure(adapter, connected, out(text="after", attachments=(IMAGE,)))
        assert failed.failure is (expected or Failure.RECIPIENT_UNREACHABLE)


# -- the days after the window ----------------------------------------------------------------------------


async def test_a_persons_answer_goes_again_as_human_agent(
    adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    permitted = account(api_base=connected.settings.api_base, human_agent=True)
    peer.will(refused(*CLOSED), TAKEN)
    assert (await adapter.send(permitted, out(text="hi"))).message_ids == ("m_out",)
    first, second = (asked.json for asked in peer.asked)
    assert (first["messaging_type"], "tag" in first) == ("RESPONSE", False)
    assert second == {**first, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}


@pytest.mark.parametrize(
    ("permitted", "fields"),
    [(False, {}), (True, {"automatic": True}), (True, {"reply_to": "comment:1"})],
)
async def test_nobody_else_is_tagged(
    permitted: bool, fields: dict[str, Any], adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    given = account(api_base=connected.settings.api_base, human_agent=permitted)
    peer.will(refused(*CLOSED))
    assert (await failure(adapter, given, out(text="hi", **fields))).failure is Failure.WINDOW_CLOSED
    assert len(peer.asked) == 1


async def test_after_seven_days_it_is_over(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    permitted = account(api_base=connected.settings.api_base, human_agent=True)
    peer.will(refused(*CLOSED))
    assert (await failure(adapter, permitted, out(text="hi"))).failure is Failure.WINDOW_CLOSED
    assert len(peer.asked) == 2


# -- files, profiles, set-up ------------------------------------------------------------------------------


def file_at(connected: Account, path: str = "file") -> Attachment:
    return Attachment(kind=AttachmentKind.IMAGE, url=f"{connected.settings.api_base}/{path}")


async def test_media_without_our_token(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer(status=302, headers={"Location": "/moved"}), answer(b"%PDF-1.7 no picture"))
    found = await adapter.media(connected, file_at(connected), max_bytes=100)
    assert found == (b"%PDF-1.7 no picture", "application/pdf")
    assert [asked.path for asked in peer.asked] == ["/file", "/moved"]
    assert not any("authorization" in asked.headers for asked in peer.asked)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer(b"x" * 101), Failure.CONTENT_REJECTED),
        (answer("", status=403), Failure.CONTENT_REJECTED),
        (answer("", status=410), Failure.CONTENT_REJECTED),
        (answer("", status=429), Failure.RATE_LIMITED),
        (answer("", status=503), Failure.TEMPORARY),
        (answer("", status=302, headers={"Location": "http://10.0.0.1/inside"}), Failure.CONTENT_REJECTED),
        (answer("", status=302, headers={"Location": "/round"}), Failure.CONTENT_REJECTED),
        (answer("", status=302, headers={"Location": "https://[odd"}), Failure.CONTENT_REJECTED),
        (cut, Failure.TEMPORARY),
    ],
)
async def test_media_that_is_gone(
    reply: Reply, expected: Failure, adapter: MessengerAdapter, connected: Account, peer: Peer
) -> None:
    peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await adapter.media(connected, file_at(connected), max_bytes=100)
    assert caught.value.failure is expected
    assert len(peer.asked) <= 3


async def test_no_media_without_an_address(adapter: MessengerAdapter, connected: Account) -> None:
    for url in (None, "IMAGE_URL", "file:///etc/passwd", "https://[odd", "http://10.0.0.1/inside"):
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, Attachment(kind=AttachmentKind.IMAGE, url=url), max_bytes=100)
        assert caught.value.failure is Failure.CONTENT_REJECTED


async def test_lookup(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"first_name": "Anna", "last_name": "Berg", "profile_pic": "https://cdn.example/a", "id": "1"}))
    person = await adapter.lookup(connected, ANNA_ID)
    assert person is not None
    assert (person.name, person.avatar_url) == ("Anna Berg", "https://cdn.example/a")
    assert peer.asked[0].path == f"/v25.0/{ANNA_ID}"
    peer.will(answer({"id": "1"}))
    assert await adapter.lookup(connected, ANNA_ID) is None
    peer.will(refused(100, 33))
    assert await adapter.lookup(connected, ANNA_ID) is None
    assert await adapter.lookup(connected, "user_ref:abc") is None
    peer.will(refused(190))
    with pytest.raises(SendFailed):
        await adapter.lookup(connected, ANNA_ID)


async def test_check_asks_whose_token_it_is(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"id": PAGE, "name": "Shop"}))
    assert await adapter.check(connected) == "Connected to Shop."
    assert (peer.asked[0].method, peer.asked[0].path) == ("GET", "/v25.0/me")
    for reply in (answer({"id": "1", "name": "Other"}), answer({}), refused(100, 33), refused(190)):
        peer.will(reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.check(connected)
        assert caught.value.failure is Failure.ACCOUNT_PROBLEM


async def test_register_webhook(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    url = "https://crm.example.com/webhooks/messenger/chn_ms"
    peer.will(answer({"success": True}))
    assert url in (await adapter.register_webhook(connected, url) or "")
    [page] = peer.asked
    assert page.path == f"/v25.0/{PAGE}/subscribed_apps"
    assert {"messages", "message_echoes", "standby", "feed"} <= set(page.json["subscribed_fields"].split(","))
    peer.asked.clear()
    known = account(api_base=connected.settings.api_base, app_id="42")
    assert await adapter.register_webhook(known, url) == f"Messenger now posts to {url}."
    app, page = peer.asked
    assert (app.path, app.headers["authorization"]) == ("/v25.0/42/subscriptions", "Bearer 42|canary-app-secret")
    assert (app.json["object"], app.json["callback_url"], app.json["verify_token"]) == ("page", url, "canary-word")
    peer.will(refused(2200))
    with pytest.raises(SendFailed):
        await adapter.register_webhook(known, url)


async def test_reactions(adapter: MessengerAdapter, connected: Account, peer: Peer) -> None:
    for emoji, told in (("❤️", {"reaction": "❤️"}), (None, {})):
        peer.will(answer({"recipient_id": ANNA_ID}))
        peer.asked.clear()
        reaction = OutboundReaction(message_id="m_in", emoji=emoji)
        assert (await adapter.react(connected, out(reaction=reaction))).message_ids == ()
        [asked] = peer.asked
        action = "react" if emoji else "unreact"
        payload = {"message_id": "m_in", **told}
        assert asked.json == {"recipient": {"id": ANNA_ID}, "sender_action": action, "payload": payload}
