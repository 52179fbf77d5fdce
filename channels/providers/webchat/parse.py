"""One delivery of the widget's door → one or more events. Pure; raises only `Unreadable`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from base.ids import unique_key
from channels.adapter import Delivery
from channels.providers.webchat.envelope import opened
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import (
    Address,
    AnyEvent,
    Attachment,
    AttachmentKind,
    DeliveryStatus,
    DeliveryUpdate,
    Identified,
    MessageReceived,
    Person,
    Postback,
    ProfileSeen,
    Reaction,
    Referral,
    Unrecognised,
)

#: How ids of visitors begin: nobody knows who they are; the operator's server has said who they are.
ANONYMOUS, IDENTIFIED = "v_", "u_"
_LETTERS = str.maketrans("0123456789aeiou", "ghjkmnpqrtwwxyz")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_STATUSES = {"delivered": DeliveryStatus.DELIVERED, "read": DeliveryStatus.READ}


@dataclass(frozen=True)
class _Said:
    """One delivery, opened."""

    channel_id: str
    at: datetime
    head: Json
    visitor: str
    file: bytes | None

    @property
    def address(self) -> Address:
        return Address(channel_id=self.channel_id, external_id=self.visitor, handle=handle_of(self.visitor))


def visitor_of(channel_id: str, customer_id: str) -> str:
    """The visitor that a known customer is, on whatever device."""
    return IDENTIFIED + unique_key(channel_id, customer_id)[:32]


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """Everything in one delivery."""
    head, file = opened(delivery.body)
    at = delivery.received_at or _EPOCH
    visitor, kind = identifier(head.get("visitor")), text(head.get("kind")) or "nothing"
    read = _KINDS.get(kind)
    if visitor is None or read is None:
        reason = "no visitor" if visitor is None else "unknown kind"
        return [Unrecognised(event_id=f"{visitor}:{kind}", occurred_at=at, topic=kind, reason=reason, raw=head)]
    return read(_Said(channel_id, at, head, visitor, file))


def handle_of(visitor: str) -> str | None:
    """What a nameless visitor is called: the same word for the same browser. None for a customer.

    Letters alone, or half of them would be taken for phone numbers.
    """
    return f"visitor-{visitor[-4:].translate(_LETTERS)}" if visitor.startswith(ANONYMOUS) else None


def _message(said: _Said) -> list[AnyEvent]:
    key = identifier(said.head.get("key"))
    if key is None:
        return [_odd(said, "a message without a key")]
    press, page = mapping(said.head.get("press")), mapping(said.head.get("page"))
    payload, title = text(press.get("payload")), text(press.get("title"))
    message_id = f"{said.visitor}:{key}"
    return [
        *_same_browser(said),
        MessageReceived(
            event_id=message_id,
            message_id=message_id,
            occurred_at=said.at,
            address=said.address,
            person=_person(said.head),
            text=text(said.head.get("text")),
            attachments=_attachments(said),
            reply_to=identifier(said.head.get("reply_to")),
            postback=Postback(payload=payload or title or "", title=title) if payload or title else None,
            referral=_referral(page) if said.head.get("first") is True else None,
            extra={"page": page} if page else {},
            raw=said.head,
        ),
    ]


def _same_browser(said: _Said) -> list[AnyEvent]:
    """The tracking script of the page knows this browser, too, under an id that only the browser has."""
    anonymous = identifier(said.head.get("anonymous"))
    if anonymous is None:
        return []
    event_id = f"{said.visitor}:same:{anonymous}"
    return [Identified(event_id=event_id, occurred_at=said.at, address=said.address, anonymous_id=anonymous)]


def _reaction(said: _Said) -> list[AnyEvent]:
    key, message_id = identifier(said.head.get("key")), identifier(said.head.get("message_id"))
    if key is None or message_id is None:
        return [_odd(said, "a reaction to nothing")]
    return [
        Reaction(
            event_id=f"{said.visitor}:{key}", occurred_at=said.at, address=said.address, message_id=message_id,
            emoji=text(said.head.get("emoji")), raw=said.head,
        )
    ]  # fmt: skip


def _receipt(said: _Said) -> list[AnyEvent]:
    status = _STATUSES.get(text(said.head.get("status")) or "")
    if status is None:
        return [_odd(said, "a receipt of no known state")]
    keys = [key for each in items(said.head.get("keys")) if (key := identifier(each))]
    return [
        DeliveryUpdate(
            event_id=f"{status.value}:{key}", occurred_at=said.at, address=said.address, status=status,
            correlation=key, raw=said.head,
        )
        for key in dict.fromkeys(keys)
    ]  # fmt: skip


def _seen(said: _Said) -> list[AnyEvent]:
    person, alias = _person(said.head), identifier(said.head.get("alias"))
    if alias is not None:
        person = (person or Person(verified=False)).model_copy(update={"aliases": (alias,)})
    return [
        ProfileSeen(
            event_id=f"{said.visitor}:seen", occurred_at=said.at, address=said.address, person=person,
            former_external_id=identifier(said.head.get("former")), raw=said.head,
        )
    ]  # fmt: skip


_KINDS: dict[str, Callable[[_Said], list[AnyEvent]]] = {
    "message": _message, "reaction": _reaction, "receipt": _receipt, "seen": _seen,
}  # fmt: skip


def _odd(said: _Said, reason: str) -> Unrecognised:
    topic = str(said.head.get("kind"))
    return Unrecognised(
        event_id=f"{said.visitor}:{topic}", occurred_at=said.at, topic=topic, reason=reason, raw=said.head
    )


def _person(head: Json) -> Person | None:
    """Name and address are the visitor's own words unless the door says that they were signed."""
    given = mapping(head.get("person"))
    person = Person(
        name=text(given.get("name")), email=text(given.get("email")), locale=text(given.get("locale")),
        customer_id=text(given.get("customer_id")), verified=given.get("verified") is True,
    )  # fmt: skip
    return person if given else None


def _attachments(said: _Said) -> tuple[Attachment, ...]:
    if said.file is None:
        return ()
    about = mapping(said.head.get("file"))
    family = (text(about.get("media_type")) or "").partition("/")[0]
    kind = AttachmentKind(family) if family in ("image", "video", "audio") else AttachmentKind.FILE
    return (
        Attachment(
            kind=kind, media_type=text(about.get("media_type")), file_name=text(about.get("name")),
            size_bytes=len(said.file), content=said.file,
        ),
    )  # fmt: skip


def _referral(page: Json) -> Referral | None:
    url = text(page.get("url"))
    return Referral(source="page", url=url, headline=text(page.get("title"))) if url else None
