"""The generic body as events: `{"type": …, "data": {…}}`, a list of them, or `{"batch": […]}`. Pure.

The form is our own public contract, section 6; README.md beside this file shows every kind. A name that is not in
the table becomes `Tracked` under that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.failures import Failure
from channels.providers.generic.content import attachments, cards, place, pressed, referral
from channels.reading import Json, identifier, instant, mapping, read_json, text
from channels.vocabulary import (
    Address,
    AnyEvent,
    CommerceEvent,
    ConsentChange,
    ContactLeft,
    DeliveryStatus,
    DeliveryUpdate,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    Person,
    ProfileSeen,
    Reaction,
    Tracked,
    Unrecognised,
)

_ID_MAX, _NAME_MAX = 200, 100
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}", re.ASCII)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Frame:
    """One event of a body, taken apart as far as all kinds share it."""

    channel_id: str
    name: str
    event_id: str
    at: datetime
    data: Json
    raw: Json
    address: Address | None
    person: Person | None

    @property
    def shared(self) -> dict[str, Any]:
        """The fields of every event."""
        return {
            "event_id": self.event_id, "occurred_at": self.at, "address": self.address, "person": self.person,
            "raw": self.raw,
        }  # fmt: skip

    def unrecognised(self, reason: str) -> Unrecognised:
        return Unrecognised(**self.shared, topic=self.name or "untyped", reason=reason)


def delivery_id(delivery: Delivery) -> str:
    """The sender's id of a delivery: the signed `webhook-id`, else the event's own `id`, else a hash of the body."""
    header = delivery.header("webhook-id")
    if header and header.isprintable() and header.isascii():
        return _short(header)
    try:
        found = identifier(mapping(read_json(delivery.body)).get("id"))
    except Unreadable:
        found = None
    return _short(found) if found else unique_key(delivery.body)


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """Every event of the body; one that cannot be read harms no other. Raises `Unreadable`."""
    body = read_json(delivery.body)
    batch = body.get("batch") if isinstance(body, dict) and "type" not in body else body
    if isinstance(batch, dict) or (batch is None and isinstance(body, dict)):
        batch = [body]
    if not isinstance(batch, list):
        raise Unreadable("The body is neither an event nor a list of events.")
    key, received_at = delivery_id(delivery), delivery.received_at or _NO_TIME
    keys = [key] if len(batch) == 1 else [f"{key}.{number}" for number in range(len(batch))]
    return [_event(_frame(channel_id, item, one, received_at)) for item, one in zip(batch, keys, strict=True)]


def _frame(channel_id: str, item: Any, key: str, received_at: datetime) -> Frame:
    raw = mapping(item) or {"event": item}
    data = mapping(raw.get("data"))
    name = text(raw.get("type")) or text(raw.get("event")) or ""
    times = (data.get("occurred_at"), raw.get("occurred_at"), raw.get("timestamp"), raw.get("created"))
    # A receipt or an echo may name the person it went to; everything else comes from somebody.
    who = mapping(data.get("from")) or (mapping(data.get("to")) if name in RECEIPTS else {})
    address = _address(channel_id, who)
    return Frame(
        channel_id=channel_id,
        name=name[:_NAME_MAX],
        event_id=_short(identifier(raw.get("id")) or key),
        at=next((found for value in times if (found := instant(value))), received_at),
        data=data,
        raw=raw,
        address=address,
        person=_person(who) if address else None,
    )


def _event(frame: Frame) -> AnyEvent:
    if not frame.name.strip():
        return frame.unrecognised("an event without a type")
    parser = PARSERS.get(frame.name) or (_order if frame.name.startswith("order.") else _tracked)
    try:
        return parser(frame)
    except ValidationError:  # readable, but of a form this page does not speak of; kept, so that somebody can look
        return frame.unrecognised("unreadable content")


# -- who --------------------------------------------------------------------------------------------------


def _address(channel_id: str, who: Json) -> Address | None:
    """By the sender's own id of the person, else by mail address, else by phone number."""
    email, phone = _email(who), _phone(who)
    external_id = identifier(who.get("id")) or email or phone
    if external_id is None or not external_id.strip():
        return None
    handle = text(who.get("handle")) or email or phone
    return Address(channel_id=channel_id, external_id=_short(external_id.strip()), handle=handle)


def _person(who: Json) -> Person:
    """The operator's own system signed it: mail address and number count as verified."""
    return Person(
        name=text(who.get("name")),
        avatar_url=_web(who.get("avatar_url")),
        locale=text(who.get("locale")),
        phone=_phone(who),
        email=_email(who),
    )


def _email(who: Json) -> str | None:
    found = (text(who.get("email")) or "").strip()
    return found if _EMAIL.fullmatch(found) else None


def _phone(who: Json) -> str | None:
    found = re.sub(r"[\s()./-]", "", text(who.get("phone")) or "")
    found = f"+{found[2:]}" if found.startswith("00") else found
    return found if _PHONE.fullmatch(found) else None


def _web(value: Any) -> str | None:
    found = text(value)
    return found if found and found.startswith(("https://", "http://")) else None


# -- one function per kind --------------------------------------------------------------------------------


def _received(frame: Frame) -> AnyEvent:
    if frame.address is None:
        return frame.unrecognised("data.from needs an id, an email or a phone")
    return _message(frame, echo=False)


