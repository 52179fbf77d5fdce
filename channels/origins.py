"""Which web pages may show the chat: exact origins, and all hosts below a domain. Pure.

An origin is scheme, host and port (RFC 6454, section 6.2), as browsers write it: lower case, IDNA, no default port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*|\[[0-9a-f:.]+\]"
)
_EXAMPLE = "https://www.example.com, or https://*.example.com for all hosts below it"
WILDCARD = "*."


def normal_origin(text: str) -> str:
    """A configured origin in the form browsers send; `https://*.example.com` keeps its star. Raises `ValueError`."""
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").removeprefix(WILDCARD), parts.port
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no web address; write {_EXAMPLE}.") from None
    beyond = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in _PORTS or not host or "*" in host or beyond:
        raise ValueError(f"{text[:80]!r} is not scheme and host alone; write {_EXAMPLE}.")
    sent = _as_sent(host)
    starred = (parts.hostname or "").startswith(WILDCARD)
    if sent is None or (starred and "." not in sent):
        raise ValueError(f"{text[:80]!r} has no host that a browser could be on; write {_EXAMPLE}.")
    shown_port = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{WILDCARD if starred else ''}{sent}{shown_port}"


def is_allowed(origin: str | None, allowed: Iterable[str]) -> bool:
    """True when a browser's `Origin` is one of them. Never for a missing one or `null`; nothing allowed, nobody in."""
    if not origin or len(origin) > 300 or not origin.isascii():
        return False
    return any(_matches(origin, each) for each in allowed)


def _matches(origin: str, allowed: str) -> bool:
    before, star, after = allowed.partition(WILDCARD)
    if not star:
        return origin == allowed
    below = origin.removeprefix(before).removesuffix(f".{after}")
    framed = origin.startswith(before) and origin.endswith(f".{after}") and len(origin) > len(before) + len(after) + 1
    return framed and _HOST.fullmatch(below) is not None and not below.startswith("[")


def _as_sent(host: str) -> str | None:
    if ":" in host:
        host = f"[{host}]"
    try:
        sent = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return None
    return sent if _HOST.fullmatch(sent) and len(sent) <= 253 else None
