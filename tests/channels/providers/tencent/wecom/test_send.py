"""Messages to members, cards, people, the welcome and the check, against a peer that plays WeCom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.http import HttpClient
from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.tencent.wecom.adapter import WeComAdapter
from channels.providers.tencent.wecom.card import WeComSettings
from channels.providers.tencent.work import CODES
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    MessageReceived,
    OutboundMessage,
    Person,
    Postback,
    ProfileSeen,
    Tracked,
)
from tests.channels.peer import answer, cut, slow
from tests.channels.providers.tencent.conftest import PNG, Tencent
from tests.channels.providers.tencent.envelope import AES_KEY

CUSTOMER = "woAJ2GCAAAXtWyujaWJHDDGi0mACH71w"
TAKEN = answer({"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": "msg-1"})


def out(to: str = "zhangsan", **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=Address(channel_id="chn_wc", external_id=to), **fields)


@pytest.fixture
def adapter(http: HttpClient) -> WeComAdapter:
    made = WeComAdapter(http)
    made.timeout_s = 0.5
    return made


def account(base: str, **more: str) -> Account:
    given = {
        "corp_id": "ww12345678910", "agent_id": "1000004", "secret": "canary-corp-secret", "token": "canaryToken",
        "encoding_aes_key": AES_KEY, "api_base": base, **more,
    }  # fmt: skip
    return Account("chn_wc", "wecom", "Tea", WeComSettings.model_validate(given))


@pytest.fixture
def connected(api_base: str) -> Account:
    return account(api_base)


async def failure_of(adapter: WeComAdapter, to: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, message)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


async def test_text_and_files(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(TAKEN, answer({"errcode": 0, "msgid": "msg-2"}))
    file = Attachment(kind=AttachmentKind.FILE, content=b"%PDF-1.7", file_name="invoice.pdf")
    receipt = await adapter.send(connected, out(text="Here", attachments=(file,)))
    assert receipt.message_ids == ("msg-1", "msg-2")
    assert [each.json for each in tencent.asked] == [
        {"touser": "zhangsan", "agentid": 1000004, "msgtype": "file", "file": {"media_id": "laid-1"}},
        {"touser": "zhangsan", "agentid": 1000004, "msgtype": "text", "text": {"content": "Here"}},
    ]
    assert {each.path for each in tencent.asked} == {"/cgi-bin/message/send"}


async def test_buttons_are_a_card(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(TAKEN)
    buttons = (Button(title="Mine", payload="take"), Button(title="Open", url="https://crm.example"))
    await adapter.send(connected, out(text="A customer waits", buttons=buttons))
    card = tencent.asked[0].json["template_card"]
    assert card.pop("task_id").startswith("rapport-")
    assert card == {
        "card_type": "button_interaction", "main_title": {"title": "A customer waits"},
        "button_list": [
            {"type": 0, "text": "Mine", "style": 1, "key": "take"},
            {"type": 1, "text": "Open", "style": 1, "url": "https://crm.example"},
        ],
    }  # fmt: skip


async def test_refused_before_the_call(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    for message, failure in (
        (out(CUSTOMER, text="hello"), Failure.NOT_SUPPORTED),
        (out(location=Location(latitude=1, longitude=2)), Failure.NOT_SUPPORTED),
        (out(buttons=(Button(title="Yes"),)), Failure.CONTENT_REJECTED),
        (out(text="x" * 481, buttons=(Button(title="Yes"),)), Failure.CONTENT_REJECTED),
        (out(), Failure.CONTENT_REJECTED),
    ):
        assert (await failure_of(adapter, connected, message)).failure is failure
    assert not tencent.asked


async def test_an_unknown_member(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 0, "errmsg": "ok", "invaliduser": "zhangsan", "msgid": "m"}))
    assert (await failure_of(adapter, connected, out(text="x"))).failure is Failure.RECIPIENT_UNREACHABLE


@pytest.mark.parametrize("code", sorted(CODES))
async def test_each_code(code: int, adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": code, "errmsg": "no, hint: [1]"}))
    failed = await failure_of(adapter, connected, out(text="x"))
    assert (failed.failure, failed.provider_code, failed.detail) == (CODES[code], str(code), "no, hint: [1]")


async def test_troubles_of_the_line(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    for reply, failure in (
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=502), Failure.TEMPORARY),
        (answer("<html>"), Failure.UNCERTAIN),
        (slow(2), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
    ):
        tencent.will(reply)
        assert (await failure_of(adapter, connected, out(text="x"))).failure is failure


async def test_inbound_files(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer(PNG, headers={"Content-Type": "application/octet-stream"}))
    file = Attachment(kind=AttachmentKind.IMAGE, media_id="m")
    assert await adapter.media(connected, file, max_bytes=1000) == (PNG, "image/png")


async def test_lookup(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    told = {"external_userid": CUSTOMER, "name": "Anna", "avatar": "https://wx.qlogo.cn/a", "unionid": "oR5GjjgEhCMJ"}
    tencent.will(answer({"errcode": 0, "external_contact": told}), answer({"errcode": 0, "name": "张三"}))
    assert await adapter.lookup(connected, CUSTOMER) == Person(
        name="Anna", avatar_url="https://wx.qlogo.cn/a", platform_ids=(f"wecom:{CUSTOMER}", "wechat:oR5GjjgEhCMJ")
    )
    assert await adapter.lookup(connected, "zhangsan") == Person(name="张三")
    assert [(each.path, each.query.get("external_userid") or each.query["userid"]) for each in tencent.asked] == [
        ("/cgi-bin/externalcontact/get", CUSTOMER), ("/cgi-bin/user/get", "zhangsan"),
    ]  # fmt: skip
    tencent.will(answer({"errcode": 84061, "errmsg": "not external contact"}))
    assert await adapter.lookup(connected, CUSTOMER) is None
    tencent.will(answer({"errcode": 60020, "errmsg": "not allow to access from your ip"}))
    with pytest.raises(SendFailed):
        await adapter.lookup(connected, CUSTOMER)


async def test_the_welcome(adapter: WeComAdapter, api_base: str, tencent: Tencent) -> None:
    welcoming, silent = account(api_base, welcome_text="欢迎!"), account(api_base)
    address = Address(channel_id="chn_wc", external_id=CUSTOMER)
    added = ProfileSeen(event_id="f", occurred_at=now(), address=address, raw={"WelcomeCode": "CODE"})
    late = added.model_copy(update={"occurred_at": now() - timedelta(minutes=5)})
    assert adapter.wants_acknowledgement(added)
    assert not adapter.wants_acknowledgement(added.model_copy(update={"raw": {}}))
    named = Tracked(event_id="f", occurred_at=now(), address=address, name="wecom.contact_added", raw=added.raw)
    assert not adapter.wants_acknowledgement(named), "one code, one event that uses it up"
    assert adapter.wants_acknowledgement(named.model_copy(update={"name": "wecom.audit_approved"}))
    tencent.will(answer({"errcode": 0}))
    for to, event in ((silent, added), (welcoming, late), (welcoming, added)):
        await adapter.acknowledge(to, event)
    (asked,) = tencent.asked
    assert (asked.path, asked.json) == (
        "/cgi-bin/externalcontact/send_welcome_msg", {"welcome_code": "CODE", "text": {"content": "欢迎!"}},
    )  # fmt: skip
    tencent.will(answer({"errcode": 41051, "errmsg": "externaluser has started chatting"}))
    with pytest.raises(SendFailed):
        await adapter.acknowledge(welcoming, added)


async def test_a_pressed_card_shows_it(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    pressed = MessageReceived(
        event_id="c", occurred_at=now(), address=Address(channel_id="chn_wc", external_id="zhangsan"), message_id="c",
        postback=Postback(payload="take"), extra={"response_code": "RC", "card_type": "button_interaction"},
    )  # fmt: skip
    tencent.will(answer({"errcode": 0}))
    assert adapter.wants_acknowledgement(pressed)
    assert not adapter.wants_acknowledgement(pressed.model_copy(update={"extra": {}}))
    await adapter.acknowledge(connected, pressed)
    await adapter.acknowledge(connected, pressed.model_copy(update={"extra": {"response_code": "RC"}}))
    (asked,) = tencent.asked
    assert (asked.path, asked.json["userids"], asked.json["response_code"]) == (
        "/cgi-bin/message/update_template_card", ["zhangsan"], "RC",
    )  # fmt: skip


async def test_check(adapter: WeComAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 0, "name": "Tea desk"}))
    assert "Tea desk" in await adapter.check(connected)
