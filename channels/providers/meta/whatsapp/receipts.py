"""Statuses: what became of a message of ours.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status
(read 2026-11-22). The same id comes several times, in any order, and in a group once for each participant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels.failures import CONSEQUENCES, Failure
from channels.providers.meta.graph import read_error
from channels.providers.meta.keys import event_key
from channels.providers.meta.whatsapp.failures import failure_of
from channels.providers.meta.whatsapp.items import Change
from channels.providers.meta.whatsapp.people import Ids
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AnyEvent, DeliveryStatus, DeliveryUpdate, MessageDeleted

_STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.PLAYED,
    "failed": DeliveryStatus.FAILED,
}


def receipts(change: Change) -> Iterator[AnyEvent]:
    """Every element of `statuses`."""
    for part in items(change.value.get("statuses")):
        yield _receipt(change, mapping(part), part)


def _receipt(change: Change, item: Json, part: Any) -> AnyEvent:
    word = text(item.get("status")) or "unknown"
    message_id, correlation = identifier(item.get("id")), identifier(item.get("biz_opaque_callback_data"))
    if message_id is None and correlation is None:
        return change.unknown(f"status.{word}", part, "names no message")
    ids = _recipient(item)
    who = change.contacts.who(ids)
    address, person = who if who is not None else (None, None)
    base: dict[str, Any] = {
        "event_id": event_key(message_id or correlation, word, *_participant(item, ids)),
        "occurred_at": change.time(item.get("timestamp")),
        "address": address,
        "person": person,
        "raw": item,
    }
    if word == "deleted" and message_id is not None:
        return MessageDeleted(**base, message_id=message_id)
    status = _STATUSES.get(word)
    if status is None:
        return change.unknown(f"status.{word}", part)
    failed = _failure(item) if status is DeliveryStatus.FAILED else {}
    return DeliveryUpdate(**base, status=status, message_id=message_id, correlation=correlation, **failed)


def _recipient(item: Json) -> Ids:
    """The person; in a group the participant, for `recipient_id` is then the group."""
    names = ("recipient_id", "recipient_user_id", "recipient_parent_user_id")
    if item.get("recipient_type") == "group":
        names = ("recipient_participant_id", "recipient_participant_user_id", "recipient_participant_parent_user_id")
    return Ids(*(identifier(item.get(name)) for name in names))


def _participant(item: Json, ids: Ids) -> tuple[str, ...]:
    return tuple(ids)[:1] if item.get("recipient_type") == "group" else ()


def _failure(item: Json) -> dict[str, Any]:
    error = read_error(next(iter(items(item.get("errors"))), None))
    failure = failure_of(error) or Failure.UNKNOWN
    return {
        "failure": failure.value,
        "provider_code": error.shown_code,
        "detail": error.detail or None,
        "permanent": not CONSEQUENCES[failure].retry,
    }
