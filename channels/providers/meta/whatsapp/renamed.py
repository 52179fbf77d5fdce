"""People who changed their number or were given a new user id: linked to who they were, never a second person.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/system
and …/business-scoped-user-ids (both read 2026-11-22).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from channels.providers.meta.keys import event_key
from channels.providers.meta.whatsapp.items import Change
from channels.providers.meta.whatsapp.people import Ids
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AnyEvent, ProfileSeen

#: Older deliveries give the former user id in this sentence alone.
_CHANGED = re.compile(r"changed from (?P<former>\S+) to (?P<current>\S+)")
_NUMBER = frozenset({"user_changed_number", "customer_changed_number"})
_USER_ID = frozenset({"user_changed_user_id"})
#: The person has a new phone or keys; nothing to link, worth seeing.
_KEYS = frozenset({"customer_identity_changed", "user_identity_changed"})


def system_news(change: Change, item: Json) -> AnyEvent:
    """A message of the type `system`: it has no author, and its `from` is who the person *was*."""
    system = mapping(item.get("system"))
    kind = text(system.get("type")) or "unknown"
    if kind not in _NUMBER | _USER_ID | _KEYS:
        return change.unknown(f"system.{kind}", item)
    former_number = identifier(item.get("from")) or identifier(system.get("customer"))
    number = identifier(system.get("new_wa_id")) or identifier(system.get("wa_id"))
    ids = Ids(
        number or (former_number if kind in _KEYS else None),
        identifier(system.get("user_id")) or identifier(item.get("from_user_id")),
        identifier(system.get("parent_user_id")),
    )
    former = former_number if number is not None and former_number != number else _former_user_id(system)
    former = former or (former_number if number is None and kind not in _KEYS else None)
    return _seen(change, item, ids, former, identifier(item.get("id")))


def renamed_users(change: Change) -> Iterator[AnyEvent]:
    """`user_id_update`: the business-scoped user id was rotated, the person stayed."""
    for part in items(change.value.get("user_id_update")):
        item = mapping(part)
        rotated, parent = mapping(item.get("user_id")), mapping(item.get("parent_user_id"))
        ids = Ids(identifier(item.get("wa_id")), identifier(rotated.get("current")), identifier(parent.get("current")))
        yield _seen(change, item or {"part": part}, ids, identifier(rotated.get("previous")), None)


def _former_user_id(system: Json) -> str | None:
    found = _CHANGED.search(text(system.get("body")) or "")
    return identifier(system.get("previous_user_id")) or (found["former"] if found else None)


def _seen(change: Change, item: Json, ids: Ids, former: str | None, event_id: str | None) -> AnyEvent:
    who = change.contacts.who(ids)
    if who is None:
        return change.unknown(change.field, item, "names nobody")
    address, person = who
    key = event_key(event_id) if event_id else event_key("renamed", former, *ids, _stamp(item))
    return ProfileSeen(
        event_id=key,
        occurred_at=change.time(item.get("timestamp")),
        address=address,
        person=person,
        former_external_id=former if former != address.external_id else None,
        raw=item,
    )


def _stamp(item: Any) -> str | None:
    return identifier(mapping(item).get("timestamp"))
