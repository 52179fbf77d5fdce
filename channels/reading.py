"""Reads what strangers sent: JSON that can be stored afterwards, and single values without surprises.

A provider's page says what a field is; what comes may still be anything. So each reader takes any value and gives
the wanted type or None, and `parse` functions need neither `isinstance` nor `try`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from channels.adapter import Unreadable

Json = dict[str, Any]

#: MongoDB refuses more than 100 levels; the journal and our own documents put some around it.
MAX_DEPTH = 60
_INT64 = 2**63
#: Surrogates and NUL (escaped), long numbers, large exponents.
_SUSPICIOUS = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|[0-9]{19}|[0-9][eE]\+?[0-9]{2}")
#: Larger numbers of seconds are really milliseconds (1e11 s is the year 5138).
_MILLISECONDS_FROM = 1e11


def read_json(body: bytes) -> Any:
    """The body as JSON, made storable (see `storable`). A BOM is passed over. Raises only `Unreadable`."""
    mend = _may_need_mending(body)
    if not mend:
        try:
            return orjson.loads(body)  # several times faster, and stricter: what it refuses, the other may still read
        except orjson.JSONDecodeError:
            pass
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None)
        return storable(found) if mend else found
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON.") from None


def storable(value: Any, depth: int = 0) -> Any:
    """The same value as MongoDB and our own JSON can carry it.

    Lone surrogates become U+FFFD, NUL in keys too; integers beyond 64 bits become text, infinities None; what lies
    deeper than `MAX_DEPTH` is written out as text.
    """
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return _written_out(value)
    if isinstance(value, dict):
        return {_key(key): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return _big(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _may_need_mending(body: bytes) -> bool:
    """False when nothing in the bytes can become what `storable` mends: the usual case, and a few times faster."""
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH or _SUSPICIOUS.search(body) is not None


def mapping(value: Any) -> Json:
    """A JSON object; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A JSON array; an empty one for everything else."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """Text without NUL characters; None for empty text and for everything that is none."""
    return value.replace("\0", "") or None if isinstance(value, str) else None


def identifier(value: Any) -> str | None:
    """An id as text, whether it came as text or as a number; None for everything else."""
    if isinstance(value, bool):
        return None
    return str(value) if isinstance(value, int) else text(value)


def number(value: Any) -> float | None:
    """A finite number, also when it came as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def integer(value: Any) -> int | None:
    """A whole number, also when it came as text."""
    found = number(value)
    return None if found is None or found != int(found) else int(found)


def instant(value: Any) -> datetime | None:
    """Unix seconds or milliseconds (told apart by size) or ISO 8601 with a zone, as UTC; None for anything else."""
    stamp = number(value)
    if stamp is None:
        return _iso(value)
    seconds = stamp / 1000 if abs(stamp) > _MILLISECONDS_FROM else stamp
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def basic_auth(header: str | None) -> tuple[str, str] | None:
    """User and password of a basic `Authorization` header; None when it is none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic" or not encoded.isascii():
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(":")
    return (user, password) if colon else None


def _iso(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _clean(value: str) -> str:
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _key(key: Any) -> str:
    return _clean(str(key)).replace("\0", "\ufffd")


def _big(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python prints
        return hex(value)


def _written_out(value: Any) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "…"
