"""Where in a text the words of a question stand, by the same evening out by which they are found. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from profiles.normalise import UNSPACED, folded

_UNSPACED = re.compile(f"[{UNSPACED}]")


def places(text: str, words: Iterable[str], *, starts: bool = False) -> list[tuple[int, int]]:
    """(start, end) in `text` as it is written, in order, those that touch as one. `words` are folded. A word is found
    whole, with `starts` also as the beginning of a longer one; scripts without spaces anywhere."""
    flat, origins = _flattened(text)
    found = sorted(
        (origins[at], max(origins[at + len(word) - 1] + 1, origins[at + len(word)]))
        for word in words if word
        for at in _occurrences(flat, word) if _stands(flat, at, at + len(word), starts=starts)
    )  # fmt: skip
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def cut(text: str, marks: Iterable[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text in stretches, each with whether it was found; put together they are the text."""
    edges = [0, *(each for mark in marks for each in mark), len(text)]
    parts = [(text[start:end], number % 2 == 1) for number, (start, end) in enumerate(pairwise(edges))]
    return [part for part in parts if part[0]]


@lru_cache(4096)
def _sign(sign: str) -> str:
    return folded(sign)


def _flattened(text: str) -> tuple[str, list[int]]:
    """The text as it is compared, and for each sign of that the place it comes from, and at last its length: ß is
    two, an accent of its own none."""
    signs = [(each, place) for place, sign in enumerate(text) for each in _sign(sign)]
    return "".join(each for each, _ in signs), [*(place for _, place in signs), len(text)]


def _occurrences(flat: str, word: str) -> Iterator[int]:
    at = flat.find(word)
    while at >= 0:
        yield at
        at = flat.find(word, at + 1)


def _stands(flat: str, start: int, end: int, *, starts: bool) -> bool:
    before, after = flat[start - 1 : start] if start else "", flat[end : end + 1]
    begins = not (_joins(before) and _joins(flat[start]))
    return begins and (starts or not (_joins(after) and _joins(flat[end - 1])))


def _joins(sign: str) -> bool:
    """Whether it makes one word with a neighbour that does, too."""
    return sign.isalnum() and _UNSPACED.match(sign) is None
