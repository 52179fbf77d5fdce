"""What every delivered message or event carries: its id, its time, whom it concerns. Pure.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html and
https://developer.work.weixin.qq.com/document/path/90239 (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from base.ids import unique_key
from channels.adapter import Delivery
from channels.providers.tencent.markup import word
from channels.reading import Json, instant
from channels.vocabulary import Address, Unrecognised

_ID_MAX = 200
#: Together with sender, time and event they tell one event from another; Tencent gives events no id.
_TELLING = (
    "EventKey",
    "ChangeType",
    "UserID",
    "ExternalUserID",
    "TaskId",
    "MsgID",
    "OpenKfId",
    "Token",
    "ChatId",
    "Id",
)
#: The first moment of Unix time, for a payload without any (a file read from disk).
_NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Frame:
    """One delivered item, with what all kinds share."""

    channel_id: str
    item: Json
    #: The time of an item that names none.
    received_at: datetime

    def word(self, name: str) -> str | None:
        """A field as an id, name or number."""
        return word(self.item.get(name))

    @cached_property
    def kind(self) -> str:
        """`MsgType`, in lower case."""
        return (self.word("MsgType") or "without type").lower()[:100]

    @cached_property
    def event(self) -> str:
        """`Event` as Tencent writes it, which is in both cases; empty for messages."""
        return (self.word("Event") or "")[:100]

    @cached_property
    def event_id(self) -> str:
        """`MsgId` of a message; of an event what tells it from all others and stays the same in each try."""
        given = self.word("MsgId") if self.kind != "event" else None
        if given is None and self.kind != "event":
            return unique_key(json.dumps(self.item, sort_keys=True))
        parts = [given] if given else [self.word(name) for name in ("FromUserName", "CreateTime", "Event", *_TELLING)]
        joined = ":".join(part for part in parts if part)
        return joined if 0 < len(joined) <= _ID_MAX else unique_key(json.dumps(self.item, sort_keys=True))

    @cached_property
    def time(self) -> datetime:
        """`CreateTime`: seconds, from some senders milliseconds."""
        return instant(self.word("CreateTime")) or self.received_at

    @cached_property
    def address(self) -> Address | None:
        """Who sent it."""
        return self.address_of(self.word("FromUserName"))

    def address_of(self, external_id: str | None) -> Address | None:
        """Somebody on this account."""
        return Address(channel_id=self.channel_id, external_id=external_id[:_ID_MAX]) if external_id else None

    @property
    def base(self) -> dict[str, Any]:
        """The fields of every vocabulary event."""
        return {"event_id": self.event_id, "occurred_at": self.time, "raw": self.item}

    def unknown(self, reason: str = "unknown kind") -> Unrecognised:
        """The item kept as it is."""
        topic = ":".join(part for part in (self.event or self.kind, self.word("ChangeType")) if part)
        return Unrecognised(**self.base, topic=topic[:100], reason=reason)


def frame_of(channel_id: str, fields: Json, delivery: Delivery) -> Frame:
    """The one item of a delivery."""
    return Frame(channel_id, fields or {"empty": True}, delivery.received_at or _NO_TIME)
