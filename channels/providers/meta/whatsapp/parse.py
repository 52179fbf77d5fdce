"""From the bytes of a delivery to events: envelope, ownership, and one parser for each field of a change.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview (read 2026-11-22).
One app has one webhook address for all its numbers, so a delivery may speak of numbers that are not this account's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from channels.adapter import Delivery, Unreadable
from channels.providers.meta.keys import EPOCH, NOT_FOR_THE_INBOX, NOTHING_IN_IT
from channels.providers.meta.whatsapp.card import WhatsAppSettings
from channels.providers.meta.whatsapp.consent import preferences
from channels.providers.meta.whatsapp.items import Change
from channels.providers.meta.whatsapp.messages import echoes, messages
from channels.providers.meta.whatsapp.notices import NOTICES, errors, fetch, notice
from channels.providers.meta.whatsapp.people import Contacts
from channels.providers.meta.whatsapp.receipts import receipts
from channels.providers.meta.whatsapp.renamed import renamed_users
from channels.reading import Json, identifier, instant, items, mapping, read_json, text
from channels.vocabulary import AnyEvent

OBJECT = "whatsapp_business_account"
ANOTHER_NUMBER = "another number of this app"
ANOTHER_BUSINESS = "another business account of this app"

Parser = Callable[[Change], Iterator[AnyEvent]]


def _inbox(change: Change) -> Iterator[AnyEvent]:
    yield from messages(change)
    yield from receipts(change)
    yield from errors(change)


#: Field → its parser. Notices of the business account have a table of their own.
FIELDS: dict[str, Parser] = {
    "messages": _inbox,
    "smb_message_echoes": echoes,
    "user_preferences": preferences,
    "user_id_update": renamed_users,
}
#: Known, and of no use to the inbox: calls, copies of old chats and of the phone's address book, groups' own affairs.
_ELSEWHERE = frozenset(
    {
        "calls", "flows", "history", "smb_app_state_sync", "group_lifecycle_update", "group_participants_update",
        "group_settings_update", "group_status_update", "automatic_events", "tracking_events",
    }
)  # fmt: skip


def parse_delivery(channel_id: str, settings: WhatsAppSettings, delivery: Delivery) -> list[AnyEvent]:
    """Every item of every array as an event of its own. Raises only `Unreadable`."""
    payload = read_json(delivery.body)
    if not isinstance(payload, dict):
        raise Unreadable("The body is no object.")
    received = delivery.received_at or EPOCH
    found: list[AnyEvent] = []
    for entry_id, change in _changes(channel_id, payload, received):
        found.extend(_parsed(settings, entry_id, change))
    if not found:
        nothing = _change(channel_id, "", payload, received)
        found.append(nothing.unknown(text(payload.get("object")) or "empty", payload, NOTHING_IN_IT))
    return found


def named_accounts(delivery: Delivery) -> frozenset[tuple[str, str]]:
    """The settings by which the accounts named in a delivery are found."""
    try:
        payload = mapping(read_json(delivery.body))
    except Unreadable:
        return frozenset()
    named: set[tuple[str, str]] = set()
    for entry_id, change in _changes("", payload, EPOCH):
        number = _number(change)
        if number is not None:
            named.add(("phone_number_id", number))
        elif entry_id is not None:
            named.add(("business_account_id", entry_id))
    return frozenset(named)


def _changes(channel_id: str, payload: Json, received: datetime) -> Iterator[tuple[str | None, Change]]:
    """Each change with the id of its business account. What is misshapen comes as a change with no field."""
    if payload.get("object", OBJECT) != OBJECT:
        return
    for part in items(payload.get("entry")):
        entry = mapping(part)
        at = instant(entry.get("time")) or received
        found = items(entry.get("changes")) or [part]
        for change in found:
            field = text(mapping(change).get("field")) or ""
            value = mapping(change).get("value")
            whole: Json = value if isinstance(value, dict) and field else {"part": change}
            yield identifier(entry.get("id")), _change(channel_id, field, whole, at)


def _change(channel_id: str, field: str, value: Json, at: datetime) -> Change:
    return Change(channel_id, field, value, at, Contacts.of(channel_id, value))


def _number(change: Change) -> str | None:
    return identifier(mapping(change.value.get("metadata")).get("phone_number_id"))


def _parsed(settings: WhatsAppSettings, entry_id: str | None, change: Change) -> list[AnyEvent]:
    stranger = _stranger(settings, entry_id, change)
    if stranger is not None:
        return [change.unknown(change.field or "change", change.value, stranger)]
    if change.field in NOTICES:
        return [notice(change), *fetch(change)]
    parser = FIELDS.get(change.field)
    if parser is None:
        reason = NOT_FOR_THE_INBOX if change.field in _ELSEWHERE else "unknown kind"
        return [change.unknown(change.field or "change", change.value, reason)]
    return list(parser(change)) or [change.unknown(change.field, change.value, NOTHING_IN_IT)]


def _stranger(settings: WhatsAppSettings, entry_id: str | None, change: Change) -> str | None:
    """Whose it is, when it is not this account's: a number decides, and where none is named the business account."""
    number = _number(change)
    if number is not None:
        return None if number == settings.phone_number_id else ANOTHER_NUMBER
    if entry_id is None or entry_id == settings.business_account_id:
        return None
    return ANOTHER_BUSINESS
