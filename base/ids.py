"""Prefixed ids that sort by time, and keys that make an effect unique."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from ulid import ULID

Prefix = Literal[
    "prf", "idn", "cnv", "msg", "chn", "ord", "jrn", "jrv", "enr", "log", "brd", "snd", "seg", "tpl",
    "evt", "usr", "tsk", "whk", "dlv", "ses", "tok", "sug", "nte", "lck", "fil",
]  # fmt: skip
PREFIXES: frozenset[str] = frozenset(get_args(Prefix))


def new_id(prefix: Prefix) -> str:
    """`prefix` + `_` + 26 lower-case characters; ids made later sort after (to the millisecond)."""
    return f"{prefix}_{ULID()}".lower()


def is_id(value: str, prefix: Prefix) -> bool:
    """True when `value` has the form of an id with this prefix. Says nothing about its existence."""
    head, _, tail = value.partition("_")
    return head == prefix and len(tail) == 26 and tail.isalnum() and tail == tail.lower()


def unique_key(*parts: object) -> str:
    """A short stable key for an effect: the same parts give the same key, in every process, for ever."""
    joined = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:40]
