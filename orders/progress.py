"""Pure: what an order is after one more piece of news. The same news in any order and number end the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import to_millisecond
from orders.models import CALLED_OFF, PAID, RAISES, RANK, OrderInput

#: Fields a later piece of news replaces; None means "not said".
CONTENT = ("total", "lines", "tracking", "url", "payment_url", "currency", "test")


@dataclass(frozen=True)
class Progress:
    """What to write, and which domain events it raises (name → when)."""

    fields: dict[str, Any]
    raised: dict[str, datetime]


def applied(row: Mapping[str, Any], news: OrderInput, at: datetime, now: datetime) -> Progress:
    """`row` is the order as it stands (an empty mapping for a new one). `at`: when the news became true."""
    history, raised = _history(row.get("status_history", []), news, row, at, now)
    fields: dict[str, Any] = _content(row, news, at)
    fields |= {"status_history": history, "status": furthest(step["status"] for step in history)}
    fields["status_rank"] = RANK[fields["status"]]
    fields["placed_at"] = _placed(row, news, history)
    return Progress(fields, raised)


def furthest(statuses: Iterable[str]) -> str:
    """The status an order shows: the milestone of the highest rank."""
    return max(statuses, key=lambda status: RANK[status])


def summary(orders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counters of a person, made anew from all of their orders: never added to, so nothing can be counted twice."""
    real = (order for order in orders if order["status"] != "checkout" and not order.get("test"))
    standing = [order for order in real if not _reached(order) & CALLED_OFF]
    revenue: dict[str, int] = {}
    for order in standing:
        if order.get("total") and _reached(order) & PAID:
            currency = order["total"]["currency"]
            revenue[currency] = revenue.get(currency, 0) + order["total"]["amount_minor"]
    placed = sorted(order["placed_at"] for order in standing)
    return {
        "count": len(standing),
        "revenue": revenue,
        "revenue_minor": sorted(revenue.values()),
        "first_at": placed[0] if placed else None,
        "last_at": placed[-1] if placed else None,
    }


def _reached(order: Mapping[str, Any]) -> set[str]:
    return {step["status"] for step in order["status_history"]}


def _history(
    before: Sequence[Mapping[str, Any]], news: OrderInput, row: Mapping[str, Any], at: datetime, now: datetime
) -> tuple[list[dict[str, Any]], dict[str, datetime]]:
    steps = {step["status"]: dict(step) for step in before}
    raised: dict[str, datetime] = {}
    status = news.status or (None if before else "pending")
    if status is not None and status not in steps:
        late = bool(steps) and RANK[status] < max(RANK[each] for each in steps)
        steps[status] = {"status": status, "at": at, "recorded_at": now, "late": late}
        raised = _raised(status, steps, at)
    elif status is not None and at < steps[status]["at"]:
        steps[status]["at"] = at
    return sorted(steps.values(), key=lambda step: (RANK[step["status"]], step["at"])), raised


def _raised(status: str, steps: Mapping[str, Any], at: datetime) -> dict[str, datetime]:
    """A first milestone past the checkout also means that the order was placed."""
    raised = {RAISES[status]: at} if status in RAISES else {}
    past_checkout = [each for each in steps if each != "checkout"]
    if past_checkout == [status]:
        raised = {"order.created": at, **raised}
        if "checkout" in steps:
            raised["checkout.completed"] = at
    return raised


def _content(row: Mapping[str, Any], news: OrderInput, at: datetime) -> dict[str, Any]:
    said = news.model_dump(include=set(CONTENT), exclude_none=True)
    if "total" in said:
        said["currency"] = said["total"]["currency"]
    times: dict[str, datetime] = dict(row.get("said_at", {}))
    fresh = {name: value for name, value in said.items() if name not in times or at >= times[name]}
    return {**fresh, "said_at": {**times, **dict.fromkeys(fresh, at)}}


def _placed(row: Mapping[str, Any], news: OrderInput, history: Sequence[Mapping[str, Any]]) -> datetime:
    if news.placed_at is not None:
        return to_millisecond(news.placed_at)
    if "placed_at" in row and row.get("placed_said", False):
        placed: datetime = row["placed_at"]
        return placed
    earliest: datetime = min(step["at"] for step in history)
    return earliest
