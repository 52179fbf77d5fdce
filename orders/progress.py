"""Pure: what an order is after one more piece of news. The same news in any order and number end the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import to_millisecond
from orders.models import CALLED_OFF, PAID, RAISES, RANK, OrderInput

#: Fields a later piece of news replaces; None means "not said".
CONTENT = ("total", "lines", "tracking", "url", "payment_url", "currency", "test", "removed", "number")
#: Parcels in these states are milestones of the order.
PARCELS = frozenset({"fulfilled", "out_for_delivery", "delivered"})
#: Parcels and refunds kept of one order.
PARTS_MAX = 500


@dataclass(frozen=True)
class Progress:
    """What to write, and which domain events it raises (name → when)."""

    fields: dict[str, Any]
    raised: dict[str, datetime]


def applied(row: Mapping[str, Any], news: OrderInput, at: datetime, now: datetime) -> Progress:
    """`row` is the order as it stands (an empty mapping for a new one). `at`: when the news became true."""
    before = {step["status"]: dict(step) for step in row.get("status_history", [])}
    fields: dict[str, Any] = _content(row, news, at, before)
    fields |= _parcels(row, news) | _refunds(row, news)
    told = _milestones(news, at, empty=not before) + _paid_back({**row, **fields})
    steps, new = _history(before, told, now)
    history = sorted(steps.values(), key=lambda step: (RANK[step["status"]], step["at"]))
    fields |= {"status_history": history, "status": furthest(steps)}
    fields["status_rank"] = RANK[fields["status"]]
    fields["placed_at"] = _placed(row, news, history)
    raised = _raised(new, before, steps)
    if set(before) == set(steps) == {"checkout"} and _changed(row, fields):
        raised["checkout.updated"] = at
    return Progress(fields, raised)


def furthest(statuses: Iterable[str]) -> str:
    """The status an order shows: the milestone of the highest rank."""
    return max(statuses, key=lambda status: RANK[status])


def summary(orders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counters of a person, made anew from all of their orders: never added to, so nothing can be counted twice."""
    real = (
        order
        for order in orders
        if order["status"] != "checkout" and not order.get("test") and not order.get("removed")
    )
    standing = [order for order in real if not _reached(order) & CALLED_OFF]
    revenue: dict[str, int] = {}
    for order in standing:
        if order.get("total") and _reached(order) & PAID:
            currency = order["total"]["currency"]
            kept = order["total"]["amount_minor"] - refunded_minor(order, currency)
            revenue[currency] = revenue.get(currency, 0) + kept
    placed = sorted(order["placed_at"] for order in standing)
    return {
        "count": len(standing),
        "revenue": revenue,
        "revenue_minor": sorted(revenue.values()),
        "first_at": placed[0] if placed else None,
        "last_at": placed[-1] if placed else None,
    }


def refunded_minor(order: Mapping[str, Any], currency: str) -> int:
    """What was paid back in `currency`."""
    amounts = (refund.get("amount") for refund in order.get("refunds") or ())
    return sum(each["amount_minor"] for each in amounts if each and each["currency"] == currency)


def _reached(order: Mapping[str, Any]) -> set[str]:
    return {step["status"] for step in order["status_history"]}


def _milestones(news: OrderInput, at: datetime, *, empty: bool) -> list[tuple[str, datetime]]:
    """Every status the news tells of; an order of which nothing is known yet is at least pending."""
    told: list[tuple[str, datetime]] = [(news.status, at)] if news.status else []
    told += [(each.status, to_millisecond(each.at)) for each in news.milestones]
    told += [(each.status, to_millisecond(each.at)) for each in news.fulfilments if each.status in PARCELS]
    return told or ([("pending", at)] if empty else [])


def _paid_back(order: Mapping[str, Any]) -> list[tuple[str, datetime]]:
    refunds = [each for each in order.get("refunds") or () if each["amount"] and each["amount"]["amount_minor"] > 0]
    if not refunds:
        return []  # goods that came back for nothing
    told = [("partially_refunded", min(each["at"] for each in refunds))]
    total = order.get("total")
    if total and 0 < total["amount_minor"] <= refunded_minor(order, total["currency"]):
        told.append(("refunded", max(each["at"] for each in refunds)))
    return told


