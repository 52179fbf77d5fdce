"""Credentials at rest: encrypted, bound to where they belong, with keys that can be rotated."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from base.errors import Misconfigured, RapportError

_NONCE = 12


class SecretLost(RapportError):
    """The ciphertext cannot be opened with any key we have; the credential has to be entered again."""

    code = "secret_lost"


class SecretBox:
    """Seals with the first key, opens with any. A token reads `v1.<key id>.<base64>`."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: base64 of 32 random bytes each, newest first (see `new_key`)."""
        if not keys:
            raise Misconfigured("RAPPORT_SECRET_KEYS is empty. Make a key with: rapport key new")
        self._ciphers = {}
        for text in keys:
            raw = _decode(text)
            self._ciphers[hashlib.sha256(raw).hexdigest()[:8]] = AESGCM(raw)
        self._newest = next(iter(self._ciphers))
        self._signing = hashlib.sha256(b"rapport signing" + _decode(keys[-1])).digest()

    @staticmethod
    def new_key() -> str:
        """A fresh key as text."""
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys by the first letters of their hash, newest first; says nothing of the keys themselves."""
        return tuple(self._ciphers)

    @property
    def signing_key(self) -> bytes:
        """For links and reply addresses. Derived from the *oldest* key, so that rotation keeps them alive."""
        return self._signing

    def seal(self, plain: str, context: str) -> str:
        """Encrypt; `context` (for example `chn_…:app_secret`) is authenticated, so a token can't be moved elsewhere."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._newest].encrypt(nonce, plain.encode(), context.encode())
        return f"v1.{self._newest}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, token: str, context: str) -> str:
        """The reverse of `seal`. Raises `SecretLost`."""
        try:
            version, key_id, text = token.split(".")
            raw = base64.urlsafe_b64decode(text)
            if version != "v1":
                raise ValueError(version)
            return self._ciphers[key_id].decrypt(raw[:_NONCE], raw[_NONCE:], context.encode()).decode()
        except (ValueError, KeyError, InvalidTag):
            raise SecretLost(
                "A stored credential cannot be decrypted with the keys in RAPPORT_SECRET_KEYS. Bring the old key "
                "back, or enter the credential again."
            ) from None


def _decode(text: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text.strip())
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise Misconfigured(
            "RAPPORT_SECRET_KEYS holds a key that is not base64 of 32 bytes. rapport key new makes one."
        )
    return raw
