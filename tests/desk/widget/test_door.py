"""Who may come in: origins on HTTP and socket, tokens, sizes, rates, hostile bytes."""

from __future__ import annotations

import asyncio
import gzip
import io
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.clock import now
from channels.vocabulary import Attachment, AttachmentKind
from desk.widget import script
from desk.widget.limits import PACES, Limits
from desk.widget.tokens import Visitor, customer, make_token, read_token, somebody_new
from tests.desk.widget.conftest import PAGE, Chat, MakeChat, a_key, signed

pytestmark = pytest.mark.timeout(120)

STRANGERS = ["https://evil.example", "http://shop.example.com", "https://shop.example.com.evil.example", "null", None]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


# -- origins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", STRANGERS)
async def test_other_pages_get_no_socket_and_nothing_by_http(chat: Chat, origin: str | None) -> None:
    headers = {"Origin": origin} if origin is not None else {}
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await chat.socket(origin)
    assert caught.value.status == 403
    body = orjson.dumps({"frames": [{"t": "hello"}]})
    for method, name, data in (("GET", "looks", None), ("POST", "frames", body), ("POST", "files", b"x"),
                               ("OPTIONS", "frames", None), ("OPTIONS", "files", None)):  # fmt: skip
        async with chat.client.request(method, f"{chat.path}/{name}", data=data, headers=headers) as answer:
            assert answer.status == 403, (method, name)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "greeting" not in await answer.text()


async def test_allowed_pages_may_read_the_answers(chat: Chat) -> None:
    async with chat.client.get(f"{chat.path}/looks", headers={"Origin": PAGE}) as answer:
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Access-Control-Allow-Credentials" not in answer.headers and "Origin" in answer.headers["Vary"]
        told = await answer.json()
    assert told["title"] == "Shop chat" and not {"identity_secret", "allowed_origins"} & told.keys()
    async with chat.client.options(f"{chat.path}/files", headers={"Origin": PAGE}) as answer:
        assert answer.status == 204 and "X-Rapport-About" in answer.headers["Access-Control-Allow-Headers"]
    async with chat.client.get(f"{chat.path}/looks", headers=[("Origin", PAGE), ("Origin", PAGE)]) as answer:
        assert answer.status in (400, 403)


async def test_a_channel_that_allows_no_page_lets_nobody_in(make_chat: MakeChat) -> None:
    chat = await make_chat(allowed_origins=[])
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await chat.socket()


async def test_a_star_lets_in_the_hosts_below(make_chat: MakeChat) -> None:
    chat = await make_chat(allowed_origins=["https://*.example.org"])
    await chat.socket("https://a.b.example.org")
    for origin in ("https://example.org", "https://evilexample.org", "http://a.example.org"):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await chat.socket(origin)


async def test_settings_count_within_seconds(chat: Chat) -> None:
    await chat.socket()
    await chat.desk.runtime.channels.update(chat.channel.id, settings={"allowed_origins": ["https://other.example"]})
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await chat.socket()
    await chat.desk.runtime.channels.update(chat.channel.id, state="disconnected")
    async with chat.client.get(f"{chat.path}.js") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("path", ["chn_00000000000000000000000000", "chn_nope", "x" * 300])
async def test_there_is_no_chat_where_there_is_none(chat: Chat, path: str) -> None:
    for name in (".js", "/looks", "/socket", "/files/abc"):
        async with chat.client.get(f"/widget/{path}{name}", headers={"Origin": PAGE}) as answer:
            assert answer.status == 404


async def test_another_providers_channel_is_no_chat(chat: Chat) -> None:
    settings = {"scheme": "stripe", "secret": "s3cret-s3cret"}
    other = await chat.desk.runtime.channels.add("generic", "Own", settings)
    async with chat.client.get(f"/widget/{other.id}.js") as answer:
        assert answer.status == 404


# -- the script ------------------------------------------------------------------------------------------------------


