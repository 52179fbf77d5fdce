"""From the bytes of a delivery to events: entries, whose they are, and a parser for each kind of item.

One app has one webhook address for all its pages and accounts, so a delivery may speak of others than this account's.
The same item comes in three places: in `messaging` (or `standby`), in `changes`, and, with Instagram login, as `field`
and `value` of the entry itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from channels.adapter import Delivery, Unreadable
from channels.providers.meta.keys import EPOCH, NOT_FOR_THE_INBOX, NOTHING_IN_IT, unrecognised
from channels.providers.meta.messaging.happenings import HAPPENINGS
from channels.providers.meta.messaging.items import TEST_ID, Change, Item, Ours, Platform
from channels.providers.meta.messaging.messages import message, message_edit, postback
from channels.reading import Json, identifier, instant, items, mapping, read_json, text
from channels.vocabulary import AnyEvent

#: Key of an item → its parser. What a message brings along (a referral) is read with the message.
KINDS = {"message": message, "message_edit": message_edit, "postback": postback, **HAPPENINGS}
STANDBY = "standby"


def parse_delivery(platform: Platform, ours: Ours, delivery: Delivery) -> list[AnyEvent]:
    """Every item of every array as an event of its own. Raises only `Unreadable`."""
    payload = read_json(delivery.body)
    if not isinstance(payload, dict):
        raise Unreadable("The body is no object.")
    received = delivery.received_at or EPOCH
    found: list[AnyEvent] = []
    for part in _entries(platform, payload):
        found.extend(_entry(platform, ours, part, received))
    return found or [unrecognised(text(payload.get("object")) or "empty", payload, received, NOTHING_IN_IT)]


def named_accounts(platform: Platform, delivery: Delivery) -> frozenset[tuple[str, str]]:
    """The settings by which the accounts named in a delivery are found."""
    try:
        payload = mapping(read_json(delivery.body))
    except Unreadable:
        return frozenset()
    ids = {identifier(mapping(entry).get("id")) for entry in _entries(platform, payload)}
    return frozenset((platform.setting, each) for each in ids if each and each != TEST_ID)


def _entries(platform: Platform, payload: Json) -> list[Any]:
    return items(payload.get("entry")) if payload.get("object", platform.object) == platform.object else []


def _entry(platform: Platform, ours: Ours, part: Any, received: datetime) -> Iterator[AnyEvent]:
    entry = mapping(part)
    entry_id, at = identifier(entry.get("id")), instant(entry.get("time")) or received
    found = 0
    for key in ("messaging", STANDBY):
        for each in items(entry.get(key)):
            found += 1
            yield from _item(platform, Item(ours, entry_id, mapping(each) or {"part": each}, at, key == STANDBY))
    changes = items(entry.get("changes")) or ([entry] if "field" in entry else [])
    for each in changes:
        found += 1
        yield from _changes(platform, ours, entry_id, each, at)
    if not found:
        yield unrecognised("entry", part, at, NOTHING_IN_IT)


def _changes(platform: Platform, ours: Ours, entry_id: str | None, part: Any, at: datetime) -> Iterator[AnyEvent]:
    """One change. Its value is an object, or a list of them."""
    field = text(mapping(part).get("field")) or ""
    value = mapping(part).get("value")
    values = [mapping(each) for each in items(value)] or [mapping(value)]
    for each in values:
        change = Change(ours, entry_id, field, each or {"part": part}, at)
        if field not in platform.changes and any(kind in each for kind in KINDS):
            yield from _item(platform, Item(ours, entry_id, each, at, field == STANDBY))
        elif not change.is_ours:
            yield change.unknown(platform.another)
        elif field in platform.changes and each:
            yield platform.changes[field](change)
        else:
            yield change.unknown(NOT_FOR_THE_INBOX if field in platform.elsewhere else "unknown kind")


def _item(platform: Platform, item: Item) -> Iterator[AnyEvent]:
    kind = next((name for name in KINDS if name in item.part), None)
    if not item.is_ours:
        yield item.unknown(kind or "item", platform.another)
        return
    if kind is None:
        yield item.unknown(_odd_kind(item.part))
        return
    made = KINDS[kind](item)
    if isinstance(made, Iterator):
        yield from made
    else:
        yield made


def _odd_kind(part: Json) -> str:
    """The first key that is not part of the frame."""
    return next((key for key in part if key not in ("sender", "recipient", "timestamp", "part")), "item")
