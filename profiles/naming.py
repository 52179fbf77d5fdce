"""The key of something that people name: `Favourite tea` → `favourite_tea`, 生日 → `field_1`. Pure.

A key is for programs and stays for ever, so nobody is made to invent one. Names in letters other than Latin ones give
no key that a program could write; those are counted instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

#: Keys are cut here, so that a number still fits behind.
LENGTH_MAX = 40
#: Latin letters that are no base letter with a mark on it.
_SPELT = str.maketrans({
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h", "ŋ": "n",
})  # fmt: skip


def key_of_name(name: str) -> str:
    """Small letters, digits and `_`, beginning with a letter; empty where the name has nothing to make one of.

    `desk/static/js/keys.js` shows the same while somebody types.
    """
    plain = unicodedata.normalize("NFKD", name.lower().translate(_SPELT))
    bare = "".join(sign for sign in plain if not unicodedata.combining(sign))
    words = re.sub(r"[^a-z0-9]+", "_", bare).lstrip("_0123456789")
    return words[:LENGTH_MAX].strip("_")


def free_key(name: str, standing: Collection[str], known: Collection[str], *, otherwise: str) -> str:
    """A key that none of the `standing` has. `known`: theirs, and those of what was taken away.

    A name that was used before and taken away gets its key back: it means the same. A counted key never is another's.
    """
    base = key_of_name(name)
    if base and base not in standing:
        return base
    taken, stem, number = {*standing, *known}, base or otherwise, 2 if base else 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"
