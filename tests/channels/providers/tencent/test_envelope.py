"""The envelope against published vectors, against attacks on XML, and against anything at all."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.adapter import Account, Adapter, Delivery, Unreadable, Unverified
from channels.providers.tencent.crypto import Undecipherable, decrypt, encrypt, signature
from channels.providers.tencent.markup import read_fields
from channels.providers.tencent.wechat.adapter import WeChatAdapter
from channels.providers.tencent.wechat.card import WeChatSettings
from channels.providers.tencent.wecom.adapter import WeComAdapter
from channels.providers.tencent.wecom.card import WeComSettings
from channels.vocabulary import MessageReceived
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.tencent.envelope import AES_KEY, sealed, with_proof

OTHER_KEY = "otherKEYotherKEYotherKEYotherKEYotherKEYoth"


def wechat(former: dict[str, tuple[str, ...]] | None = None, **more: str) -> Account:
    given = {"app_id": "wxb11529c136998cb6", "app_secret": "s", "token": "canaryToken", "encoding_aes_key": AES_KEY}
    return Account("chn_x", "wechat", "Tea", WeChatSettings.model_validate({**given, **more}), former or {})


def wecom(**more: str) -> Account:
    given = {"corp_id": "ww12345678910", "agent_id": "1", "secret": "s", "token": "t", "encoding_aes_key": AES_KEY}
    return Account("chn_x", "wecom", "Tea", WeComSettings.model_validate({**given, **more}))


OA, WORK = WeChatAdapter(loopback_client()), WeComAdapter(loopback_client())


def posted(message: bytes, account: Account, key: str = AES_KEY) -> Delivery:
    body = sealed(message, account.settings.app_id, key)
    return with_proof(Delivery("POST", body, received_at=NOW), "canaryToken", NOW)


def asked(**query: str) -> Delivery:
    return Delivery("GET", b"", query={name: (value,) for name, value in query.items()})


# -- vectors of others --------------------------------------------------------------------------------------


def test_published_cipher_texts(fixtures_dir: Path) -> None:
    given = json.loads((fixtures_dir / "wechat" / "aes-vectors.json").read_text())
    for vector in given["vectors"]:
        plain = vector["plain"].encode()
        assert decrypt(given["encoding_aes_key"], vector["cipher_b64"]) == (plain, given["app_id"])
        again = encrypt(given["encoding_aes_key"], plain, given["app_id"], random=given["random16"].encode())
        assert again == vector["cipher_b64"]


def test_published_challenge_of_an_official_account(fixtures_dir: Path) -> None:
    given = json.loads((fixtures_dir / "wechat" / "signature-vector-plain.json").read_text())
    account = wechat(token=given.pop("token"))
    answer = OA.handshake(account, asked(**given, echostr="4375120948345356249"))
    assert answer is not None and (answer.status, answer.body) == (200, b"4375120948345356249")
    changed = given["signature"][:-1] + ("0" if given["signature"][-1] != "0" else "1")
    for wrong in ({**given, "signature": changed}, {**given, "nonce": "tost"}, {}):
        with pytest.raises(Unverified):
            OA.handshake(account, asked(**wrong, echostr="1"))
    assert OA.handshake(account, asked(**given)) is None


def test_published_callback_of_wecom(fixtures_dir: Path) -> None:
    given = json.loads((fixtures_dir / "wecom" / "callback-crypto-vectors.json").read_text())
    account = wecom(corp_id=given["corp_id"], token=given["token"], encoding_aes_key=given["encoding_aes_key"])
    proof = {name: given["url_verify"][name] for name in ("msg_signature", "timestamp", "nonce", "echostr")}
    answer = WORK.handshake(account, asked(**proof))
    assert answer is not None and answer.body == given["url_verify"]["must_return"].encode()
    unplussed = {**proof, "echostr": proof["echostr"].replace("+", " ")}
    assert WORK.handshake(account, asked(**unplussed)) == answer
    with pytest.raises(Unverified):
        WORK.handshake(account, asked(**{**proof, "nonce": "1"}))

    receive = given["receive"]
    query = {name: (receive[name],) for name in ("msg_signature", "timestamp", "nonce")}
    then = NOW.fromtimestamp(int(receive["timestamp"]), NOW.tzinfo)
    delivery = Delivery("POST", receive["body"].encode(), query=query, received_at=then)
    WORK.verify(account, delivery, then)
    with pytest.raises(Unverified):
        WORK.verify(account, delivery, then + timedelta(seconds=601))
    (event,) = WORK.parse(account, delivery)
    assert isinstance(event, MessageReceived)
    assert (event.text, event.address.external_id, event.message_id) == ("test", "messense", "4363689963896700987")


def test_published_answer_of_wecom(fixtures_dir: Path) -> None:
    given = json.loads((fixtures_dir / "wecom" / "callback-crypto-vectors.json").read_text())
    reply, key = given["reply"], given["encoding_aes_key"]
    cipher_text = encrypt(key, reply["plain"].encode(), given["corp_id"], random=reply["random16"].encode())
    assert f"<Encrypt><![CDATA[{cipher_text}]]></Encrypt>" in reply["expected_body"]
    signed = signature(given["token"], reply["timestamp"], reply["nonce"], cipher_text)
    assert f"<MsgSignature><![CDATA[{signed}]]></MsgSignature>" in reply["expected_body"]


# -- what is inside -----------------------------------------------------------------------------------------

TEXT = b"<xml><FromUserName>o1</FromUserName><CreateTime>1764300000</CreateTime><MsgType>text</MsgType>"
HELLO = TEXT + b"<Content>hello</Content><MsgId>7</MsgId></xml>"


def test_a_message_for_another_account_is_refused_even_when_the_token_is_the_same() -> None:
    ours, theirs = wechat(), wechat(app_id="wxffffffffffffffff")
    delivery = posted(HELLO, theirs)
    OA.verify(theirs, delivery, NOW)
    with pytest.raises(Unverified, match="another account"):
        OA.verify(ours, delivery, NOW)
    with pytest.raises(Unreadable, match="another account"):
        OA.parse(ours, delivery)


def test_what_is_signed_and_cannot_be_opened_is_kept_for_later() -> None:
    account = wechat(encoding_aes_key=OTHER_KEY)
    delivery = posted(HELLO, account, AES_KEY)
    OA.verify(account, delivery, NOW)
    with pytest.raises(Unreadable, match="EncodingAESKey"):
        OA.parse(account, delivery)
    assert len(OA.parse(wechat({"encoding_aes_key": (AES_KEY,)}, encoding_aes_key=OTHER_KEY), delivery)) == 1


def test_each_try_of_one_message_is_one_delivery() -> None:
    account = wechat()
    first, other = posted(HELLO, account), posted(HELLO.replace(b"hello", b"hallo"), account)
    anew = encrypt(AES_KEY, HELLO, account.settings.app_id)
    again = replace(first, body=f"<xml><Encrypt>{anew}</Encrypt></xml>".encode())
    assert first.body != again.body
    keys = [OA.delivery_key(account, each) for each in (first, again, other)]
    assert keys[0] == keys[1] != keys[2]


def test_only_what_was_signed_is_read() -> None:
    """An address beside the cipher text could be anybody's; a JSON envelope may not smuggle fields in either."""
    account = wechat()
    delivery = posted(HELLO, account)
    body = delivery.body.replace(b"<ToUserName>", b"<FromUserName>evil</FromUserName><MsgId>8</MsgId><ToUserName>")
    OA.verify(account, replace(delivery, body=body), NOW)
    (event,) = OA.parse(account, replace(delivery, body=body))
    assert event.address is not None and (event.address.external_id, event.event_id) == ("o1", "7")


