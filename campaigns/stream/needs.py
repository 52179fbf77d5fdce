"""Which orders need a hand: not paid for long, shipped or delivered without a word of ours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.stream.items import Why
from campaigns.stream.ladders import StreamRules
from orders.models import Order

#: Orders placed earlier than this are past all help.
WITHIN = timedelta(days=60)
UNPAID = ("pending", "payment_failed")
SHIPPED = ("fulfilled", "out_for_delivery")
ARRIVED = ("delivered", "completed")
#: Events that say what somebody thinks of what they bought.
REVIEWS = ("review.submitted", "csat.submitted")


@dataclass(frozen=True)
class Heard:
    """What a person was last told: `noticed_at` by anything but advertising, `written_at` by anything that was not for
    many at once; `reviewed_at`: when they last said what they think."""

    noticed_at: datetime | None = None
    written_at: datetime | None = None
    reviewed_at: datetime | None = None


NOTHING = Heard()


def need_of(order: Order, heard: Heard, rules: StreamRules, now: datetime) -> tuple[Why, datetime] | None:
    """What an order needs, and since when; None: nothing."""
    if order.test or order.removed or order.is_called_off or now - order.placed_at > WITHIN:
        return None
    arrived, shipped = _since(order, ARRIVED), _since(order, SHIPPED)
    if arrived is not None:
        answered = _after(heard.reviewed_at, arrived) or _after(heard.written_at, arrived)
        days = rules.unreviewed_after_days
        return ("unreviewed", arrived) if days and not answered and now - arrived >= timedelta(days=days) else None
    if shipped is not None:
        hours = rules.unnoticed_after_h
        told = _after(heard.noticed_at, shipped)
        return ("unnoticed", shipped) if hours and not told and now - shipped >= timedelta(hours=hours) else None
    hours = rules.unpaid_after_h
    late = hours and now - order.placed_at >= timedelta(hours=hours)
    return ("unpaid", order.placed_at) if late and order.awaits_payment else None


def _since(order: Order, statuses: tuple[str, ...]) -> datetime | None:
    return min((step.at for step in order.status_history if step.status in statuses), default=None)


def _after(at: datetime | None, since: datetime) -> bool:
    return at is not None and at >= since
