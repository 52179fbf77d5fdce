"""Keys of events, and how to say "unknown": the same for all that Meta posts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from base.ids import unique_key
from channels.reading import instant
from channels.vocabulary import Unrecognised

#: For a delivery with neither a time of its own nor one of arrival (a test's, or a replay of old bytes).
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Reasons that are no fault.
NOT_FOR_THE_INBOX = "not a part of the inbox"
NOTHING_IN_IT = "nothing in it"
_KEY_LIMIT = 200


def event_key(*parts: str | None) -> str:
    """An event id from the provider's own ids; hashed when somebody sends absurdly long ones."""
    joined = ":".join(part for part in parts if part)
    return joined if 0 < len(joined) <= _KEY_LIMIT else unique_key(*parts)


def content_key(topic: str, at: datetime, part: Any) -> str:
    """An event id for what has none: the same content sent at the same time is the same event."""
    return unique_key(topic, at.isoformat(), json.dumps(part, sort_keys=True))


def unrecognised(topic: str, part: Any, at: datetime, reason: str = "unknown kind") -> Unrecognised:
    """Something signed and readable that we cannot name; kept whole. `at`: the time of what it stood in."""
    raw = part if isinstance(part, dict) and part else {"part": part}
    return Unrecognised(
        event_id=content_key(topic, at, raw),
        occurred_at=instant(raw.get("timestamp")) or at,
        topic=topic,
        reason=reason,
        raw=raw,
    )
