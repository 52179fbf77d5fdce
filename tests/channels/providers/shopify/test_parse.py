"""What the golden files can't show: identity of a delivery, other shops, consent in all its states."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from channels.adapter import Unreadable
from channels.providers.shopify.adapter import HMAC, ShopifyAdapter
from channels.providers.shopify.parse import SUBSCRIBED
from channels.providers.shopify.settings import ShopifySettings
from channels.vocabulary import AnyEvent, CommerceEvent, ConsentChange, Unrecognised
from tests.channels.contract import contracts, with_headers

CONTRACT: Any = next(contract for contract in contracts() if contract.name == "shopify")
NO_CLIENT: Any = None
ADAPTER = ShopifyAdapter(NO_CLIENT)


def told(topic: str, body: Any, **headers: str) -> list[AnyEvent]:
    delivery = with_headers(CONTRACT.told(topic, json.dumps(body).encode()), headers)
    return ADAPTER.parse(CONTRACT.account(), delivery)


def test_one_happening_under_two_topics_is_two_deliveries_and_a_retry_is_none() -> None:
    def key(topic: str, **more: str) -> str:
        given = CONTRACT.told(topic, b"{}")
        return ADAPTER.delivery_key(CONTRACT.account(), with_headers(given, {"x-shopify-event-id": "e1", **more}))

    assert key("orders/paid") != key("orders/updated")
    assert key("orders/paid") == key("orders/paid", **{"x-shopify-webhook-id": "another", HMAC: "x"})
    bare = CONTRACT.post(b"{}")
    webhook = with_headers(bare, {"x-shopify-webhook-id": "w1"})
    assert ADAPTER.delivery_key(CONTRACT.account(), webhook).startswith("w1")
    assert ADAPTER.delivery_key(CONTRACT.account(), bare) != ADAPTER.delivery_key(CONTRACT.account(), webhook)


def test_another_shop_of_the_same_app_is_left_to_its_own_channel() -> None:
    other = "coffee-house.myshopify.com"
    (event,) = told("orders/create", {"id": 1}, **{"x-shopify-shop-domain": other})
    assert isinstance(event, Unrecognised) and event.reason == "for another shop"
    delivery = with_headers(CONTRACT.told("orders/create", b"{}"), {"x-shopify-shop-domain": other.upper()})
    assert ADAPTER.locate(delivery) == {("shop_domain", other)}
    (event,) = told("orders/create", {"id": 1}, **{"x-shopify-shop-domain": "www.tea-house.example"})
    assert isinstance(event, CommerceEvent)


def test_a_delivery_without_a_topic_is_kept() -> None:
    delivery = CONTRACT.told("orders/create", b'{"id": 1}')
    headers = {name: value for name, value in delivery.headers.items() if name != "x-shopify-topic"}
    (event,) = ADAPTER.parse(CONTRACT.account(), replace(delivery, headers=headers))
    assert isinstance(event, Unrecognised) and event.topic == "no topic"
    with pytest.raises(Unreadable):
        ADAPTER.parse(CONTRACT.account(), CONTRACT.told("orders/create", b"[1]"))


@pytest.mark.parametrize("topic", [topic for topic in SUBSCRIBED if topic != "app/uninstalled"])
def test_an_empty_object_under_any_topic_is_kept(topic: str) -> None:
    assert told(topic, {})


@pytest.mark.parametrize(("consent", "granted"), [
    ({"state": "subscribed", "consent_updated_at": "2026-11-01T00:00:00Z"}, True),
    ({"state": "unsubscribed", "consent_updated_at": "2026-11-01T00:00:00Z"}, False),
    ({"state": "unsubscribed", "consent_updated_at": None}, False),
    ({"state": "not_subscribed"}, None), ({"state": "pending"}, None), ({"state": "invalid"}, None),
    ({"state": "redacted"}, None), ({}, None), ("subscribed", None),
])  # fmt: skip
def test_only_an_act_of_the_person_is_consent(consent: Any, granted: bool | None) -> None:
    body = {"id": 1, "email": "a@example.com", "email_marketing_consent": consent}
    found = [event for event in told("customers/update", body) if isinstance(event, ConsentChange)]
    assert [each.granted for each in found] == ([] if granted is None else [granted])


def test_a_yes_without_a_time_never_lifts_a_later_no() -> None:
    yes = {"state": "subscribed", "consent_updated_at": None}
    body = {
        "id": 1, "email": "a@example.com", "created_at": "2025-01-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z",
        "email_marketing_consent": yes,
    }  # fmt: skip
    found = [event for event in told("customers/update", body) if isinstance(event, ConsentChange)]
    assert [each.occurred_at.year for each in found] == [2025]
    again = told("customers/update", {**body, "updated_at": "2026-11-05T00:00:00Z"})
    assert [each.event_id for each in again if isinstance(each, ConsentChange)] == [each.event_id for each in found]


def test_a_topic_announces_its_milestone() -> None:
    (event,) = told("orders/paid", {"id": 7, "financial_status": "pending", "updated_at": "2026-11-01T00:00:00Z"})
    assert isinstance(event, CommerceEvent)
    assert {each["status"] for each in event.order["milestones"]} == {"pending", "paid"}


@pytest.mark.parametrize(("given", "kept"), [
    ("https://Tea-House.myshopify.com/", "tea-house.myshopify.com"), ("tea.example.com", "tea.example.com"),
    ("tea-house", None), ("tea house.com", None), ("evil.com/@x.myshopify.com", None), ("", None),
])  # fmt: skip
def test_shop_domains(given: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(ValueError, match="domain"):
            ShopifySettings(shop_domain=given, app_secret="s")  # type: ignore[arg-type]
    else:
        assert ShopifySettings(shop_domain=given, app_secret="s").shop_domain == kept  # type: ignore[arg-type]


@pytest.mark.parametrize(("customer", "proved"), [
    ({"id": 5, "email": "Anna@example.com", "verified_email": True}, True), ({"id": 5}, True), (None, True),
    ({"id": 5, "email": "other@example.com", "verified_email": True}, False), ({"id": 5, "email": None}, False),
    ({"id": 5, "email": "anna@example.com", "verified_email": False}, False),
])  # fmt: skip
def test_an_address_typed_at_the_till_is_proved_only_as_the_customers_own(customer: Any, proved: bool) -> None:
    body = {"id": 1, "email": "anna@example.com", "customer": customer}
    (event,) = told("orders/create", body)
    assert isinstance(event, CommerceEvent) and event.person is not None
    (said,) = [each for each in event.order["identities"] if each["kind"] == "email"]
    assert said["verified"] is event.person.verified is proved