async def test_the_script_is_small_and_says_why_it_does_not_show(chat: Chat) -> None:
    async with chat.client.get(f"{chat.path}.js", headers={"Referer": f"{PAGE}/pots?a=b"}) as answer:
        body = await answer.read()
        assert answer.status == 200 and answer.content_type == "text/javascript"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        tag = answer.headers["ETag"]
    assert len(gzip.compress(body, 9)) < 30_000, len(gzip.compress(body, 9))
    async with chat.client.get(f"{chat.path}.js", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    async with chat.client.get(f"{chat.path}.js", headers={"Referer": "https://evil.example/<script>"}) as answer:
        text = await answer.text()
    assert "not among the allowed websites" in text and "https://evil.example" in text and len(text) < 400


def test_the_script_is_whole() -> None:
    found = script.load()
    assert (
        b"/*STYLE*/" not in found.body and b".launcher{" in found.body and gzip.decompress(found.packed) == found.body
    )
    assert len(found.packed) < 30_000


# -- tokens ----------------------------------------------------------------------------------------------------------


async def test_a_bent_token_is_a_new_visitor(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Mine")
    await chat.work()
    token = visitor.welcome["token"]
    body, _, mac = token.partition(".")
    bent = [
        token[:-1] + ("0" if token[-1] != "0" else "1"), body, f"{body}.", f".{mac}", body[:-2] + "AA." + mac,
        token.upper(), token + "x", "", "a.b", "x" * 5000, 17, None, {"a": 1}, ["x"], "é.é", mac + "." + body,
    ]  # fmt: skip
    for each in bent:
        found = await chat.visitor(each)  # type: ignore[arg-type]
        assert found.welcome["lines"] == [] and found.welcome["visitor"] != visitor.welcome["visitor"], each
        await found.ws.close()


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_no_text_is_a_token(text: str) -> None:
    assert read_token([b"key"], "chn_a", text, now()) is None


def test_a_token_belongs_to_a_channel_a_key_and_for_customers_to_a_day() -> None:
    at = now()
    for visitor in (somebody_new(), customer("chn_a", "c-1", ("v_0123456789abcdef",))):
        token = make_token(b"key", "chn_a", visitor, at)
        assert read_token([b"new", b"key"], "chn_a", token, at) == visitor
        assert read_token([b"key"], "chn_b", token, at) is None
        assert read_token([b"other"], "chn_a", token, at) is None
        later = read_token([b"key"], "chn_a", token, at.replace(year=at.year + 1))
        assert later == (None if visitor.identified else visitor)
    assert customer("chn_a", "c-1").id == customer("chn_a", "c-1").id != customer("chn_b", "c-1").id
    assert Visitor("v_1", former=("v_2",)).ids == ("v_1", "v_2")


# -- what is asked too often, or is too large ------------------------------------------------------------------------


async def test_a_flood_is_held_back_and_nothing_of_it_is_lost(chat: Chat) -> None:
    visitor = await chat.visitor()
    keys = [a_key() for _ in range(14)]
    for n, key in enumerate(keys):
        await visitor.send(t="say", key=key, text=f"Flood {n}")
    answers = [
        await visitor.until(lambda frame: "key" in frame and "t" in frame and frame["t"] != "lines") for _ in keys
    ]
    refused = [each for each in answers if each["t"] == "refused"]
    assert 1 <= len(refused) <= 5 and all(each["code"] == "slow" and each["retry_after_s"] > 0 for each in refused)
    await asyncio.sleep(max(each["retry_after_s"] for each in refused))
    await visitor.say("Flood again", refused[0]["key"])
    other = await chat.visitor()
    await other.say("Somebody else is not held back")


def test_buckets_fill_again_and_are_forgotten() -> None:
    at = [0.0]
    limits = Limits(lambda: at[0])
    pace = PACES["say"][0]
    took = [limits.wait_s("say", "v", "1.2.3.4") for _ in range(int(pace.burst) + 1)]
    assert took[:-1] == [0.0] * int(pace.burst) and took[-1] > 0
    assert limits.wait_s("say", "another", "1.2.3.4") == 0
    at[0] += took[-1]
    assert limits.wait_s("say", "v", "1.2.3.4") == 0
    address = PACES["say"][1]
    for n in range(int(address.burst)):
        limits.wait_s("say", f"v{n}", "9.9.9.9")
    assert limits.wait_s("say", "one more", "9.9.9.9") > 0


async def test_windows_of_one_visitor_are_counted(chat: Chat) -> None:
    first = await chat.visitor()
    token = first.welcome["token"]
    for _ in range(11):
        await chat.visitor(token)
    one_more = await chat.socket()
    assert (await one_more.hello(token))["code"] == "windows"
    assert await one_more.closed() == 1012


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"t": "say", "key": "short", "text": "x"}, "wrong"),
        ({"t": "say", "key": "k" * 65, "text": "x"}, "wrong"),
        ({"t": "say", "key": "bad key!!", "text": "x"}, "wrong"),
        ({"t": "say", "key": 12345678, "text": "x"}, "wrong"),
        ({"t": "say", "key": "good-key-1", "text": "   "}, "wrong"),
        ({"t": "say", "key": "good-key-1", "text": ["x"]}, "wrong"),
        ({"t": "say", "key": "good-key-1", "text": "x" * 4001}, "long"),
    ],
)
async def test_what_makes_no_sense_is_refused_for_good(chat: Chat, frame: dict[str, Any], code: str) -> None:
    visitor = await chat.visitor()
    await visitor.send(**frame)
    answer = await visitor.a("refused")
    assert answer["code"] == code and "retry_after_s" not in answer
    await visitor.say("Still here")


