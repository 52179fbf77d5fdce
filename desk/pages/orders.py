"""Orders: the list by status, and one order with its lines, its way so far and its customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import NotFound
from desk.api.scope import must_see_person, reading, seen_ids
from desk.auth import principal_of, require
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.order_words import STATUSES, order_number, status_tone, status_words
from desk.render import formats_of, page
from orders.models import Order

routes = web.RouteTableDef()
PER_PAGE = 50
TABS = ("pending", "paid", "fulfilled", "delivered", "cancelled")


@dataclass(frozen=True)
class OrderRow:
    """One order in the list."""

    id: str
    number: str
    source: str
    name: str
    profile_id: str
    what: str
    total: str
    status: str
    tone: str
    at: datetime


@dataclass(frozen=True)
class LineView:
    """One product line."""

    name: str
    sku: str
    quantity: str
    unit: str
    total: str


@dataclass(frozen=True)
class Milestone:
    """One step of the order's way."""

    title: str
    symbol: str
    tone: str
    at: datetime
    late: bool


def total_words(order: Order, formats: Formats) -> str:
    """The order's total as money."""
    return formats.money(order.total.amount_minor, order.total.currency) if order.total else ""


def order_row(order: Order, name: str, formats: Formats) -> OrderRow:
    """One row."""
    what = ", ".join(f"{line.quantity:g} × {line.name}" if line.quantity > 1 else line.name for line in order.lines[:3])
    return OrderRow(
        order.id, order_number(order.number or order.external_id), order.source, name, order.profile_id, what,
        total_words(order, formats), status_words(order.status, formats), status_tone(order.status), order.placed_at,
    )  # fmt: skip


def line_views(order: Order, formats: Formats) -> list[LineView]:
    """The product lines with their sums."""
    shown = []
    for line in order.lines:
        price = line.unit_price
        each = formats.money(price.amount_minor, price.currency) if price else ""
        total = formats.money(round(price.amount_minor * line.quantity), price.currency) if price else ""
        shown.append(LineView(line.name, line.sku or "", formats.number(line.quantity), each, total))
    return shown


def milestones(order: Order, formats: Formats) -> list[Milestone]:
    """The way so far, latest first."""
    steps = sorted(order.status_history, key=lambda step: step.at, reverse=True)
    return [
        Milestone(
            status_words(step.status, formats), STATUSES.get(step.status, ("", "", "flag"))[2],
            {"good": "good", "danger": "bad"}.get(status_tone(step.status), ""), step.at, step.late,
        )
        for step in steps
    ]  # fmt: skip


@routes.get("/orders")
@require("viewer")
async def orders(request: web.Request) -> web.StreamResponse:
    """The list, newest first."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    status = request.query.get("status")
    status = status if status in STATUSES else None
    found, cursor = await runtime.order_store.page(status=status, cursor=request.query.get("cursor"), limit=PER_PAGE)
    seen = await seen_ids(reading(request), {order.profile_id for order in found})
    profiles = await runtime.profiles.many({order.profile_id for order in found})
    names = {key: profile.display_name for key, profile in profiles.items()}
    query = f"status={status}&" if status else ""
    values: dict[str, Any] = {
        "orders": [
            order_row(each, names.get(each.profile_id, each.profile_id), formats)
            for each in found
            if each.profile_id in seen
        ],
        "status": status,
        "tabs": [(key, status_words(key, formats)) for key in TABS],
        "next_href": f"/orders?{query}cursor={cursor}" if cursor else "",
    }
    return await page(request, "orders/list.html", values)


@routes.get("/orders/{order_id}")
@require("viewer")
async def order(request: web.Request) -> web.StreamResponse:
    """One order."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    found = await runtime.order_store.get(request.match_info["order_id"])
    if found is None:
        raise NotFound("There is no such order.")
    if principal_of(request).channels is not None:
        await must_see_person(reading(request), found.profile_id)
    profile = await runtime.profiles.get(found.profile_id)
    values = {
        "order": found,
        "number": order_number(found.number or found.external_id),
        "status": status_words(found.status, formats),
        "tone": status_tone(found.status),
        "total": total_words(found, formats),
        "lines": line_views(found, formats),
        "milestones": milestones(found, formats),
        "person": profile.display_name if profile else found.profile_id,
    }
    return await page(request, "orders/order.html", values)