def test_json_envelopes() -> None:
    account = wecom()
    cipher_text = encrypt(
        AES_KEY, b'{"MsgType": "text", "FromUserName": "a", "Content": "x", "MsgId": 1}', "ww12345678910"
    )
    stamp = str(int(NOW.timestamp()))
    query = {"timestamp": stamp, "nonce": "n", "msg_signature": signature("t", stamp, "n", cipher_text)}
    body = json.dumps({"tousername": "ww12345678910", "encrypt": cipher_text, "agentid": "1"}).encode()
    delivery = Delivery("POST", body, query={name: (value,) for name, value in query.items()}, received_at=NOW)
    WORK.verify(account, delivery, NOW)
    (event,) = WORK.parse(account, delivery)
    assert isinstance(event, MessageReceived) and (event.text, event.message_id) == ("x", "1")


@pytest.mark.parametrize(
    "attack",
    [
        b'<!DOCTYPE xml [<!ENTITY a "ha">]><xml><Content>&a;</Content></xml>',
        b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/evil.dtd"><xml/>',
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>',
        b"<xml><a></xml>",
        b'<?xml version="1.0" encoding="no-such"?><xml/>',
        b"",
        b"   ",
        b"\xff\xfe\x00",
    ],
)
def test_attacks_and_nonsense_are_unreadable(attack: bytes) -> None:
    with pytest.raises(Unreadable):
        read_fields(attack)


