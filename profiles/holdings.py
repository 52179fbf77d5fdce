"""What every room of the house keeps of a person: counted, handed out, erased. Pure, but for what the rooms do.

A room is a collection (or a part of one). `rapport/holdings.py` lists all of them, and a test walks the database for
one that was forgotten.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from base.mongo import Document
from profiles.models import Profile, plain
from profiles.normalise import UNSPACED, folded
from profiles.surnames import is_short_name

#: Shorter words would be found in everything.
WORD_MIN, NAME_MIN = 4, 6
_UNSPACED_NAME = re.compile(rf"[{UNSPACED}]{{3,}}")
#: So many digits are a number of somebody.
NUMBER_MIN = 7


@dataclass(frozen=True)
class Traces:
    """By what the rows of one person are known. Gathered before anything is taken away, because it is known from that.

    `words` name the person in texts of others (ids of providers, addresses, numbers); `names` only probably, and
    `short_names` less than that.
    """

    profile_ids: tuple[str, ...]
    identity_ids: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    address_keys: tuple[str, ...] = ()
    #: (channel, external id) of each address.
    addresses: tuple[tuple[str, str], ...] = ()
    #: (channel, identity): where receipts "until" a moment hang.
    channels: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    since: datetime | None = None
    #: What came later, under the same addresses, is of somebody new.
    until: datetime | None = None
    #: Whole names of two signs (王芳). They may be a part of another name, so nothing is taken away by them: they are
    #: looked for where a colleague decides.
    short_names: tuple[str, ...] = ()

    def joined(self, other: Traces) -> Traces:
        """All of both: what is gone already is still looked for."""
        both: dict[str, Any] = {name: tuple(dict.fromkeys((*value, *getattr(other, name))))
                for name, value in vars(self).items() if isinstance(value, tuple)}  # fmt: skip
        return Traces(**both, since=min((each.since for each in (self, other) if each.since), default=None))

    def as_document(self) -> Document:
        """For the row of a duty."""
        told = {name: [*value] for name, value in vars(self).items() if isinstance(value, tuple)}
        return {**told, "addresses": [list(each) for each in self.addresses], "since": self.since,
                "channels": [list(each) for each in self.channels]}  # fmt: skip


def traces_from(document: Mapping[str, Any]) -> Traces:
    """What `as_document` wrote."""
    pairs: dict[str, Any] = {name: tuple(tuple(each) for each in document[name]) for name in ("addresses", "channels")}
    names = ("profile_ids", "identity_ids", "keys", "address_keys", "words", "names")
    lists: dict[str, Any] = {name: tuple(document[name]) for name in names}
    short = tuple(document.get("short_names") or ())  # rows of before have none
    return Traces(**lists, **pairs, short_names=short, since=document.get("since"))


def traces_of(
    profiles: Iterable[Profile], profile_ids: Iterable[str], identities: Iterable[Mapping[str, Any]]
) -> Traces:
    """From the profile, the ids merged into it and all identity rows, further ids of one among them. Pure."""
    rows, people = list(identities), list(profiles)
    canonical = {row["_id"]: row for row in rows if not row.get("alias_of")}
    words: list[str | None] = []
    for row in rows:
        words += [row.get("external_id"), row.get("value"), *(row.get("former_external_ids") or ())]
    contacts = [contact for each in people for contact in (*each.emails, *each.phones)]
    words += [text for contact in contacts for text in (contact.value, contact.raw)]
    words += [word.removeprefix("+") for word in words if word and word.startswith("+")]
    names = [each.name for each in people] + [row.get("display_name") for row in rows]
    names += [row.get("handle") for row in rows]
    seen = [row["first_seen_at"] for row in rows if row.get("first_seen_at")] + [each.created_at for each in people]
    return Traces(
        profile_ids=tuple(dict.fromkeys(profile_ids)),
        identity_ids=tuple(row["_id"] for row in rows),
        keys=tuple(row["key"] for row in rows),
        address_keys=tuple(dict.fromkeys(row["address_key"] for row in rows)),
        addresses=tuple(_addresses(rows)),
        channels=tuple((row["channel_id"], key) for key, row in canonical.items() if row.get("channel_id")),
        words=_long_enough(words, WORD_MIN),
        names=tuple(dict.fromkeys(name for name in names if name and _tells(name.strip()))),
        short_names=tuple(dict.fromkeys(short for name in names if name and is_short_name(short := _bare(name)))),
        since=min(seen, default=None),
    )  # fmt: skip


def _addresses(rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for row in rows:
        if row.get("channel_id"):
            for external in (row.get("external_id"), row.get("value"), *(row.get("former_external_ids") or ())):
                if external:
                    yield row["channel_id"], external


def _long_enough(texts: Iterable[str | None], least: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text and len(text.strip()) >= least))


def is_unspaced_name(name: str) -> bool:
    """Whether it is written in a script without spaces and long enough to be somebody's whole name: 王小明."""
    return _UNSPACED_NAME.fullmatch(name) is not None


