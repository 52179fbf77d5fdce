"""What the widget's door puts into the journal: one line of JSON, and behind it the bytes of a file. Pure.

Kinds: `message` (also a pressed button), `reaction`, `receipt`, `seen` (a visitor has proved who they are).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.reading import Json, identifier, items, mapping, read_json

#: The method of a delivery that the widget's own door made. No HTTP request has it.
WIDGET = "WIDGET"


def sealed(head: Mapping[str, Any], file: bytes | None = None) -> bytes:
    """The body of a delivery."""
    line = orjson.dumps(dict(head))
    return line if file is None else line + b"\n" + file


def opened(body: bytes) -> tuple[Json, bytes | None]:
    """The reverse. Raises `Unreadable`."""
    line, cut, file = body.partition(b"\n")
    head = read_json(line)
    if not isinstance(head, dict):
        raise Unreadable("The first line is no JSON object.")
    return head, file if cut else None


def key_of(delivery: Delivery) -> str | None:
    """What makes a delivery unique: the visitor and the key their browser made; None where there is neither."""
    try:
        head, _ = opened(delivery.body)
    except Unreadable:
        return None
    visitor, kind = identifier(head.get("visitor")), head.get("kind")
    if visitor is None:
        return None
    if kind == "receipt":
        keys = sorted(str(each) for each in items(head.get("keys")))
        return f"{visitor}:{head.get('status')}:{unique_key(*keys)}"
    if kind == "seen":
        known = mapping(head.get("person")).get("customer_id")
        return f"{visitor}:seen:{unique_key(head.get('former'), head.get('alias'), known)}"
    key = identifier(head.get("key"))
    return f"{visitor}:{key}" if key is not None else None
