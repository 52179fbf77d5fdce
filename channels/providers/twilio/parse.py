"""Twilio's requests as events: messages, what became of ours, and the words STOP and START. Pure.

https://www.twilio.com/docs/messaging/guides/webhook-request, …/guides/track-outbound-message-status,
…/tutorials/advanced-opt-out (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels.adapter import Delivery
from channels.failures import CONSEQUENCES
from channels.providers.twilio.compose import CORRELATION, channel_of
from channels.providers.twilio.content import attachments, extra, location, person, postback, referral
from channels.providers.twilio.failures import failure_of
from channels.providers.twilio.records import NO_TIME, Record, records
from channels.reading import integer, text
from channels.vocabulary import AnyEvent, ConsentChange, DeliveryStatus, DeliveryUpdate, MessageReceived

#: What Twilio says of a message on its way. The first five mean no more than that Twilio has it.
_STATUSES = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), DeliveryStatus.SENT),
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    **dict.fromkeys(("undelivered", "failed", "canceled"), DeliveryStatus.FAILED),
}
_INCOMING = frozenset({"received", "receiving", ""})

#: Twilio's own verdict on a word, where advanced opt-out is on.
_OPT_OUT_TYPES = {"STOP": False, "START": True}
#: Words after which Twilio itself stops SMS to the person and answers, and lets them through again. YES is an answer to
#: many a question, so it counts only when Twilio says so. On its other channels it hears no words: what people say
#: there, and in other languages, is heard by us (`profiles.opt_words`).
_SMS_WORDS = {
    **dict.fromkeys(("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"), False),
    **dict.fromkeys(("START", "UNSTOP"), True),
}


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """All events of one request. Raises `Unreadable`."""
    received_at, correlation = delivery.received_at or NO_TIME, text(delivery.param(CORRELATION))
    found = records(channel_id, delivery, received_at, correlation[:500] if correlation else None)
    return [event for record in found for event in _events(record)]


def _events(record: Record) -> list[AnyEvent]:
    reader = _reader(record)
    return reader(record) if reader is not None else [record.unknown(_topic(record))]


def _reader(record: Record) -> Callable[[Record], list[AnyEvent]] | None:
    if record.sid is None:
        return None
    if record.status in _INCOMING:
        return _message
    return _receipt if record.status in _STATUSES else None


def _topic(record: Record) -> str:
    if record.sid is not None and record.status:
        return f"status.{record.status}"
    return record.get("EventType") or record.get("type") or ("call" if record.get("CallSid") else "unknown")


# -- a message -----------------------------------------------------------------------------------------------


def _message(record: Record) -> list[AnyEvent]:
    address, sid = record.address("From"), record.sid
    if address is None or sid is None:
        return [record.unknown("message", "without a sender")]
    shown: dict[str, Any] = {
        "text": record.get("Body"),
        "attachments": attachments(record),
        "location": location(record),
        "postback": postback(record),
    }
    message = MessageReceived(
        event_id=sid,
        occurred_at=record.received_at,
        address=address,
        person=person(record, address.external_id),
        raw=record.fields,
        message_id=sid,
        reply_to=record.get("OriginalRepliedMessageSid"),
        referral=referral(record),
        forwarded="true"
        in ((record.get("Forwarded") or "").lower(), (record.get("FrequentlyForwarded") or "").lower()),
        unsupported=None if any(shown.values()) else _unshown(record),
        extra=extra(record),
        **shown,
    )
    return [message, *_consent(record, message)]


def _unshown(record: Record) -> str:
    return (record.get("MessageType") or "a message without content")[:100]


def _consent(record: Record, message: MessageReceived) -> list[AnyEvent]:
    granted = _verdict(record, message)
    if granted is None:
        return []
    return [
        ConsentChange(
            event_id=f"{message.message_id}:{'start' if granted else 'stop'}",
            occurred_at=message.occurred_at,
            address=message.address,
            person=message.person,
            granted=granted,
            proof=message.text or record.get("OptOutType"),
            raw=record.fields,
        )
    ]


def _verdict(record: Record, message: MessageReceived) -> bool | None:
    """True for a yes, False for a no, None where nothing was said about it."""
    if told := record.get("OptOutType"):
        return _OPT_OUT_TYPES.get(told.upper())
    if channel_of(message.address.external_id) != "sms":
        return None
    return _SMS_WORDS.get((message.text or "").strip().upper())


# -- what became of ours -------------------------------------------------------------------------------------


def _receipt(record: Record) -> list[AnyEvent]:
    status, sid = _STATUSES[record.status], record.sid
    return [
        DeliveryUpdate(
            event_id=f"{sid}:{record.status}",
            occurred_at=record.received_at,
            address=record.address("To"),
            raw=record.fields,
            status=status,
            message_id=sid,
            correlation=record.correlation,
            **(_failure(record) if status is DeliveryStatus.FAILED else {}),
        )
    ]


def _failure(record: Record) -> dict[str, Any]:
    code = integer(record.fields.get("ErrorCode"))
    failure = failure_of(code)
    return {
        "failure": failure.value,
        "provider_code": record.get("ErrorCode"),
        "detail": (record.get("ErrorMessage") or record.get("ChannelStatusMessage") or record.status)[:500],
        "permanent": not CONSEQUENCES[failure].retry,
    }