def _sent(frame: Frame) -> AnyEvent:
    """A receipt for one of ours; or, with `to` and content, a message somebody wrote in the other system."""
    written = any(frame.data.get(name) for name in ("text", "attachments", "location"))
    if frame.address is not None and written and not frame.data.get("key"):
        return _message(frame, echo=True)
    return _receipt(frame)


def _message(frame: Frame, *, echo: bool) -> AnyEvent:
    data, point, said = frame.data, place(frame.data), text(frame.data.get("text"))
    files, known, button = attachments(data), cards(data), pressed(data)
    empty = not any((said, files, known, point, button))
    return MessageReceived(
        **frame.shared,
        message_id=_own_id(frame) or frame.event_id,
        text=said,
        attachments=files,
        reply_to=identifier(data.get("reply_to")),
        location=point,
        contacts=known,
        postback=button,
        referral=referral(data),
        group_id=identifier(data.get("group_id")),
        forwarded=data.get("forwarded") is True,
        echo=echo,
        correlation=identifier(data.get("key")),
        unsupported="a message without content" if empty else None,
        extra=mapping(data.get("extra")),
    )


def _edited(frame: Frame) -> AnyEvent:
    message_id = _own_id(frame)
    if message_id is None:
        return frame.unrecognised("data.id is missing")
    return MessageEdited(**frame.shared, message_id=message_id, text=text(frame.data.get("text")))


def _deleted(frame: Frame) -> AnyEvent:
    message_id = _own_id(frame)
    return MessageDeleted(**frame.shared, message_id=message_id) if message_id else frame.unrecognised("no data.id")


def _reaction(frame: Frame) -> AnyEvent:
    message_id = _own_id(frame)
    if message_id is None:
        return frame.unrecognised("data.id is missing")
    return Reaction(**frame.shared, message_id=message_id, emoji=text(frame.data.get("emoji")))


def _receipt(frame: Frame) -> AnyEvent:
    """`data.id` is the id that the send was answered with, `data.key` the one we gave it; either will do."""
    status = RECEIPTS[frame.name]
    message_id, key = _own_id(frame), identifier(frame.data.get("key"))
    if message_id is None and key is None:
        return frame.unrecognised("data.id or data.key is missing")
    failed = status in (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED)
    return DeliveryUpdate(
        **frame.shared,
        status=status,
        message_id=message_id,
        correlation=key or message_id,
        failure=_failure(frame.data) if failed else None,
        provider_code=identifier(frame.data.get("code")),
        detail=text(frame.data.get("detail")),
        permanent=failed and frame.data.get("permanent") is True,
    )


def _failure(data: Json) -> str:
    named = text(data.get("failure"))
    return named if named in set(Failure) else Failure.UNKNOWN.value


def _consent(frame: Frame) -> AnyEvent:
    if frame.address is None:
        return frame.unrecognised("data.from needs an id, an email or a phone")
    return ConsentChange(
        **frame.shared,
        purpose=(text(frame.data.get("purpose")) or "marketing")[:_NAME_MAX],
        granted=frame.name == "consent.granted",
        proof=text(frame.data.get("proof")),
    )


def _contact(frame: Frame) -> AnyEvent:
    if frame.address is None:
        return frame.unrecognised("data.from needs an id, an email or a phone")
    return ContactLeft(**frame.shared, left=frame.name == "contact.left")


def _seen(frame: Frame) -> AnyEvent:
    """A person without a message; `former_id` links an id the person had before."""
    if frame.address is None:
        return frame.unrecognised("data.from needs an id, an email or a phone")
    former = identifier(frame.data.get("former_id"))
    return ProfileSeen(
        **frame.shared, former_external_id=_short(former) if former else None, referral=referral(frame.data)
    )


def _order(frame: Frame) -> AnyEvent:
    """The order stands in `data` itself or in `data.order`; what is missing is filled in from the event."""
    order = dict(mapping(frame.data.get("order")) or frame.data)
    for name in ("from", "to", "occurred_at"):
        order.pop(name, None)
    own_id = identifier(order.pop("id", None))
    external_id = identifier(order.get("external_id")) or own_id
    if external_id is None:
        return frame.unrecognised("data.external_id is missing")
    order["external_id"] = external_id
    order.setdefault("status", frame.name.removeprefix("order."))
    if frame.address is not None and not order.get("identity"):
        order["identity"] = {
            "kind": "channel", "value": frame.address.external_id, "channel_id": frame.channel_id,
        }  # fmt: skip
    return CommerceEvent(**frame.shared, name=frame.name, order=order)


def _tracked(frame: Frame) -> AnyEvent:
    properties = {key: value for key, value in frame.data.items() if key not in ("from", "occurred_at")}
    return Tracked(**frame.shared, name=frame.name, properties=properties)


def _own_id(frame: Frame) -> str | None:
    found = identifier(frame.data.get("id"))
    return _short(found) if found else None


def _short(value: str) -> str:
    return value if len(value) <= _ID_MAX else unique_key(value)


RECEIPTS: dict[str, DeliveryStatus] = {f"message.{status.value}": status for status in DeliveryStatus}
PARSERS: dict[str, Callable[[Frame], AnyEvent]] = {
    **dict.fromkeys(RECEIPTS, _receipt),
    "message.sent": _sent,
    "message.received": _received,
    "message.edited": _edited,
    "message.deleted": _deleted,
    "message.reaction": _reaction,
    "consent.granted": _consent,
    "consent.denied": _consent,
    "contact.left": _contact,
    "contact.returned": _contact,
    "profile.seen": _seen,
}
