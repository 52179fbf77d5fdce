"""A Shopify delivery as events: the topic stands in a header, the body is one bare object. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from channels.adapter import Delivery, Unreadable
from channels.providers.shopify import customers, orders
from channels.providers.shopify.frame import Frame, happening
from channels.reading import Json, instant, read_json
from channels.vocabulary import AnyEvent

TOPIC, EVENT_ID, WEBHOOK_ID = "x-shopify-topic", "x-shopify-event-id", "x-shopify-webhook-id"
TRIGGERED_AT, SHOP_DOMAIN = "x-shopify-triggered-at", "x-shopify-shop-domain"

_NO_TIME = datetime.fromtimestamp(0, UTC)
_ONE: dict[str, Callable[[Frame], AnyEvent]] = {
    **dict.fromkeys(
        ("orders/create", "orders/updated", "orders/paid", "orders/cancelled", "orders/fulfilled",
         "orders/partially_fulfilled"),
        orders.order,
    ),
    "orders/delete": orders.removed_order,
    **dict.fromkeys(("fulfillments/create", "fulfillments/update"), orders.fulfilment),
    "fulfillment_events/create": orders.carrier_event,
    "refunds/create": orders.refund,
    **dict.fromkeys(("checkouts/create", "checkouts/update"), orders.checkout),
    **dict.fromkeys(("carts/create", "carts/update"), orders.cart),
}  # fmt: skip
_SEVERAL: dict[str, Callable[[Frame], list[AnyEvent]]] = {
    **dict.fromkeys(
        ("customers/create", "customers/update", "customers/enable", "customers/disable"), customers.customer
    ),
    "customers_email_marketing_consent/update": customers.mail_consent,
    "customers_marketing_consent/update": customers.sms_consent,
    "customers/merge": customers.merged,
    "customers/delete": customers.removed,
    "app/uninstalled": customers.uninstalled,
    **dict.fromkeys(customers.DUTIES, customers.duty),
}
#: Topics we ask for by the Admin API. The three duties can only be set in the app's own configuration; carts name
#: nobody and change with every click.
SUBSCRIBED = tuple(sorted((_ONE.keys() | _SEVERAL.keys()) - customers.DUTIES.keys() - {"carts/create", "carts/update"}))


def parse_delivery(channel_id: str, delivery: Delivery, *, theirs: bool = False) -> list[AnyEvent]:
    """Every event of the delivery. `theirs`: it speaks of another shop. Raises `Unreadable`: the body is no object."""
    body = read_json(delivery.body)
    if not isinstance(body, dict):
        raise Unreadable("The body is not an object.")
    frame = Frame(
        channel_id=channel_id,
        topic=(delivery.header(TOPIC) or "no topic")[:100],
        event_id=happening(delivery.body, delivery.header(EVENT_ID) or delivery.header(WEBHOOK_ID)),
        at=_changed_at(body, delivery),
        body=body or {"body": "empty"},
    )
    if theirs:
        return [frame.unrecognised("for another shop")]
    if frame.topic in _SEVERAL:
        return _SEVERAL[frame.topic](frame)
    one = _ONE.get(frame.topic)
    return [one(frame) if one is not None else frame.unrecognised()]


def _changed_at(body: Json, delivery: Delivery) -> datetime:
    """When it became so: a retry sends the original payload, so the object's own time rules."""
    times = (body.get("updated_at"), body.get("processed_at"), body.get("created_at"), delivery.header(TRIGGERED_AT))
    found = next((at for value in times if (at := instant(value)) is not None), None)
    return found or delivery.received_at or _NO_TIME
