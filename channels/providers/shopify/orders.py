"""Orders, parcels, refunds, checkouts and carts as events. One function per kind; pure.

https://shopify.dev/docs/api/webhooks and the resources' own pages of the REST Admin API
(by the facts file, section 14, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from channels.commerce import (
    buyer,
    currency,
    line,
    lines,
    money,
    own_id,
    post_address,
    said,
    short,
    stamp,
    total_of,
    tracking,
    web_link,
)
from channels.providers.shopify.frame import Customer, Frame, customer_of
from channels.reading import Json, instant, items, mapping, text
from channels.vocabulary import AnyEvent, CommerceEvent, Tracked

#: `financial_status` → the milestones it stands for.
PAYMENT: dict[str, tuple[str, ...]] = {
    "authorized": ("authorised",),
    "paid": ("paid",),
    "partially_refunded": ("paid", "partially_refunded"),
    "refunded": ("paid", "refunded"),
}
#: Topic → the milestone it announces, whatever the payload's own words lag behind.
ANNOUNCED: dict[str, str] = {
    "orders/paid": "paid", "orders/fulfilled": "fulfilled", "orders/cancelled": "cancelled",
}  # fmt: skip
#: `status` of a fulfilment → what became of the parcel.
PARCEL: dict[str, str] = {
    "pending": "pending", "open": "pending", "success": "fulfilled", "cancelled": "cancelled", "error": "failed",
    "failure": "failed",
}  # fmt: skip
#: `shipment_status`, and `status` of a fulfilment event: what the carrier says.
CARRIER: dict[str, str] = {
    "label_purchased": "fulfilled", "label_printed": "fulfilled", "confirmed": "fulfilled", "in_transit": "fulfilled",
    "carrier_picked_up": "fulfilled", "delayed": "fulfilled", "ready_for_pickup": "fulfilled",
    "out_for_delivery": "out_for_delivery", "attempted_delivery": "out_for_delivery", "delivered": "delivered",
    "failure": "failed",
}  # fmt: skip
_REFUSED = frozenset({"failure", "error"})
_PARTS_MAX = 100


def order(frame: Frame) -> AnyEvent:
    """Everything an order says of itself, each milestone with its own time as far as Shopify tells it."""
    body, order_id = frame.body, own_id(frame.body.get("id"))
    if order_id is None:
        return frame.unrecognised("an order without an id")
    code, who = currency(body.get("currency")), customer_of(body)
    told = said(
        number=short(body.get("name"), 60),
        currency=code,
        total=money(body.get("total_price"), code),
        lines=_lines(body, code),
        milestones=_milestones(frame),
        fulfilments=_parcels(items(body.get("fulfillments")), frame.at),
        refunds=_refunds(items(body.get("refunds")), frame.at, code),
        checkout_id=own_id(body.get("checkout_token")),
        url=web_link(body.get("order_status_url")),
        test=True if body.get("test") is True else None,
        placed_at=stamp(frame.time("processed_at", "created_at")),
        removed=False,
        shipping_address=_shipping(mapping(body.get("shipping_address"))),
    )
    return _event(frame, who, {"external_id": order_id, **told})


def removed_order(frame: Frame) -> AnyEvent:
    """`orders/delete` holds the id alone."""
    order_id = own_id(frame.body.get("id"))
    if order_id is None:
        return frame.unrecognised("an order without an id")
    return _event(frame, customer_of({}), {"external_id": order_id, "removed": True})


def fulfilment(frame: Frame) -> AnyEvent:
    """One parcel. Its webhook names the order by id, and some versions the customer's address."""
    order_id = own_id(frame.body.get("order_id"))
    parcels = _parcels([frame.body], frame.at)
    if order_id is None or not parcels:
        return frame.unrecognised("a fulfilment without its id or its order's")
    place = {"email": frame.body.get("email"), "shipping_address": frame.body.get("destination")}
    return _event(frame, customer_of(place), {"external_id": order_id, "fulfilments": parcels})


def carrier_event(frame: Frame) -> AnyEvent:
    """What the carrier says of a parcel (`fulfillment_events/create`)."""
    body = frame.body
    order_id, parcel_id = own_id(body.get("order_id")), own_id(body.get("fulfillment_id"))
    status = CARRIER.get(text(body.get("status")) or "")
    if order_id is None or parcel_id is None or status is None:
        return frame.unrecognised("a step of a parcel that says too little")
    at = stamp(frame.time("happened_at", "created_at"))
    parcel = {"id": parcel_id, "status": status, "at": at}
    return _event(frame, customer_of({}), {"external_id": order_id, "fulfilments": [parcel]})


def refund(frame: Frame) -> AnyEvent:
    """Money paid back, or goods taken back for nothing."""
    order_id = own_id(frame.body.get("order_id"))
    refunds = _refunds([frame.body], frame.at, None)
    if order_id is None or not refunds:
        return frame.unrecognised("a refund without its id or its order's")
    return _event(frame, customer_of({}), {"external_id": order_id, "refunds": refunds})


def checkout(frame: Frame) -> AnyEvent:
    """A basket on its way to the till. It becomes an order under the same token, or stays behind."""
    body, token = frame.body, own_id(frame.body.get("token"))
    if token is None:
        return frame.unrecognised("a checkout without a token")
    code = currency(body.get("currency")) or currency(body.get("presentment_currency"))
    started = stamp(frame.time("created_at"))
    told = said(
        currency=code,
        total=money(body.get("total_price"), code),
        lines=_lines(body, code),
        payment_url=web_link(body.get("abandoned_checkout_url")),
        placed_at=started,
    )
    known = {"external_id": f"checkout:{token}"[:300], "checkout_id": token, "status": "checkout"}
    return _event(frame, customer_of(body), {**known, **told})


