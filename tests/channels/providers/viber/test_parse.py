"""What the contract test cannot know of Viber's callbacks: every digit of a token, retries, a signed query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from base.signing import hmac_hex
from channels.adapter import Delivery, Unreadable, Unverified
from channels.providers.viber.adapter import HEADER, ViberAdapter
from channels.providers.viber.parse import delivery_key, parse_delivery
from channels.providers.viber.tracking import LIMIT, sent_before, tracking
from channels.vocabulary import AnyEvent, Button, DeliveryUpdate, MessageReceived
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.viber.conftest import account

ANNA = "01234567890A="


def parse(body: bytes) -> list[AnyEvent]:
    return parse_delivery("chn_viber", Delivery("POST", body, received_at=NOW))


def message(**fields: Any) -> MessageReceived:
    body = {"event": "message", "message_token": 1, "timestamp": 1796000000000, "sender": {"id": ANNA}}
    (found,) = parse(json.dumps({**body, "message": fields}).encode())
    assert isinstance(found, MessageReceived)
    return found


@pytest.mark.parametrize("token", [4912661846655238145, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -7])
def test_tokens_keep_every_digit(token: int) -> None:
    for written in (str(token), f'"{token}"'):
        (found,) = parse(b'{"event":"seen","user_id":"a","message_token":%s}' % written.encode())
        assert isinstance(found, DeliveryUpdate) and found.message_id == str(token)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"event=message"])
def test_what_is_no_callback_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(body)


def test_receipts_of_one_message_are_told_apart() -> None:
    """A token may go to many people, and each gives two receipts."""
    bodies = [
        json.dumps({"event": event, "message_token": 5, "user_id": who}).encode()
        for event in ("delivered", "seen")
        for who in ("a", "b")
    ]
    assert len({delivery_key(body) for body in bodies}) == 4
    assert len({parse(body)[0].event_id for body in bodies}) == 4


def test_a_retry_has_the_same_key() -> None:
    first = b'{"event":"message","message_token":5741311803571721087,"sender":{"id":"a"},"timestamp":1}'
    again = b'{"timestamp":2,"sender":{"id":"a"},"message_token":5741311803571721087,"event":"message"}'
    assert delivery_key(first) == delivery_key(again) is not None
    assert delivery_key(b'{"event":"unsubscribed","user_id":"a"}') is None


def test_the_signature_may_stand_in_the_query() -> None:
    adapter, body = ViberAdapter(loopback_client()), b'{"event":"webhook"}'
    right = hmac_hex("canary-token", body)
    adapter.verify(account(), Delivery("POST", body, query={"sig": (right,)}), NOW)
    wrong = (
        Delivery("POST", body, query={"sig": (right, right)}),
        Delivery("POST", body, query={"sig": ("",)}),
        # A header that is there is what counts, however the query looks.
        Delivery("POST", body, {HEADER: ("0" * 64,)}, {"sig": (right,)}),
        Delivery("POST", body, {HEADER: (right, right)}, {"sig": (right,)}),
    )
    for delivery in wrong:
        with pytest.raises(Unverified):
            adapter.verify(account(), delivery, NOW)


def test_what_we_put_into_tracking_data_comes_back_as_a_postback() -> None:
    buttons = (Button(title="Yes, please", payload="y"), Button(title="No"), Button(title="Shop", url="https://s"))
    given = tracking("snd_1", buttons)
    pressed = message(type="text", text="y", tracking_data=given)
    assert pressed.text == "Yes, please" and pressed.postback is not None and pressed.postback.payload == "y"
    same_words = message(type="text", text="No", tracking_data=given)
    assert same_words.postback is not None and same_words.postback.payload == "No"
    typed = message(type="text", text="Shop", tracking_data=given)
    assert typed.postback is None and typed.extra == {"after_send": "snd_1"}


def test_tracking_data_has_room_for_little() -> None:
    many = tuple(Button(title="x" * 250, payload=f"{each}{'y' * 200}") for each in range(20))
    assert len(tracking("snd_1", many)) <= LIMIT
    assert sent_before(tracking("snd_1", many)) == ("snd_1", {})
    assert len(tracking("k" * 9000, ())) <= LIMIT


@pytest.mark.parametrize("given", ["tracking data", "[]", '{"key": 7}', "{", '"x"'])
def test_somebody_elses_tracking_data_is_kept(given: str) -> None:
    found = message(type="text", text="Hi", tracking_data=given)
    assert (found.text, found.postback, found.extra) == ("Hi", None, {"tracking_data": given})
