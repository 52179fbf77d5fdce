"""Sending, files, the check and registering, against a peer that plays Twilio."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.twilio.adapter import TwilioAdapter
from channels.providers.twilio.card import API_BASE, TwilioSettings
from channels.providers.twilio.compose import forms
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMessage,
    TemplateCall,
)
from tests.channels.peer import Asked, Peer, Reply, answer, cut, loopback_client, slow
from tests.conftest import LocalServer

SID, SERVICE = "AC" + "0" * 32, "MG" + "1" * 32
TOKEN = "canary-auth-token"
BASIC = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
PHONE, ANNA = "+15558675309", "whatsapp:+491701234567"
CALLBACK = ("StatusCallback", "https://crm.example.com/webhooks/twilio/chn_tw?send=snd%3A1")
TAKEN = answer({"sid": "SM1", "status": "queued", "error_code": None}, status=201)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
HX = "HX" + "a" * 32


def account_at(base: str, base_url: str = "https://crm.example.com", **settings: str) -> Account:
    given = {"account_sid": SID, "auth_token": TOKEN, "from_number": "+15550001111", "api_base": base, **settings}
    return Account("chn_tw", "twilio", "Shop", TwilioSettings.model_validate(given), base_url=base_url)


def out(to: str = PHONE, **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd:1", to=Address(channel_id="chn_tw", external_id=to), **fields)


def file(kind: AttachmentKind = AttachmentKind.IMAGE, **more: Any) -> Attachment:
    return Attachment(kind=kind, **{"url": "https://crm.example.com/f/a.jpg", **more})


def refused(code: int | None, status: int = 400, message: str = "because", **headers: str) -> Reply:
    return answer({"code": code, "message": message, "status": status}, status=status, headers=headers)


def form(asked: Asked) -> list[tuple[str, str]]:
    return parse_qsl(asked.body.decode(), keep_blank_values=True)


@pytest.fixture
def peer() -> Peer:
    return Peer([TAKEN])


@pytest.fixture
async def base(peer: Peer, local_server: LocalServer) -> str:
    return await local_server(peer.app())


@pytest.fixture
def account(base: str) -> Account:
    return account_at(base)


@pytest.fixture
async def adapter() -> AsyncIterator[TwilioAdapter]:
    client = loopback_client()
    made = TwilioAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()


async def sent(
    adapter: TwilioAdapter, account: Account, peer: Peer, message: OutboundMessage
) -> list[list[tuple[str, str]]]:
    """The forms the peer was given."""
    peer.asked.clear()
    receipt = await adapter.send(account, message)
    assert receipt.message_ids == ("SM1",) * len(peer.asked)
    return [form(asked) for asked in peer.asked]


async def failure(adapter: TwilioAdapter, account: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message)
    assert "canary" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.detail}"
    return caught.value


# -- what goes out -----------------------------------------------------------------------------------------


async def test_text(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    [given] = await sent(adapter, account, peer, out(text="Grüße & 👋"))
    assert given == [("To", PHONE), ("From", "+15550001111"), CALLBACK, ("Body", "Grüße & 👋")]
    [asked] = peer.asked
    assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json")
    assert asked.headers["authorization"] == BASIC
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("sender", ["+15550001111", "whatsapp:+15550001111"])
@pytest.mark.parametrize(("to", "sent_from"), [(PHONE, "+15550001111"), (ANNA, "whatsapp:+15550001111")])
async def test_the_answer_goes_out_on_the_same_channel(
    adapter: TwilioAdapter, base: str, peer: Peer, sender: str, to: str, sent_from: str
) -> None:
    [given] = await sent(adapter, account_at(base, from_number=sender), peer, out(to, text="a"))
    assert dict(given)["From"] == sent_from and dict(given)["To"] == to


async def test_messaging_service(adapter: TwilioAdapter, base: str, peer: Peer) -> None:
    [given] = await sent(adapter, account_at(base, messaging_service_sid=SERVICE), peer, out(text="a"))
    assert dict(given)["MessagingServiceSid"] == SERVICE and "From" not in dict(given)


@pytest.mark.parametrize(
    ("here", "api_base", "asked_for"),
    [
        ("https://crm.example.com", API_BASE, True),
        ("https://93.184.215.14", API_BASE, True),
        ("http://localhost:8080", API_BASE, False),
        ("https://rapport", API_BASE, False),
        ("http://127.0.0.1:8080", API_BASE, False),
        ("http://[::1]:8080", API_BASE, False),
        ("http://127.0.0.1:8080", "http://127.0.0.1:9000", True),
    ],
)
def test_a_callback_where_twilio_can_go(here: str, api_base: str, asked_for: bool) -> None:
    """Twilio refuses a message with a callback to a private address; a stand-in for Twilio may reach it."""
    [given] = forms(account_at(api_base, here), out(text="a"))
    assert ("StatusCallback" in dict(given)) is asked_for


async def test_the_callback_goes_to_the_address_that_is_signed(adapter: TwilioAdapter, base: str, peer: Peer) -> None:
    elsewhere = account_at(base, webhook_url="https://hooks.example.com/tw")
    [given] = await sent(adapter, elsewhere, peer, out(text="a"))
    assert dict(given)["StatusCallback"] == "https://hooks.example.com/tw?send=snd%3A1"


async def test_one_mms_with_several_files(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    files = tuple(file(url=f"https://crm.example.com/f/{place}") for place in range(11))
    first, second = await sent(adapter, account, peer, out(text="Look", attachments=files))
    assert [value for name, value in first if name == "MediaUrl"] == [each.url for each in files[:10]]
    assert dict(first)["Body"] == "Look" and "Body" not in dict(second)


async def test_whatsapp_takes_one_file_to_a_message(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    files = (file(), file(AttachmentKind.FILE, url="https://crm.example.com/f/a.pdf", caption="The bill"))
    first, second = await sent(adapter, account, peer, out(ANNA, text="Look", attachments=files))
    assert dict(first)["Body"] == "Look" and dict(second)["Body"] == "The bill"


async def test_a_text_follows_what_has_none_below_it(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    voice = file(AttachmentKind.VOICE)
    first, second = await sent(adapter, account, peer, out(ANNA, text="Listen", attachments=(voice,)))
    assert "Body" not in dict(first) and dict(second)["Body"] == "Listen"


async def test_location(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    shop = Location(latitude=52.16, longitude=4.5, name="Tea house", address="Breestraat 1")
    [first] = map(dict, await sent(adapter, account, peer, out(ANNA, location=shop)))
    bare = out(ANNA, location=Location(latitude=52.16, longitude=4.5))
    [second] = map(dict, await sent(adapter, account, peer, bare))
    assert (first["Body"], first["PersistentAction"]) == ("Tea house", "geo:52.16,4.5|Breestraat 1")
    assert (second["Body"], second["PersistentAction"]) == ("52.16,4.5", "geo:52.16,4.5")


async def test_template(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    call = TemplateCall(name=HX, language="de", header=("Tee",), body=("Anna", "7"), buttons=("x",))
    [given] = await sent(adapter, account, peer, out(ANNA, text="not sent", template=call))
    assert dict(given)["ContentSid"] == HX and "Body" not in dict(given)
    assert dict(given)["ContentVariables"] == '{"1":"Tee","2":"Anna","3":"7","4":"x"}'


async def test_template_without_variables(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    [given] = await sent(adapter, account, peer, out(ANNA, template=TemplateCall(name=HX, language="de")))
    assert "ContentVariables" not in dict(given)


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (out(), Failure.CONTENT_REJECTED),
        (out(text="  "), Failure.CONTENT_REJECTED),
        (out(text="x" * 1601), Failure.NOT_SUPPORTED),
        (out(text="x", buttons=(Button(title="a"),)), Failure.NOT_SUPPORTED),
        (out(location=Location(latitude=1, longitude=2)), Failure.NOT_SUPPORTED),
        (out(attachments=(file(url=None, content=PNG),)), Failure.NOT_SUPPORTED),
        (out(attachments=(file(AttachmentKind.STICKER),)), Failure.NOT_SUPPORTED),
        (out(attachments=(file(AttachmentKind.VIDEO, size_bytes=6_000_000),)), Failure.NOT_SUPPORTED),
        (out(ANNA, template=TemplateCall(name="welcome", language="de")), Failure.CONTENT_REJECTED),
    ],
)
async def test_refused_before_any_call(
    adapter: TwilioAdapter, account: Account, peer: Peer, message: OutboundMessage, expected: Failure
) -> None:
    found = await failure(adapter, account, message)
    assert found.failure is expected and found.detail and not peer.asked


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (20429, 429, Failure.RATE_LIMITED),
        (30001, 400, Failure.RATE_LIMITED),
        (63018, 400, Failure.RATE_LIMITED),
        (14107, 400, Failure.RATE_LIMITED),
        (None, 429, Failure.RATE_LIMITED),
        (30003, 400, Failure.TEMPORARY),
        (30008, 400, Failure.TEMPORARY),
        (30017, 400, Failure.TEMPORARY),
        (20500, 500, Failure.TEMPORARY),
        (None, 502, Failure.TEMPORARY),
        (63016, 400, Failure.WINDOW_CLOSED),
        (21610, 400, Failure.CONSENT_WITHDRAWN),
        *((code, 400, Failure.RECIPIENT_UNREACHABLE) for code in (21211, 21214, 21217, 21408, 21614, 30005, 30006)),
        *((code, 400, Failure.RECIPIENT_UNREACHABLE) for code in (63003, 63024)),
        (30004, 400, Failure.RECIPIENT_BLOCKED),
        *((code, 400, Failure.CONTENT_REJECTED) for code in (21602, 21617, 30007, 63013, 63015, 63032)),
        *((code, 400, Failure.ACCOUNT_PROBLEM) for code in (30002, 30034)),
        (20003, 401, Failure.ACCOUNT_PROBLEM),
        (None, 401, Failure.ACCOUNT_PROBLEM),
        (None, 403, Failure.ACCOUNT_PROBLEM),
        (12345, 400, Failure.UNKNOWN),
        (None, 504, Failure.UNCERTAIN),
    ],
)
async def test_refusals(
    adapter: TwilioAdapter, account: Account, peer: Peer, code: int | None, status: int, expected: Failure
) -> None:
    peer.will(refused(code, status))
    found = await failure(adapter, account, out(text="a"))
    assert (found.failure, found.provider_code, found.detail) == (expected, str(code or status), "because")


async def test_slow_down(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    peer.will(refused(20429, 429, **{"Retry-After": "7"}))
    assert (await failure(adapter, account, out(text="a"))).retry_after_s == 7


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (slow(5), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
        (answer("<html>", status=201), Failure.UNCERTAIN),
        (answer("<html>", status=503), Failure.TEMPORARY),
        (answer({"status": "queued"}, status=201), Failure.UNCERTAIN),
        (answer([1], status=201), Failure.UNCERTAIN),
        (answer({"sid": "SM1", "status": "failed", "error_code": 21610}, status=201), Failure.CONSENT_WITHDRAWN),
        (answer("", status=302, headers={"Location": "http://evil.example/"}), Failure.UNKNOWN),
    ],
)
async def test_odd_answers(
    adapter: TwilioAdapter, account: Account, peer: Peer, reply: Reply, expected: Failure
) -> None:
    peer.will(reply)
    assert (await failure(adapter, account, out(text="a"))).failure is expected
    assert len(peer.asked) == 1, "a send without idempotency is never repeated by the adapter"


async def test_nobody_there(adapter: TwilioAdapter) -> None:
    assert (await failure(adapter, account_at("http://127.0.0.1:1"), out(text="a"))).failure is Failure.TEMPORARY
    assert (await failure(adapter, account_at("http://10.0.0.1"), out(text="a"))).failure is Failure.ACCOUNT_PROBLEM


async def test_the_second_part_fails(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    message = out(ANNA, text="b", attachments=(file(AttachmentKind.AUDIO),))
    peer.will(TAKEN, refused(20429, 429))
    found = await failure(adapter, account, message)
    assert found.failure is Failure.UNCERTAIN and "1 of 2" in found.detail
    peer.will(TAKEN, refused(63016))
    assert (await failure(adapter, account, message)).failure is Failure.WINDOW_CLOSED


# -- files -------------------------------------------------------------------------------------------------


def raw(body: bytes, **headers: str) -> Reply:
    return answer(body, headers={"Content-Type": "application/octet-stream", **headers})


async def fetched(adapter: TwilioAdapter, account: Account, url: str, max_bytes: int = 1000) -> tuple[bytes, str]:
    found = Attachment(kind=AttachmentKind.IMAGE, media_id=url, media_type="image/jpeg")
    return await adapter.media(account, found, max_bytes=max_bytes)


async def media_failure(adapter: TwilioAdapter, account: Account, url: str) -> Failure:
    with pytest.raises(SendFailed) as caught:
        await fetched(adapter, account, url)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value.failure


async def test_file_with_credentials(adapter: TwilioAdapter, account: Account, base: str, peer: Peer) -> None:
    peer.will(raw(PNG))
    assert await fetched(adapter, account, f"{base}/Media/ME1") == (PNG, "image/png")
    assert peer.asked[0].headers["authorization"] == BASIC


async def test_a_redirect_gets_no_credentials(
    adapter: TwilioAdapter, account: Account, base: str, peer: Peer, local_server: LocalServer
) -> None:
    storage = Peer([raw(b"text")])
    there = await local_server(storage.app())
    peer.will(answer("", status=307, headers={"Location": f"{there}/signed?X-Amz-Signature=1"}))
    assert await fetched(adapter, account, f"{base}/Media/ME1") == (b"text", "image/jpeg")
    assert storage.asked[0].query == {"X-Amz-Signature": "1"} and "authorization" not in storage.asked[0].headers


async def test_a_redirect_back_gets_no_credentials_either(
    adapter: TwilioAdapter, account: Account, base: str, peer: Peer
) -> None:
    peer.will(answer("", status=302, headers={"Location": "/other"}), raw(b"x"))
    await fetched(adapter, account, f"{base}/Media/ME1")
    assert peer.asked[1].path == "/other" and "authorization" not in peer.asked[1].headers


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (raw(b"x" * 1001), Failure.CONTENT_REJECTED),
        (answer("", status=404), Failure.CONTENT_REJECTED),
        (refused(20003, 401), Failure.ACCOUNT_PROBLEM),
        (answer("", status=503), Failure.TEMPORARY),
        (answer("", status=429), Failure.RATE_LIMITED),
        (slow(5), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
        (answer("", status=302), Failure.CONTENT_REJECTED),
        (answer("", status=302, headers={"Location": "http://10.0.0.1/inside"}), Failure.CONTENT_REJECTED),
    ],
)
async def test_files_that_do_not_come(
    adapter: TwilioAdapter, account: Account, base: str, peer: Peer, reply: Reply, expected: Failure
) -> None:
    adapter.timeout_s = 0.5  # a file may take four times as long
    peer.will(reply)
    assert await media_failure(adapter, account, f"{base}/Media/ME1") is expected


async def test_round_and_round(adapter: TwilioAdapter, account: Account, base: str, peer: Peer) -> None:
    async def onwards(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": request.path + "x"})

    peer.will(onwards)
    assert await media_failure(adapter, account, f"{base}/a") is Failure.CONTENT_REJECTED
    assert len(peer.asked) == 4


@pytest.mark.parametrize(
    "url",
    [
        "",
        "www.contoso.com",
        "https://evil.example/Media/ME1",
        "https://twilio.com.evil.example/x",
        "https://eviltwilio.com/x",
        "http://api.twilio.com/x",
        "https://api.twilio.com@evil.example/x",
        "https://[x",
    ],
)
async def test_credentials_go_to_twilio_alone(adapter: TwilioAdapter, account: Account, peer: Peer, url: str) -> None:
    assert await media_failure(adapter, account, url) is Failure.CONTENT_REJECTED
    assert not peer.asked


# -- the check, and registering ----------------------------------------------------------------------------

ACTIVE = answer({"friendly_name": "Tea Ltd", "status": "active"})


def numbers(**fields: Any) -> Reply:
    return answer({"incoming_phone_numbers": [{"sid": "PN1", **fields}]})


async def test_check(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    peer.will(ACTIVE, numbers(sms_url="https://x"))
    assert await adapter.check(account) == "Connected to Tea Ltd, number +15550001111. A webhook is set."
    assert peer.asked[0].path == f"/2010-04-01/Accounts/{SID}.json"
    assert peer.asked[1].query == {"PhoneNumber": "+15550001111"}
    peer.will(ACTIVE, answer({"incoming_phone_numbers": []}))
    assert "is not one of its phone numbers" in await adapter.check(account)


async def test_check_of_a_service(adapter: TwilioAdapter, base: str, peer: Peer) -> None:
    peer.will(ACTIVE, answer({"friendly_name": "News"}))
    assert await adapter.check(account_at(base, messaging_service_sid=SERVICE)) == (
        "Connected to Tea Ltd, messaging service News."
    )
    assert peer.asked[1].path == f"/v1/Services/{SERVICE}"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(20003, 401), Failure.ACCOUNT_PROBLEM),
        (answer({"friendly_name": "Tea", "status": "suspended"}), Failure.ACCOUNT_PROBLEM),
        (cut, Failure.TEMPORARY),
        (answer("<html>"), Failure.TEMPORARY),
    ],
)
async def test_check_fails(
    adapter: TwilioAdapter, account: Account, peer: Peer, reply: Reply, expected: Failure
) -> None:
    peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await adapter.check(account)
    assert caught.value.failure is expected


async def test_register(adapter: TwilioAdapter, account: Account, peer: Peer) -> None:
    peer.will(numbers(), answer({"sid": "PN1"}))
    said = await adapter.register_webhook(account, "https://crm.example.com/webhooks/twilio/chn_tw")
    assert said == "+15550001111 now posts to https://crm.example.com/webhooks/twilio/chn_tw."
    assert peer.asked[1].path == f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers/PN1.json"
    assert dict(form(peer.asked[1])) == {
        "SmsUrl": "https://crm.example.com/webhooks/twilio/chn_tw",
        "SmsMethod": "POST",
    }


async def test_register_a_service(adapter: TwilioAdapter, base: str, peer: Peer) -> None:
    peer.will(answer({"sid": SERVICE}))
    assert await adapter.register_webhook(account_at(base, messaging_service_sid=SERVICE), "https://x.example/w")
    assert dict(form(peer.asked[0]))["InboundRequestUrl"] == "https://x.example/w"


async def test_what_a_person_must_register(adapter: TwilioAdapter, base: str, peer: Peer) -> None:
    assert await adapter.register_webhook(account_at(base, from_number="whatsapp:+15550001111"), "https://x") is None
    peer.will(numbers(sms_application_sid="AP1"))
    assert await adapter.register_webhook(account_at(base), "https://x") is None
    assert [asked.method for asked in peer.asked] == ["GET"]


def test_whatsapp_has_a_window_and_sms_has_none() -> None:
    adapter = TwilioAdapter(SimpleNamespace())  # type: ignore[arg-type]
    whatsapp, sms = adapter.capabilities_for("whatsapp:+15551234567"), adapter.capabilities_for("+15551234567")
    assert (whatsapp.reply_window_s, whatsapp.template_outside_window) == (86_400, True)
    assert (sms.reply_window_s, sms.template_outside_window) == (None, False)
    assert adapter.capabilities_for(None) == sms
