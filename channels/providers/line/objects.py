"""What every LINE event carries: its id, its time, and who or which chat it came from. Pure.

https://github.com/line/line-openapi/blob/main/webhook.yml (read 2026-11-28)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from base.ids import unique_key
from channels.reading import Json, identifier, instant, integer, mapping, text
from channels.vocabulary import Address, Person, Unrecognised

_ID_MAX = 200
_LARGEST = 2**53
#: What LINE may change when it delivers an event a second time.
_FLEETING = frozenset({"deliveryContext", "replyToken"})


@dataclass(frozen=True)
class Source:
    """Where an event came from. In a group or room the person may be unknown."""

    user_id: str | None
    #: The group, or the room (a chat of several people without a name).
    group_id: str | None
    kind: str | None


@dataclass(frozen=True)
class Frame:
    """One event of a delivery, with what all kinds share."""

    channel_id: str
    item: Json
    #: The time of an event that names none.
    received_at: datetime

    @cached_property
    def topic(self) -> str:
        """LINE's word for the kind of event."""
        return (text(self.item.get("type")) or "without type")[:100]

    @cached_property
    def event_id(self) -> str:
        """`webhookEventId`; the older form has none: then a new message's own id, else a hash of all that stays."""
        given = text(self.item.get("webhookEventId"))
        if given is None and self.topic == "message":
            given = identifier(mapping(self.item.get("message")).get("id"))
        if given is not None:
            return given if len(given) <= _ID_MAX else unique_key(given)
        lasting = {name: value for name, value in self.item.items() if name not in _FLEETING}
        return unique_key(json.dumps(lasting, sort_keys=True))

    @cached_property
    def time(self) -> datetime:
        """When it happened (LINE counts milliseconds)."""
        return instant(self.item.get("timestamp")) or self.received_at

    @cached_property
    def source(self) -> Source:
        """The person and the chat."""
        data = mapping(self.item.get("source"))
        group_id = identifier(data.get("groupId")) or identifier(data.get("roomId"))
        return Source(identifier(data.get("userId")), group_id, text(data.get("type")))

    @cached_property
    def address(self) -> Address | None:
        """The person; where LINE hides who wrote in a group, the group speaks for itself."""
        found = self.source.user_id or self.source.group_id
        return Address(channel_id=self.channel_id, external_id=found) if found is not None else None

    @cached_property
    def person(self) -> Person | None:
        """Only the id, which is the same on all channels of one LINE provider; the name is looked up."""
        return person_of(self.source.user_id) if self.source.user_id else None

    @property
    def base(self) -> dict[str, Any]:
        """The fields of every vocabulary event."""
        return {"event_id": self.event_id, "occurred_at": self.time, "raw": self.item}

    def unknown(self, reason: str = "unknown kind") -> Unrecognised:
        """The event kept as it is."""
        return Unrecognised(
            event_id=f"{self.event_id}:{self.topic}", occurred_at=self.time, raw=self.item, topic=self.topic,
            reason=reason,
        )  # fmt: skip


def person_of(
    user_id: str, name: str | None = None, avatar_url: str | None = None, locale: str | None = None
) -> Person:
    """Somebody by the user id, under which all channels of one LINE provider know the same person."""
    return Person(name=name, avatar_url=avatar_url, locale=locale, platform_ids=(f"line:{user_id}",))


def amount(value: object) -> int | None:
    """A size or length; None when missing or absurd."""
    found = integer(value)
    return found if found is not None and 0 <= found < _LARGEST else None