def test_deep_and_wide_messages() -> None:
    assert read_fields(b"<a>" * 5000 + b"</a>" * 5000)
    assert len(read_fields(b"<xml>" + b"<a>1</a>" * 5000 + b"</xml>")["a"]) == 5000


@given(message=st.binary(max_size=200), receive_id=st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_round_trip(message: bytes, receive_id: str) -> None:
    receive_id = receive_id.encode("utf-8", "ignore").decode()
    assert decrypt(AES_KEY, encrypt(AES_KEY, message, receive_id)) == (message, receive_id)


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@given(cipher_text=st.text(max_size=100) | st.binary(max_size=96).map(as_base64))
@settings(max_examples=150, deadline=None)
def test_any_cipher_text_is_opened_or_refused(cipher_text: str) -> None:
    try:
        decrypt(AES_KEY, cipher_text)
    except Undecipherable:
        pass


NAMES = st.sampled_from(
    ["MsgType", "Event", "ChangeType", "FromUserName", "CreateTime", "Content", "MsgId", "EventKey", "Location_X",
     "Location_Y", "MediaId", "UserID", "ExternalUserID", "List", "ScanCodeInfo", "SendPicsInfo", "PicList", "item",
     "SelectedItems", "SelectedItem", "OptionIds", "OptionId", "MsgID", "Status", "SubscribeMsgPopupEvent", "Ticket"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["event", "text", "image", "location", "voice", "subscribe", "SCAN", "CLICK", "pic_weixin", "scancode_push",
     "unsubscribe", "location_select", "TEMPLATESENDJOBFINISH", "subscribe_msg_popup_event", "subscribe_msg_sent_event",
     "LOCATION", "change_external_contact", "add_external_contact", "del_follow_user", "change_contact", "update_user",
     "kf_msg_or_event", "template_card_event", "nan", "1e999", "-1", "9" * 400]
) | st.text("ab <&>\u00e9\u4e2d😀", max_size=8)  # fmt: skip
TREE = st.recursive(
    WORDS.map(lambda said: said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")),
    lambda inner: st.lists(st.tuples(NAMES, inner), max_size=7).map(
        lambda pairs: "".join(f"<{name}>{value}</{name}>" for name, value in pairs)
    ),
    max_leaves=14,
)


@given(inside=st.lists(st.tuples(NAMES, TREE), max_size=10), kind=WORDS, event=WORDS)
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize(("adapter", "account"), [(OA, wechat()), (WORK, wecom())], ids=["wechat", "wecom"])
def test_anything_inside_gives_events(
    adapter: Adapter, account: Account, inside: list[tuple[str, str]], kind: str, event: str
) -> None:
    def leaf(said: str) -> str:
        return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    fields: list[tuple[str, str]] = [("MsgType", leaf(kind)), ("Event", leaf(event)), *inside]
    message = "<xml>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields) + "</xml>"
    settings_: Any = account.settings
    receive_id = getattr(settings_, "app_id", None) or settings_.corp_id
    delivery = Delivery("POST", sealed(message.encode(), receive_id), received_at=NOW)
    events = adapter.parse(account, delivery)
    assert events and all(0 < len(each.event_id) <= 500 for each in events)
    assert all(each.model_dump_json() for each in events)
    assert adapter.parse(account, delivery) == events
