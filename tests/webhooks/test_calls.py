"""`/v1/…` on the real database: kept before it is answered, found by its key, and one person in the end."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import base.feed
import base.signing
from base.bus import Bus
from base.clock import now
from base.feed import Feed
from base.http import AddressGuard, HttpClient
from base.mongo import Database
from base.queue import Doorbell
from base.secret_box import SecretBox
from channels.providers.segment.adapter import SegmentAdapter
from channels.providers.shopify.adapter import HMAC, ShopifyAdapter
from channels.providers.woocommerce.adapter import WooAdapter
from channels.registry import Registry
from channels.store import Channel, ChannelStore
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.consent import Consent
from profiles.edit import ProfileEditor
from profiles.events import EventStore
from profiles.resolve import Resolver
from profiles.store import ConsentStore, ProfileStore
from webhooks.ingest import Ingest
from webhooks.journal import Journal
from webhooks.owners import owners
from webhooks.refusals import Refusals
from webhooks.routes import Door

KEY = "wk_0123456789abcdef"


@dataclass
class Tools:
    """What the door and the ingest need, with the real owners of everything but messages."""

    db: Database
    registry: Registry
    channels: ChannelStore
    journal: Journal
    refusals: Refusals
    clock: Any
    ingest: Ingest
    people: ProfileStore
    resolver: Resolver
    orders: OrderStore
    channel: Channel

    async def drained(self) -> None:
        await self.ingest.drain(100)

    async def states(self) -> list[str]:
        return [row["state"] async for row in self.db.collection("deliveries").find({}).sort("_id", 1)]

    async def person(self, kind: Any, value: str) -> Any:
        known = await self.resolver.refer(kind, value, create=False)
        return await self.people.get(known.profile_id) if known else None

    async def happened(self, profile_id: str) -> list[str]:
        rows = self.db.collection("events").find({"profile_id": profile_id, "channel_id": {"$ne": None}})
        return sorted([row["name"] async for row in rows])


@pytest.fixture
async def tools(mongo_url: str, redis_url: str, redis_prefix: str, fresh_shaped_database: str) -> AsyncIterator[Tools]:
    db = Database(mongo_url, fresh_shaped_database)
    http, bus = HttpClient(AddressGuard()), Bus(redis_url, prefix=redis_prefix)
    doorbell = Doorbell(redis_url, prefix=redis_prefix)
    registry = Registry(http, {"segment": SegmentAdapter, "shopify": ShopifyAdapter, "woocommerce": WooAdapter})
    accounts = ChannelStore(db, SecretBox([SecretBox.new_key()]), registry, now, "http://rapport.test")
    people, log, feed = ProfileStore(db), EventStore(db, now), Feed(db, bus, now)
    resolver, journal, order_store = Resolver(people, log, now), Journal(db, now), OrderStore(db)
    nothing: Any = None
    hands = owners(
        receiver=nothing, receipts=nothing, consent=Consent(people, ConsentStore(db), log, db, now),
        orders=OrderBook(db, order_store, resolver, people, log, feed, doorbell, now), resolver=resolver,
        editor=ProfileEditor(people, log, resolver, db, now), events=log, opt_words=nothing,
        profiles=people,
    )  # fmt: skip
    ingest = Ingest(journal, registry, accounts, hands, feed, now, want_poll=nothing, want_templates=nothing)
    refusals = Refusals(bus)
    channel = await accounts.add("segment", "Web", {"write_key": KEY})
    yield Tools(db, registry, accounts, journal, refusals, now, ingest, people, resolver, order_store, channel)
    await refusals.close()
    await http.close()
    await doorbell.close()
    await bus.close()
    db.close()


@pytest.fixture
async def door(tools: Tools) -> Any:
    app = web.Application()
    app.add_routes(Door(tools).routes())
    client = TestClient(TestServer(app))
    await client.start_server()
    yield client
    await client.close()


def auth(key: str = KEY) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


async def call(door: Any, what: str, body: Any, key: str = KEY) -> Any:
    return await door.post(f"/v1/{what}", data=json.dumps(body).encode(), headers=auth(key))


async def test_a_call_is_kept_and_answered_as_the_libraries_expect(door: Any, tools: Tools) -> None:
    answer = await call(door, "track", {"event": "Tea Bought", "userId": 42, "messageId": "m1"})
    assert answer.status == 200 and await answer.json() == {"success": True}
    await tools.drained()
    person = await tools.person("customer_id", "42")
    assert await tools.happened(person.id) == ["Tea Bought"]
    (row,) = await tools.db.collection("deliveries").find({}).to_list(None)
    assert "authorization" not in row["headers"] and row["channel_id"] == tools.channel.id


@pytest.mark.parametrize("headers", [
    {}, auth("wk_wrong"), auth(""), {"Authorization": "Bearer " + KEY}, {"Authorization": "Basic ***"},
    {"Authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},
])  # fmt: skip
async def test_an_unknown_key_leaves_no_trace(door: Any, tools: Tools, headers: dict[str, str]) -> None:
    assert (await door.post("/v1/track", data=b"{}", headers=headers)).status == 401
    assert await tools.states() == []


async def test_the_key_is_found_by_an_indexed_hash_and_may_be_changed(door: Any, tools: Tools) -> None:
    row = await tools.db.collection("channels").find_one({"_id": tools.channel.id})
    assert row is not None and KEY not in str(row)
    plan = await tools.db.collection("channels").find({"found_by": row["found_by"][0]}, {"_id": 1}).explain()
    assert "by_secret" in str(plan["queryPlanner"]["winningPlan"])
    new = "wk_the-new-one-of-them"
    await tools.channels.update(tools.channel.id, settings={"write_key": new})
    for key in (new, KEY):
        assert (await call(door, "track", {"event": key, "userId": "1"}, key)).status == 200
    await tools.channels.remove(tools.channel.id)
    assert (await call(door, "track", {"event": "x", "userId": "1"}, new)).status == 401


async def test_limits(door: Any, tools: Tools) -> None:
    fat = {"event": "x", "userId": "1", "properties": {"a": "x" * 33_000}}
    assert (await call(door, "track", fat)).status == 413
    small = {"type": "track", "event": "x", "userId": "1"}
    assert (await call(door, "batch", {"batch": [fat | {"type": "track"}, small]})).status == 200
    assert (await call(door, "batch", {"batch": [fat] * 17})).status == 413
    bomb = gzip.compress(b" " * 2_000_000)
    answer = await door.post("/v1/track", data=bomb, headers={**auth(), "Content-Encoding": "gzip"})
    assert answer.status == 413
    assert (await door.post("/v1/nonsense", data=b"{}", headers=auth())).status == 404
    assert (await door.get("/v1/track", headers=auth())).status == 405
    await tools.drained()
    person = await tools.person("customer_id", "1")
    assert await tools.happened(person.id) == ["x"], "the large call of the batch is left out, the other is not"


async def test_identify_merges_traits(door: Any, tools: Tools) -> None:
    first = {"userId": "7", "messageId": "i1", "traits": {
        "name": "Anna", "email": "anna@example.com", "plan": "free", "odd.key": 1, "city": "Leiden",
        "locale": "nl-NL", "avatar": "https://a.example.com/a.png", "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}},
    }}  # fmt: skip
    await call(door, "identify", first)
    await tools.drained()
    await call(door, "identify", {"userId": "7", "messageId": "i2", "traits": {"plan": "gold"}})
    await tools.drained()
    await call(door, "identify", {**first, "sentAt": "2026-01-01T00:00:00Z"})  # the first one again, as a retry
    await tools.drained()
    person = await tools.person("customer_id", "7")
    assert person.name == "Anna" and person.locale == "nl-NL" and person.avatar_url == "https://a.example.com/a.png"
    assert person.attributes == {"plan": "gold", "city": "Leiden", "odd_key": 1}
    assert [each.value for each in person.emails] == ["anna@example.com"] and not person.emails[0].verified
    assert (await tools.person("email", "anna@example.com")).id == person.id
    assert await tools.states() == ["done"] * 3


async def test_a_session_becomes_the_customer_who_signs_in(door: Any, tools: Tools) -> None:
    await call(door, "page", {"anonymousId": "s1", "name": "Home", "messageId": "p1"})
    await tools.drained()
    await call(door, "identify", {"anonymousId": "s1", "userId": "9", "messageId": "i1"})
    await call(door, "track", {"userId": "9", "event": "Bought", "messageId": "t1"})
    await tools.drained()
    person = await tools.person("customer_id", "9")
    assert person.id == (await tools.person("anonymous", "s1")).id
    assert await tools.happened(person.id) == ["Bought", "page.viewed"]


async def test_alias_joins_a_session_and_a_customer(door: Any, tools: Tools) -> None:
    await call(door, "track", {"anonymousId": "old", "event": "Seen", "messageId": "t1"})
    await tools.drained()
    await call(door, "alias", {"previousId": "old", "userId": "11", "messageId": "a1"})
    await tools.drained()
    assert (await tools.person("customer_id", "11")).id == (await tools.person("anonymous", "old")).id


async def test_what_comes_from_outside_nobody_of_ours_has_done(door: Any, tools: Tools) -> None:
    for place, by in enumerate(("usr_" + "0" * 26, "journey:jrn_1", "a friend", {"x": 1})):
        said = {"event": "gift.sent", "userId": "c-9", "messageId": f"by-{place}", "properties": {"by": by, "to": "Bo"}}
        assert (await call(door, "track", said)).status == 200
    await tools.drained()
    who = await tools.person("customer_id", "c-9")
    rows = tools.db.collection("events").find({"profile_id": who.id, "name": "gift.sent"}).sort("_id", 1)
    told = [row["properties"] async for row in rows]
    assert all(each["to"] == "Bo" for each in told)
    assert sorted(str(each.get("by")) for each in told) == ["None", "None", "a friend", "{'x': 1}"]


async def test_a_batch_sent_again_and_cut_otherwise_changes_nothing(door: Any, tools: Tools) -> None:
    calls = [{"type": "track", "event": f"e{n}", "userId": "1", "messageId": f"m{n}"} for n in range(6)]
    await asyncio.gather(
        call(door, "batch", {"batch": calls, "sentAt": "2026-01-01T00:00:00Z"}),
        call(door, "batch", {"batch": calls[:4], "sentAt": "2026-01-01T00:01:00Z"}),
        call(door, "batch", {"batch": [*calls[3:], {"type": "track", "event": "message.received", "userId": "1"}]}),
    )
    await tools.drained()
    person = await tools.person("customer_id", "1")
    assert await tools.happened(person.id) == [f"e{n}" for n in range(6)]


async def test_ids_that_stand_for_nobody_name_nobody(door: Any, tools: Tools) -> None:
    await call(door, "track", {"userId": "null", "event": "x", "messageId": "m"})
    await call(door, "identify", {"userId": "undefined", "traits": {"name": "Nobody"}})
    await tools.drained()
    assert await tools.states() == ["done", "done"]
    assert await tools.db.collection("profiles").count_documents({}) == 0


async def test_a_shop_from_its_door_to_the_order(door: Any, tools: Tools) -> None:
    """Signed, once for each happening, older news beaten, a parcel before its order, consent on the address itself."""
    shop = await tools.channels.add("shopify", "Tea", {"shop_domain": "tea.myshopify.com", "app_secret": "hush"})

    async def told(topic: str, event_id: str, body: Any, secret: str = "hush") -> int:
        raw = json.dumps(body).encode()
        headers = {
            HMAC: base.signing.hmac_b64(secret, raw), "X-Shopify-Topic": topic, "X-Shopify-Event-Id": event_id,
            "X-Shopify-Triggered-At": "2026-11-01T00:00:00Z",
        }  # fmt: skip
        return int((await door.post(f"/webhooks/shopify/{shop.id}", data=raw, headers=headers)).status)

    order = {
        "id": 820982911946154508, "name": "#1001", "email": "bob@example.com", "currency": "EUR",
        "total_price": "20.00", "financial_status": "paid", "created_at": "2026-11-02T00:00:00Z",
        "updated_at": "2026-11-03T00:00:00Z", "customer": {"id": 5},
        "line_items": [{"title": "Tea", "quantity": 1, "price": "20.00"}],
    }  # fmt: skip
    parcel = {"id": 1, "order_id": order["id"], "status": "success", "updated_at": "2026-11-03T01:00:00Z"}
    consent = {"state": "unsubscribed", "consent_updated_at": "2026-11-03T00:00:00Z"}
    said = {"customer_id": 5, "email_address": "bob@example.com", "email_marketing_consent": consent}
    assert await told("orders/paid", "e0", order, secret="wrong") == 401
    assert await told("fulfillments/create", "e2", {**parcel, "tracking_number": "3S"}) == 200
    await tools.drained()
    assert await told("orders/paid", "e1", order) == 200 == await told("orders/paid", "e1", order)
    old = {**order, "updated_at": "2026-11-02T00:00:00Z", "financial_status": "pending", "total_price": "1.00"}
    assert await told("orders/create", "e1", old) == 200
    assert await told("customers_email_marketing_consent/update", "e3", said) == 200
    await tools.drained()
    assert await tools.states() == ["done"] * 4
    found = await tools.orders.find(f"shopify:{shop.id}", "820982911946154508")
    assert found is not None and found.number == "#1001" and found.status == "fulfilled" and found.is_paid
    assert found.total is not None and found.total.amount_minor == 2000
    assert found.tracking is not None and found.tracking.number == "3S"
    person = await tools.person("email", "bob@example.com")
    assert person.id == found.profile_id and person.orders.revenue == {"EUR": 2000}
    assert [(each.address_key, each.state) for each in person.consents] == [("email:bob@example.com", "denied")]


async def test_a_shop_whose_ping_is_not_signed(door: Any, tools: Tools) -> None:
    shop = await tools.channels.add("woocommerce", "Tea", {"site_url": "https://t.example.com", "webhook_secret": "s"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, status in ((b"webhook_id=3", 200), (b"webhook_id=3&id=1", 401), (b'{"id": 1}', 401)):
        answer = await door.post(f"/webhooks/woocommerce/{shop.id}", data=body, headers=form)
        assert answer.status == status
    assert await tools.states() == []
