"""Segments to begin with: what many shops ask first. Each opens the builder with its rule in it. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_date

from desk.i18n import N_, Formats


@dataclass(frozen=True)
class Example:
    """One of them, in the reader's language."""

    key: str
    name: str
    symbol: str
    rule: Mapping[str, Any]


_FIXED: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "bought": (N_("Bought in the last 30 days"), "shopping-bag", {"event": "order.paid", "within": "P30D"}),
    "lapsed": (
        N_("Not bought for 90 days"), "clock", {"last_event": "order.paid", "op": "older_than", "value": "P90D"},
    ),
    "vip": (
        N_("VIP"), "star",
        {"any": [
            {"field": "tags", "op": "any_of", "value": ["VIP", "vip"]},
            {"field": "orders.count", "op": "gte", "value": 5},
        ]},
    ),
    "new": (N_("New this week"), "user-plus", {"field": "created_at", "op": "within_last", "value": "P7D"}),
    "once": (
        N_("Bought once, and not again"), "arrow-path",
        {"all": [
            {"field": "orders.count", "op": "eq", "value": 1},
            {"field": "orders.last_at", "op": "older_than", "value": "P30D"},
        ]},
    ),
    "left": (
        N_("Left in the checkout"), "shopping-cart",
        {"all": [
            {"event": "checkout.started", "within": "P7D"},
            {"event": "order.paid", "count": {"eq": 0}, "within": "P7D"},
        ]},
    ),
    "silent": (
        N_("Wrote to us, never bought"), "chat-bubble-left",
        {"all": [{"event": "message.received"}, {"field": "orders.count", "op": "eq", "value": 0}]},
    ),
}  # fmt: skip


def examples(formats: Formats, purpose: str) -> list[Example]:
    """All of them. `purpose`: the consent group that subscribing is about."""
    found = [Example(key, formats.text(name), symbol, rule) for key, (name, symbol, rule) in _FIXED.items()]
    subscribed = {"all": [
        {"consent": purpose, "is": "granted"}, {"field": "orders.count", "op": "eq", "value": 0},
    ]}  # fmt: skip
    found.append(Example("subscribed", formats.text(N_("Subscribed but never bought")), "envelope", subscribed))
    return [*found, _birthday(formats)]


def _birthday(formats: Formats) -> Example:
    """The month as it is now: rules know days of the year, not “this month”."""
    here: datetime = formats.now.astimezone(formats.zone)
    last = 29 if here.month == 2 else monthrange(here.year, here.month)[1]
    month = str(format_date(here.date(), "LLLL", locale=formats.language))
    days = {"from": f"{here.month:02}-01", "to": f"{here.month:02}-{last}"}
    rule = {"field": "attributes.birthday", "op": "day_of_year", "value": days}
    return Example("birthday", formats.text(N_("Birthday in %(month)s"), month=month), "cake", rule)
