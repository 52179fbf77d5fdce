"""A stable share of people, computed alike here and inside MongoDB. Pure.

A person's dice is a number below the prime 2^31 - 1 made from the profile id; a salt gives a line a·x + b through that
field, so that shares of different salts are independent and every product fits 64 bits.
"""

from __future__ import annotations

import hashlib

PRIME = 2**31 - 1
SHARES = 10_000


def dice_of(profile_id: str) -> int:
    """Stored on the profile as `dice`."""
    return int.from_bytes(hashlib.sha256(profile_id.encode()).digest()[:8]) % PRIME


def line_of(salt: str) -> tuple[int, int]:
    """Slope (never 0) and offset for a salt."""
    digest = hashlib.sha256(b"bucket\x1f" + salt.encode()).digest()
    return int.from_bytes(digest[:8]) % (PRIME - 1) + 1, int.from_bytes(digest[8:16]) % PRIME


def share_of(dice: int, salt: str) -> int:
    """0 to 9,999: hundredths of a percent."""
    slope, offset = line_of(salt)
    return (dice * slope + offset) % PRIME % SHARES
