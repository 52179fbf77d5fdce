"""What every item of a page carries: its id, its time, and whom it concerns. Pure.

https://developer.work.weixin.qq.com/document/path/94699 (read 2026-11-28).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from base.ids import unique_key
from channels.reading import Json, identifier, instant, mapping, text
from channels.vocabulary import Address, Person, Unrecognised

_ID_MAX = 200
#: `origin`: who wrote it.
CUSTOMER, SYSTEM, STAFF = "3", "4", "5"


@dataclass(frozen=True)
class Entry:
    """One item, with what all kinds share."""

    channel_id: str
    item: Json
    #: The time of an item that names none.
    received_at: datetime

    @cached_property
    def kind(self) -> str:
        """`msgtype`."""
        return (text(self.item.get("msgtype")) or "without type")[:100]

    @cached_property
    def content(self) -> Json:
        """What stands below the name of the kind."""
        return mapping(self.item.get(self.kind))

    @cached_property
    def event_id(self) -> str:
        """`msgid`, else a hash of the item."""
        given = identifier(self.item.get("msgid"))
        if given is None or len(given) > _ID_MAX:
            return unique_key(json.dumps(self.item, sort_keys=True))
        return given

    @cached_property
    def time(self) -> datetime:
        """`send_time`, seconds."""
        return instant(self.item.get("send_time")) or self.received_at

    @cached_property
    def customer_id(self) -> str | None:
        """Of events it stands inside, and outside it is empty."""
        inside = identifier(self.content.get("external_userid"))
        found = inside or identifier(self.item.get("external_userid"))
        return found[:_ID_MAX] if found else None

    @cached_property
    def address(self) -> Address | None:
        """The customer."""
        return Address(channel_id=self.channel_id, external_id=self.customer_id) if self.customer_id else None

    @cached_property
    def person(self) -> Person | None:
        """The id under which all of WeCom's channels of the company know the customer."""
        return Person(platform_ids=(f"wecom:{self.customer_id}",)) if self.customer_id else None

    @property
    def base(self) -> dict[str, Any]:
        """The fields of every vocabulary event."""
        return {"event_id": self.event_id, "occurred_at": self.time, "raw": self.item}

    def unknown(self, reason: str = "unknown kind") -> Unrecognised:
        """The item kept as it is."""
        event = text(self.content.get("event_type")) if self.kind == "event" else None
        return Unrecognised(**self.base, topic=(event or self.kind)[:100], reason=reason)
