"""Reads that several pages share: the channels' marks, the colleagues, a person's orders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from desk.i18n import Formats
from desk.pages.faces import Faces
from desk.pages.order_words import order_number, status_tone, status_words
from desk.pages.runs import RunBrief, run_brief
from desk.store import User
from orders.models import Order


async def faces_of(runtime: Any) -> Faces:
    """The marks of all connected accounts."""
    return Faces(await runtime.channels.list(), runtime.registry.cards())


async def people(runtime: Any) -> list[User]:
    """Colleagues who can be given something to do."""
    return [user for user in await runtime.users.users() if user.active and user.role in ("admin", "agent")]


@dataclass(frozen=True)
class OrderBrief:
    """One order in a line."""

    id: str
    number: str
    at: datetime
    total: str
    status: str
    tone: str


def order_brief(order: Order, formats: Formats) -> OrderBrief:
    """An order as one line."""
    money = formats.money(order.total.amount_minor, order.total.currency) if order.total else ""
    words, tone = status_words(order.status, formats), status_tone(order.status)
    return OrderBrief(order.id, order_number(order.number or order.external_id), order.placed_at, money, words, tone)


async def order_rows(runtime: Any, profile_id: str, formats: Formats, *, limit: int) -> list[OrderBrief]:
    """A person's latest orders."""
    orders = await runtime.order_store.of_profile(profile_id, limit=limit)
    return [order_brief(order, formats) for order in orders]


async def together(**reads: Any) -> dict[str, Any]:
    """Await several reads at once, by name."""
    return dict(zip(reads, await asyncio.gather(*reads.values()), strict=True))


async def journey_names(runtime: Any, journey_ids: set[str]) -> dict[str, str]:
    """Names of journeys; unknown ids are left out."""
    heads = await asyncio.gather(*(runtime.journeys.get(each) for each in journey_ids), return_exceptions=True)
    return {head["_id"]: head["name"] for head in heads if isinstance(head, dict)}


async def run_briefs(runtime: Any, profile_id: str, formats: Formats, *, limit: int) -> list[RunBrief]:
    """The journeys a person is or was in, latest first."""
    part = await runtime.journeys.enrolments(profile_id=profile_id, limit=limit)
    names = await journey_names(runtime, {row["journey_id"] for row in part.data})
    return [run_brief(row, names.get(row["journey_id"], row["journey_id"]), formats) for row in part.data]
