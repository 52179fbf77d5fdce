"""The shop's REST API played by a local server: names, the check, the webhooks, and every refusal."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.woocommerce.adapter import WooAdapter
from channels.providers.woocommerce.parse import SUBSCRIBED
from tests.channels.contract import CHANNEL_ID, contracts
from tests.channels.peer import Peer, Reply, answer, cut, loopback_client
from tests.conftest import LocalServer

CONTRACT: Any = next(contract for contract in contracts() if contract.name == "woocommerce")
URL = f"https://crm.example.com/webhooks/woocommerce/{CHANNEL_ID}"


@dataclass
class Shop:
    adapter: WooAdapter
    account: Account
    peer: Peer


@pytest.fixture
async def shop(local_server: LocalServer) -> AsyncIterator[Shop]:
    peer, client = Peer(), loopback_client()
    base = await local_server(peer.app())
    yield Shop(WooAdapter(client), CONTRACT.account({"api_base": str(base).rstrip("/")}), peer)
    await client.close()


def hook(topic: str, url: str = URL, status: str = "active") -> dict[str, Any]:
    return {"id": 142, "topic": topic, "delivery_url": url, "status": status}


async def test_webhooks_are_made_and_those_that_stand_switched_on(shop: Shop) -> None:
    hooks = [hook("order.created", status="disabled"), hook("order.updated", "https://elsewhere.example.com")]
    shop.peer.will(answer(hooks), answer({"id": 1}, status=201))
    assert str(len(SUBSCRIBED)) in str(await shop.adapter.register_webhook(shop.account, URL))
    first, *changes = shop.peer.asked
    pair = base64.b64encode(b"ck_canary-consumer-key:cs_canary-consumer-secret").decode()
    assert first.path == "/wp-json/wc/v3/webhooks" and first.headers["authorization"] == f"Basic {pair}"
    put, *posts = changes
    assert (put.method, put.path) == ("PUT", "/wp-json/wc/v3/webhooks/142")
    assert put.json == {"status": "active", "secret": "canary-webhook-secret"}
    assert {each.json["topic"] for each in posts} == {*SUBSCRIBED} - {"order.created"}
    assert all(each.json["delivery_url"] == URL and each.json["secret"] for each in posts)


async def test_keys_that_were_taken_away_go_nowhere(shop: Shop) -> None:
    """They are kept a while although nothing is signed with them; the shop's address may have changed since."""
    base, former = shop.account.settings.api_base, {"consumer_key": ("ck_old",), "consumer_secret": ("cs_old",)}
    account = CONTRACT.account({"api_base": base, "consumer_key": None, "consumer_secret": None})
    account = replace(account, former_secrets=former)
    with pytest.raises(SendFailed, match="No consumer key"):
        await shop.adapter.register_webhook(account, URL)
    assert await shop.adapter.lookup(account, "42") is None
    assert shop.peer.asked == []


async def test_check_says_what_is_switched_off(shop: Shop) -> None:
    shop.peer.will(answer([hook("order.created"), hook("order.updated", status="disabled")]))
    found = await shop.adapter.check(shop.account)
    assert "2 webhooks" in found and "order.updated" in found
    bare = CONTRACT.account({"consumer_key": None, "consumer_secret": None})
    assert "received" in await shop.adapter.check(bare)


async def test_lookup_tells_name_and_avatar(shop: Shop) -> None:
    shop.peer.will(answer({"first_name": "Mia", "last_name": "Blau", "avatar_url": "https://a.example.com/m.png"}))
    found = await shop.adapter.lookup(shop.account, "25")
    assert found is not None and (found.name, found.avatar_url) == ("Mia Blau", "https://a.example.com/m.png")
    shop.peer.will(answer({"code": "woocommerce_rest_invalid_id", "message": "Invalid ID."}, status=404))
    assert await shop.adapter.lookup(shop.account, "26") is None
    assert await shop.adapter.lookup(shop.account, "mia@example.com") is None


@pytest.mark.parametrize(("reply", "failure", "wait"), [
    (answer({"code": "woocommerce_rest_cannot_view", "message": "Sorry"}, status=401), Failure.ACCOUNT_PROBLEM, None),
    (answer({"code": "rest_no_route", "message": "No route"}, status=404), Failure.ACCOUNT_PROBLEM, None),
    (answer({"code": "rest_invalid_param"}, status=400), Failure.CONTENT_REJECTED, None),
    (answer({}, status=429, headers={"Retry-After": "7"}), Failure.RATE_LIMITED, 7.0),
    (answer("<html>", status=502), Failure.TEMPORARY, None), (answer("<html>"), Failure.TEMPORARY, None),
    (answer({}, status=301), Failure.UNKNOWN, None), (cut, Failure.TEMPORARY, None),
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


@pytest.mark.parametrize("reply", [cut, answer("<html>")])
async def test_a_change_whose_answer_was_lost_is_uncertain(shop: Shop, reply: Reply) -> None:
    shop.peer.will(answer([]), reply)
    with pytest.raises(SendFailed) as caught:
        await shop.adapter.register_webhook(shop.account, URL)
    assert caught.value.failure is Failure.UNCERTAIN
