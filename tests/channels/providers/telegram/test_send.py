"""Sending to a Telegram played by a local server: every kind of message, of refusal and of silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from base.http import AddressGuard, HttpClient
from channels.adapter import Account
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.telegram.adapter import TelegramAdapter
from channels.providers.telegram.api import refusal
from channels.providers.telegram.parse import ALLOWED_UPDATES
from channels.providers.telegram.settings import TelegramSettings
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    MessageReceived,
    OutboundMessage,
    OutboundReaction,
    Postback,
    TemplateCall,
)
from tests.conftest import LocalServer

TOKEN = "4839574812:canary-bot-token"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


class FakeTelegram:
    """Plays the Bot API: notes each call; answers from `script`, else as the real one does on a good day."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.uploads: dict[str, bytes] = {}
        self.script: list[web.Response | float | str] = []
        self.files: dict[str, bytes] = {"photos/file_1.png": PNG}
        self.number = 100

    def app(self) -> web.Application:
        app = web.Application(client_max_size=100_000_000)
        app.router.add_post(r"/bot{token}/{method}", self.call)
        app.router.add_get(r"/file/bot{token}/{path:.+}", self.file)
        app.router.add_get("/brochure.docx", self.brochure)
        return app

    async def call(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != TOKEN:
            return refused(401, "Unauthorized")
        method = request.match_info["method"]
        self.calls.append((method, await self._parameters(request)))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, web.Response):
            return step
        if isinstance(step, float):
            await asyncio.sleep(step)
        if step == "cut":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"ok": True, "result": self._result(method)})

    async def _parameters(self, request: web.Request) -> dict[str, Any]:
        if request.content_type == "application/json":
            return dict(await request.json())
        found = {}
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                self.uploads[name] = value.file.read()
                found[name] = f"<{value.filename} {value.content_type}>"
            else:
                found[name] = str(value)
        return found

    def _result(self, method: str) -> Any:
        given = self.calls[-1][1]
        match method:
            case "getMe":
                return {"id": 4839574812, "is_bot": True, "first_name": "Tea", "username": "tea_bot"}
            case "getWebhookInfo":
                return {"url": "https://x", "pending_update_count": 3, "last_error_message": "Wrong response"}
            case "getFile":
                return {"file_id": given["file_id"], "file_path": given["file_id"]}
            case "getChat":
                return {"id": given["chat_id"], "type": "private", "first_name": "Anna", "last_name": "Visser"}
            case "sendMediaGroup":
                media = given["media"]
                return [self._message() for _ in (json.loads(media) if isinstance(media, str) else media)]
            case _ if method.startswith("send"):
                return self._message()
        return True

    def _message(self) -> dict[str, Any]:
        self.number += 1
        return {"message_id": self.number, "date": 1, "chat": {"id": 1}}

    async def file(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["path"])
        return web.Response(body=content) if content is not None else refused(404, "Not Found")

    async def brochure(self, request: web.Request) -> web.Response:
        return web.Response(body=b"PK docx")


def refused(code: int, description: str, **parameters: Any) -> web.Response:
    body = {"ok": False, "error_code": code, "description": description}
    return web.json_response({**body, **({"parameters": parameters} if parameters else {})}, status=code)


@pytest.fixture
def telegram() -> FakeTelegram:
    return FakeTelegram()


@pytest.fixture
async def base(telegram: FakeTelegram, local_server: LocalServer) -> str:
    return await local_server(telegram.app())


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(AddressGuard(["127.0.0.0/8"]))
    yield client
    await client.close()


@pytest.fixture
def adapter(http: HttpClient) -> TelegramAdapter:
    return TelegramAdapter(http)


@pytest.fixture
def account(base: str) -> Account:
    return account_at(base)


def account_at(base: str, token: str = TOKEN) -> Account:
    settings = TelegramSettings.model_validate({"bot_token": token, "secret_token": "s3cret", "api_base": base})
    return Account("chn_1", "telegram", "Tea", settings)


def to(external_id: str = "5550001", **more: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=Address(channel_id="chn_1", external_id=external_id), **more)