def _bare(name: str) -> str:
    """Without spaces: 王 芳 is 王芳."""
    return "".join(name.split())


def _tells(name: str) -> bool:
    return len(name) >= NAME_MIN or is_unspaced_name(_bare(name))


def speaks_of(text: str, traces: Traces) -> bool:
    """Whether a short text that somebody typed names this person: an address, a number however it is written, a name,
    or the better part of one. Pure."""
    said, digits = folded(text), _digits(text)
    for word in (*traces.words, *traces.names):
        plain = folded(word)
        if plain in said or (len(said) >= WORD_MIN and said in plain):
            return True
        number = _digits(word)
        if len(digits) >= NUMBER_MIN and len(number) >= NUMBER_MIN and number.endswith(digits[-9:]):
            return True
    return False


def _digits(text: str) -> str:
    return "".join(character for character in text if character in "0123456789")


class Room(Protocol):
    """One place in which something of a person may be kept."""

    name: str
    #: Nothing leads there from the person: all of it has to be read, which nobody waits for.
    read_whole: bool

    def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """What is kept, as it may be handed out: JSON values after `plain`."""

    async def count(self, traces: Traces) -> int:
        """How much that is."""

    async def erase(self, traces: Traces) -> int:
        """Take it away; how much. May run twice and be cut short."""


@dataclass(frozen=True)
class Holdings:
    """All rooms in the order in which they are emptied: what could still act first, the profile last."""

    rooms: tuple[Room, ...]
    #: Collection → why nothing of a customer is in it.
    impersonal: Mapping[str, str] = field(default_factory=dict)

    async def counts(self, traces: Traces) -> dict[str, int]:
        """Room → how much is kept there; empty ones, and those that would have to be read whole, are left out."""
        found = {room.name: await room.count(traces) for room in self.rooms if not room.read_whole}
        return {name: count for name, count in found.items() if count}


#: Fields of our own bookkeeping: they say nothing of anybody.
BOOKKEEPING = frozenset({
    "lease", "fence", "attempts", "due_at", "dedupe", "search", "tokens", "moved", "unannounced", "seq", "lane",
    "send_key", "status_rank", "priority_rank", "written", "wake", "thread_keys", "client_key", "rank", "unsettled",
})  # fmt: skip


def shown(row: Mapping[str, Any]) -> Document:
    """A row as it is handed out: without our bookkeeping, bytes by their length. JSON values."""
    kept = {name: value for name, value in row.items() if name not in BOOKKEEPING}
    return {("id" if name == "_id" else name): _shown(value) for name, value in kept.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    made = plain(value)
    return made if isinstance(made, str | int | float | bool) or made is None else str(made)


__all__ = ["Holdings", "Room", "Traces", "shown", "speaks_of", "traces_from", "traces_of"]
