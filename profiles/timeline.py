"""One stream of everything that happened to a person, ready to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from base.pages import bounded, cut, read_cursor, write_cursor
from profiles.models import Event, plain
from profiles.store.events import EventStore, Position
from profiles.store.profiles import ProfileStore

#: Kind of entry → the events that belong to it.
KINDS: dict[str, tuple[str, ...]] = {
    "message": ("message.*", "csat.*"),
    "conversation": ("conversation.*", "sla.*"),
    "order": ("order.*", "checkout.*"),
    "profile": ("profile.*", "contact.*", "segment.*"),
    "consent": ("consent.*",),
    "journey": ("journey.*", "task.*"),
}
_KIND_OF = {name.removesuffix(".*"): kind for kind, names in KINDS.items() for name in names}
#: Properties that point to something else the desk can open.
_REFS = ("message_id", "order_id", "journey_id", "enrolment_id", "broadcast_id", "send_id", "task_id")


@dataclass(frozen=True)
class Entry:
    """`kind` chooses the mark, `name` the sentence; `refs` are ids of what it is about."""

    id: str
    at: datetime
    kind: str
    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return dict(plain(asdict(self)))


@dataclass(frozen=True)
class Stretch:
    """Entries, newest first. `older` and `newer` are cursors for what lies beyond either end; None at the end.

    `newer` is always given where there is an entry, so that a page can ask for what has come since.
    """

    data: list[Entry]
    older: str | None
    newer: str | None


class Timeline:
    """Reads one index of one collection."""

    def __init__(self, events: EventStore, profiles: ProfileStore) -> None:
        self._events = events
        self._profiles = profiles

    async def page(
        self, profile_id: str, *, limit: int | None = None, older: str | None = None, newer: str | None = None,
        kinds: Sequence[str] = (),
    ) -> Stretch:  # fmt: skip
        """The newest entries, or those beyond a cursor. `kinds` of `KINDS`, or `event` for all others."""
        now = (await self._profiles.current([profile_id]))[profile_id]
        size, names = bounded(limit), tuple(name for kind in kinds for name in KINDS.get(kind, ()))
        before = _position(older) if older else None
        after = _position(newer) if newer and not older else None
        rows = await self._events.for_profile(now, size + 1, before, after=after, names=names)
        if after is not None:
            return _stretch(rows[-size:], len(rows) > size, newer)
        shown, more = cut(rows, size)
        return _stretch(shown, more, None)


def _stretch(rows: Sequence[Event], more: bool, asked_newer: str | None) -> Stretch:
    entries = [as_entry(row) for row in rows]
    newer = _cursor(rows[0]) if rows else asked_newer
    if asked_newer is not None:
        return Stretch(entries, _cursor(rows[-1]) if rows else None, newer)
    return Stretch(entries, _cursor(rows[-1]) if more else None, newer)


def as_entry(event: Event) -> Entry:
    """A kept event as an entry."""
    refs = {
        "profile_id": event.profile_id, "identity_id": event.identity_id, "channel_id": event.channel_id,
        "conversation_id": event.conversation_id, **{name: event.properties.get(name) for name in _REFS},
    }  # fmt: skip
    kind = _KIND_OF.get(event.name.partition(".")[0], "event")
    named = {name: str(value) for name, value in refs.items() if value}
    return Entry(event.id, event.occurred_at, kind, event.name, event.properties, named)


def _cursor(event: Event) -> str:
    return write_cursor(event.occurred_at, event.id)


def _position(cursor: str) -> Position:
    at, event_id = read_cursor(cursor, datetime, str)
    return at, event_id