def image(**more: Any) -> Attachment:
    return Attachment(kind=AttachmentKind.IMAGE, **{"url": "https://cdn.example/a.jpg", **more})


# -- what is sent -----------------------------------------------------------------------------------------


async def test_text(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    receipt = await adapter.send(account, to(text="Hello 👋"))
    assert receipt.message_ids == ("5550001:101",)
    assert telegram.calls == [("sendMessage", {"chat_id": 5550001, "text": "Hello 👋"})]


async def test_reply_and_buttons(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="Shop", url="https://shop.example"), Button(title="No"))
    await adapter.send(account, to(text="?", reply_to="5550001:14", buttons=buttons))
    ((_, given),) = telegram.calls
    assert given["reply_parameters"] == {"message_id": 14, "allow_sending_without_reply": True}
    assert given["reply_markup"]["inline_keyboard"] == [
        [{"text": "Yes", "callback_data": "y"}],
        [{"text": "Shop", "url": "https://shop.example"}],
        [{"text": "No", "callback_data": "No"}],
    ]


async def test_quotes_from_elsewhere(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    """A private answer never lands in the group whose message it quotes."""
    await adapter.send(account, to(text="a", reply_to="-100123:7"))
    await adapter.send(account, to(text="b", reply_to="5550001:callback-12"))
    await adapter.send(account, to("-100123", text="c", reply_to="-100123:7"))
    first, second, third = (given for _, given in telegram.calls)
    assert first["chat_id"] == 5550001 and first["reply_parameters"]["chat_id"] == -100123
    assert "reply_parameters" not in second
    assert third["chat_id"] == -100123 and "chat_id" not in third["reply_parameters"]


async def test_business_connection(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    receipt = await adapter.send(account, to("5550001@bc_1", text="Until six.", reply_to="bc_1:5550001:41"))
    ((_, given),) = telegram.calls
    assert given["business_connection_id"] == "bc_1" and given["chat_id"] == 5550001
    assert given["reply_parameters"]["message_id"] == 41 and "chat_id" not in given["reply_parameters"]
    assert receipt.message_ids == ("bc_1:5550001:101",)


@pytest.mark.parametrize(
    ("kind", "media_type", "method", "parameter"),
    [
        (AttachmentKind.IMAGE, "image/jpeg", "sendPhoto", "photo"),
        (AttachmentKind.IMAGE, "image/gif", "sendAnimation", "animation"),
        (AttachmentKind.VIDEO, "video/mp4", "sendVideo", "video"),
        (AttachmentKind.AUDIO, "audio/mpeg", "sendAudio", "audio"),
        (AttachmentKind.VOICE, "audio/ogg", "sendVoice", "voice"),
        (AttachmentKind.FILE, "application/pdf", "sendDocument", "document"),
    ],
)
async def test_file_by_url(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram, kind: Any, media_type: str, method: str,
    parameter: str,
) -> None:  # fmt: skip
    file = Attachment(kind=kind, media_type=media_type, url="https://cdn.example/x")
    await adapter.send(account, to(text="Look", attachments=(file,)))
    sent = {"chat_id": 5550001, parameter: "https://cdn.example/x", "caption": "Look"}
    assert telegram.calls == [(method, sent)]


async def test_sticker_has_no_caption(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    sticker = Attachment(kind=AttachmentKind.STICKER, media_id="CAAC", caption="x")
    receipt = await adapter.send(account, to(text="Hi", attachments=(sticker,)))
    sent = [
        ("sendSticker", {"chat_id": 5550001, "sticker": "CAAC"}),
        ("sendMessage", {"chat_id": 5550001, "text": "Hi"}),
    ]
    assert telegram.calls == sent
    assert receipt.message_ids == ("5550001:101", "5550001:102")


async def test_other_documents_are_uploaded(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram, base: str
) -> None:
    """Telegram fetches only PDF, ZIP and GIF documents by itself."""
    await adapter.send(account, to(attachments=(Attachment(kind=AttachmentKind.FILE, url=f"{base}/brochure.docx"),)))
    ((method, given),) = telegram.calls
    assert method == "sendDocument" and given["document"] == "attach://file0" and given["chat_id"] == "5550001"
    assert telegram.uploads == {"file0": b"PK docx"}
    assert given["file0"].startswith("<brochure.docx ")


async def test_stored_bytes_are_uploaded(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    odd = 'a"b\r\nX: y.png'
    await adapter.send(account, to(text="ü", attachments=(image(url=None, content=PNG, file_name=odd),)))
    ((method, given),) = telegram.calls
    assert (method, given["photo"], given["caption"]) == ("sendPhoto", "attach://file0", "ü")
    assert telegram.uploads == {"file0": PNG}
    assert given["file0"] == "<a_b__X: y.png image/png>"


async def test_missing_file_stops_before_the_first_call(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram, base: str
) -> None:
    gone = Attachment(kind=AttachmentKind.FILE, url=f"{base}/gone.docx")
    failed = await failure_of(adapter, account, to(attachments=(image(), gone)))
    assert failed.failure is Failure.CONTENT_REJECTED and not telegram.calls


async def test_album(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    files = (*(image() for _ in range(11)), Attachment(kind=AttachmentKind.VOICE, url="https://cdn.example/v.ogg"))
    receipt = await adapter.send(account, to(text="Twelve", attachments=files))
    methods = [method for method, _ in telegram.calls]
    assert methods == ["sendMediaGroup", "sendPhoto", "sendVoice"]
    album = telegram.calls[0][1]["media"]
    assert len(album) == 10 and album[0] == {"type": "photo", "media": "https://cdn.example/a.jpg", "caption": "Twelve"}
    assert not [each for each in album[1:] if "caption" in each]
    assert len(receipt.message_ids) == 12


async def test_buttons_hang_on_the_text_after_several_files(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram
) -> None:
    await adapter.send(account, to(text="Which?", attachments=(image(), image()), buttons=(Button(title="A"),)))
    assert [method for method, _ in telegram.calls] == ["sendPhoto", "sendPhoto", "sendMessage"]
    assert ["reply_markup" in given for _, given in telegram.calls] == [False, False, True]


async def test_long_caption_goes_as_text(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    await adapter.send(account, to(text="x" * 1025, attachments=(image(),)))
    assert [method for method, _ in telegram.calls] == ["sendPhoto", "sendMessage"]


async def test_places(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    await adapter.send(account, to(location=Location(latitude=52.1, longitude=4.5)))
    shop = Location(latitude=52.1, longitude=4.5, name="Tea house", address="Breestraat 1")
    await adapter.send(account, to(text="Here:", location=shop))
    assert [method for method, _ in telegram.calls] == ["sendLocation", "sendMessage", "sendVenue"]
    assert telegram.calls[2][1] == {
        "chat_id": 5550001, "latitude": 52.1, "longitude": 4.5, "title": "Tea house", "address": "Breestraat 1",
    }  # fmt: skip


# -- what is refused --------------------------------------------------------------------------------------


async def failure_of(adapter: TelegramAdapter, account: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as raised:
        await adapter.send(account, message)
    assert TOKEN not in f"{raised.value} {raised.value!r} {raised.value.detail}"
    return raised.value


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (to(), Failure.CONTENT_REJECTED),
        (to(text="x" * 4097), Failure.NOT_SUPPORTED),
        (to(text="x", template=TemplateCall(name="t", language="en")), Failure.NOT_SUPPORTED),
        (to(text="x", buttons=(Button(title="a", payload="ü" * 33),)), Failure.CONTENT_REJECTED),
        (to(attachments=(Attachment(kind=AttachmentKind.IMAGE),)), Failure.CONTENT_REJECTED),
        (to(attachments=(image(size_bytes=10_000_001),)), Failure.NOT_SUPPORTED),
    ],
)
async def test_refused_before_any_call(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram, message: OutboundMessage, failure: Failure
) -> None:
    assert (await failure_of(adapter, account, message)).failure is failure
    assert not telegram.calls


@pytest.mark.parametrize(
    ("code", "description", "failure"),
    [
        (400, "Bad Request: chat not found", Failure.RECIPIENT_UNREACHABLE),
        (400, "Bad Request: PEER_ID_INVALID", Failure.RECIPIENT_UNREACHABLE),
        (400, "Bad Request: not enough rights: have no rights to send a message", Failure.RECIPIENT_UNREACHABLE),
        (400, "Bad Request: message text is empty", Failure.CONTENT_REJECTED),
        (400, "Bad Request: message is too long", Failure.CONTENT_REJECTED),
        (400, "Bad Request: wrong file identifier/HTTP URL specified", Failure.CONTENT_REJECTED),
        (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING", Failure.WINDOW_CLOSED),
        (401, "Unauthorized", Failure.ACCOUNT_PROBLEM),
        (403, "Forbidden: bot was blocked by the user", Failure.RECIPIENT_BLOCKED),
        (403, "Forbidden: bot was kicked from the supergroup chat", Failure.RECIPIENT_BLOCKED),
        (403, "Forbidden: user is deactivated", Failure.RECIPIENT_UNREACHABLE),
        (403, "Forbidden: bot can't initiate conversation with a user", Failure.RECIPIENT_UNREACHABLE),
        (404, "Not Found", Failure.ACCOUNT_PROBLEM),
        (409, "Conflict: terminated by other getUpdates request", Failure.ACCOUNT_PROBLEM),
        (413, "Request Entity Too Large", Failure.CONTENT_REJECTED),
        (418, "I'm a teapot", Failure.CONTENT_REJECTED),
        (500, "Internal Server Error", Failure.TEMPORARY),
        (502, "Bad Gateway", Failure.TEMPORARY),
    ],
)
async def test_refusals(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram, code: int, description: str, failure: Failure
) -> None:
    telegram.script = [refused(code, description)]
    failed = await failure_of(adapter, account, to(text="x"))
    assert (failed.failure, failed.provider_code, failed.detail) == (failure, str(code), description)


async def test_slow_down(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    telegram.script = [refused(429, "Too Many Requests: retry after 35", retry_after=35)]
    failed = await failure_of(adapter, account, to(text="x"))
    assert (failed.failure, failed.retry_after_s) == (Failure.RATE_LIMITED, 35)
    telegram.script = [web.Response(status=429, text="busy", headers={"Retry-After": "7"})]
    failed = await failure_of(adapter, account, to(text="x"))
    assert (failed.failure, failed.retry_after_s) == (Failure.RATE_LIMITED, 7)


async def test_group_moved(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    """Telegram names the new id and has sent nothing: the message goes there, without the quote that stayed behind."""
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    moved = refused(400, words, migrate_to_chat_id=-1009876543210)
    telegram.script = [moved]
    receipt = await adapter.send(account, to("-4455", text="x", reply_to="-4455:12"))
    assert receipt.message_ids == ("-1009876543210:101",)
    assert [given["chat_id"] for _, given in telegram.calls] == [-4455, -1009876543210]
    assert "reply_parameters" not in telegram.calls[1][1]


async def test_group_moved_twice(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    """Followed once; a second word of moving is told to the caller, who may try again there."""
    telegram.script = [refused(400, "upgraded", migrate_to_chat_id=number) for number in (-1001, -1002)]
    failed = await failure_of(adapter, account, to("-4455", text="x"))
    assert failed.moved_to == "-1002" and len(telegram.calls) == 2
    assert CONSEQUENCES[failed.failure].retry and not CONSEQUENCES[failed.failure].suppress_address


async def test_group_moved_and_then_no_answer(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram
) -> None:
    telegram.script = [refused(400, "upgraded", migrate_to_chat_id=-1001), "cut"]
    assert (await failure_of(adapter, account, to("-4455", text="x"))).failure is Failure.UNCERTAIN


async def test_group_moved_half_way(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    first = web.json_response({"ok": True, "result": {"message_id": 1}})
    telegram.script = [first, refused(400, "upgraded", migrate_to_chat_id=-1001)]
    voice = Attachment(kind=AttachmentKind.VOICE, url="https://cdn.example/v.ogg")
    failed = await failure_of(adapter, account, to("-4455", text="a", attachments=(image(), voice)))
    assert failed.failure is Failure.UNCERTAIN and len(telegram.calls) == 2


async def test_pages_of_a_proxy(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    telegram.script = [web.Response(status=503, text="<html>"), web.Response(status=200, text="<html>")]
    assert (await failure_of(adapter, account, to(text="x"))).failure is Failure.TEMPORARY
    assert (await failure_of(adapter, account, to(text="x"))).failure is Failure.UNCERTAIN


async def test_cut_after_accept(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    telegram.script = ["cut"]
    assert (await failure_of(adapter, account, to(text="x"))).failure is Failure.UNCERTAIN
    assert len(telegram.calls) == 1, "a send without idempotency is never repeated by the adapter"


async def test_slow(account: Account, telegram: FakeTelegram, http: HttpClient) -> None:
    class Impatient:
        async def request(self, method: str, url: str, **more: Any) -> Any:
            return await http.request(method, url, **{**more, "timeout_s": 0.2})

    telegram.script = [2.0]
    assert (await failure_of(TelegramAdapter(Impatient()), account, to(text="x"))).failure is Failure.UNCERTAIN


async def test_nobody_there(adapter: TelegramAdapter, free_port: Any) -> None:
    failed = await failure_of(adapter, account_at(f"http://127.0.0.1:{free_port()}"), to(text="x"))
    assert failed.failure is Failure.TEMPORARY


async def test_private_address_is_not_dialled() -> None:
    guarded = HttpClient(AddressGuard())
    failed = await failure_of(TelegramAdapter(guarded), account_at("http://127.0.0.1:1"), to(text="x"))
    await guarded.close()
    assert failed.failure is Failure.ACCOUNT_PROBLEM and "private address" in str(failed)


async def test_half_sent_is_not_retried(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    first = web.json_response({"ok": True, "result": {"message_id": 1}})
    telegram.script = [first, refused(429, "Too Many Requests", retry_after=1)]
    voice = Attachment(kind=AttachmentKind.VOICE, url="https://cdn.example/v.ogg")
    failed = await failure_of(adapter, account, to(text="a", attachments=(image(), voice)))
    assert failed.failure is Failure.UNCERTAIN and not failed.consequence.retry
    assert str(failed).startswith("1 messages of 2 parts were sent")


def test_token_is_never_shown() -> None:
    failed = refusal(400, {}, {"description": f"cannot fetch /bot{TOKEN}/x and {TOKEN}"}, TOKEN)
    assert TOKEN not in failed.detail and "canary" not in failed.detail
    assert TOKEN not in repr(account_at("https://api.telegram.org"))


# -- everything beside sending ----------------------------------------------------------------------------


async def test_media(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    content, media_type = await adapter.media(account, image(url=None, media_id="photos/file_1.png"), max_bytes=1000)
    assert (content, media_type) == (PNG, "image/png")
    telegram.files["voice/x"] = b"???"
    voice = Attachment(kind=AttachmentKind.VOICE, media_id="voice/x", media_type="audio/ogg")
    assert await adapter.media(account, voice, max_bytes=1000) == (b"???", "audio/ogg")


@pytest.mark.parametrize("path", ["/var/lib/telegram/file", "../../secret", "a/../../b", "https://evil.example/x"])
async def test_media_stays_on_the_server(adapter: TelegramAdapter, account: Account, path: str) -> None:
    with pytest.raises(SendFailed) as raised:
        await adapter.media(account, image(url=None, media_id=path), max_bytes=1000)
    assert raised.value.failure is Failure.CONTENT_REJECTED


async def test_media_limits(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    telegram.files["big"] = b"x" * 2000
    for file in (image(url=None, media_id="big"), image(url=None, media_id="big", size_bytes=2000), image()):
        with pytest.raises(SendFailed) as raised:
            await adapter.media(account, file, max_bytes=1000)
        assert raised.value.failure is Failure.CONTENT_REJECTED
    telegram.script = [refused(400, "Bad Request: file is too big")]
    with pytest.raises(SendFailed) as raised:
        await adapter.media(account, image(url=None, media_id="big"), max_bytes=10_000)
    assert raised.value.failure is Failure.CONTENT_REJECTED


async def test_media_without_an_answer_may_be_asked_again(
    adapter: TelegramAdapter, account: Account, telegram: FakeTelegram
) -> None:
    telegram.script = ["cut"]
    with pytest.raises(SendFailed) as raised:
        await adapter.media(account, image(url=None, media_id="big"), max_bytes=10_000)
    assert raised.value.failure is Failure.TEMPORARY


async def test_lookup(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    found = await adapter.lookup(account, "5550001@bc_1")
    assert found is not None and found.name == "Anna Visser" and found.avatar_url is None
    assert telegram.calls == [("getChat", {"chat_id": 5550001})]
    telegram.script = [refused(400, "Bad Request: chat not found")]
    assert await adapter.lookup(account, "5550001") is None
    telegram.script = [refused(500, "Internal")]
    with pytest.raises(SendFailed):
        await adapter.lookup(account, "5550001")


async def test_check(adapter: TelegramAdapter, account: Account, base: str, telegram: FakeTelegram) -> None:
    said = await adapter.check(account)
    assert "@tea_bot" in said and "3 updates" in said and "Wrong response" in said
    with pytest.raises(SendFailed) as raised:
        await adapter.check(account_at(base, "1:wrong"))
    assert raised.value.failure is Failure.ACCOUNT_PROBLEM


async def test_register_webhook(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    url = "https://crm.example.com/webhooks/telegram/chn_1"
    assert url in (await adapter.register_webhook(account, url) or "")
    wanted = {"url": url, "secret_token": "s3cret", "allowed_updates": list(ALLOWED_UPDATES)}
    assert telegram.calls == [("setWebhook", wanted)]
    assert {"message_reaction", "my_chat_member", "deleted_business_messages"} <= set(ALLOWED_UPDATES)


async def test_acknowledge(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    more: dict[str, Any] = {
        "event_id": "1",
        "occurred_at": "2026-11-22T10:00:00Z",
        "address": Address(channel_id="chn_1", external_id="1"),
        "message_id": "1:1",
    }
    await adapter.acknowledge(account, MessageReceived(**more, text="hello"))
    assert not telegram.calls
    pressed = MessageReceived(**more, postback=Postback(payload="y"), extra={"callback_query_id": "998"})
    await adapter.acknowledge(account, pressed)
    assert telegram.calls == [("answerCallbackQuery", {"callback_query_id": "998"})]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bot_token": ""},
        {"bot_token": "1:a/../x"},
        {"bot_token": "1:a b"},
        {"secret_token": ""},
        {"secret_token": "with space"},
        {"secret_token": "x" * 257},
        {"secret_token": "ü"},
        {"api_base": "ftp://x"},
        {"api_base": "api.telegram.org"},
        {"surplus": "1"},
    ],
)
def test_wrong_settings(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        TelegramSettings.model_validate({"bot_token": TOKEN, "secret_token": "canary-secret", **wrong})
    assert "canary" not in str(raised.value.errors(include_input=False))


async def test_reactions(adapter: TelegramAdapter, account: Account, telegram: FakeTelegram) -> None:
    for emoji, chosen in (("❤️", [{"type": "emoji", "emoji": "❤"}]), (None, [])):
        reaction = OutboundReaction(message_id="-100200:42", emoji=emoji)
        assert (await adapter.react(account, to("-100200", reaction=reaction))).message_ids == ()
        given = {"chat_id": -100200, "message_id": 42, "reaction": chosen}
        assert telegram.calls.pop() == ("setMessageReaction", given)
    able = adapter.capabilities.reacting
    assert able is not None and able.takes("❤️") and able.takes("👍") and not able.takes("🍵")
    assert adapter.capabilities_for("5550001@bc1").reacting is None and adapter.capabilities_for("5550001").reacting
    telegram.script = [refused(400, "Bad Request: REACTION_INVALID")]
    with pytest.raises(SendFailed) as caught:
        await adapter.react(account, to(reaction=OutboundReaction(message_id="5550001:7", emoji="🍵")))
    assert caught.value.failure is Failure.CONTENT_REJECTED
    with pytest.raises(SendFailed):
        await adapter.react(account, to(reaction=OutboundReaction(message_id="callback", emoji="👍")))
