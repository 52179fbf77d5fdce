"""The Admin API played by a local server: names, the check, the webhooks, and every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.shopify.adapter import ShopifyAdapter
from channels.providers.shopify.parse import SUBSCRIBED
from tests.channels.contract import contracts
from tests.channels.peer import Peer, Reply, answer, cut, loopback_client
from tests.conftest import LocalServer

CONTRACT: Any = next(contract for contract in contracts() if contract.name == "shopify")
URL = "https://crm.example.com/webhooks/shopify/chn_1"


@dataclass
class Shop:
    adapter: ShopifyAdapter
    account: Account
    peer: Peer


@pytest.fixture
async def shop(local_server: LocalServer) -> AsyncIterator[Shop]:
    peer, client = Peer(), loopback_client()
    base = await local_server(peer.app())
    yield Shop(ShopifyAdapter(client), CONTRACT.account({"api_base": str(base).rstrip("/")}), peer)
    await client.close()


def data(**found: Any) -> Reply:
    return answer({"data": found})


NONE_YET = data(webhookSubscriptions={"nodes": []})
CREATED = data(webhookSubscriptionCreate={"webhookSubscription": {"id": "gid://1"}, "userErrors": []})


async def test_webhooks_are_registered_once_per_topic(shop: Shop) -> None:
    shop.peer.will(NONE_YET, CREATED)
    assert str(len(SUBSCRIBED)) in str(await shop.adapter.register_webhook(shop.account, URL))
    first, *creates = shop.peer.asked
    assert first.path == "/admin/api/2026-04/graphql.json"
    assert first.headers["x-shopify-access-token"] == "shpat_canary-access-token"
    topics = {asked.json["variables"]["topic"] for asked in creates}
    assert len(topics) == len(SUBSCRIBED) and {"ORDERS_CREATE", "APP_UNINSTALLED"} <= topics
    assert {asked.json["variables"]["wanted"]["uri"] for asked in creates} == {URL}
    assert not any(topic in topics for topic in ("CUSTOMERS_REDACT", "SHOP_REDACT"))


async def test_what_stands_is_left_alone(shop: Shop) -> None:
    nodes = [{"id": "x", "topic": topic.replace("/", "_").upper(), "uri": URL} for topic in SUBSCRIBED]
    shop.peer.will(data(webhookSubscriptions={"nodes": nodes}))
    await shop.adapter.register_webhook(shop.account, URL)
    assert len(shop.peer.asked) == 1


async def test_a_refused_topic_is_told_and_all_refused_is_a_failure(shop: Shop) -> None:
    no = data(webhookSubscriptionCreate={"userErrors": [{"field": None, "message": "access denied"}]})
    shop.peer.will(NONE_YET, no, CREATED)
    assert "access denied" in str(await shop.adapter.register_webhook(shop.account, URL))
    shop.peer.will(NONE_YET, no)
    with pytest.raises(SendFailed, match="none of the webhooks") as caught:
        await shop.adapter.register_webhook(shop.account, URL)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM


async def test_check_names_the_shop_and_notices_the_wrong_one(shop: Shop) -> None:
    right = {"name": "Tea House", "myshopifyDomain": "tea-house.myshopify.com"}
    shop.peer.will(data(shop=right), NONE_YET)
    assert "Tea House" in await shop.adapter.check(shop.account)
    shop.peer.will(data(shop={**right, "myshopifyDomain": "other.myshopify.com"}))
    with pytest.raises(SendFailed, match="another shop"):
        await shop.adapter.check(shop.account)
    bare = CONTRACT.account({"access_token": None})
    assert "received" in await shop.adapter.check(bare)


async def test_lookup_tells_the_name(shop: Shop) -> None:
    shop.peer.will(data(customer={"firstName": "Bob", "lastName": "Norman", "locale": "en"}))
    found = await shop.adapter.lookup(shop.account, "207119551")
    assert found is not None and (found.name, found.locale) == ("Bob Norman", "en")
    assert shop.peer.asked[0].json["variables"] == {"id": "gid://shopify/Customer/207119551"}
    shop.peer.will(data(customer=None))
    assert await shop.adapter.lookup(shop.account, "1") is None
    assert await shop.adapter.lookup(shop.account, "bob@example.com") is None and len(shop.peer.asked) == 2


def error(code: str) -> Reply:
    return answer({"errors": [{"message": "no", "extensions": {"code": code}}]})


@pytest.mark.parametrize(("reply", "failure", "wait"), [
    (answer({"errors": "[API] Invalid API key"}, status=401), Failure.ACCOUNT_PROBLEM, None),
    (answer({}, status=402), Failure.ACCOUNT_PROBLEM, None),
    (answer({"errors": "Not Found"}, status=404), Failure.ACCOUNT_PROBLEM, None),
    (answer({}, status=429, headers={"Retry-After": "2.0"}), Failure.RATE_LIMITED, 2.0),
    (answer("<html>", status=503), Failure.TEMPORARY, None), (answer("<html>"), Failure.TEMPORARY, None),
    (answer({}, status=418), Failure.UNKNOWN, None), (cut, Failure.TEMPORARY, None),
    (answer("moved", status=302), Failure.UNKNOWN, None),
    (error("THROTTLED"), Failure.RATE_LIMITED, None), (error("ACCESS_DENIED"), Failure.ACCOUNT_PROBLEM, None),
    (error("?"), Failure.CONTENT_REJECTED, None),
])  # fmt: skip
async def test_every_refusal_has_its_reason(shop: Shop, reply: Reply, failure: Failure, wait: float | None) -> None:
    shop.peer.will(reply)
    calls: list[Callable[[], Any]] = [
        lambda: shop.adapter.check(shop.account),
        lambda: shop.adapter.lookup(shop.account, "1"),
        lambda: shop.adapter.register_webhook(shop.account, URL),
    ]
    for call in calls:
        with pytest.raises(SendFailed) as caught:
            await call()
        assert (caught.value.failure, caught.value.retry_after_s) == (failure, wait)
        assert "canary" not in str(caught.value)


async def test_an_app_of_the_dev_dashboard_gets_a_token_for_each_task(shop: Shop) -> None:
    """No admin-made apps any more: client ID and secret buy a token that lasts a day."""
    base = shop.account.settings.api_base
    account = CONTRACT.account({"api_base": base, "access_token": None, "client_id": "abc123"})
    shop.peer.will(answer({"access_token": "shpat_day", "expires_in": 86399}), NONE_YET, CREATED)
    await shop.adapter.register_webhook(account, URL)
    grant, *calls = shop.peer.asked
    assert grant.path == "/admin/oauth/access_token" and b"grant_type=client_credentials" in grant.body
    assert b"client_id=abc123" in grant.body and len(calls) == 1 + len(SUBSCRIBED)
    assert {each.headers["x-shopify-access-token"] for each in calls} == {"shpat_day"}


async def test_a_token_that_was_taken_away_goes_nowhere(shop: Shop) -> None:
    """It is kept a while for what was signed with it; the address of the API may have changed since."""
    base = shop.account.settings.api_base
    account = CONTRACT.account({"api_base": base, "access_token": None})
    account = replace(account, former_secrets={"access_token": ("canary-old",), "app_secret": ("canary-older",)})
    with pytest.raises(SendFailed, match="Neither"):
        await shop.adapter.register_webhook(account, URL)
    assert await shop.adapter.lookup(account, "42") is None
    assert shop.peer.asked == []


@pytest.mark.parametrize(("reply", "failure"), [
    (answer({"error": "invalid_client", "error_description": "no"}, status=400), Failure.ACCOUNT_PROBLEM),
    (answer({}), Failure.TEMPORARY), (answer("<html>", status=503), Failure.TEMPORARY), (cut, Failure.TEMPORARY),
])  # fmt: skip
async def test_a_token_that_is_not_given(shop: Shop, reply: Reply, failure: Failure) -> None:
    account = CONTRACT.account(
        {"api_base": shop.account.settings.api_base, "access_token": None, "client_id": "abc123"}
    )
    shop.peer.will(reply)
    with pytest.raises(SendFailed) as caught:
        await shop.adapter.check(account)
    assert caught.value.failure is failure and "canary" not in str(caught.value)
