"""Where our own people's words may still name somebody who was erased: in rules, tags, tasks, notes about others.

Such words are not the erased person's data alone, and taking them away would change what somebody else works with. So
they are looked for, within bounds, and a colleague decides. Only *where* is kept, never what stood there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from profiles.holdings import NUMBER_MIN, Traces
from profiles.normalise import folded

#: Shorter ids are found in everything.
ID_MIN = 6
#: Places kept of one erasure.
PLACES_MAX = 100
#: Digits from the right by which a number is the same, however its beginning is written.
_TAIL = 9
_GAP = r"[\s().\-/]{0,3}"


@dataclass(frozen=True, order=True)
class Place:
    """A row of `room` that names the person. `id`: what leads to it at the desk; empty where its id would be the words
    themselves."""

    room: str
    id: str

    def stored(self) -> dict[str, str]:
        """For the log."""
        return {"room": self.room, "id": self.id}


@dataclass(frozen=True)
class Places:
    """What was found. `all_read`: every room was read to its end."""

    found: tuple[Place, ...] = ()
    all_read: bool = True


class Written(Protocol):
    """A room in which colleagues write."""

    async def naming(self, pattern: re.Pattern[str]) -> Places:
        """Rows whose words fit, within the room's bounds of time and number."""


async def places_of(rooms: Iterable[Written], traces: Traces) -> Places:
    """All places in which the person is named by address, number, handle or whole name."""
    pattern = pattern_of(traces)
    if pattern is None:
        return Places()
    seen = [await room.naming(pattern) for room in rooms]
    found = sorted({place for each in seen for place in each.found})
    return Places(tuple(found[:PLACES_MAX]), all(each.all_read for each in seen) and len(found) <= PLACES_MAX)


def pattern_of(traces: Traces) -> re.Pattern[str] | None:
    """Finds the person in folded text: addresses and ids as they are, numbers however they are grouped, handles, and
    names of two words or more as a whole. None when there is nothing to look for."""
    forms = [form for word in traces.words if (form := _word(folded(word.strip())))]
    forms += [form for name in traces.names if (form := _name(folded(name)))]
    if not forms:
        return None
    either = "|".join(sorted(dict.fromkeys(forms), key=len, reverse=True))
    return re.compile(rf"(?<![\w@])(?<!\w[.+-])(?:{either})(?!\w)")


def words_of(value: Any) -> str:
    """All text in a value, folded, keys of mappings included."""
    return folded("\n".join(_texts(value)))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _word(word: str) -> str | None:
    digits = "".join(each for each in word if each.isdigit())
    if len(digits) >= NUMBER_MIN and not any(each.isalpha() for each in word):
        return r"\+?[\d\s().\-/]{0,8}?" + _GAP.join(digits[-_TAIL:])
    return re.escape(word) if len(word) >= ID_MIN else None


def _name(name: str) -> str | None:
    parts = name.split()
    if len(parts) > 1:
        return r"\s+".join(re.escape(part) for part in parts)
    return "@?" + re.escape(name.removeprefix("@")) if name.startswith("@") else None