async def test_a_cursor_of_ones_own_is_refused(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello")
    await chat.work()
    await visitor.send(t="earlier", before="no cursor")
    assert (await visitor.a("refused"))["code"] == "wrong"


async def test_hello_comes_first_and_in_time(chat: Chat) -> None:
    eager = await chat.socket()
    await eager.send(t="say", key=a_key(), text="Hello?")
    assert (await eager.next())["code"] == "hello_first"
    assert await eager.closed() == 1012


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe", "no json", "[]", "17", '"x"', "null", "{}", '{"t":"dance"}', '{"t":' + "[" * 5000, '{"t":"hello"',
     '{"t":"hello","token":{"$gt":""},"identity":[[]],"me":7,"page":"x","after":{}}', "x" * 50_000,
     '{"t":"hello","lang":"\\ud800","me":{"name":"\\u0000\\ud800","email":"\\ud800@x"}}'],
)  # fmt: skip
async def test_hostile_frames_end_at_most_their_own_socket(chat: Chat, raw: str | bytes) -> None:
    socket = await chat.socket()
    if isinstance(raw, bytes):
        await socket.ws.send_bytes(raw)
    else:
        await socket.ws.send_str(raw)
    message = await socket.ws.receive(timeout=10)
    assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    await (await chat.visitor()).say("Everybody else goes on")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"frames":[]}', b'{"frames":{}}', b"x" * 200_000])
async def test_hostile_posts_are_answered(chat: Chat, body: bytes) -> None:
    async with chat.client.post(f"{chat.path}/frames", data=body, headers={"Origin": PAGE}) as answer:
        assert answer.status in (413, 422) and (await answer.json())["code"]


async def test_surrogates_and_zeros_are_kept_as_text(chat: Chat) -> None:
    visitor = await chat.visitor()
    key = a_key()
    await visitor.ws.send_str(
        '{"t":"say","key":"KEY","text":"a\\u0000b\\ud800c","page":{"url":"javascript:alert(1)"}}'.replace("KEY", key)
    )
    assert (await visitor.a("ack"))["key"] == key
    await chat.work()
    talk = await chat.conversation()
    (row,) = await chat.desk.runtime.messages.raw({"conversation_id": talk["_id"]})
    assert row["text"] == "ab\ufffdc" and "extra" not in row


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=st.dictionaries(
    st.sampled_from(["t", "key", "text", "press", "ids", "before", "on", "identity", "me", "page", "token", "after"]),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(
        ["hello", "say", "got", "read", "typing", "earlier", "key-12345678"]), lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8), max_size=6))  # fmt: skip
async def test_any_frame_gets_an_answer_and_never_a_fault(chat: Chat, frame: dict[str, Any]) -> None:
    try:
        body = orjson.dumps({"frames": [{"t": "hello"}, frame]})
    except TypeError:
        return
    async with chat.client.post(f"{chat.path}/frames", data=body, headers={"Origin": PAGE}) as answer:
        assert answer.status in (200, 422)


# -- files -----------------------------------------------------------------------------------------------------------


async def sent(
    chat: Chat, token: str, content: bytes, name: str = "pot.png", key: str | None = None, **more: Any
) -> int:
    about = quote(orjson.dumps({"key": key or a_key(), "name": name, **more}).decode())
    headers = {"Origin": PAGE, "Authorization": f"Bearer {token}", "X-Rapport-About": about}
    async with chat.client.post(f"{chat.path}/files", data=io.BytesIO(content), headers=headers) as answer:
        return answer.status


