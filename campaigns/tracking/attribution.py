"""Whose work an order was: the last touch within the window of its channel, by when things happened. Pure.

What counts of an order follows `orders.progress.summary`: paid, not called off, neither a trial nor removed; what was
paid back is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.tracking.settings import TouchKind, Windows
from orders.models import PAID, Order

#: Of touches in the same moment the more telling one counts.
_TELLS: Mapping[TouchKind, int] = {"delivered": 0, "opened": 1, "clicked": 2}
#: Corrections kept with a credit.
LOG_MAX = 30


@dataclass(frozen=True)
class Touch:
    """Somebody was reached by, has opened or followed a message. `channel_kind`: `email` or `chat`."""

    send_id: str
    kind: TouchKind
    at: datetime
    channel_id: str
    channel_kind: str
    source_kind: str
    source_id: str
    node_id: str | None = None

    def as_document(self) -> dict[str, Any]:
        """As it stands in a credit."""
        return {
            "send_id": self.send_id, "kind": self.kind, "at": self.at, "channel_id": self.channel_id,
            "source_kind": self.source_kind, "source_id": self.source_id, "node_id": self.node_id,
        }  # fmt: skip


def last_touch(touches: Iterable[Touch], at: datetime, windows: Windows) -> Touch | None:
    """The latest touch up to `at` that still counts then; None when there is none."""
    counting = (
        touch
        for touch in touches
        if windows.after(touch.kind, touch.channel_kind) and touch.at <= at
        and at - touch.at <= windows.after(touch.kind, touch.channel_kind)
    )  # fmt: skip
    return max(counting, key=lambda touch: (touch.at, _TELLS[touch.kind], touch.send_id), default=None)


def paid_at(order: Order) -> datetime | None:
    """When the money came; None: it has not."""
    return min((step.at for step in order.status_history if step.status in PAID), default=None)


def placed_at(order: Order) -> datetime | None:
    """When it became an order; None: it is a checkout still."""
    return min((step.at for step in order.status_history if step.status != "checkout"), default=None)


def worth(order: Order) -> tuple[bool, int, str]:
    """(whether it counts, what is left of it in minor units, the currency)."""
    if not order.is_paid or order.is_called_off or order.test or order.removed or order.total is None:
        return False, 0, order.currency or ""
    currency = order.total.currency
    back = sum(each.amount.amount_minor for each in order.refunds if each.amount and each.amount.currency == currency)
    return True, order.total.amount_minor - back, currency


def credit(
    order: Order, touch: Touch | None, before: Mapping[str, Any] | None, now: datetime, again_at: datetime | None
) -> dict[str, Any] | None:
    """The row of an order's credit; None when it stands as it is. What is corrected is logged with it."""
    counts, minor, currency = worth(order)
    fresh = {
        "profile_id": order.profile_id, "identity_id": order.identity_id, "ordered_at": paid_at(order),
        "touch": touch.as_document() if touch else None, "counts": counts, "minor": minor, "currency": currency,
    }  # fmt: skip
    if before is None:
        again = {"again_at": again_at} if again_at else {}
        return {"_id": order.id, **fresh, "log": [], "rev": 1, "made_at": now, **again}
    if all(before.get(name) == value for name, value in fresh.items()):
        return None
    entry = {"at": now, **{name: before[name] for name in ("touch", "counts", "minor", "currency", "ordered_at")}}
    return {**before, **fresh, "log": [*before["log"], entry][-LOG_MAX:], "rev": before["rev"] + 1}
