"""The demo's shop: now and then somebody orders, most pay, parcels travel within minutes."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any

from base.clock import Clock
from orders.models import OrderInput
from orders.record import OrderBook
from rapport.demo import cast

#: Seconds between the steps of an order that is paid.
PAID_AFTER_S, FULFILLED_AFTER_S, DELIVERED_AFTER_S = 8.0, 30.0, 45.0
#: One in this many forgets to pay, so that the payment reminder has something to do.
FORGETS = 4


class Shop:
    """Records orders the way a connected shop does."""

    def __init__(self, orders: OrderBook, clock: Clock, dice: random.Random) -> None:
        self._orders = orders
        self._clock = clock
        self._dice = dice
        self._numbers = itertools.count(int(time.time()) % 1_000_000)

    async def run(self, every_s: float) -> None:
        """For ever: one order after the other, each with its own course."""
        under_way: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / every_s))
            task = asyncio.create_task(self._order(cast.person(self._dice.randrange(cast.PEOPLE))))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _order(self, one: cast.Person) -> None:
        external_id = f"HT-L{next(self._numbers)}"
        await self._record(_placed(one, external_id, self._dice), "pending")
        late = self._dice.randrange(FORGETS) == 0
        await asyncio.sleep(PAID_AFTER_S if not late else 150.0)
        step: dict[str, Any] = {"external_id": external_id}
        await self._record(step, "paid")
        await asyncio.sleep(FULFILLED_AFTER_S)
        tracking = {"number": f"3S{external_id.replace('-', '')}", "company": "PostNL"}
        await self._record({**step, "tracking": tracking}, "fulfilled")
        await asyncio.sleep(DELIVERED_AFTER_S)
        await self._record(step, "delivered")

    async def _record(self, order: dict[str, Any], status: str) -> None:
        await self._orders.record(
            OrderInput.model_validate({**order, "status": status, "occurred_at": self._clock()}), "demo-shop"
        )


def _placed(one: cast.Person, external_id: str, dice: random.Random) -> dict[str, Any]:
    chosen = dice.sample(cast.PRODUCTS, dice.choice((1, 1, 2)))
    lines = [
        {"sku": sku, "name": name, "quantity": 1, "unit_price": {"amount_minor": price, "currency": "EUR"}}
        for sku, name, price in chosen
    ]
    return {
        "external_id": external_id, "identities": [f"email:{one.email}", f"phone:{one.phone}"],
        "customer_name": one.name, "lines": lines,
        "total": {"amount_minor": sum(price for _, _, price in chosen), "currency": "EUR"},
        "payment_url": f"https://harbour-tea.example/pay/{external_id}",
        "url": f"https://harbour-tea.example/orders/{external_id}",
    }  # fmt: skip
