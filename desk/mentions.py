"""Plain text that speaks to colleagues and points to pages: who is meant by @Name, and what is safe to click. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from desk.store import User

#: Colleagues one text may call.
MENTIONS_MAX = 20
_LINK = re.compile(r"https?://[^\s<>\"'`{}|\\^\u3000-\u303f\uff00-\uffef]{1,2000}", re.IGNORECASE)
#: What ends a sentence and no address.
_TRAILING = ".,;:!?…»)]}*_~"
_CLOSED_BY = {")": "(", "]": "["}


@dataclass(frozen=True)
class Piece:
    """A stretch of a text. `href` of a link is http or https, whatever was written."""

    kind: Literal["text", "link", "mention"]
    text: str
    href: str = ""


def handles_of(users: Iterable[User]) -> dict[str, str]:
    """What stands after the @ → who is meant, lower case: the full name, the first name where only one has it, and
    the part of the address before its @."""
    active = [user for user in users if user.active]
    first: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for user in active:
        found.setdefault(user.email.partition("@")[0].casefold(), user.id)
        first.setdefault(user.name.split(" ")[0].casefold(), []).append(user.id)
    found |= {name: ids[0] for name, ids in first.items() if name and len(ids) == 1}
    return found | {user.name.casefold(): user.id for user in active if user.name.strip()}


def mentioned(text: str, handles: Mapping[str, str]) -> list[str]:
    """Ids of the colleagues a text calls, in order, each once."""
    found = [handles[name] for _, _, name in _called(text, handles)]
    return list(dict.fromkeys(found))[:MENTIONS_MAX]


def pieces_of(text: str, handles: Mapping[str, str]) -> list[Piece]:
    """The text in stretches: links, mentions, and the rest as it stands."""
    marks: list[tuple[int, int, Piece]] = [
        (start, start + len(url), Piece("link", url, url)) for start, url in _links(text)
    ]
    marks += [(start, end, Piece("mention", text[start:end])) for start, end, _ in _called(text, handles)]
    result: list[Piece] = []
    place = 0
    for start, end, piece in sorted(marks, key=lambda mark: mark[0]):
        if start < place:
            continue
        if start > place:
            result.append(Piece("text", text[place:start]))
        result.append(piece)
        place = end
    return [*result, Piece("text", text[place:])] if place < len(text) else result


def _called(text: str, handles: Mapping[str, str]) -> Sequence[tuple[int, int, str]]:
    """(start, end, name) of each @name; the longest name that fits. Not inside a mail address."""
    folded, found, start = text.casefold(), [], -1
    if len(folded) != len(text):  # a sign that becomes two when folded: places would be wrong
        folded = text.lower() if len(text.lower()) == len(text) else text
    names = sorted(handles, key=len, reverse=True)
    while (start := folded.find("@", start + 1)) >= 0:
        if start and _joins(folded[start - 1]):
            continue
        rest = folded[start + 1 : start + 1 + 200]
        name = next((each for each in names if rest.startswith(each) and not _joins(rest[len(each) :][:1])), None)
        if name is not None:
            found.append((start, start + 1 + len(name), name))
    return found


def _joins(sign: str) -> bool:
    """Whether a sign would make one word with its neighbour. Chinese is written without spaces."""
    return bool(sign) and sign.isalnum() and not "\u2e80" <= sign <= "\u9fff"


def _links(text: str) -> Iterable[tuple[int, str]]:
    for match in _LINK.finditer(text):
        url = match[0]
        while (
            url
            and url[-1] in _TRAILING
            and not (url[-1] in _CLOSED_BY and url.count(_CLOSED_BY[url[-1]]) >= url.count(url[-1]))
        ):
            url = url[:-1]
        if len(url) > len("https://"):
            yield match.start(), url