async def test_files_go_both_ways(chat: Chat) -> None:
    visitor = await chat.visitor()
    key = a_key()
    assert await sent(chat, visitor.welcome["token"], PNG, "../../etc/pot.exe", key) == 201
    assert await sent(chat, visitor.welcome["token"], PNG, "../../etc/pot.exe", key) == 201
    talk = await chat.conversation()
    ready = await visitor.until(
        lambda frame: any(each.get("files", [{}])[0].get("href") for each in frame.get("lines", ()))
    )
    (line,) = ready["lines"]
    assert line["key"] == key and line["files"][0] | {"href": ""} == {
        "name": "pot.exe.png", "size": len(PNG), "kind": "image", "href": "",
    }  # fmt: skip
    async with chat.client.get(f"{chat.path}/{line['files'][0]['href']}") as answer:
        assert await answer.read() == PNG and answer.content_type == "image/png"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    rows = await chat.desk.runtime.messages.raw({"conversation_id": talk["_id"]})
    assert len(rows) == 1

    page = Attachment(
        kind=AttachmentKind.FILE, file_name="<b>.html", media_type="text/html", content=b"<script>1</script>"
    )
    await chat.answer(talk["_id"], "See this", attachments=[page])
    await chat.work()
    line = await visitor.line("See this")
    file = line["files"][0]
    if not file.get("href"):
        frame = await visitor.until(lambda f: any(x.get("files", [{}])[0].get("href") for x in f.get("lines", ())))
        file = frame["lines"][0]["files"][0]
    async with chat.client.get(f"{chat.path}/{file['href']}", headers={"Origin": PAGE}) as answer:
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    async with chat.client.get(f"{chat.path}/{file['href']}", headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    async with chat.client.get(f"{chat.path}/{file['href'][:-1]}x") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("content", "name", "status"),
    [
        (b"", "empty.png", 422),
        (b"MZ\x90\x00" + bytes(100), "setup.png", 422),
        (b"<html><script>alert(1)</script>", "a.png", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", 422),
        (bytes(100), "zeros.bin", 422),
        (b"just words", "note.txt", 201),
        (PNG + bytes(1_000_000), "large.png", 413),
    ],
)
async def test_only_harmless_files_of_bounded_size_are_taken(
    make_chat: MakeChat, content: bytes, name: str, status: int
) -> None:
    chat = await make_chat(file_max_mb=1)
    visitor = await chat.visitor()
    assert await sent(chat, visitor.welcome["token"], content, name) == status


async def test_files_need_a_visitor_a_key_and_a_channel_that_takes_them(make_chat: MakeChat) -> None:
    chat = await make_chat()
    visitor = await chat.visitor()
    token = visitor.welcome["token"]
    assert await sent(chat, "nobody", PNG) == 403
    assert await sent(chat, token, PNG, key="x") == 422
    chunked = {"Origin": PAGE, "Authorization": f"Bearer {token}", "X-Rapport-About": "%ff"}
    async with chat.client.post(f"{chat.path}/files", data=PNG, headers=chunked) as answer:
        assert answer.status == 422
    statuses = [await sent(chat, token, PNG) for _ in range(7)]
    assert 429 in statuses
    none = await make_chat(files=False)
    stranger = await none.visitor()
    assert await sent(none, stranger.welcome["token"], PNG) == 403


async def test_a_known_customers_file_is_theirs(chat: Chat) -> None:
    visitor = await chat.visitor(identity=signed("c-file"))
    assert await sent(chat, visitor.welcome["token"], PNG) == 201
    talk = await chat.conversation()
    known = await chat.desk.runtime.resolver.refer("customer_id", "c-file", create=False)
    assert known is not None and known.profile_id == talk["profile_id"]


async def test_the_webhook_address_takes_nothing_for_a_chat(chat: Chat) -> None:
    from aiohttp import web

    from webhooks.routes import Door

    app = web.Application()
    app.add_routes(Door(chat.desk.runtime).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    body = orjson.dumps({"kind": "message", "visitor": "v_0123456789abcdef", "key": "key-12345678", "text": "forged"})
    for method in ("POST", "WIDGET"):
        async with chat.client.request(
            method, f"http://{host}:{port}/webhooks/webchat/{chat.channel.id}", data=body
        ) as answer:
            assert answer.status in (400, 401, 405)
    await chat.work()
    assert await chat.conversations() == []
    await runner.cleanup()
