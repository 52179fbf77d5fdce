"""What of an order runs out when, for journeys that ask for `order.refill`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from campaigns.models import Definition, WaitStep
from orders.models import Order
from orders.refills import gaps_of_all, refill, skus_of
from orders.store import OrderStore

#: For so long what was learned of a product holds, seconds; and of so many products it is kept in mind.
LEARNED_S = 3600.0
PRODUCTS_MAX = 1000


def names_refill(definition: Definition) -> bool:
    """Whether a step of it waits for a product to run out."""
    dates = (step.until_date for step in definition.steps if isinstance(step, WaitStep))
    return any(each is not None and each.field.startswith("order.refill.") for each in dates)


class Refills:
    """Looks up how often products are bought, each once an hour."""

    def __init__(self, orders: OrderStore) -> None:
        self._orders = orders
        self._learned: dict[str, tuple[float, list[float]]] = {}

    async def of(self, order: Order, orders: Sequence[Order]) -> dict[str, Any]:
        """`{refill: {sku, name, at, days, learned_from}}`; empty when nothing runs out that we know of. `orders`: all
        of the person."""
        found = refill(order, orders, {sku: await self._gaps(sku) for sku in skus_of(order)})
        if found is None:
            return {}
        told = {"sku": found.sku, "name": found.name, "at": found.at}
        return {"refill": {**told, "days": round(found.cycle.days, 1), "learned_from": found.cycle.of}}

    async def _gaps(self, sku: str) -> list[float]:
        held = self._learned.get(sku)
        if held is None or held[0] < time.monotonic():
            held = (time.monotonic() + LEARNED_S, gaps_of_all(await self._orders.purchases(sku)))
            while len(self._learned) >= PRODUCTS_MAX:
                self._learned.pop(next(iter(self._learned)))
            self._learned[sku] = held
        return held[1]
