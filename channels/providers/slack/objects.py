"""Small readers for what Slack's payloads are made of: ids, conversations, people. Pure.

https://docs.slack.dev/reference/objects (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from channels.reading import Json, identifier, instant, items, mapping, text
from channels.vocabulary import Address, Person, Unrecognised

_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}", re.ASCII)
_LONGEST_ID = 100
_PICTURES = ("image_512", "image_192", "image_72", "avatar_72", "image_48")


@dataclass(frozen=True)
class Frame:
    """What every event of one delivery shares."""

    channel_id: str
    #: When we got it: the time of happenings that Slack gives none for (commands).
    received_at: datetime
    #: Names the delivery where Slack does not.
    key: str
    raw: Json
    event_id: str | None = None
    app_id: str | None = None
    #: The users that are this app.
    own_users: frozenset[str] = field(default_factory=frozenset)

    def name(self, *parts: object) -> str:
        """Slack's id of this happening; else one made of what can't change."""
        found = [slack_id(part) for part in parts]
        return self.event_id or (":".join(each for each in found if each) if all(found) else self.key)

    def time(self, *values: Any) -> datetime:
        """The first of Slack's times that can be read, else the time of receipt."""
        return next((found for value in values if (found := instant(value))), self.received_at)

    def unknown(self, topic: str, reason: str = "unknown kind") -> Unrecognised:
        """The delivery kept as it is."""
        topic, event_id = topic[:100], f"{self.event_id or self.key}:{topic[:100]}"
        return Unrecognised(
            event_id=event_id, occurred_at=self.received_at, raw=self.raw, topic=topic, reason=reason
        )  # fmt: skip

    def address(self, user: Any, handle: Any = None) -> Address | None:
        """A user's address; None without an id."""
        found, name = slack_id(user), text(handle)
        if found is None:
            return None
        return Address(channel_id=self.channel_id, external_id=found, handle=f"@{name[:200]}" if name else None)


def slack_id(value: Any) -> str | None:
    """An id or a time stamp as Slack's ids of messages are, as text."""
    found = identifier(value)
    return found[:_LONGEST_ID] if found else None


def is_timestamp(value: str) -> bool:
    """True for the `ts` of a message, `1568915625.001000`."""
    return _TS.fullmatch(value) is not None


def message_id(conversation: Any, ts: Any) -> str | None:
    """Slack counts messages per conversation: `C123:1568915625.001000`."""
    place, stamp = slack_id(conversation), slack_id(ts)
    return f"{place}:{stamp}" if place and stamp else None


def group_of(conversation: Any, kind: Any = None) -> str | None:
    """The conversation when several people are in it. `kind`: Slack's channel_type, or the name of the channel."""
    place = slack_id(conversation)
    private = kind in ("im", "app_home", "directmessage") or (kind is None and (place or "").startswith("D"))
    return None if private else place


def own_users(payload: Json) -> frozenset[str]:
    """The app's own users, by the installations that an event names."""
    granted = (mapping(each) for each in items(payload.get("authorizations")))
    return frozenset(user for each in granted if each.get("is_bot") is True and (user := slack_id(each.get("user_id"))))


def person_of(profile: Any, name: Any = None) -> Person | None:
    """A profile as events and users.info have it; None when it says nothing."""
    found = mapping(profile)
    shown = text(found.get("real_name")) or text(found.get("display_name")) or text(name)
    picture = next((url for each in _PICTURES if (url := text(found.get(each)))), None)
    return Person(name=shown[:300] if shown else None, avatar_url=picture) if shown or picture else None
