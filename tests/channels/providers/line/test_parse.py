"""What the contract test cannot know of LINE's deliveries: the published signature, and ids that last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from channels.adapter import Delivery, Unreadable, Unverified
from channels.providers.line.adapter import LineAdapter
from channels.providers.line.parse import EVEN_STANDING_BY, PARSERS, parse_delivery
from channels.vocabulary import AnyEvent, MessageEdited, MessageReceived, Unrecognised
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.line.conftest import account

ANNA = {"type": "user", "userId": "U0123"}


def parse(*events: Any) -> list[AnyEvent]:
    body = json.dumps({"destination": "U1", "events": events}).encode()
    return parse_delivery("chn_line", Delivery("POST", body, received_at=NOW))


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "mode": "active", "timestamp": 1764300000000, "source": ANNA, **more}


def test_the_published_signature_holds(fixtures_dir: Path) -> None:
    vector = json.loads((fixtures_dir / "line" / "signature-vector.json").read_text())
    given, body = {vector["header"].lower(): (vector["value"],)}, vector["raw_body"].encode()
    adapter, signed_by = LineAdapter(loopback_client()), account(channel_secret=vector["channel_secret"])
    adapter.verify(signed_by, Delivery("POST", body, given), NOW)
    with pytest.raises(Unverified):
        adapter.verify(signed_by, Delivery("POST", body + b"\n", given), NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": {}}', b"\xff", b"events"])
def test_what_is_no_delivery_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_delivery("chn_line", Delivery("POST", body))


def test_a_redelivery_is_the_same_event() -> None:
    """Also in the older form without an id: what LINE changes the second time is not part of the hash."""
    first = event("follow", replyToken="a", deliveryContext={"isRedelivery": False})
    again = event("follow", replyToken="b", deliveryContext={"isRedelivery": True})
    other = event("follow", replyToken="a", timestamp=1764300000001)
    one, two, three = parse(first, again, other)
    assert one.event_id == two.event_id != three.event_id


def test_two_edits_of_one_message_are_two_events_in_the_older_form_too() -> None:
    one, two = parse(
        event("messageEdited", message={"id": "7", "type": "text", "text": "a"}),
        event("messageEdited", message={"id": "7", "type": "text", "text": "b"}),
    )
    assert isinstance(one, MessageEdited) and isinstance(two, MessageEdited)
    assert one.message_id == two.message_id == "7" and one.event_id != two.event_id


def test_ids_come_as_text_whatever_they_were() -> None:
    (found,) = parse(event("message", message={"id": 354718705033693861, "type": "text", "text": "x"}))
    assert isinstance(found, MessageReceived) and found.message_id == found.event_id == "354718705033693861"


@pytest.mark.parametrize("kind", sorted(set(PARSERS) - EVEN_STANDING_BY))
def test_nothing_that_could_be_answered_comes_from_standby(kind: str) -> None:
    """No address either: an unread line in the inbox would be an invitation to answer."""
    (found,) = parse(event(kind, mode="standby", message={"id": "1", "type": "text", "text": "x"}))
    assert isinstance(found, Unrecognised) and found.address is None
