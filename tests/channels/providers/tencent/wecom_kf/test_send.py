"""Fetching, sending, people, the welcome and the check, against a peer that plays customer service."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from base.clock import now
from base.http import HttpClient
from channels.adapter import Account, Delivery, Unverified
from channels.failures import Failure, SendFailed
from channels.providers.tencent.wecom_kf.adapter import WeComKfAdapter
from channels.providers.tencent.wecom_kf.card import WeComKfSettings
from channels.providers.tencent.wecom_kf.compose import own_id
from channels.providers.tencent.wecom_kf.happenings import FAIL_TYPES
from channels.providers.tencent.work import CODES
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    DeliveryUpdate,
    Location,
    MessageReceived,
    OutboundMessage,
    Person,
    ProfileSeen,
)
from tests.channels.contract import NOW
from tests.channels.peer import answer, cut, slow
from tests.channels.providers.tencent.conftest import PNG, Tencent
from tests.channels.providers.tencent.envelope import AES_KEY

ANNA = Address(channel_id="chn_kf", external_id="wmAJ2GCAAAme1XQRC-NI-q0_ZM9ukoAw")
KF = "wkAJ2GCAAASSm4_FhToWMFea0xAFfd3Q"
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


def out(key: str = KEY, **fields: Any) -> OutboundMessage:
    return OutboundMessage(key=key, to=ANNA, **fields)


@pytest.fixture
def adapter(http: HttpClient) -> WeComKfAdapter:
    made = WeComKfAdapter(http)
    made.timeout_s = 0.5
    return made


def account(base: str, **more: str) -> Account:
    given = {
        "corp_id": "ww12345678910", "open_kfid": KF, "secret": "canary-corp-secret", "token": "canaryToken",
        "encoding_aes_key": AES_KEY, "api_base": base, **more,
    }  # fmt: skip
    return Account("chn_kf", "wecom_kf", "Tea", WeComKfSettings.model_validate(given))


@pytest.fixture
def connected(api_base: str) -> Account:
    return account(api_base)


async def failure_of(adapter: WeComKfAdapter, to: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, message)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


# -- fetching -----------------------------------------------------------------------------------------------


async def test_pages_are_fetched_behind_the_cursor(
    adapter: WeComKfAdapter, connected: Account, tencent: Tencent, fixtures_dir: Path
) -> None:
    given = (fixtures_dir / "wecom" / "kf-sync_msg-page.json").read_bytes()
    tencent.will(answer(given), answer({"errcode": 0, "next_cursor": "c3", "has_more": 0, "msg_list": []}))
    first = await adapter.poll(connected, None, "HINT")
    assert (first.cursor, first.more, len(first.deliveries)) == ("4gw7MepFLfgF2VC5npN", True, 1)
    assert first.deliveries[0].body == given
    assert len(adapter.parse(connected, first.deliveries[0])) == 15
    second = await adapter.poll(connected, first.cursor, "HINT")
    assert (second.cursor, second.more, second.deliveries) == ("c3", False, ())
    bodies = [each.json for each in tencent.asked]
    assert {each.path for each in tencent.asked} == {"/cgi-bin/kf/sync_msg"}
    assert bodies[0] == {"open_kfid": KF, "limit": 500, "voice_format": 0, "token": "HINT"}
    assert bodies[1]["cursor"] == "4gw7MepFLfgF2VC5npN"


async def test_without_a_hint_it_asks_seldom(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    assert (adapter.poll_every_s(connected) or 0) >= 180
    tencent.will(answer({"errcode": 0, "next_cursor": "c1", "has_more": 0, "msg_list": []}))
    await adapter.poll(connected, "c0", None)
    assert "token" not in tencent.asked[0].json


async def test_a_hint_that_has_ended_is_left_out(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 95007, "errmsg": "invalid msg token"}), answer({"errcode": 0, "msg_list": []}))
    page = await adapter.poll(connected, "c0", "OLD")
    assert (page.cursor, page.more) == ("c0", False)
    assert [each.json.get("token") for each in tencent.asked] == ["OLD", None]


async def test_a_page_that_leads_nowhere_ends_the_round(
    adapter: WeComKfAdapter, connected: Account, tencent: Tencent
) -> None:
    tencent.will(answer({"errcode": 0, "next_cursor": "c0", "has_more": 1, "msg_list": []}))
    assert not (await adapter.poll(connected, "c0", None)).more


async def test_troubles_of_fetching(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    for reply, failure in (
        (answer({"errcode": 45009, "errmsg": "too often"}), Failure.RATE_LIMITED),
        (answer({"errcode": 95000, "errmsg": "invalid open_kfid"}), Failure.ACCOUNT_PROBLEM),
        (answer("<html>"), Failure.TEMPORARY),
        (answer("", status=500), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ):
        tencent.will(reply)
        with pytest.raises(SendFailed) as caught:
            await adapter.poll(connected, "c0", None)
        assert caught.value.failure is failure


def test_a_page_cannot_be_posted(adapter: WeComKfAdapter) -> None:
    body = json.dumps({"errcode": 0, "msg_list": [{"msgid": "1", "external_userid": "x", "msgtype": "text"}]}).encode()
    for method in ("POST", "PAGE"):
        with pytest.raises(Unverified):
            adapter.verify(account("https://x.example"), Delivery(method, body, received_at=NOW), NOW)


# -- sending ------------------------------------------------------------------------------------------------


async def test_each_part_has_an_id_of_ours(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 0, "errmsg": "ok"}))
    picture = Attachment(kind=AttachmentKind.IMAGE, content=PNG)
    shop = Location(latitude=23.1, longitude=113.3, name="Tea house", address="滨江东路")
    message = out(text="你好", attachments=(picture,), location=shop)
    receipts = [await adapter.send(connected, message) for _ in range(2)]
    bodies = [each.json for each in tencent.asked]
    assert receipts[0].message_ids == receipts[1].message_ids == tuple(body["msgid"] for body in bodies[:3])
    assert len(set(receipts[0].message_ids)) == 3 and all(len(each) == 32 for each in receipts[0].message_ids)
    assert [body[body["msgtype"]] for body in bodies[:3]] == [
        {"media_id": "laid-1"},
        {"name": "Tea house", "address": "滨江东路", "latitude": 23.1, "longitude": 113.3},
        {"content": "你好"},
    ]
    assert {(body["touser"], body["open_kfid"]) for body in bodies} == {(ANNA.external_id, KF)}
    assert own_id("snd_01kb", 0) == "snd_01kb" != own_id("snd_01kb", 1)


async def test_a_failure_told_later_names_that_id(
    adapter: WeComKfAdapter, connected: Account, tencent: Tencent
) -> None:
    tencent.will(answer({"errcode": 0}))
    (message_id,) = (await adapter.send(connected, out(text="x"))).message_ids
    for kind, (failure, _) in FAIL_TYPES.items():
        event = {"event_type": "msg_send_fail", "fail_msgid": message_id, "fail_type": int(kind)}
        item = {"msgid": "e", "send_time": 1764300000, "origin": 4, "msgtype": "event", "event": event}
        body = json.dumps({"msg_list": [item]}).encode()
        (update,) = adapter.parse(connected, Delivery("PAGE", body, received_at=NOW))
        assert isinstance(update, DeliveryUpdate)
        assert (update.message_id, update.failure) == (message_id, failure.value)


async def test_buttons_are_a_menu(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": 0, "msgid": "given"}))
    buttons = (Button(title="Yes", payload="y"), Button(title="Shop", url="https://s.example"))
    assert (await adapter.send(connected, out(text="Well?", buttons=buttons))).message_ids == ("given",)
    assert tencent.asked[0].json["msgmenu"] == {
        "head_content": "Well?",
        "list": [
            {"type": "click", "click": {"id": "y", "content": "Yes"}},
            {"type": "view", "view": {"url": "https://s.example", "content": "Shop"}},
        ],
    }


async def test_refused_before_the_call(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    for message, failure in (
        (out(attachments=(Attachment(kind=AttachmentKind.STICKER),)), Failure.NOT_SUPPORTED),
        (out(text="x" * 1025, buttons=(Button(title="Yes"),)), Failure.CONTENT_REJECTED),
        (out(text="x", buttons=(Button(title="茶" * 43),)), Failure.CONTENT_REJECTED),
        (out(text="x", buttons=(Button(title="Yes", payload="y" * 129),)), Failure.CONTENT_REJECTED),
        (out(), Failure.CONTENT_REJECTED),
    ):
        assert (await failure_of(adapter, connected, message)).failure is failure
    assert not tencent.asked


@pytest.mark.parametrize("code", sorted(CODES))
async def test_each_code(code: int, adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(answer({"errcode": code, "errmsg": "no"}))
    failed = await failure_of(adapter, connected, out(text="x"))
    assert (failed.failure, failed.provider_code) == (CODES[code], str(code))


async def test_troubles_of_the_line(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    for reply, failure in (
        (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED),
        (answer("<html>", status=502), Failure.TEMPORARY),
        (answer("<html>"), Failure.UNCERTAIN),
        (slow(2), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
    ):
        tencent.will(reply)
        assert (await failure_of(adapter, connected, out(text="x"))).failure is failure


# -- people, the welcome, the account -----------------------------------------------------------------------


async def test_lookup(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    told = {"external_userid": ANNA.external_id, "nickname": "安娜", "avatar": "https://wx.qlogo.cn/a", "unionid": "u1"}
    tencent.will(answer({"errcode": 0, "customer_list": [{"external_userid": "other"}, told]}))
    assert await adapter.lookup(connected, ANNA.external_id) == Person(
        name="安娜", avatar_url="https://wx.qlogo.cn/a", platform_ids=(f"wecom:{ANNA.external_id}", "wechat:u1")
    )
    assert tencent.asked[0].json["external_userid_list"] == [ANNA.external_id]
    tencent.will(answer({"errcode": 0, "customer_list": [], "invalid_external_userid": [ANNA.external_id]}))
    assert await adapter.lookup(connected, ANNA.external_id) is None


async def test_the_welcome(adapter: WeComKfAdapter, api_base: str, tencent: Tencent) -> None:
    welcoming, silent = account(api_base, welcome_text="欢迎!"), account(api_base)
    entered = ProfileSeen(event_id="f", occurred_at=now(), address=ANNA, raw={"event": {"welcome_code": "CODE"}})
    late = entered.model_copy(update={"occurred_at": now() - timedelta(days=2)})
    assert adapter.wants_acknowledgement(entered)
    assert not adapter.wants_acknowledgement(entered.model_copy(update={"raw": {"event": {}}}))
    message = MessageReceived(event_id="m", occurred_at=now(), address=ANNA, message_id="m", raw=entered.raw)
    assert not adapter.wants_acknowledgement(message)
    tencent.will(answer({"errcode": 0}))
    for to, event in ((silent, entered), (welcoming, late), (welcoming, entered)):
        await adapter.acknowledge(to, event)
    (asked,) = tencent.asked
    assert (asked.path, asked.json) == (
        "/cgi-bin/kf/send_msg_on_event", {"code": "CODE", "msgtype": "text", "text": {"content": "欢迎!"}},
    )  # fmt: skip


async def test_check(adapter: WeComKfAdapter, connected: Account, tencent: Tencent) -> None:
    tencent.will(
        answer({"errcode": 0, "account_list": [{"open_kfid": "wkother"}, {"open_kfid": KF, "name": "Tea help"}]})
    )
    assert "Tea help" in await adapter.check(connected)
    tencent.will(answer({"errcode": 0, "account_list": [{"open_kfid": "wkother"}]}))
    with pytest.raises(SendFailed, match="may not manage"):
        await adapter.check(connected)
