"""A WooCommerce delivery as events: the topic stands in a header, the body is the object. Pure.

https://woocommerce.github.io/woocommerce-rest-api-docs/ (by the facts file, section 14, read 2026-11-28)
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.commerce import (
    buyer,
    currency,
    line,
    lines,
    mail_address,
    money,
    own_id,
    phone_number,
    post_address,
    said,
    short,
    stamp,
    tracking,
    web_link,
)
from channels.reading import Json, instant, items, mapping, number, read_json, text
from channels.vocabulary import AccountNotice, Address, AnyEvent, CommerceEvent, Person, ProfileSeen, Unrecognised

TOPIC, WEBHOOK_ID, DELIVERY_ID = "x-wc-webhook-topic", "x-wc-webhook-id", "x-wc-webhook-delivery-id"
#: `status` → the milestone it stands for. `on-hold` waits for the money, `processing` for the parcel.
STATUS: dict[str, str] = {
    "pending": "pending", "on-hold": "pending", "processing": "processing", "completed": "completed",
    "cancelled": "cancelled", "refunded": "refunded", "failed": "payment_failed", "checkout-draft": "checkout",
    "auto-draft": "checkout", "draft": "checkout",
}  # fmt: skip
#: Key under which the common shipment plug-ins keep their parcels.
PARCELS_KEY = "_wc_shipment_tracking_items"
_NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Frame:
    """One delivery taken apart as far as all topics share it. `at`: when it became so at the shop."""

    channel_id: str
    topic: str
    event_id: str
    at: datetime
    heard_at: datetime
    body: Json

    @property
    def shared(self) -> Json:
        """The fields of every event."""
        return {"event_id": self.event_id, "occurred_at": self.at, "raw": self.body}

    def unrecognised(self, reason: str = "unknown topic") -> Unrecognised:
        """Kept, so that somebody can look."""
        return Unrecognised(**self.shared, topic=self.topic, reason=reason)

    def time(self, *names: str) -> datetime | None:
        """The first of these fields that is a time."""
        return next((at for name in names if (at := gmt(self.body.get(name))) is not None), None)


def delivery_id(delivery: Delivery) -> str:
    """Webhook and delivery, else a hash of the body."""
    parts = (delivery.header(WEBHOOK_ID), delivery.header(DELIVERY_ID))
    whole = ":".join(part for part in parts if part)
    return whole if all(parts) and whole.isascii() and len(whole) <= 200 else unique_key(delivery.body)


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """The one event of the delivery. Raises `Unreadable` when the body is no JSON object."""
    found = read_json(delivery.body)
    if not isinstance(found, dict):
        raise Unreadable("The body is not an object.")
    topic = (delivery.header(TOPIC) or "no topic")[:100]
    body = _unwrapped(found, topic.partition(".")[0])
    heard_at = delivery.received_at or _NO_TIME
    times = (body.get(name) for name in ("date_modified_gmt", "updated_at", "date_created_gmt", "created_at"))
    frame = Frame(
        channel_id=channel_id,
        topic=topic,
        event_id=delivery_id(delivery),
        at=next((at for value in times if (at := gmt(value)) is not None), heard_at),
        heard_at=heard_at,
        body=body or {"body": "empty"},
    )
    return [PARSERS.get(topic, _other)(frame)]


def gmt(value: Any) -> datetime | None:
    """`date_…_gmt` is UTC without saying so."""
    found = instant(value)
    return found if found is not None or not isinstance(value, str) else instant(f"{value}Z")


# -- one function per kind --------------------------------------------------------------------------------


def _order(frame: Frame) -> AnyEvent:
    body, order_id = frame.body, own_id(frame.body.get("id"))
    if order_id is None:
        return frame.unrecognised("an order without an id")
    code = currency(body.get("currency"))
    placed = frame.time("date_created_gmt", "created_at")
    told = said(
        number=short(body.get("number"), 60) or own_id(body.get("order_number")),
        currency=code,
        total=money(body.get("total"), code),
        lines=lines(_line(mapping(each), code) for each in items(body.get("line_items"))),
        milestones=_milestones(frame),
        fulfilments=_parcels(frame),
        refunds=_refunds(frame, code),
        payment_url=web_link(body.get("payment_url")) if body.get("needs_payment") is True else None,
        placed_at=stamp(placed) if placed else None,
        removed=body.get("status") == "trash",
        shipping_address=_post(_shipping(body)) or _post(_billing(body)),
    )
    return _event(frame, {"external_id": order_id, **told})


def _restored(frame: Frame) -> AnyEvent:
    """Taken out of the bin: now, whenever it was last changed."""
    return _order(Frame(**{**vars(frame), "at": max(frame.at, frame.heard_at)}))


def _removed(frame: Frame) -> AnyEvent:
    """Put into the bin, or deleted: the body holds the id alone."""
    order_id = own_id(frame.body.get("id"))
    if order_id is None:
        return frame.unrecognised("an order without an id")
    return _event(Frame(**{**vars(frame), "at": frame.heard_at}), {"external_id": order_id, "removed": True})


def _customer(frame: Frame) -> AnyEvent:
    body, customer_id = frame.body, _customer_id(frame.body.get("id"))
    if customer_id is None:
        return frame.unrecognised("a customer without an id")
    email = mail_address(body.get("email"))
    person = Person(name=_name(body) or _name(_billing(body)), email=email, avatar_url=web_link(body.get("avatar_url")))
    address = Address(channel_id=frame.channel_id, external_id=customer_id, handle=email)
    return ProfileSeen(**frame.shared, address=address, person=person)


def _customer_gone(frame: Frame) -> AnyEvent:
    """An account was deleted in the shop. What we keep of the person is for an administrator to decide."""
    customer_id = own_id(frame.body.get("id"))
    words = f"Customer {customer_id or '?'} was deleted in the shop. Nothing was deleted here."
    details = {"customer_id": customer_id} if customer_id else {}
    return AccountNotice(**frame.shared, topic=frame.topic, text=words, details=details)


def _other(frame: Frame) -> AnyEvent:
    resource = frame.topic.partition(".")[0]
    return frame.unrecognised("nothing of a person" if resource in ("product", "coupon") else "unknown topic")


PARSERS: dict[str, Callable[[Frame], AnyEvent]] = {
    "order.created": _order, "order.updated": _order, "order.restored": _restored, "order.deleted": _removed,
    "customer.created": _customer, "customer.updated": _customer, "customer.restored": _customer,
    "customer.deleted": _customer_gone,
}  # fmt: skip
#: Topics we ask for by the API.
SUBSCRIBED = tuple(topic for topic in PARSERS if topic != "customer.restored")


# -- parts ------------------------------------------------------------------------------------------------


def _event(frame: Frame, told: Json) -> CommerceEvent:
    body, billing = frame.body, _billing(frame.body)
    customer_id, email = _customer_id(body.get("customer_id")), mail_address(billing.get("email"))
    phone = phone_number(billing.get("phone"), billing.get("country"))
    # Who is signed in may type any address at the till; the one of their account is told with the customer.
    proved = customer_id is None
    refs = buyer(frame.channel_id, customer_id=customer_id, email=email, phone=phone, email_proved=proved)
    name = _name(billing)
    return CommerceEvent(
        **frame.shared,
        address=Address(channel_id=frame.channel_id, external_id=customer_id, handle=email) if customer_id else None,
        person=Person(name=name, email=email, verified=proved) if refs else None,
        name=frame.topic,
        order={**told, "occurred_at": stamp(frame.at), **said(identities=refs, customer_name=name)},
    )


def _milestones(frame: Frame) -> list[Json]:
    status = STATUS.get(text(frame.body.get("status")) or "")
    if status == "checkout":
        return [{"status": "checkout", "at": stamp(frame.at)}]
    paid, completed = frame.time("date_paid_gmt"), frame.time("date_completed_gmt", "completed_at")
    reached: dict[str, datetime] = {"pending": frame.time("date_created_gmt", "created_at") or frame.at}
    if paid is not None or mapping(frame.body.get("payment_details")).get("paid") is True:
        reached["paid"] = paid or frame.at
    if status is not None:
        reached.setdefault(status, completed or frame.at if status == "completed" else frame.at)
    return [{"status": each, "at": stamp(at)} for each, at in reached.items()]


def _line(item: Json, code: str | None) -> Json | None:
    return line(
        name=html.unescape(short(item.get("name")) or ""),
        quantity=item.get("quantity"),
        sku=item.get("sku"),
        product_id=item.get("product_id"),
        price=money(item.get("price"), code),
        image_url=mapping(item.get("image")).get("src"),
    )


def _refunds(frame: Frame, code: str | None) -> list[Json]:
    """They stand in the order with a negative total and no time; the first we hear of one counts."""
    found = []
    for each in map(mapping, items(frame.body.get("refunds"))[:100]):
        refund_id, amount = own_id(each.get("id")), number(each.get("total"))
        if refund_id is not None:
            back = money(str(abs(amount)), code) if amount is not None else None
            told = said(amount=back, reason=short(each.get("reason"), 500))
            found.append({"id": refund_id, "at": stamp(frame.at), **told})
    return found


def _parcels(frame: Frame) -> list[Json]:
    kept = [mapping(each) for each in items(frame.body.get("meta_data"))]
    found = [each for entry in kept if entry.get("key") == PARCELS_KEY for each in items(entry.get("value"))]
    return [parcel for each in found[:100] if (parcel := _parcel(mapping(each), frame.at)) is not None]


def _parcel(item: Json, at: datetime) -> Json | None:
    company = short(item.get("tracking_provider"), 120) or item.get("custom_tracking_provider")
    where = tracking(item.get("tracking_number"), company, item.get("custom_tracking_link"))
    parcel_id = own_id(item.get("tracking_id")) or own_id(item.get("tracking_number"))
    if where is None or parcel_id is None:
        return None
    sent = instant(item.get("date_shipped")) or at
    return {"id": parcel_id, "status": "fulfilled", "at": stamp(sent), "tracking": where}


def _customer_id(value: Any) -> str | None:
    """Zero is a guest."""
    found = own_id(value)
    return None if found == "0" else found


def _billing(body: Json) -> Json:
    return mapping(body.get("billing")) or mapping(body.get("billing_address"))


def _shipping(body: Json) -> Json:
    return mapping(body.get("shipping")) or mapping(body.get("shipping_address"))


def _post(place: Json) -> Json | None:
    """Left empty in the order where it is the one of the bill."""
    street = (html.unescape(short(place.get(name)) or "") for name in ("address_1", "address_2"))
    return post_address(
        street=street, postal_code=place.get("postcode"), city=html.unescape(short(place.get("city")) or ""),
        region=place.get("state"), country=place.get("country"),
    )  # fmt: skip


def _name(person: Json) -> str | None:
    parts = (short(person.get("first_name"), 100), short(person.get("last_name"), 99))
    return " ".join(part for part in parts if part) or None


def _unwrapped(body: Json, resource: str) -> Json:
    """Older API versions wrap the object: `{"order": {…}}`."""
    inner = body.get(resource)
    return inner if isinstance(inner, dict) and "id" not in body else body
