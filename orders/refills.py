"""When somebody will want to buy a product again, learned from how often it was bought. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Literal

from orders.models import Order

#: Intervals between purchases from which a cycle is learned: a person's own, or those of all buyers of the product.
OWN_LEAST, ALL_LEAST = 2, 5
#: Days between two purchases. Less is an addition to the first, more is a new interest.
DAYS_LEAST, DAYS_MOST = 2.0, 400.0


@dataclass(frozen=True)
class Cycle:
    """Days between two purchases of a product, the median, and whose habits tell so."""

    days: float
    of: Literal["own", "all"]


@dataclass(frozen=True)
class Refill:
    """The product of an order that runs out first, and when."""

    sku: str
    name: str
    at: datetime
    cycle: Cycle


def gaps(times: Iterable[datetime]) -> list[float]:
    """Days between purchases that follow each other, the unusual ones left out."""
    ordered = sorted(times)
    found = ((later - earlier) / timedelta(days=1) for earlier, later in pairwise(ordered))
    return [days for days in found if DAYS_LEAST <= days <= DAYS_MOST]


def gaps_of_all(purchases: Iterable[tuple[str, datetime]]) -> list[float]:
    """The same of all buyers of a product. `purchases`: (person, when)."""
    by_person: dict[str, list[datetime]] = {}
    for person, at in purchases:
        by_person.setdefault(person, []).append(at)
    return [days for times in by_person.values() for days in gaps(times)]


def cycle(own: Sequence[float], of_all: Sequence[float]) -> Cycle | None:
    """The person's own habit where they have one, else that of all; None where too little is known."""
    if len(own) >= OWN_LEAST:
        return Cycle(median(own), "own")
    return Cycle(median(of_all), "all") if len(of_all) >= ALL_LEAST else None


def skus_of(order: Order) -> list[str]:
    """The products of an order that have a number."""
    return list(dict.fromkeys(line.sku for line in order.lines if line.sku))


def refill(order: Order, orders: Sequence[Order], of_all: Mapping[str, Sequence[float]]) -> Refill | None:
    """What of `order` runs out first; products bought again since do not. `orders`: all of the person; `of_all`:
    product → days between purchases of all its buyers."""
    standing = [each for each in orders if _stands(each)]
    found = []
    for sku in skus_of(order):
        times = [each.placed_at for each in standing if sku in skus_of(each)]
        if any(at > order.placed_at for at in times):
            continue
        learned = cycle(gaps(times), of_all.get(sku, ()))
        if learned is not None:
            name = next(line.name for line in order.lines if line.sku == sku)
            found.append(Refill(sku, name, order.placed_at + timedelta(days=learned.days), learned))
    return min(found, key=lambda each: each.at, default=None)


def _stands(order: Order) -> bool:
    return not (order.is_called_off or order.test or order.removed or order.status == "checkout")
