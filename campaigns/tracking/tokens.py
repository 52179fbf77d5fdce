"""The token in a tracked link: 44 letters that name the send and the link, and that nobody else can make. Pure.

Raw: a version in 1 byte, 16 of the send's id, 8 of the link's id, 8 of a mark (HMAC-SHA-256, cut). Who guesses a mark,
in 2^63 calls, is led to a target that we have sent to somebody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from base.ids import packed_id, unpacked_id

Way = Literal["link", "pixel"]
PATHS: dict[Way, str] = {"link": "/c/", "pixel": "/o/"}
#: Link ids that stand for no target: the picture, and a link that no person can see.
PIXEL, HONEYPOT = "0" * 16, "0" * 15 + "1"
_VERSION, _ID, _LINK, _MARK = b"\x01", 16, 8, 8


@dataclass(frozen=True)
class TrackedLink:
    """What a token stands for. `link_id`: 16 hex digits."""

    send_id: str
    link_id: str


class TrackedLinks:
    """Signs with the first key, reads with any."""

    def __init__(self, keys: Sequence[bytes], base_url: str) -> None:
        """`base_url`: the public address of the deployment, without a slash at the end."""
        self._keys = [hashlib.sha256(b"rapport tracked links" + key).digest() for key in keys]
        self.base_url = base_url

    def url(self, way: Way, link: TrackedLink) -> str:
        """Where it leads, in full."""
        return f"{self.base_url}{PATHS[way]}{self.token(link)}"

    def token(self, link: TrackedLink) -> str:
        """The opaque part: letters, digits, `-` and `_`; the same link is the same token for ever."""
        plain = _VERSION + packed_id(link.send_id) + bytes.fromhex(link.link_id)
        return base64.urlsafe_b64encode(plain + _mark(self._keys[0], plain)).decode()

    def read(self, token: str) -> TrackedLink | None:
        """What it stands for; None when it is none of ours."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        plain, mark = raw[:-_MARK], raw[-_MARK:]
        if len(raw) != 1 + _ID + _LINK + _MARK or plain[:1] != _VERSION:
            return None
        if not any(hmac.compare_digest(_mark(key, plain), mark) for key in self._keys):
            return None
        return TrackedLink(unpacked_id("snd", plain[1 : 1 + _ID]), plain[-_LINK:].hex())


def link_id_of(source_id: str, url: str) -> str:
    """The id of a target: the same for all who get it from one journey or broadcast."""
    found = hashlib.sha256(f"{source_id}\x1f{url}".encode()).hexdigest()[: 2 * _LINK]
    return found if found not in (PIXEL, HONEYPOT) else "f" * (2 * _LINK)


def _mark(key: bytes, plain: bytes) -> bytes:
    return hmac.new(key, plain, hashlib.sha256).digest()[:_MARK]
