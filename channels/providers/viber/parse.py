"""Viber's callbacks as events, one to a delivery. Pure; one function per kind, named in the table at the end.

https://developers.viber.com/docs/api/rest-bot-api/#callbacks (read 2026-11-28)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.failures import CONSEQUENCES
from channels.providers.viber.content import Fields, read_content
from channels.providers.viber.failures import failure_in_words
from channels.reading import Json, identifier, instant, mapping, read_json, text
from channels.vocabulary import (
    Address,
    AnyEvent,
    ContactLeft,
    DeliveryStatus,
    DeliveryUpdate,
    MessageReceived,
    Person,
    ProfileSeen,
    Referral,
    Unrecognised,
)

#: The first moment of Unix time, for a payload without any (a file read from disk).
_NO_TIME = datetime.fromtimestamp(0, UTC)
_KEY_MAX = 300


@dataclass(frozen=True)
class Frame:
    """One callback."""

    channel_id: str
    body: Json
    received_at: datetime

    @cached_property
    def topic(self) -> str:
        """Viber's word for the kind of event."""
        return (text(self.body.get("event")) or "without event")[:100]

    @cached_property
    def token(self) -> str | None:
        """The message's token: a 64-bit number, kept digit by digit as text."""
        return identifier(self.body.get("message_token"))

    @cached_property
    def user(self) -> Json:
        """The person, as far as this kind of callback tells."""
        return mapping(self.body.get("sender")) or mapping(self.body.get("user")) or {"id": self.body.get("user_id")}

    @cached_property
    def address(self) -> Address | None:
        """Who it concerns. The id belongs to this bot alone."""
        found = identifier(self.user.get("id"))
        return Address(channel_id=self.channel_id, external_id=found) if found is not None else None

    @cached_property
    def person(self) -> Person:
        """Name, picture and language; any of them may be missing."""
        name, avatar, language = (text(self.user.get(key)) for key in ("name", "avatar", "language"))
        return Person(name=name, avatar_url=avatar, locale=language)

    @property
    def base(self) -> Fields:
        """The fields of every vocabulary event. A token may go to many people, and have several receipts from each."""
        who = (self.address.external_id,) if self.address else ()
        return {
            "event_id": _short(":".join((self.topic, self.token or unique_key(_canonical(self.body)), *who))),
            "occurred_at": instant(self.body.get("timestamp")) or self.received_at,
            "raw": self.body,
        }

    def unknown(self, reason: str = "unknown kind") -> list[AnyEvent]:
        """The callback kept as it is."""
        return [Unrecognised(**self.base, topic=self.topic, reason=reason)]


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """The event of a callback; none for the probe of set_webhook. Raises `Unreadable`."""
    body = read_json(delivery.body)
    if not isinstance(body, dict):
        raise Unreadable("The body is no callback.")
    frame = Frame(channel_id, body, delivery.received_at or _NO_TIME)
    parser = PARSERS.get(frame.topic)
    return parser(frame) if parser is not None else frame.unknown()


def delivery_key(body: bytes) -> str | None:
    """Kind, token and person, which a retry of Viber's repeats; None where there is no token."""
    try:
        frame = Frame("", mapping(read_json(body)), _NO_TIME)
    except Unreadable:
        return None
    if frame.token is None:
        return None
    return _short(":".join((frame.topic, frame.token, identifier(frame.user.get("id")) or "")))


def _probe(frame: Frame) -> list[AnyEvent]:
    """Viber tries the address while it is registered."""
    return []


def _message(frame: Frame) -> list[AnyEvent]:
    if frame.address is None or frame.token is None:
        return frame.unknown("without sender or token")
    content = read_content(mapping(frame.body.get("message")))
    return [
        MessageReceived(**frame.base, address=frame.address, person=frame.person, message_id=frame.token, **content)
    ]


def _started(frame: Frame) -> list[AnyEvent]:
    """Somebody opened the chat, perhaps by a link with a context; nothing is written yet."""
    if frame.address is None:
        return frame.unknown("without person")
    context = text(frame.body.get("context"))
    referral = Referral(source="deep_link", ref=context) if context else None
    return [ProfileSeen(**frame.base, address=frame.address, person=frame.person, referral=referral)]


def _subscribed(frame: Frame) -> list[AnyEvent]:
    return _left(frame, left=False)


def _unsubscribed(frame: Frame) -> list[AnyEvent]:
    return _left(frame, left=True)


def _left(frame: Frame, *, left: bool) -> list[AnyEvent]:
    if frame.address is None:
        return frame.unknown("without person")
    return [ContactLeft(**frame.base, address=frame.address, person=frame.person, left=left)]


_STATUSES = {"delivered": DeliveryStatus.DELIVERED, "seen": DeliveryStatus.READ, "failed": DeliveryStatus.FAILED}


def _receipt(frame: Frame) -> list[AnyEvent]:
    if frame.token is None:
        return frame.unknown("names no message")
    status = _STATUSES[frame.topic]
    failed = _failure(text(frame.body.get("desc"))) if status is DeliveryStatus.FAILED else {}
    return [DeliveryUpdate(**frame.base, address=frame.address, status=status, message_id=frame.token, **failed)]


def _failure(described: str | None) -> Fields:
    failure = failure_in_words(described or "")
    return {"failure": failure.value, "detail": described, "permanent": not CONSEQUENCES[failure].retry}


def _short(value: str) -> str:
    return value if len(value) <= _KEY_MAX else unique_key(value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


PARSERS: dict[str, Callable[[Frame], list[AnyEvent]]] = {
    "webhook": _probe,
    "message": _message,
    "conversation_started": _started,
    "subscribed": _subscribed,
    "unsubscribed": _unsubscribed,
    **dict.fromkeys(_STATUSES, _receipt),
}
