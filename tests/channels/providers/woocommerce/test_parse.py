"""The unsigned ping, the identity of a delivery, and what the shop's settings may be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from channels.adapter import Unreadable, Unverified
from channels.providers.woocommerce.adapter import SIGNATURE, WooAdapter
from channels.providers.woocommerce.settings import WooSettings
from channels.vocabulary import CommerceEvent, Unrecognised
from tests.channels.contract import NOW, contracts, with_headers

CONTRACT: Any = next(contract for contract in contracts() if contract.name == "woocommerce")
NO_CLIENT: Any = None
ADAPTER = WooAdapter(NO_CLIENT)
FORM = "application/x-www-form-urlencoded"


def test_the_first_ping_is_answered_and_does_nothing() -> None:
    account, ping = CONTRACT.account(), CONTRACT.post(b"webhook_id=12", FORM)
    ADAPTER.verify(account, ping, NOW)
    answer = ADAPTER.handshake(account, ping)
    assert answer is not None and answer.status == 200 and ADAPTER.parse(account, ping) == []


@pytest.mark.parametrize("body", [
    b"webhook_id=12&order=1", b"webhook_id=", b"webhook_id=x", b"webhook_id=12\n", b" webhook_id=12", b'{"id": 1}', b"",
    b"webhook_id=" + b"1" * 30,
])  # fmt: skip
def test_nothing_else_passes_as_a_ping(body: bytes) -> None:
    unsigned = CONTRACT.post(body, FORM)
    with pytest.raises(Unverified):
        ADAPTER.verify(CONTRACT.account(), unsigned, NOW)
    assert ADAPTER.handshake(CONTRACT.account(), unsigned) is None


def test_a_ping_with_a_wrong_signature_is_refused() -> None:
    with pytest.raises(Unverified):
        ADAPTER.verify(CONTRACT.account(), with_headers(CONTRACT.post(b"webhook_id=1"), {SIGNATURE: "x"}), NOW)


def test_a_delivery_is_known_by_webhook_and_delivery() -> None:
    given = with_headers(CONTRACT.told("order.updated", b"{}"), {"x-wc-webhook-delivery-id": "d1"})
    assert ADAPTER.delivery_key(CONTRACT.account(), given) == "7:d1"
    other = with_headers(given, {"x-wc-webhook-id": "8"})
    assert ADAPTER.delivery_key(CONTRACT.account(), other) != "7:d1"
    assert len(ADAPTER.delivery_key(CONTRACT.account(), CONTRACT.post(b"{}"))) == 40


def test_an_order_that_contains_an_order_is_not_unwrapped() -> None:
    body = json.dumps({"id": 1, "order": {"id": 2}}).encode()
    (event,) = ADAPTER.parse(CONTRACT.account(), CONTRACT.told("order.updated", body))
    assert isinstance(event, CommerceEvent) and event.order["external_id"] == "1"


def test_what_has_no_topic_or_no_object() -> None:
    (event,) = ADAPTER.parse(CONTRACT.account(), CONTRACT.post(b'{"id": 1}'))
    assert isinstance(event, Unrecognised) and event.topic == "no topic"
    with pytest.raises(Unreadable):
        ADAPTER.parse(CONTRACT.account(), CONTRACT.told("order.updated", b"[]"))


@pytest.mark.parametrize("status", ["trash", "processing"])
def test_an_order_in_the_bin(status: str) -> None:
    body = json.dumps({"id": 1, "status": status}).encode()
    (event,) = ADAPTER.parse(CONTRACT.account(), CONTRACT.told("order.updated", body))
    assert isinstance(event, CommerceEvent) and event.order["removed"] is (status == "trash")


def test_a_restored_order_counts_from_now_and_a_late_one_from_its_own_time() -> None:
    body = json.dumps({"id": 1, "date_modified_gmt": "2026-11-01T00:00:00"}).encode()
    restored = CONTRACT.told("order.restored", body)
    (event,) = ADAPTER.parse(CONTRACT.account(), restored)
    assert event.occurred_at == NOW
    late = replace(restored, headers={**restored.headers, "x-wc-webhook-topic": ("order.updated",)})
    assert ADAPTER.parse(CONTRACT.account(), late)[0].occurred_at < NOW


@pytest.mark.parametrize(
    "given", ["shop.example.com", "ftp://shop.example.com", "https://a@b.example", "", "https://x?y"]
)
def test_shop_addresses(given: str) -> None:
    with pytest.raises(ValueError, match="shop"):
        WooSettings(site_url=given, webhook_secret="s")  # type: ignore[arg-type]
    good = WooSettings(site_url="https://shop.example.com/wp/", webhook_secret="s")  # type: ignore[arg-type]
    assert good.endpoint == "https://shop.example.com/wp/wp-json/wc/v3"
