"""Prefixed ids that sort by time, and keys that make an effect unique."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import datetime
from typing import Literal, get_args

Prefix = Literal[
    "prf", "idn", "cnv", "msg", "chn", "ord", "jrn", "jrv", "enr", "log", "brd", "snd", "seg", "tpl",
    "evt", "usr", "tsk", "whk", "whd", "dlv", "ses", "tok", "sug", "nte", "lck", "fil", "mrg", "cgr", "blk",
    "stl", "rel", "fld", "tgc",
    "evt", "usr", "tsk", "whk", "dlv", "ses", "tok", "sug", "nte", "lck", "fil", "mrg", "cgr", "blk", "ers", "dos",
    "prq",
    "evt", "usr", "tsk", "whk", "dlv", "ses", "tok", "sug", "nte", "lck", "fil", "mrg", "cgr", "fup",
    "stl", "rel", "fld", "tgc", "ers", "dos", "prq",
    "evt", "usr", "tsk", "whk", "dlv", "ses", "tok", "sug", "nte", "lck", "fil", "mrg", "cgr", "imp", "exp",
    "stl", "rel", "fld", "tgc", "ers", "dos", "prq", "fup", "whc", "itk", "jmg",
    "stl", "rel", "fld", "tgc", "ers", "dos", "prq", "fup", "whc", "snp", "ofr", "cpn", "tpr", "spr", "aud",
    "hrs", "viw", "slp", "act", "tea", "rat",
    "ntf", "tel", "psh",
    "cnr", "mac", "arl", "arr", "arp", "bot", "bpo",
]  # fmt: skip
PREFIXES: frozenset[str] = frozenset(get_args(Prefix))
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
#: The letters of a ULID (no i, l, o, u), two at a time: ten bits each.
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_PLACES = range(120, -1, -10)
#: The same letters as `int` reads them in base 32; what is none of them becomes a sign that it refuses.
_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_LETTERS.index(chr(code))] if chr(code) in _LETTERS else ord("!")
    for code in range(256)
)
_latest = 0


def new_id(prefix: Prefix) -> str:
    """`prefix` + `_` + a ULID in lower case, 26 characters; ids made later sort after: to the
    millisecond, and within one process also inside a millisecond.

    48 bits of time, 80 of chance: https://github.com/ulid/spec (read 2026-11-22). Written here because a dozen are
    made for every message.
    """
    global _latest
    bits = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    if bits >> 80 == _latest >> 80 and bits <= _latest:
        bits = _latest + 1 + int.from_bytes(os.urandom(6), "big")
    _latest = bits
    return f"{prefix}_{''.join([_PAIRS[bits >> place & 1023] for place in _PLACES])}"


def id_before(prefix: Prefix, at: datetime) -> str:
    """Sorts before every id made at that time or later, and after all made a millisecond before."""
    bits = max(0, int(at.timestamp() * 1000)) << 80
    return f"{prefix}_{''.join([_PAIRS[bits >> place & 1023] for place in _PLACES])}"


def is_id(value: str, prefix: Prefix) -> bool:
    """True when `value` has the form of an id with this prefix. Says nothing about its existence."""
    head, _, tail = value.partition("_")
    return head == prefix and len(tail) == 26 and tail.isalnum() and tail == tail.lower()


def packed_id(value: str) -> bytes:
    """The 16 bytes behind an id, for where every character counts (links in a text message). Raises `ValueError`."""
    return int(b"0" + value.partition("_")[2].encode("ascii").translate(_DIGITS), 32).to_bytes(16, "big")


def unpacked_id(prefix: Prefix, raw: bytes) -> str:
    """The reverse of `packed_id`."""
    bits = int.from_bytes(raw, "big")
    return f"{prefix}_{''.join([_PAIRS[bits >> place & 1023] for place in _PLACES])}"


def id_of(prefix: Prefix, *parts: object) -> str:
    """The one id of what these parts name, in every process, for ever. It sorts by no time."""
    return unpacked_id(prefix, bytes.fromhex(unique_key(*parts))[:16])


def unique_key(*parts: object) -> str:
    """A short stable key for an effect: the same parts give the same key, in every process, for ever."""
    joined = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:40]