def cart(frame: Frame) -> AnyEvent:
    """A basket. Shopify does not say whose it is, so it stands in the log of events and moves nobody."""
    token = own_id(frame.body.get("token")) or own_id(frame.body.get("id"))
    if token is None:
        return frame.unrecognised("a cart without a token")
    code = currency(frame.body.get("currency"))
    basket = {"cart_id": token, "lines": _lines(frame.body, code)[:50]}
    return Tracked(**frame.shared(), name="cart.updated", properties=basket)


def _event(frame: Frame, who: Customer, told: Json) -> CommerceEvent:
    refs = buyer(frame.channel_id, customer_id=who.id, email=who.email, phone=who.phone, email_proved=who.email_proved)
    return CommerceEvent(
        **frame.shared(),
        address=frame.address(who.id, who.email) if who.id else None,
        person=who.person if refs else None,
        name=NAMES.get(frame.topic, "order.updated"),
        order={**told, "occurred_at": stamp(frame.at), **said(identities=refs, customer_name=short(who.name, 200))},
    )


def _shipping(place: Json) -> Json | None:
    return post_address(
        street=(place.get("address1"), place.get("address2")), postal_code=place.get("zip"), city=place.get("city"),
        region=place.get("province"), country=place.get("country_code"),
    )  # fmt: skip


def _milestones(frame: Frame) -> list[Json]:
    body = frame.body
    reached: dict[str, datetime] = {"pending": frame.time("created_at")}
    reached |= dict.fromkeys(PAYMENT.get(text(body.get("financial_status")) or "", ()), frame.at)
    if body.get("fulfillment_status") == "fulfilled":
        sent = (instant(mapping(each).get("created_at")) for each in items(body.get("fulfillments")))
        reached["fulfilled"] = max((each for each in sent if each is not None), default=frame.at)
    cancelled = instant(body.get("cancelled_at"))
    if cancelled is not None:
        reached["cancelled"] = cancelled
    if frame.topic in ANNOUNCED:
        reached.setdefault(ANNOUNCED[frame.topic], frame.at)
    return [{"status": status, "at": stamp(at)} for status, at in reached.items()]


def _lines(body: Json, code: str | None) -> list[Json]:
    return lines(_line(mapping(each), code) for each in items(body.get("line_items")))


def _line(item: Json, code: str | None) -> Json | None:
    variant = short(item.get("variant_title"), 100)
    title = short(item.get("title"), 190)
    full = f"{title} - {variant}" if title and variant else title
    return line(
        name=short(item.get("name")) or full,
        quantity=item.get("quantity"),
        sku=item.get("sku"),
        product_id=item.get("product_id"),
        price=money(item.get("price"), code),
        image_url=mapping(item.get("featured_image")).get("url"),
    )


def _parcels(found: Iterable[Any], at: datetime) -> list[Json]:
    return [parcel for each in found if (parcel := _parcel(mapping(each), at)) is not None][:_PARTS_MAX]


def _parcel(parcel: Json, at: datetime) -> Json | None:
    parcel_id, status = own_id(parcel.get("id")), PARCEL.get(text(parcel.get("status")) or "")
    if parcel_id is None or status is None:
        return None
    if status == "fulfilled":
        status = CARRIER.get(text(parcel.get("shipment_status")) or "", status)
    changed = instant(parcel.get("updated_at")) or instant(parcel.get("created_at")) or at
    return {"id": parcel_id, "status": status, "at": stamp(changed), **said(tracking=_tracking(parcel))}


def _tracking(parcel: Json) -> Json | None:
    numbers = [found for each in items(parcel.get("tracking_numbers")) if (found := short(each, 100))]
    first = short(parcel.get("tracking_number"), 100)
    every = ", ".join(dict.fromkeys([*([first] if first else []), *numbers]))
    links = (parcel.get("tracking_url"), *items(parcel.get("tracking_urls")))
    return tracking(every, parcel.get("tracking_company"), next((each for each in links if web_link(each)), None))


def _refunds(found: Iterable[Any], at: datetime, code: str | None) -> list[Json]:
    return [each for every in found if (each := _refund(mapping(every), at, code)) is not None][:_PARTS_MAX]


def _refund(refund: Json, at: datetime, code: str | None) -> Json | None:
    refund_id = own_id(refund.get("id"))
    if refund_id is None:
        return None
    when = instant(refund.get("processed_at")) or instant(refund.get("created_at")) or at
    paid = (mapping(each) for each in items(refund.get("transactions")))
    amounts = [
        money(each.get("amount"), currency(each.get("currency")) or code)
        for each in paid
        if each.get("kind") == "refund" and text(each.get("status")) not in _REFUSED
    ]
    told = said(amount=total_of(amounts), reason=short(refund.get("note"), 500))
    return {"id": refund_id, "at": stamp(when), **told}


#: Topic → the name of the event.
NAMES: dict[str, str] = {
    "orders/create": "order.created", "orders/paid": "order.paid", "orders/cancelled": "order.cancelled",
    "orders/fulfilled": "order.fulfilled", "orders/delete": "order.deleted", "refunds/create": "order.refunded",
    "fulfillments/create": "order.fulfilled", "checkouts/create": "checkout.started",
    "checkouts/update": "checkout.updated",
}  # fmt: skip
