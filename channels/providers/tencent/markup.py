"""Tencent's XML as JSON-like values. No DTD, no entities, nothing fetched; odd text is `Unreadable` and nothing else.

A child that comes more than once becomes a list; the text of a leaf stays as it is; attributes mean nothing here.
"""

from __future__ import annotations

from typing import Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from channels.adapter import Unreadable
from channels.reading import MAX_DEPTH, Json, mapping, read_json, storable, text


def read_fields(body: bytes) -> Json:
    """The fields of a message, XML or (some apps of WeCom) JSON. Raises only `Unreadable`."""
    stripped = body.removeprefix(b"\xef\xbb\xbf").strip()
    if stripped.startswith(b"{"):
        return mapping(read_json(stripped))
    try:
        root = ElementTree.fromstring(stripped, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        raise Unreadable("The message is neither XML nor JSON, or holds a document type.") from None
    return mapping(storable(_value(root, 0)))


def _value(element: Any, depth: int) -> Any:
    if len(element) == 0:
        return element.text or ""
    if depth >= MAX_DEPTH:
        return "…"
    found: Json = {}
    for child in element:
        value = _value(child, depth + 1)
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    return found


def word(value: Any) -> str | None:
    """An id, name or number without the white space around it; None for everything that is no text."""
    return text(value.strip()) if isinstance(value, str) else str(value) if _is_number(value) else None


def listed(value: Any) -> list[Any]:
    """What comes once or several times, as a list."""
    if isinstance(value, list):
        return value
    return [] if value in (None, "") else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
