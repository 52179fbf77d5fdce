"""The tokens under which a person is found by typing the beginning of a name, handle, address or number. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from profiles.normalise import UNSPACED, folded

TOKENS_MAX, TOKEN_MAX, QUERY_MAX = 96, 64, 6
_WORD = re.compile(r"[^\W_]+")
#: Scripts written without spaces: cut into pairs.
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_NUMBER = re.compile(r"[+\d][\d\s().\-/]{3,}")


def search_tokens(name: str | None, handles: Iterable[str], emails: Iterable[str], phones: Iterable[str]) -> list[str]:
    """Sorted, without doubles, at most 96; the same input gives the same tokens."""
    found: set[str] = set()
    for text in (name or "", *handles):
        found.update(_words(text))
        found.update(_whole(text))
        found.update(run.group()[-1] for run in _UNSPACED.finditer(folded(text)))
    for email in emails:
        found.update(_words(email))
        found.add(folded(email)[:TOKEN_MAX])
    for phone in phones:
        found.update(_number_tokens(phone))
    return sorted(token for token in found if token)[:TOKENS_MAX]


def query_tokens(query: str) -> list[str]:
    """What must all be found, each as the beginning of a token."""
    plain = folded(query).strip()
    address = plain.lstrip("@")
    if "@" in address.rstrip("@") and " " not in address and not _UNSPACED.search(address):
        return [address[:TOKEN_MAX]]
    if _NUMBER.fullmatch(plain):
        digits = re.sub(r"\D", "", plain)
        return [digits.removeprefix("00")[:TOKEN_MAX].lstrip("0") or digits]
    return [token for token in dict.fromkeys(_words(plain)) if token][:QUERY_MAX]


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(folded(text)):
        position = 0
        for run in _UNSPACED.finditer(word):
            yield word[position : run.start()][:TOKEN_MAX]
            yield from _pairs(run.group())
            position = run.end()
        yield word[position:][:TOKEN_MAX]


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for first, second in pairwise(run):
        yield first + second


def _whole(text: str) -> Iterator[str]:
    plain = folded(text).strip().lstrip("@")
    if plain and " " not in plain and not _UNSPACED.search(plain):
        yield plain[:TOKEN_MAX]


def _number_tokens(phone: str) -> Iterator[str]:
    """The number from its country code on, and without its first one to three digits, as people type it at home."""
    digits = re.sub(r"\D", "", phone)
    for skipped in range(min(4, len(digits) - 3)):
        yield digits[skipped:][:TOKEN_MAX]
