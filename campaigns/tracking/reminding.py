"""Which journeys and broadcasts remind of a basket or a payment, and which of their sends came too late. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from campaigns.models import EventTrigger, OrderTrigger, Trigger
from campaigns.tracking.attribution import paid_at, placed_at
from orders.models import Order

Reminder = Literal["cart", "payment"]
_STATUSES: Mapping[str, Reminder] = {
    "checkout": "cart", "pending": "payment", "placed": "payment", "unpaid": "payment", "payment_failed": "payment",
    "failed": "payment",
}  # fmt: skip
_EVENTS: Mapping[str, Reminder] = {
    "checkout.started": "cart", "checkout.updated": "cart", "order.created": "payment",
    "order.payment_failed": "payment",
}  # fmt: skip


def reminds_of(trigger: Trigger) -> Reminder | None:
    """What a journey that begins so reminds of; None: of nothing that is to be bought or paid."""
    if isinstance(trigger, OrderTrigger):
        return _STATUSES.get(trigger.status)
    return _EVENTS.get(trigger.event) if isinstance(trigger, EventTrigger) else None


def broadcast_reminds_of(audience: object) -> Reminder | None:
    """The same of a broadcast, by what its audience has done."""
    text = str(audience)
    if "checkout." in text:
        return "cart"
    return "payment" if "order.payment_failed" in text else None


def bought_before(
    order: Order, reminder: Reminder, sent_at: datetime, since: datetime, event: Mapping[str, Any] | None
) -> datetime | None:
    """When the purchase was made of which this send still reminded; None: it came in time, or was about another.

    A basket is bought with any order placed since the run began (`since`); a payment is that of the run's own order.
    `event`: the properties of what began the run, None for a broadcast.
    """
    own = event is not None and _is_own(order, event)
    at = placed_at(order) if reminder == "cart" else paid_at(order)
    if at is None or at >= sent_at:
        return None
    about = own or (at >= since and (reminder == "cart" or event is None))
    return at if about else None


def _is_own(order: Order, event: Mapping[str, Any]) -> bool:
    number = event.get("external_id")
    return event.get("order_id") == order.id or (
        number is not None and number in (order.external_id, order.checkout_id)
    )
