"""Signatures: HMAC, comparison in constant time, freshness of stamps, Standard Webhooks both ways.

Nothing here raises on what a stranger sent; only `sign_standard` refuses our own mistake, an unusable secret.
Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
(read 2026-11-22).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import secrets as chance
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from base.errors import WrongInput

Algorithm = Literal["sha1", "sha256", "sha512"]

#: How far a signed stamp may lie from our clock, seconds, either way: what the reference libraries and Stripe use.
TOLERANCE_S = 300.0
SECRET_PREFIX = "whsec_"
#: A header holds one signature per key in rotation. More than a handful is an attempt to make us work.
_MAX_SIGNATURES = 16
_STAMP = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?", re.ASCII)


def hmac_hex(key: str | bytes, data: bytes, algorithm: Algorithm = "sha256") -> str:
    """HMAC of `data` in lower-case hex. A `str` key is taken as UTF-8."""
    return _hmac(key, data, algorithm).hex()


def hmac_b64(key: str | bytes, data: bytes, algorithm: Algorithm = "sha256") -> str:
    """HMAC of `data` in standard base64 with padding. A `str` key is taken as UTF-8."""
    return base64.b64encode(_hmac(key, data, algorithm)).decode()


def same(given: str | bytes | None, expected: str | bytes) -> bool:
    """Equality in constant time. False for None, for text that is not ASCII, and for an empty expectation.

    The last because an unset secret must never equal an empty header.
    """
    left, right = _ascii(given), _ascii(expected)
    if left is None or right is None or not right:
        return False
    return hmac.compare_digest(left, right)


def within(stamp_s: float | str | None, now: datetime, tolerance_s: float) -> bool:
    """True when `stamp_s` (Unix seconds) lies at most `tolerance_s` from `now`, either way; else False."""
    if isinstance(stamp_s, str):
        stamp_s = float(stamp_s) if _STAMP.fullmatch(stamp_s) else None
    if stamp_s is None or isinstance(stamp_s, bool):
        return False
    try:
        return math.isfinite(stamp_s) and abs(now.timestamp() - stamp_s) <= tolerance_s
    except (OverflowError, TypeError):  # an integer beyond a float's range, or no number at all
        return False


def standard_key(secret: str) -> bytes | None:
    """The key of a Standard Webhooks secret (base64, `whsec_` and padding optional); None if unusable."""
    encoded = secret.strip().removeprefix(SECRET_PREFIX).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def sign_standard(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`. Raises `WrongInput` for an empty or unreadable secret."""
    key = standard_key(secret)
    if key is None:
        raise WrongInput(
            "A signing secret is base64 with or without whsec_ before it; this one is not.",
            code="bad_secret",
        )
    return f"v1,{hmac_b64(key, _signed(message_id, str(timestamp_s), body))}"


def standard_headers(secrets: Iterable[str], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a post that is signed with each of these secrets. Raises as `sign_standard`."""
    stamp = int(at.timestamp())
    signatures = [sign_standard(each, message_id, stamp, body) for each in secrets]
    return {"webhook-id": message_id, "webhook-timestamp": str(stamp), "webhook-signature": " ".join(signatures)}


def new_standard_secret() -> str:
    """A fresh secret of 32 bytes."""
    return SECRET_PREFIX + base64.b64encode(chance.token_bytes(32)).decode()


def verify_standard(
    secrets: Iterable[str],
    message_id: str | None,
    timestamp: str | None,
    header: str | None,
    body: bytes,
    now: datetime,
    tolerance_s: float = TOLERANCE_S,
) -> bool:
    """True when the stamp is fresh and any `v1` signature in `header` is right under any of the secrets.

    `message_id`, `timestamp` and `header` (signatures separated by spaces) are as they came; unknown versions
    and malformed entries are passed over.
    """
    if not message_id or header is None or timestamp is None or not timestamp.isdecimal():
        return False
    if not within(timestamp, now, tolerance_s):
        return False
    keys = [key for secret in secrets if (key := standard_key(secret)) is not None]
    given = [value for version, _, value in _entries(header) if version == "v1" and value]
    signed = _signed(message_id, timestamp, body)
    expected = [hmac_b64(key, signed) for key in keys]
    # Every pair is compared, so that the time taken does not tell which key or entry was right.
    return sum(same(value, right) for value in given for right in expected) > 0


def _entries(header: str) -> list[tuple[str, str, str]]:
    return [entry.partition(",") for entry in header.split(" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]]


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (message_id.encode(errors="surrogatepass"), timestamp.encode(), body)


def _hmac(key: str | bytes, data: bytes, algorithm: Algorithm) -> bytes:
    raw = key.encode() if isinstance(key, str) else key
    return hmac.digest(raw, data, algorithm)


def _ascii(value: str | bytes | None) -> bytes | None:
    if isinstance(value, bytes):
        return value if value.isascii() else None
    return value.encode() if isinstance(value, str) and value.isascii() else None
