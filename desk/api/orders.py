"""Orders: upserted by the shop's own id, statuses forward only."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations, Reply, not_there
from desk.api.scope import check_named, id_today, must_see_person, seen_ids
from desk.api.shapes import Money, PageQuery, ProfileId, Since, Time, View, page
from orders.models import FulfilmentStatus, Line, Order, OrderInput, Status, StatusInput, Tracking

operations = Operations("orders")


class OrderQuery(PageQuery):
    """Narrows the list."""

    status: Status | None = None
    profile: ProfileId | None = None
    since: Since | None = Field(None, description="Placed at or after this time.")


class StepView(View):
    """One entry of the history. `late`: something further had been reached when we heard of it."""

    status: Status
    at: Time
    recorded_at: Time
    late: bool


class LineView(View, Line):
    """One product line."""

    unit_price: Money | None  # type: ignore[assignment]


class FulfilmentView(View):
    """One parcel."""

    id: str
    status: FulfilmentStatus
    at: Time
    tracking: Tracking | None


class RefundView(View):
    """Money paid back once."""

    id: str
    at: Time
    amount: Money | None
    reason: str | None


class OrderView(View):
    """An order of one person."""

    id: str
    external_id: str
    number: str | None
    source: str
    profile_id: str
    identity_id: str
    status: Status
    currency: str | None
    total: Money | None
    lines: list[LineView]
    tracking: Tracking | None
    fulfilments: list[FulfilmentView]
    refunds: list[RefundView]
    checkout_id: str | None
    removed: bool
    placed_at: Time
    status_history: list[StepView]
    url: str | None
    payment_url: str | None
    created_at: Time
    updated_at: Time


def order_view(order: Order) -> OrderView:
    """As people and programs see it."""
    return OrderView.model_validate(order, from_attributes=True)


@operations("GET", "/orders", roles=["viewer"], query=OrderQuery, returns=list[OrderView])
async def list_orders(call: Call) -> Any:
    """List orders, the latest placed first. For a caller limited to channels a page may hold fewer than `limit`."""
    wanted: OrderQuery = call.query
    rows, following = await call.runtime.order_store.page(
        status=wanted.status,
        profile_id=await id_today(call, wanted.profile),
        since=wanted.since,
        cursor=wanted.cursor,
        limit=wanted.limit,
    )
    seen = await seen_ids(call, {each.profile_id for each in rows})
    return page([order_view(each) for each in rows if each.profile_id in seen], following)


@operations("POST", "/orders", roles=["agent", "marketer"], body=OrderInput, returns=OrderView, also=(201,))
async def record_order(call: Call) -> Any:
    """Create or update an order by its `external_id`.

    Only what is given changes; older news (`occurred_at`) never overwrite newer, and a status never runs backwards.
    A new order names its customer by `identity`. Who is limited to some channels names no `source` but those. 201 when
    it is new, 200 when it was known.
    """
    news: OrderInput = call.body
    await check_named(call, [("identity", ref) for ref in news.refs])
    if news.source is not None:  # of a channel as `provider:chn_…`: its orders are told by it alone
        call.must_see(news.source.rpartition(":")[2])
    before = await call.runtime.order_store.find(news.source or "api", news.external_id)
    if before is not None:
        await must_see_person(call, before.profile_id)
    order, _ = await call.runtime.orders.record(news, "api", call.principal.id)
    return Reply(order_view(order), 200 if before is not None else 201)


@operations("GET", "/orders/{id:ord}", roles=["viewer"], returns=OrderView)
async def get_order(call: Call) -> Any:
    """One order."""
    return order_view(await _seen(call))


@operations("POST", "/orders/{id:ord}/status", roles=["agent", "marketer"], body=StatusInput, returns=OrderView)
async def advance_order(call: Call) -> Any:
    """Tell that an order has reached a status. Coming late it is kept in the history and changes nothing else."""
    order = await _seen(call)
    advanced, _ = await call.runtime.orders.advance(order.id, call.body, call.principal.id)
    return order_view(advanced)


async def _seen(call: Call) -> Order:
    order: Order | None = await call.runtime.order_store.get(call.path["id"])
    if order is None:
        raise not_there()
    await must_see_person(call, order.profile_id)
    return order
