"""One stream of everything that happened to a person, ready to be shown: events with the words they speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from base.pages import bounded, cut, read_cursor, write_cursor
from profiles.kinds import actor_of, kind_of
from profiles.models import Event
from profiles.store.events import EventStore, Position
from profiles.store.profiles import ProfileStore
from profiles.words import ReadWords, Words

#: Properties that point to something else the desk can open.
_REFS = (
    "message_id", "order_id", "journey_id", "enrolment_id", "broadcast_id", "send_id", "task_id", "note_id", "file_id",
    "merge_id",
)  # fmt: skip
#: Sorts after every id: a position from which everything of its moment is older.
_LAST = "~"


@dataclass(frozen=True)
class Entry:
    """`kind` chooses the mark, `name` the sentence; `refs` are ids of what it is about. `text`: what was said; `by`:
    the id of who of us did it; `gone`: what it tells of was taken back."""

    id: str
    at: datetime
    kind: str
    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    by: str | None = None
    gone: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stretch:
    """Entries, newest first. `older` and `newer` are cursors for what lies beyond either end; None at the end.

    `newer` is always given where there is an entry, so that a page can ask for what has come since.
    """

    data: list[Entry]
    older: str | None
    newer: str | None


@dataclass(frozen=True)
class Wanted:
    """Which entries. `kinds`: those of `profiles.kinds`, none means all; `by_somebody`: only what one of us did."""

    kinds: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    by_somebody: bool = False


EVERYTHING = Wanted()


class Timeline:
    """Reads one index of one collection, and for each kind of words one more read a page."""

    def __init__(self, events: EventStore, profiles: ProfileStore) -> None:
        self._events = events
        self._profiles = profiles
        self._words: dict[str, tuple[frozenset[str], ReadWords]] = {}

    def join(self, ref: str, names: Sequence[str], read: ReadWords) -> None:
        """Entries of these names show the words behind their `ref`, which a room above keeps."""
        self._words[ref] = (frozenset(names), read)

    async def page(
        self, profile_id: str, wanted: Wanted = EVERYTHING, *, limit: int | None = None, older: str | None = None,
        newer: str | None = None, at: datetime | None = None,
    ) -> Stretch:  # fmt: skip
        """The newest entries, those beyond a cursor, or (`at`) those of that moment and before."""
        now = (await self._profiles.current([profile_id]))[profile_id]
        size = bounded(limit)
        before = _position(older) if older else None
        after = _position(newer) if newer and not older else None
        if at is not None and before is None and after is None:
            before = (at, _LAST)
        rows = await self._events.for_profile(
            now, size + 1, before, after=after, kinds=wanted.kinds, since=wanted.since, until=wanted.until,
            by_somebody=wanted.by_somebody,
        )  # fmt: skip
        shown, more = (rows[-size:], len(rows) > size) if after is not None else cut(rows, size)
        entries = await self._said([as_entry(row) for row in shown])
        return _stretch(entries, shown, more, newer if after is not None else None)

    async def _said(self, entries: list[Entry]) -> list[Entry]:
        found: dict[tuple[str, str], Words] = {}
        for ref, (names, read) in self._words.items():
            ids = {each.refs[ref] for each in entries if each.name in names and ref in each.refs}
            if ids:
                found |= {(ref, key): words for key, words in (await read(sorted(ids))).items()}
        return [self._with_words(each, found) for each in entries]

    def _with_words(self, entry: Entry, found: Mapping[tuple[str, str], Words]) -> Entry:
        for ref, (names, _) in self._words.items():
            if entry.name in names and ref in entry.refs:
                words = found.get((ref, entry.refs[ref]), Words(gone=True))
                properties = {**entry.properties, "text": None} if words.gone else entry.properties
                by = entry.by or words.by
                return replace(entry, text=words.text, by=by, gone=words.gone, more=words.more, properties=properties)
        return entry


def _stretch(entries: list[Entry], rows: Sequence[Event], more: bool, asked_newer: str | None) -> Stretch:
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
    named = {name: str(value) for name, value in refs.items() if value}
    text = event.properties.get("text")
    return Entry(
        event.id, event.occurred_at, kind_of(event.name), event.name, event.properties, named,
        text if isinstance(text, str) else None, actor_of(event.properties),
    )  # fmt: skip


def _cursor(event: Event) -> str:
    return write_cursor(event.occurred_at, event.id)


def _position(cursor: str) -> Position:
    at, event_id = read_cursor(cursor, datetime, str)
    return at, event_id
