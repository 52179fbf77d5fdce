"""The links by which people say no, choose and confirm without signing in: sealed, without an address in them. Pure.

A token is sealed by AES-SIV (RFC 5297): nobody can read, change or guess it, and the same link is the same token for
ever. It is good as long as the key it was sealed with is kept (`SecretBox.signing_key` outlives rotation). What it may
do is bound into it, so an unsubscribe link opens no preference centre. Whether a confirmation is still in time is read
from the ledger.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from base.ids import packed_id, unpacked_id

Kind = Literal["unsubscribe", "preferences", "confirm", "view", "rate"]
#: The path in front of each token, below the address of the deployment.
PATHS: dict[Kind, str] = {
    "unsubscribe": "/u/", "preferences": "/p/", "confirm": "/confirm/", "view": "/v/", "rate": "/r/",
}  # fmt: skip
#: What `about` names: the send that carried the link; of a confirmation the act it confirms, of a rating its row.
_ABOUT: dict[Kind, Literal["snd", "log", "rat"]] = {
    "unsubscribe": "snd", "preferences": "snd", "confirm": "log", "view": "snd", "rate": "rat",
}  # fmt: skip
_VERSION = b"\x01"
_ID_BYTES = 16


@dataclass(frozen=True)
class ConsentLink:
    """What a token stands for: one address of one person, a purpose, and the send or act it came with."""

    kind: Kind
    identity_id: str
    purpose: str = ""
    about: str | None = None


class ConsentLinks:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Sequence[bytes], base_url: str) -> None:
        """`base_url`: the public address of the deployment, without a slash at the end."""
        self._ciphers = [AESSIV(hashlib.sha512(b"rapport consent links" + key).digest()) for key in keys]
        self._base_url = base_url

    def url(self, link: ConsentLink) -> str:
        """Where it leads, in full."""
        return f"{self._base_url}{PATHS[link.kind]}{self.token(link)}"

    def token(self, link: ConsentLink) -> str:
        """The opaque part: letters, digits, `-` and `_`."""
        about = packed_id(link.about) if link.about else b""
        plain = packed_id(link.identity_id) + bytes([len(about)]) + about + link.purpose.encode()
        sealed = self._ciphers[0].encrypt(plain, [_VERSION, link.kind.encode()])
        return base64.urlsafe_b64encode(_VERSION + sealed).decode().rstrip("=")

    def open(self, kind: Kind, token: str) -> ConsentLink | None:
        """What it stands for; None when it is none of ours, or for something else."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if raw[:1] != _VERSION:
            return None
        for cipher in self._ciphers:
            try:
                return _read(kind, cipher.decrypt(raw[1:], [_VERSION, kind.encode()]))
            except InvalidTag:
                continue
        return None


def _read(kind: Kind, plain: bytes) -> ConsentLink:
    identity, rest = plain[:_ID_BYTES], plain[_ID_BYTES + 1 :]
    length = plain[_ID_BYTES]
    about = unpacked_id(_ABOUT[kind], rest[:length]) if length else None
    return ConsentLink(kind, unpacked_id("idn", identity), rest[length:].decode(), about)
