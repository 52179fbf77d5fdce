"""What the golden files cannot say of Instagram: the three shapes, whose an item is, and what never happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.adapter import Delivery
from channels.providers.meta.instagram.adapter import InstagramAdapter
from channels.vocabulary import AnyEvent, MessageReceived, Tracked, Unrecognised
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.meta.instagram.test_send import account

IG, KIM = "17841452691600098", "5614879045272581"
MESSAGE = {
    "sender": {"id": KIM},
    "recipient": {"id": IG},
    "timestamp": 1763800000000,
    "message": {"mid": "g", "text": "x"},
}


def parse(entry: dict[str, Any]) -> list[AnyEvent]:
    payload = {"object": "instagram", "entry": [{"id": IG, "time": 1763800000, **entry}]}
    delivery = Delivery("POST", json.dumps(payload).encode(), received_at=NOW)
    return InstagramAdapter(loopback_client()).parse(account(), delivery)


@pytest.mark.parametrize(
    "entry",
    [
        {"messaging": [MESSAGE]},
        {"changes": [{"field": "messages", "value": MESSAGE}]},
        {"field": "messages", "value": MESSAGE},
        {"field": "messages", "value": [MESSAGE]},
        {"id": "0", "changes": [{"field": "messages", "value": MESSAGE}]},
        {"id": "another-id-of-the-account", "messaging": [MESSAGE]},
        {"id": None, "messaging": [MESSAGE]},
    ],
)
def test_one_message_in_every_shape(entry: dict[str, Any]) -> None:
    [event] = parse(entry)
    assert isinstance(event, MessageReceived)
    assert (event.message_id, event.text, event.address.external_id, event.echo) == ("g", "x", KIM, False)


def test_another_accounts_message_is_kept() -> None:
    theirs = {**MESSAGE, "recipient": {"id": "999"}}
    [event] = parse({"id": "999", "messaging": [theirs]})
    assert isinstance(event, Unrecognised)
    assert event.reason == "another account of this app"


def test_an_unsupported_file_is_a_file_and_says_so() -> None:
    attachment = {"type": "unsupported_type", "payload": {"url": "https://cdn.example/x"}}
    [event] = parse({"messaging": [{**MESSAGE, "message": {"mid": "g", "attachments": [attachment]}}]})
    assert isinstance(event, MessageReceived)
    assert (event.unsupported, event.text, len(event.attachments)) == ("unsupported_type", None, 1)


def test_a_story_that_was_answered() -> None:
    reply = {"story": {"id": "s", "url": "https://cdn.example/s"}}
    [event] = parse({"messaging": [{**MESSAGE, "message": {"mid": "g", "text": "wow", "reply_to": reply}}]})
    assert isinstance(event, MessageReceived)
    assert (event.extra["story"]["id"], event.reply_to) == ("s", None)


def test_a_comment_is_the_same_person_as_in_the_thread() -> None:
    value = {"id": "c", "text": "Nice", "from": {"id": KIM, "username": "kim"}}
    [event] = parse({"field": "comments", "value": value})
    assert isinstance(event, Tracked)
    assert event.address is not None
    assert (event.address.external_id, event.address.handle) == (KIM, "@kim")
    [again] = parse({"changes": [{"field": "comments", "value": value}]})
    assert again.event_id == event.event_id
