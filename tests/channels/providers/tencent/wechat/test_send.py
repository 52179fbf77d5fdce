"""Service and template messages, files, people, the welcome and the check, against a peer that plays WeChat."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.http import HttpClient
from channels.adapter import Account, Delivery
from channels.failures import Failure, SendFailed
from channels.providers.tencent.crypto import decrypt, signature
from channels.providers.tencent.markup import read_fields
from channels.providers.tencent.wechat.adapter import WeChatAdapter
from channels.providers.tencent.wechat.card import WeChatSettings
from channels.providers.tencent.wechat.failures import CODES
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMessage,
    Person,
    ProfileSeen,
    TemplateCall,
    Tracked,
)
from tests.channels.peer import answer, cut, slow
from tests.channels.providers.tencent.conftest import PNG, Tencent
from tests.channels.providers.tencent.envelope import AES_KEY, sealed, with_proof

ANNA = Address(channel_id="chn_wx", external_id="oia2TjjewbmiOUlr6X-1crbLOvLw")
TAKEN = answer({"errcode": 0, "errmsg": "ok"})


def out(**fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=ANNA, **fields)


@pytest.fixture
def adapter(http: HttpClient) -> WeChatAdapter:
    made = WeChatAdapter(http)
    made.timeout_s = 0.5
    return made


@pytest.fixture
def connected(api_base: str) -> Account:
    return account(api_base)


def account(base: str, **more: str) -> Account:
    given = {
        "app_id": "wxb11529c136998cb6", "app_secret": "canary-app-secret", "token": "canaryToken",
        "encoding_aes_key": AES_KEY, "api_base": base, **more,
    }  # fmt: skip
    return Account("chn_wx", "wechat", "Tea", WeChatSettings.model_validate(given))


async def sent(adapter: WeChatAdapter, to: Account, peer: Tencent, message: OutboundMessage) -> list[dict[str, Any]]:
    peer.will(TAKEN)
    peer.asked.clear()
    receipt = await adapter.send(to, message)
    assert len(receipt.message_ids) == len(peer.asked) == len(set(receipt.message_ids))
    assert {(each.method, each.path) for each in peer.asked} == {("POST", "/cgi-bin/message/custom/send")}
    assert {each.json.pop("touser") for each in peer.asked} == {ANNA.external_id}
    return [each.json for each in peer.asked]


async def failure_of(adapter: WeChatAdapter, to: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, message)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


async def test_text_stays_as_it_is_written(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    (body,) = await sent(adapter, connected, tencent, out(text="你好 👋"))
    assert (body["msgtype"], body["text"]) == ("text", {"content": "你好 👋"})
    assert "你好 👋".encode() in tencent.asked[0].body, "WeChat shows \\u escapes as they stand"


async def test_files_are_laid_down_first(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    picture = Attachment(kind=AttachmentKind.IMAGE, content=PNG, file_name='a"b.png', caption="Look")
    voice = Attachment(kind=AttachmentKind.VOICE, content=b"#!AMR\n", media_type="audio/amr")
    bodies = await sent(adapter, connected, tencent, out(text="Tea", attachments=(picture, voice)))
    assert [(body["msgtype"], body[body["msgtype"]]) for body in bodies] == [
        ("image", {"media_id": "laid-1"}),
        ("text", {"content": "Look"}),
        ("voice", {"media_id": "laid-2"}),
        ("text", {"content": "Tea"}),
    ]
    assert [each.query["type"] for each in tencent.uploads] == ["image", "voice"]
    assert b'name="media"; filename="a_b.png"' in tencent.uploads[0].body and PNG in tencent.uploads[0].body


async def test_a_missing_file_leaves_no_half_message(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent
) -> None:
    gone = Attachment(kind=AttachmentKind.IMAGE, url=f"{connected.settings.api_base}/gone.png")
    tencent.will(answer("no", status=404))
    failed = await failure_of(adapter, connected, out(text="x", attachments=(gone,)))
    assert failed.failure is Failure.CONTENT_REJECTED
    assert [each.path for each in tencent.asked] == ["/gone.png"]
    assert "access_token" not in tencent.asked[0].query, "our token goes to WeChat alone"


async def test_buttons_are_a_menu_and_links_are_links(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent
) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="Sh<op", url='https://s.example/"x'), Button(title="No"))
    (body,) = await sent(adapter, connected, tencent, out(text="Well?", buttons=buttons))
    assert body["msgmenu"] == {
        "head_content": 'Well?\n<a href="https://s.example/%22x">Shop</a>',
        "list": [{"id": "y", "content": "Yes"}, {"id": "No", "content": "No"}],
        "tail_content": "",
    }
    (body,) = await sent(adapter, connected, tencent, out(text="Look", buttons=buttons[1:2]))
    assert body["text"]["content"].startswith("Look\n<a href=")


async def test_what_wechat_cannot_carry_is_refused_before_the_call(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent
) -> None:
    document = Attachment(kind=AttachmentKind.FILE, content=b"%PDF-")
    for message, failure in (
        (out(location=Location(latitude=1, longitude=2)), Failure.NOT_SUPPORTED),
        (out(attachments=(document,)), Failure.NOT_SUPPORTED),
        (out(text="茶" * 683), Failure.NOT_SUPPORTED),
        (out(), Failure.CONTENT_REJECTED),
        (out(text="茶" * 682, buttons=(Button(title="Shop", url="https://s.example"),)), Failure.CONTENT_REJECTED),
        (out(attachments=(Attachment(kind=AttachmentKind.IMAGE),)), Failure.CONTENT_REJECTED),
    ):
        assert (await failure_of(adapter, connected, message)).failure is failure
    assert not tencent.asked and not tencent.uploads


async def test_a_template_fills_its_fields_in_order(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent
) -> None:
    templates = {
        "template_list": [{"template_id": "T1", "content": "Hi {{thing2.DATA}}\nAt: {{ date1.DATA }} {{thing2.DATA}}"}]
    }
    tencent.will(answer(templates), answer({"errcode": 0, "msgid": 200228332}))
    call = TemplateCall(name="T1", language="zh_CN", body=("Anna", "10:00"), buttons=("https://s.example",))
    receipt = await adapter.send(connected, out(template=call))
    assert receipt.message_ids == ("200228332",)
    body = tencent.asked[1].json
    assert (tencent.asked[1].path, len(body.pop("client_msg_id"))) == ("/cgi-bin/message/template/send", 32)
    assert body == {
        "touser": ANNA.external_id, "template_id": "T1", "url": "https://s.example",
        "data": {"thing2": {"value": "Anna"}, "date1": {"value": "10:00"}},
    }  # fmt: skip
    tencent.will(answer(templates))
    for bad in (call.model_copy(update={"body": ("Anna",)}), call.model_copy(update={"name": "T2"})):
        assert (await failure_of(adapter, connected, out(template=bad))).failure is Failure.CONTENT_REJECTED


async def test_the_list_of_templates(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    told = {
        "template_id": "T1",
        "title": "预约提醒",
        "primary_industry": "餐饮",
        "content": "茶:{{thing2.DATA}} {{ date1.DATA }}",
    }
    tencent.will(answer({"template_list": [told, {"title": "no id"}, 7]}))
    (found,) = await adapter.templates(connected)
    assert (found.name, found.status, found.header, found.body) == (
        "T1",
        "approved",
        "预约提醒",
        "茶:{{thing2}} {{date1}}",
    )
    assert (found.body_values, found.header_values, found.language) == (2, 0, "zh_CN")


@pytest.mark.parametrize("code", sorted(CODES))
async def test_each_code(code: int, adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": code, "errmsg": "no rid: 1"}))
    failed = await failure_of(adapter, connected, out(text="x"))
    assert (failed.failure, failed.provider_code, failed.detail) == (CODES[code], str(code), "no rid: 1")


async def test_an_unknown_code_is_kept(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 99999, "errmsg": "?"}))
    failed = await failure_of(adapter, connected, out(text="x"))
    assert (failed.failure, failed.provider_code) == (Failure.UNKNOWN, "99999")


async def test_troubles_of_the_line(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    for reply, failure in (
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=502), Failure.TEMPORARY),
        (answer("", status=504), Failure.UNCERTAIN),
        (answer({}, status=403), Failure.ACCOUNT_PROBLEM),
        (answer({}, status=302, headers={"Location": "http://127.0.0.1/"}), Failure.ACCOUNT_PROBLEM),
        (answer("<html>"), Failure.UNCERTAIN),
        (answer([]), Failure.UNCERTAIN),
        (slow(2), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
    ):
        tencent.will(reply)
        assert (await failure_of(adapter, connected, out(text="x"))).failure is failure
    tencent.will(answer({}, status=429, headers={"Retry-After": "7"}))
    assert (await failure_of(adapter, connected, out(text="x"))).retry_after_s == 7


async def test_a_dead_server_has_taken_nothing(adapter: WeChatAdapter) -> None:
    assert (await failure_of(adapter, account("http://127.0.0.1:9"), out(text="x"))).failure is Failure.TEMPORARY
    assert (await failure_of(adapter, account("http://10.0.0.1"), out(text="x"))).failure is Failure.ACCOUNT_PROBLEM


async def test_half_a_message_is_never_tried_again_by_itself(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent
) -> None:
    tencent.will(TAKEN, answer({"errcode": -1, "errmsg": "busy"}))
    picture = Attachment(kind=AttachmentKind.IMAGE, content=PNG)
    failed = await failure_of(adapter, connected, out(text="x", attachments=(picture,)))
    assert failed.failure is Failure.UNCERTAIN and "1 of 2" in failed.detail


# -- files, people, the account -----------------------------------------------------------------------------


async def test_inbound_files(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    file = Attachment(kind=AttachmentKind.IMAGE, media_id="m 1&x")
    tencent.will(answer(PNG, headers={"Content-Type": "text/plain"}))
    assert await adapter.media(connected, file, max_bytes=1000) == (PNG, "image/png")
    assert (tencent.asked[0].path, tencent.asked[0].query["media_id"]) == ("/cgi-bin/media/get", "m 1&x")
    video = Attachment(kind=AttachmentKind.VIDEO, media_id="v", media_type="video/mp4")
    tencent.will(answer({"video_url": f"{connected.settings.api_base}/v.mp4"}), answer(b"film"))
    assert await adapter.media(connected, video, max_bytes=1000) == (b"film", "video/mp4")
    assert "access_token" not in tencent.asked[-1].query


@pytest.mark.parametrize("content", [b'{"errcode": 40001}', b'{"video_url": "https://elsewhere.example/x"}'])
async def test_a_file_is_not_read_as_an_answer(
    adapter: WeChatAdapter, connected: Account, tencent: Tencent, content: bytes
) -> None:
    file = Attachment(kind=AttachmentKind.FILE, media_id="m")
    tencent.will(answer(content, headers={"Content-Disposition": 'attachment; filename="a.json"'}))
    assert (await adapter.media(connected, file, max_bytes=1000))[0] == content
    assert [each.path for each in tencent.asked] == ["/cgi-bin/media/get"]


async def test_inbound_files_that_are_none(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    file = Attachment(kind=AttachmentKind.IMAGE, media_id="m")
    for reply, failure in (
        (answer({"errcode": 40007, "errmsg": "invalid media_id"}), Failure.CONTENT_REJECTED),
        (answer(b"x" * 2000), Failure.CONTENT_REJECTED),
        (answer("", status=503), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ):
        tencent.will(reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.media(connected, file, max_bytes=1000)
        assert caught.value.failure is failure
    with pytest.raises(SendFailed, match="own app"):
        await adapter.media(connected, Attachment(kind=AttachmentKind.FILE), max_bytes=1000)


async def test_lookup(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(
        answer({"subscribe": 1, "nickname": "", "headimgurl": "", "language": "zh_CN", "unionid": "oR5GjjgEhCMJ"})
    )
    assert await adapter.lookup(connected, "o1") == Person(locale="zh_CN", platform_ids=("wechat:oR5GjjgEhCMJ",))
    assert tencent.asked[0].query["openid"] == "o1"
    tencent.will(answer({"errcode": 40003, "errmsg": "invalid openid"}))
    assert await adapter.lookup(connected, "o2") is None
    tencent.will(answer({"errcode": 48001, "errmsg": "api unauthorized"}))
    with pytest.raises(SendFailed):
        await adapter.lookup(connected, "o3")


async def test_check(adapter: WeChatAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"total": 23, "count": 2}))
    assert "23 people" in await adapter.check(connected)


async def test_the_welcome(adapter: WeChatAdapter, api_base: str, tencent: Tencent) -> None:
    welcoming, silent = account(api_base, welcome_text="欢迎!"), account(api_base)
    follow = Tracked(event_id="f", occurred_at=now(), address=ANNA, name="wechat.followed")
    late = follow.model_copy(update={"occurred_at": now() - timedelta(seconds=70)})
    assert adapter.wants_acknowledgement(follow)
    assert not adapter.wants_acknowledgement(follow.model_copy(update={"name": "wechat.scanned"}))
    assert not adapter.wants_acknowledgement(ProfileSeen(event_id="f", occurred_at=now(), address=ANNA))
    tencent.will(TAKEN)
    for to, event in ((silent, follow), (welcoming, late), (welcoming, follow)):
        await adapter.acknowledge(to, event)
    (asked,) = tencent.asked
    assert asked.json == {"touser": ANNA.external_id, "msgtype": "text", "text": {"content": "欢迎!"}}


async def test_the_welcome_as_a_passive_reply(adapter: WeChatAdapter, api_base: str, tencent: Tencent) -> None:
    app_id, words = "wxb11529c136998cb6", "欢迎 ]]><b> & 你好"
    replying = account(api_base, welcome_text=words, welcome_as="reply")

    def came(event: str) -> Delivery:
        inside = (
            "<xml><ToUserName><![CDATA[gh_shop]]></ToUserName><FromUserName><![CDATA[o_anna]]></FromUserName>"
            f"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{event}]]></Event></xml>"
        )
        at = now()
        return with_proof(Delivery("POST", sealed(inside.encode(), app_id), received_at=at), "canaryToken", at)

    follow = came("subscribe")
    adapter.verify(replying, follow, now())
    first, again = adapter.accepted(replying, follow), adapter.accepted(replying, follow)
    outer = {name: value for name, value in read_fields(first.body).items() if isinstance(value, str)}
    assert outer["MsgSignature"] == signature("canaryToken", outer["TimeStamp"], outer["Nonce"], outer["Encrypt"])
    inside, meant_for = decrypt(AES_KEY, outer["Encrypt"])
    reply = read_fields(inside)
    assert meant_for == app_id and reply["Content"] == words and reply["MsgType"] == "text"
    assert (reply["ToUserName"], reply["FromUserName"]) == ("o_anna", "gh_shop")
    assert decrypt(AES_KEY, str(read_fields(again.body)["Encrypt"]))[0] == inside, "each try gets the same"
    assert adapter.accepted(replying, came("CLICK")).body == b"success"
    assert adapter.accepted(account(api_base, welcome_text=words), follow).body == b"success"
    assert adapter.accepted(replying, Delivery("POST", b"<xml/>")).body == b"success"
    await adapter.acknowledge(replying, Tracked(event_id="f", occurred_at=now(), address=ANNA, name="wechat.followed"))
    assert tencent.asked == [], "one welcome is enough"