def _history(
    before: Mapping[str, Mapping[str, Any]], told: Iterable[tuple[str, datetime]], now: datetime
) -> tuple[dict[str, dict[str, Any]], dict[str, datetime]]:
    """All milestones by status, and when the new ones among them were reached."""
    steps = {status: dict(step) for status, step in before.items()}
    furthest_before = max((RANK[status] for status in before), default=-1)
    new: dict[str, datetime] = {}
    for status, at in told:
        if status not in steps:
            late = RANK[status] < furthest_before
            steps[status] = {"status": status, "at": at, "recorded_at": now, "late": late}
        steps[status]["at"] = min(at, steps[status]["at"])
        if status not in before:
            new[status] = steps[status]["at"]
    return steps, new


def _raised(new: Mapping[str, datetime], before: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, datetime]:
    """A first milestone past the checkout also means that the order was placed. A checkout heard of only after its
    order starts nothing any more."""
    placed_before = bool(before.keys() - {"checkout"})
    placed = bool(steps.keys() - {"checkout"})
    ranked = sorted(new, key=lambda status: RANK[status])
    raised = {RAISES[status]: new[status] for status in ranked if status in RAISES}
    if placed:
        raised.pop("checkout.started", None)
    if placed and not placed_before:
        at = min(at for status, at in new.items() if status != "checkout")
        raised = {"order.created": at, **raised}
        if "checkout" in before:
            raised["checkout.completed"] = at
    return raised


def _content(row: Mapping[str, Any], news: OrderInput, at: datetime, before: Mapping[str, Any]) -> dict[str, Any]:
    if news.is_checkout and before.keys() - {"checkout"}:
        return {}  # what stood in the basket says nothing of the order that was placed
    said = news.model_dump(include=set(CONTENT), exclude_none=True)
    if "total" in said:
        said["currency"] = said["total"]["currency"]
    at_of = dict.fromkeys(said, at)
    shipped = [each for each in news.fulfilments if each.tracking is not None]
    if shipped and news.tracking is None:
        latest = max(shipped, key=lambda each: each.at)
        said["tracking"] = latest.model_dump()["tracking"]
        at_of["tracking"] = to_millisecond(latest.at)
    times: dict[str, datetime] = dict(row.get("said_at", {}))
    fresh = {name: value for name, value in said.items() if name not in times or at_of[name] >= times[name]}
    return {**fresh, "said_at": {**times, **{name: at_of[name] for name in fresh}}}


def _parcels(row: Mapping[str, Any], news: OrderInput) -> dict[str, Any]:
    if not news.fulfilments:
        return {}
    held = {each["id"]: dict(each) for each in row.get("fulfilments") or ()}
    for each in news.fulfilments:
        at = to_millisecond(each.at)
        parcel = held.setdefault(each.id, {"id": each.id, "status": each.status, "at": at, "tracking": None})
        if at >= parcel["at"]:
            parcel |= {"status": each.status, "at": at}
        if each.tracking is not None and at >= parcel.get("tracked_at", at):
            parcel |= {"tracking": each.tracking.model_dump(), "tracked_at": at}
    return {"fulfilments": [held[name] for name in sorted(held)][:PARTS_MAX]}


def _refunds(row: Mapping[str, Any], news: OrderInput) -> dict[str, Any]:
    if not news.refunds:
        return {}
    held = {each["id"]: dict(each) for each in row.get("refunds") or ()}
    for each in news.refunds:
        at = to_millisecond(each.at)
        first = min(at, held[each.id]["at"]) if each.id in held else at  # some shops tell no time of their own
        held[each.id] = {**each.model_dump(), "at": first}
    return {"refunds": [held[name] for name in sorted(held)][:PARTS_MAX]}


def _changed(row: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return any(name in fields and fields[name] != row.get(name) for name in CONTENT)


def _placed(row: Mapping[str, Any], news: OrderInput, history: Sequence[Mapping[str, Any]]) -> datetime:
    if news.placed_at is not None:
        return to_millisecond(news.placed_at)
    if "placed_at" in row and row.get("placed_said", False):
        placed: datetime = row["placed_at"]
        return placed
    earliest: datetime = min(step["at"] for step in history)
    return earliest
