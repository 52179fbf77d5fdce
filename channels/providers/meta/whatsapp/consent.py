"""`user_preferences`: the person stopped or resumed marketing with WhatsApp's own switch.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/user_preferences
(read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels.providers.meta.keys import event_key
from channels.providers.meta.whatsapp.items import Change
from channels.providers.meta.whatsapp.people import Ids
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AnyEvent, ConsentChange

_GRANTED = {"stop": False, "resume": True}
_PURPOSES = {"marketing_messages": "marketing"}


def preferences(change: Change) -> Iterator[AnyEvent]:
    """Every preference. Some senders put a single one into `value` itself."""
    listed = items(change.value.get("user_preferences"))
    for part in listed or ([change.value] if "wa_id" in change.value else []):
        yield _preference(change, mapping(part), part)


def _preference(change: Change, item: Json, part: Any) -> AnyEvent:
    word = text(item.get("value")) or "unknown"
    purpose = _PURPOSES.get(text(item.get("category")) or "marketing_messages")
    ids = Ids(*(identifier(item.get(name)) for name in ("wa_id", "user_id", "parent_user_id")))
    who = change.contacts.who(ids)
    if word not in _GRANTED or purpose is None or who is None:
        return change.unknown("user_preferences", part)
    address, person = who
    return ConsentChange(
        event_id=event_key(address.external_id, purpose, word, identifier(item.get("timestamp"))),
        occurred_at=change.time(item.get("timestamp")),
        address=address,
        person=person,
        purpose=purpose,
        granted=_GRANTED[word],
        proof=text(item.get("detail")),
        raw=item,
    )
