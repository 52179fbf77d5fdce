"""Orders on the real database: one row, one set of events, counters that add up, whoever comes first."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from base.bus import Bus
from base.clock import now
from base.errors import NotFound, WrongInput
from base.feed import Feed
from base.mongo import Database
from base.queue import Doorbell
from orders.models import OrderInput, StatusInput
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.events import EventStore
from profiles.resolve import Resolver
from profiles.store import ProfileStore


@dataclass
class Shop:
    db: Database
    book: OrderBook
    store: OrderStore
    profiles: ProfileStore


@pytest.fixture
async def shop(mongo_url: str, redis_url: str, redis_prefix: str, fresh_shaped_database: str) -> AsyncIterator[Shop]:
    db = Database(mongo_url, fresh_shaped_database)
    bus, doorbell = Bus(redis_url, prefix=redis_prefix), Doorbell(redis_url, prefix=redis_prefix)
    people, log, store = ProfileStore(db), EventStore(db, now), OrderStore(db)
    resolver, feed = Resolver(people, log, now), Feed(db, bus, now)
    yield Shop(db, OrderBook(db, store, resolver, people, log, feed, doorbell, now), store, people)
    await doorbell.close()
    await bus.close()
    db.close()


def order(external_id: str = "A-1", **said: Any) -> OrderInput:
    given = {"external_id": external_id, "identity": "email:anna@example.com", **said}
    return OrderInput.model_validate(given)


EUR = {"amount_minor": 1999, "currency": "EUR"}


async def names(shop: Shop) -> list[str]:
    return sorted([row["name"] async for row in shop.db.collection("events").find({"name": {"$regex": "^order"}})])


async def test_upsert_is_idempotent_and_counts_once(shop: Shop) -> None:
    first, changed = await shop.book.record(order(status="paid", total=EUR, occurred_at=now()))
    again, changed_again = await shop.book.record(
        order(status="paid", total=EUR, occurred_at=first.status_history[-1].at)
    )
    assert changed and not changed_again and first.id == again.id
    assert await names(shop) == ["order.created", "order.paid"]
    profile = await shop.profiles.get(first.profile_id)
    assert profile is not None and profile.orders.count == 1 and profile.orders.revenue == {"EUR": 1999}


HOME = {"street": "Main St 1", "postal_code": "1000", "city": "Leiden", "region": None, "country": "NL"}


async def test_where_an_order_goes_is_the_persons_address_until_a_person_says_another(shop: Shop) -> None:
    at = now()
    first, _ = await shop.book.record(order(shipping_address=HOME, occurred_at=at), "shop")
    older = order("A-0", shipping_address={**HOME, "street": "Old St 9"}, occurred_at=at - timedelta(days=1))
    await shop.book.record(older, "shop")
    await shop.book.record(order(status="paid", occurred_at=at + timedelta(minutes=1)), "shop")
    row = await shop.db.collection("profiles").find_one({"_id": first.profile_id})
    assert row is not None and row["address"] == HOME and row["sources"]["address"]["rank"] == 1
    assert "shipping_address" not in str(await shop.store.row_by_id(first.id))
    stamp = {"rank": 0, "at": at}
    await shop.db.collection("profiles").update_one({"_id": row["_id"]}, {"$set": {"sources.address": stamp}})
    moved = order(shipping_address={**HOME, "city": "Delft"}, occurred_at=at + timedelta(days=1))
    await shop.book.record(moved, "shop")
    row = await shop.db.collection("profiles").find_one({"_id": first.profile_id})
    assert row is not None and row["address"] == HOME


async def test_fifty_at_once_make_one_order(shop: Shop) -> None:
    at = now()
    results = await asyncio.gather(
        *(shop.book.record(order(status="paid", total=EUR, occurred_at=at)) for _ in range(50))
    )
    assert len({found.id for found, _ in results}) == 1
    assert await names(shop) == ["order.created", "order.paid"]
    assert await shop.db.collection("profiles").count_documents({}) == 1


async def test_two_orders_of_one_person_at_once_are_both_counted(shop: Shop) -> None:
    await shop.book.record(order("A-0", status="pending"))
    await asyncio.gather(*(shop.book.record(order(f"A-{n}", status="paid", total=EUR)) for n in range(1, 9)))
    row = await shop.db.collection("profiles").find_one({})
    assert row is not None and row["orders"]["count"] == 9 and row["orders"]["revenue"] == {"EUR": 8 * 1999}


async def test_shuffled_steps_end_like_the_ordered_run(shop: Shop) -> None:
    start = now()
    steps = [
        (status, start + timedelta(hours=n)) for n, status in enumerate(("pending", "paid", "fulfilled", "delivered"))
    ]
    shuffled = steps * 2
    random.Random(4).shuffle(shuffled)
    for status, at in shuffled:
        await shop.book.record(order(status=status, occurred_at=at))
    (found,), _ = await shop.store.page()
    assert found.status == "delivered"
    assert [(step.status, step.at) for step in found.status_history] == steps
    assert found.placed_at == start
    assert await names(shop) == ["order.created", "order.delivered", "order.fulfilled", "order.paid"]


async def test_an_order_finds_the_customer_by_any_identity(shop: Shop) -> None:
    one, _ = await shop.book.record(order("A", identities=["customer_id:77"]))
    other, _ = await shop.book.record(OrderInput.model_validate({"external_id": "B", "identity": "customer_id:77"}))
    assert one.profile_id == other.profile_id


async def test_a_new_order_of_nobody_is_refused(shop: Shop) -> None:
    with pytest.raises(WrongInput) as caught:
        await shop.book.record(OrderInput(external_id="X"))
    assert caught.value.errors[0].path == "identity"
    with pytest.raises(NotFound):
        await shop.book.advance("ord_" + "0" * 26, StatusInput(status="paid"))


async def test_lists_are_stable_while_orders_come_in(shop: Shop) -> None:
    for n in range(7):
        await shop.book.record(order(f"A-{n}", placed_at=now() - timedelta(days=n)))
    first, cursor = await shop.store.page(limit=3)
    await shop.book.record(order("new", placed_at=now()))
    second, cursor = await shop.store.page(limit=3, cursor=cursor)
    third, end = await shop.store.page(limit=3, cursor=cursor)
    assert [each.external_id for each in (*first, *second, *third)] == [f"A-{n}" for n in range(7)] and end is None
    with pytest.raises(WrongInput):
        await shop.store.page(cursor="eyI")


async def test_a_trial_order_tells_nothing(shop: Shop) -> None:
    found, changed = await shop.book.record(order(status="paid", total=EUR, test=True))
    assert changed and found.test and await names(shop) == []
    profile = await shop.profiles.get(found.profile_id)
    assert profile is not None and profile.orders.count == 0


async def test_an_order_still_under_a_merged_id_does_not_spoil_the_survivors_counters(shop: Shop) -> None:
    old, _ = await shop.book.record(order("A", status="paid", total=EUR))
    kept, _ = await shop.book.record(order("B", identity="email:otto@example.com", status="paid", total=EUR))
    await shop.profiles.write(old.profile_id, {"merged_into": kept.profile_id})
    await shop.book.record(order("A", status="delivered"))
    survivor = await shop.profiles.get(old.profile_id)
    assert survivor is not None and survivor.id == kept.profile_id and survivor.orders.count == 1
    assert [each.external_id for each in await shop.book.of_profile(old.profile_id)] == ["B"]


SHOP = "shopify:chn_1"


def told(external_id: str, **said: Any) -> OrderInput:
    return OrderInput.model_validate({"external_id": external_id, **said})


async def event_names(shop: Shop, prefix: str) -> list[str]:
    rows = shop.db.collection("events").find({"name": {"$regex": f"^{prefix}"}})
    return sorted([row["name"] async for row in rows])


async def test_a_parcel_that_comes_before_its_order_is_kept_for_it(shop: Shop) -> None:
    at = now()
    parcel = told("7", fulfilments=[{"id": "f", "status": "fulfilled", "at": at, "tracking": {"number": "3S"}}])
    refund = told("7", refunds=[{"id": "r", "at": at, "amount": {"amount_minor": 500, "currency": "EUR"}}])
    for news in (parcel, refund, parcel):
        assert await shop.book.hear(news, SHOP) is None
    assert await shop.store.early(SHOP, "8") == [] and len(await shop.store.early(SHOP, "7")) == 2
    found = await shop.book.hear(order("7", status="paid", total=EUR, occurred_at=at), SHOP)
    assert found is not None and found.status == "partially_refunded" and found.tracking is not None
    assert found.tracking.number == "3S" and await shop.store.early(SHOP, "7") == []
    profile = await shop.profiles.get(found.profile_id)
    assert profile is not None and profile.orders.revenue == {"EUR": 1499}


async def test_early_news_and_the_order_at_once_lose_nothing(shop: Shop) -> None:
    at = now()
    for n in range(6):
        parcel = told(str(n), fulfilments=[{"id": "f", "status": "delivered", "at": at}])
        await asyncio.gather(shop.book.hear(order(str(n)), SHOP), shop.book.hear(parcel, SHOP))
        found = await shop.store.find(SHOP, str(n))
        assert found is not None and found.status == "delivered"


async def test_an_order_takes_the_place_of_its_checkout(shop: Shop) -> None:
    at = now()
    basket = {"status": "checkout", "checkout_id": "tok", "total": EUR, "payment_url": "https://shop.example.com/c"}
    first = await shop.book.hear(order("checkout:tok", occurred_at=at, **basket), SHOP)
    assert first is not None and first.status == "checkout" and first.payment_url
    later = at + timedelta(minutes=5)
    more = await shop.book.hear(
        order("checkout:tok", occurred_at=later, **{**basket, "total": {**EUR, "amount_minor": 2500}}), SHOP
    )
    assert more is not None and more.id == first.id
    placed = order("1001", status="pending", checkout_id="tok", total=EUR, occurred_at=at + timedelta(minutes=4))
    found = await shop.book.hear(placed, SHOP)
    assert found is not None and found.id == first.id and found.external_id == "1001" and found.payment_url is None
    assert found.total is not None and found.total.amount_minor == 1999
    after = await shop.book.hear(order("checkout:tok", occurred_at=at + timedelta(hours=1), **basket), SHOP)
    assert after is not None and after.id == first.id and after.status == "pending"
    assert await event_names(shop, "checkout") == ["checkout.completed", "checkout.started", "checkout.updated"]
    assert await names(shop) == ["order.created"]
    assert await shop.db.collection("orders").count_documents({}) == 1


async def test_checkout_and_order_at_once_are_one_row(shop: Shop) -> None:
    for n in range(5):
        basket = order(f"checkout:t{n}", status="checkout", checkout_id=f"t{n}")
        await asyncio.gather(
            shop.book.hear(basket, SHOP), shop.book.hear(order(f"o{n}", status="paid", checkout_id=f"t{n}"), SHOP)
        )
    rows = await shop.db.collection("orders").find({}).to_list(None)
    assert sorted(row["external_id"] for row in rows) == [f"o{n}" for n in range(5)]
    assert {row["status"] for row in rows} == {"paid"}


async def test_an_order_that_learns_of_its_checkout_later_takes_it_over(shop: Shop) -> None:
    await shop.book.hear(order("checkout:tok", status="checkout", checkout_id="tok"), SHOP)
    await shop.book.hear(order("1001", status="fulfilled"), SHOP)
    await shop.book.hear(order("1001", status="paid", checkout_id="tok"), SHOP)
    (found,), _ = await shop.store.page()
    assert found.external_id == "1001" and found.checkout_id == "tok"
    assert "checkout.completed" in await event_names(shop, "checkout")


async def test_a_checkout_of_nobody_tells_nothing(shop: Shop) -> None:
    assert await shop.book.hear(told("checkout:x", status="checkout", checkout_id="x"), SHOP) is None
    assert await shop.store.early(SHOP, "checkout:x") == []


async def test_identities_that_name_nobody_do_not_spoil_an_order(shop: Shop) -> None:
    refs = [{"kind": "phone", "value": "(555) 555-5555"}, {"kind": "email", "value": "not a mail"}]
    found = await shop.book.hear(told("1", identities=[*refs, {"kind": "email", "value": "anna@example.com"}]), SHOP)
    assert found is not None
    assert await shop.book.hear(told("2", identities=refs), SHOP) is None


async def test_a_removed_order_is_kept_and_not_counted_until_it_is_put_back(shop: Shop) -> None:
    at = now()
    await shop.book.hear(order("1", status="paid", total=EUR, occurred_at=at), SHOP)
    gone = await shop.book.hear(told("1", removed=True, occurred_at=at + timedelta(hours=1)), SHOP)
    assert gone is not None and gone.removed and not gone.awaits_payment
    profile = await shop.profiles.get(gone.profile_id)
    assert profile is not None and profile.orders.count == 0
    late = await shop.book.hear(told("1", removed=False, occurred_at=at + timedelta(minutes=1)), SHOP)
    assert late is not None and late.removed
    back = await shop.book.hear(told("1", removed=False, occurred_at=at + timedelta(hours=2)), SHOP)
    profile = await shop.profiles.get(gone.profile_id)
    assert back is not None and not back.removed and profile is not None and profile.orders.count == 1


async def test_an_older_payload_never_overwrites_a_newer_one(shop: Shop) -> None:
    at = now()
    await shop.book.hear(order("1", status="paid", total=EUR, url="https://a.example.com", occurred_at=at), SHOP)
    old = order("1", status="pending", total={**EUR, "amount_minor": 5}, url="https://b.example.com",
                occurred_at=at - timedelta(hours=1))  # fmt: skip
    found = await shop.book.hear(old, SHOP)
    assert found is not None and found.total is not None and found.total.amount_minor == 1999
    assert found.status == "paid" and found.url == "https://a.example.com"
