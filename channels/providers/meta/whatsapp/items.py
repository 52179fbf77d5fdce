"""What every parsed part shares: its place in the delivery, its time, its key, and how to say "unknown"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from base.ids import unique_key
from channels.providers.meta.whatsapp.people import Contacts
from channels.reading import Json, instant
from channels.vocabulary import Unrecognised

#: For a delivery with neither a time of its own nor one of arrival (a test's, or a replay of old bytes).
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEY_LIMIT = 200


@dataclass(frozen=True)
class Change:
    """One element of `changes`, with what its parsers need to know around it."""

    channel_id: str
    field: str
    value: Json
    #: When Meta sent it, else when we got it.
    at: datetime
    contacts: Contacts

    def time(self, value: Any) -> datetime:
        """The time of an item, else of the change."""
        return instant(value) or self.at

    def unknown(self, topic: str, part: Any, reason: str = "unknown kind") -> Unrecognised:
        """Something signed and readable that we cannot name; kept whole."""
        raw = part if isinstance(part, dict) and part else {"part": part}
        return Unrecognised(
            event_id=content_key(topic, self.at, raw),
            occurred_at=self.time(raw.get("timestamp")),
            topic=topic,
            reason=reason,
            raw=raw,
        )


def event_key(*parts: str | None) -> str:
    """An event id from the provider's own ids; hashed when somebody sends absurdly long ones."""
    joined = ":".join(part for part in parts if part)
    return joined if 0 < len(joined) <= _KEY_LIMIT else unique_key(*parts)


def content_key(topic: str, at: datetime, part: Any) -> str:
    """An event id for what has none: the same content sent at the same time is the same event."""
    return unique_key(topic, at.isoformat(), json.dumps(part, sort_keys=True))
