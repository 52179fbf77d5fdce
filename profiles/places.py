"""Where our own people's words may still name somebody who was erased: in rules, tags, tasks, notes about others.

Such words are not the erased person's data alone, and taking them away would change what somebody else works with. So
they are looked for, within bounds, and a colleague decides. Only *where* is kept, never what stood there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from profiles.holdings import NUMBER_MIN, Traces, is_unspaced_name
from profiles.normalise import UNSPACED, folded

#: Shorter ids are found in everything.
ID_MIN = 6
#: Places kept of one erasure.
PLACES_MAX = 100
#: Digits from the right by which a number is the same, however its beginning is written.
_TAIL = 9
_GAP = r"[\s().\-/]{0,3}"
#: A letter or digit that belongs to the same word. In Chinese an address stands between words without a space.
_LETTER = rf"[^\W{UNSPACED}]"


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
    """Finds the person in folded text: addresses and ids as they are, numbers however they are grouped, handles, names
    of two words or more as a whole, and Chinese ones of two signs (with a family name) or more. None when there is
    nothing to look for."""
    words = [folded(word.strip()) for word in traces.words]
    names = [folded(name) for name in traces.names]
    numbers = [number for word in words if (number := _number(word))]
    apart = [re.escape(word) for word in words if len(word) >= ID_MIN and not _is_number(word)]
    apart += [form for name in names if (form := _name(name))]
    if numbers:  # what may stand before is looked at once, not for each
        apart.append(rf"\+?[\d\s().\-/]{{0,8}}?(?:{_either(numbers)})")
    forms = [rf"(?<!{_LETTER})(?<!@)(?<!{_LETTER}[.+-])(?:{_either(apart)})(?!{_LETTER})"] if apart else []
    forms += [re.escape(name) for name in names if is_unspaced_name(name)]
    forms += [r"\s?".join(name) for name in traces.short_names]
    return re.compile("|".join(forms)) if forms else None


def _either(forms: Iterable[str]) -> str:
    """The longest first."""
    return "|".join(sorted(dict.fromkeys(forms), key=len, reverse=True))


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


def _is_number(word: str) -> bool:
    return sum(each.isdigit() for each in word) >= NUMBER_MIN and not any(each.isalpha() for each in word)


def _number(word: str) -> str | None:
    digits = "".join(each for each in word if each.isdigit())
    return _GAP.join(digits[-_TAIL:]) if _is_number(word) else None


def _name(name: str) -> str | None:
    parts = name.split()
    if len(parts) > 1:
        return r"\s+".join(re.escape(part) for part in parts)
    return "@?" + re.escape(name.removeprefix("@")) if name.startswith("@") else None
