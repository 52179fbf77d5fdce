"""By what words a message is found, and whether a text says what was searched for. Pure.

Texts of scripts without spaces are cut into pairs and single letters, so that 茶壶 is found inside 玻璃茶壶可以洗吗.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from profiles.matching import places
from profiles.normalise import UNSPACED, folded

#: Words kept per message, letters of a word, letters of a message that are read, and words of a question.
WORDS_MAX, LETTERS_MAX, READ_MAX, ASKED_MAX = 400, 40, 20_000, 12
#: Letters around what was found that are shown.
SNIPPET_BEFORE, SNIPPET_MAX = 40, 160
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_PIECE = re.compile(f"[{UNSPACED}]+|[^\\W_{UNSPACED}]+")


def is_found(message: Mapping[str, Any]) -> bool:
    """Whether a message is to be found at all."""
    author = message.get("author") or {}
    alive = message.get("deleted_at") is None and message.get("direction") in ("in", "out", "note")
    return alive and author.get("type") != "campaign" and message.get("conversation_id") is not None


def text_of(message: Mapping[str, Any]) -> str:
    """All that a message says: its words, the subject of a mail, names and captions of files."""
    files = [part for each in message.get("attachments") or () for part in (each.get("name"), each.get("caption"))]
    parts = [message.get("text"), (message.get("mail") or {}).get("subject"), *files]
    return "\n".join(str(part) for part in parts if part)[:READ_MAX]


def words_in(text: str) -> list[str]:
    """Sorted, without doubles, at most 400; the same text gives the same words."""
    found: dict[str, None] = {}
    for piece in _PIECE.findall(folded(text)):
        for word in _cut(piece) if _UNSPACED.match(piece) else [piece[:LETTERS_MAX]]:
            found.setdefault(word)
            if len(found) >= WORDS_MAX:
                return sorted(found)
    return sorted(found)


def asked_words(q: str) -> list[str]:
    """What a message must have to be looked at: pairs for scripts without spaces, a single letter where it stands
    alone. Nothing for a question without any letter."""
    found: dict[str, None] = {}
    for piece in _PIECE.findall(folded(q)):
        if not _UNSPACED.match(piece):
            found.setdefault(piece[:LETTERS_MAX])
        elif len(piece) == 1:
            found.setdefault(piece)
        else:
            found |= dict.fromkeys(first + second for first, second in pairwise(piece))
    return list(found)[:ASKED_MAX]


def asked_pieces(q: str) -> list[str]:
    """The words of a question, and its runs without spaces as they were written: what is shown as found."""
    return list(dict.fromkeys(_PIECE.findall(folded(q))))[:ASKED_MAX]


def says(text: str, q: str) -> bool:
    """Whether a text has each word of a question, and each run without spaces as it was written."""
    plain = folded(text)
    words = set(_PIECE.findall(plain))
    return all(
        piece in plain if _UNSPACED.match(piece) else piece in words for piece in _PIECE.findall(folded(q))
    )


def snippet(text: str, q: str) -> str:
    """The part of a text around what was searched for, on one line."""
    line = " ".join(text.split())
    marks = places(line, asked_pieces(q))
    start = max(0, marks[0][0] - SNIPPET_BEFORE) if marks else 0
    cut = line[start : start + SNIPPET_MAX]
    return f"{'…' if start else ''}{cut}{'…' if start + SNIPPET_MAX < len(line) else ''}"


def _cut(run: str) -> Iterator[str]:
    yield from run
    yield from (first + second for first, second in pairwise(run))
