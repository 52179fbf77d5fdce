"""By which path a call came, when it happened, and how large it may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from base.signing import hmac_hex
from channels.adapter import Unreadable
from channels.failures import Failure, SendFailed
from channels.providers.segment.adapter import SegmentAdapter
from channels.vocabulary import Address, AnyEvent, Identified, OutboundMessage, Tracked, Unrecognised
from tests.channels.contract import NOW, contracts

CONTRACT: Any = next(contract for contract in contracts() if contract.name == "segment")
NO_CLIENT: Any = None
ADAPTER = SegmentAdapter(NO_CLIENT)


def parsed(call: str, body: Any, **settings: Any) -> list[AnyEvent]:
    return ADAPTER.parse(CONTRACT.account(settings), CONTRACT.called(call, json.dumps(body).encode()))


def test_the_path_rules_and_without_one_the_body_does() -> None:
    (event,) = parsed("track", {"type": "identify", "event": "x", "userId": "1"})
    assert isinstance(event, Tracked)
    bare = CONTRACT.post(b'{"type": "identify", "userId": "1"}')
    assert isinstance(ADAPTER.parse(CONTRACT.account(), bare)[0], Identified)
    assert isinstance(parsed("track", {"batch": [{"type": "track"}]})[0], Unrecognised)
    with pytest.raises(Unreadable):
        parsed("batch", [1])
    assert parsed("batch", {"batch": []}) == []


def test_the_same_body_by_two_paths_is_two_deliveries() -> None:
    calls = [CONTRACT.called(call, b'{"userId": "1"}') for call in ("identify", "page", "page")]
    first, second, again = (ADAPTER.delivery_key(CONTRACT.account(), call) for call in calls)
    assert first != second == again


@pytest.mark.parametrize(("call", "happened"), [
    ({}, "10:00:00"),
    ({"timestamp": "2026-11-22T09:00:00Z"}, "09:00:00"),
    ({"timestamp": "2026-11-22T08:00:00Z", "sentAt": "2026-11-22T08:00:10Z"}, "09:59:50"),
    ({"timestamp": "2026-11-22T13:00:00Z", "sentAt": "2026-11-22T13:30:00Z"}, "09:30:00"),
    ({"timestamp": "2026-11-22T09:00:00Z", "sentAt": "2026-11-22T08:00:00Z"}, "09:00:00"),
    ({"timestamp": "2027-01-01T00:00:00Z"}, "10:00:00"),
    ({"timestamp": "yesterday", "originalTimestamp": "2026-11-22T07:00:00Z"}, "07:00:00"),
    ({"timestamp": "0001-01-01T00:00:00Z", "sentAt": "9999-01-01T00:00:00Z"}, None),
])  # fmt: skip
def test_a_wrong_clock_is_put_right(call: dict[str, Any], happened: str | None) -> None:
    (event,) = parsed("track", {"event": "x", "userId": "1", **call})
    assert event.occurred_at <= NOW
    if happened is not None:
        assert event.occurred_at.isoformat() == f"2026-11-22T{happened}+00:00"


def test_a_key_of_the_tracking_script_says_of_nobody_who_they_are_unless_signed() -> None:
    public = {"allowed_origins": ["https://shop.example"], "identity_secret": "s" * 32}
    body = {"userId": "1", "anonymousId": "a", "traits": {"email": "anna@example.com"}}
    (event,) = parsed("identify", body, **public)
    assert isinstance(event, Identified) and (event.customer_id, event.anonymous_id) == (None, "a")
    signed = {**body, "context": {"hash": hmac_hex("s" * 32, b"1")}}
    assert parsed("identify", signed, **public)[0].customer_id == "1"
    assert parsed("identify", body, **{**public, "trusted": True})[0].customer_id == "1"
    assert isinstance(parsed("alias", {"userId": "1", "previousId": "a"}, **public)[0], Unrecognised)


@pytest.mark.parametrize("name", ["order.paid", "ORDER.created", "checkout.completed", "consent.granted", "task.done"])
def test_a_key_that_stands_in_pages_tells_nothing_that_only_servers_know(name: str) -> None:
    public = {"allowed_origins": ["https://shop.example"], "identity_secret": "s" * 32}
    call = {"event": name, "anonymousId": "a", "userId": "1", "context": {"hash": hmac_hex("s" * 32, b"1")}}
    (event,) = parsed("track", call, **public)
    assert isinstance(event, Unrecognised) and event.reason.startswith("not_for_browsers")
    account, delivery = CONTRACT.account(public), CONTRACT.called("track", json.dumps(call).encode())
    told = json.loads(ADAPTER.accepted(account, delivery).body)
    assert told["refused"] == [{"index": 0, "event": name, "code": "not_for_browsers"}]
    for secret in ({"trusted": True}, {}, {**public, "trusted": True}):
        assert isinstance(parsed("track", call, **secret)[0], Tracked), "a server's key tells everything"
        told = json.loads(ADAPTER.accepted(CONTRACT.account(secret), delivery).body)
        assert told == {"success": True}


def test_a_browser_begins_a_checkout_and_proves_nobody_by_it() -> None:
    public = {"allowed_origins": ["https://shop.example"], "identity_secret": "s" * 32}
    for name in ("checkout.started", "checkout.updated", "cart.changed"):
        (event,) = parsed("track", {"event": name, "anonymousId": "a", "userId": "victim"}, **public)
        assert isinstance(event, Tracked) and (event.customer_id, event.anonymous_id) == (None, "a")


def test_only_a_key_that_servers_alone_hold_proves_an_address() -> None:
    body = {"userId": "1", "traits": {"email": "anna@example.com"}}
    for trusted in (False, True):
        (event,) = parsed("identify", body, trusted=trusted)
        assert event.person is not None and event.person.verified is trusted


def test_a_call_of_a_batch_that_is_too_large_stands_alone() -> None:
    large = {"type": "track", "event": "x", "userId": "1", "properties": {"a": "ж" * 17_000}}
    kinds = [type(event) for event in parsed("batch", {"batch": [large, {**large, "properties": {"a": "ж" * 15_000}}]})]
    assert kinds == [Unrecognised, Tracked]


def test_numbers_become_text_and_odd_ids_are_short() -> None:
    (event,) = parsed("track", {"event": "x" * 300, "userId": 12345678901234567890, "anonymousId": "y" * 900})
    assert isinstance(event, Tracked) and event.customer_id == "12345678901234567890" and len(event.name) == 100
    assert event.anonymous_id is not None and len(event.anonymous_id) == 40


async def test_it_takes_no_messages() -> None:
    message = OutboundMessage(key="k", to=Address(channel_id="chn_1", external_id="1"), text="Hello")
    with pytest.raises(SendFailed, match="only receives") as caught:
        await ADAPTER.send(CONTRACT.account(), message)
    assert caught.value.failure is Failure.NOT_SUPPORTED
