"""Tencent's message encryption and its signature: AES-256-CBC, padded to 32 bytes, and SHA-1 over sorted words. Pure.

https://developer.work.weixin.qq.com/document/path/90968 and
https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Technical_Plan.html
(by the platform facts of 2026-11-28). The same scheme serves Official Accounts in safe mode and WeCom.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32
_RANDOM = 16
_LENGTH = 4
_KEY_CHARACTERS = 43


class Undecipherable(ValueError):
    """The bytes are not what this key encrypted."""


def signature(token: str, *words: str) -> str:
    """Lower-case hex SHA-1 of token, time, nonce and cipher text, sorted and joined."""
    joined = "".join(sorted((token, *words)))
    return hashlib.sha1(joined.encode(errors="surrogatepass")).hexdigest()  # noqa: S324 - Tencent's choice


def key_of(encoding_aes_key: str) -> bytes:
    """The 32 bytes behind the 43 characters of the console. Raises `Undecipherable` for anything else."""
    if len(encoding_aes_key) != _KEY_CHARACTERS or not encoding_aes_key.isascii():
        raise Undecipherable("an EncodingAESKey has 43 letters and digits")
    try:
        return base64.b64decode(encoding_aes_key + "=", validate=True)
    except (binascii.Error, ValueError):
        raise Undecipherable("an EncodingAESKey has 43 letters and digits") from None


def decrypt(encoding_aes_key: str, cipher_text: str) -> tuple[bytes, str]:
    """(message, id of whom it is for) of a base64 cipher text. Raises `Undecipherable`, nothing else."""
    key = key_of(encoding_aes_key)
    try:
        sealed = base64.b64decode(cipher_text, validate=True)
    except (binascii.Error, ValueError):
        raise Undecipherable("no base64") from None
    if not sealed or len(sealed) % 16:
        raise Undecipherable("no whole blocks")
    try:
        opener = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        return _unpacked(_unpadded(opener.update(sealed) + opener.finalize()))
    except ValueError:
        raise Undecipherable("another key, or damaged") from None


def encrypt(encoding_aes_key: str, message: bytes, receive_id: str, *, random: bytes | None = None) -> str:
    """The base64 cipher text of `message` for `receive_id`. `random`: 16 bytes, for vectors; else fresh ones."""
    key = key_of(encoding_aes_key)
    packed = (random or os.urandom(_RANDOM)) + len(message).to_bytes(_LENGTH, "big") + message + receive_id.encode()
    missing = _BLOCK - len(packed) % _BLOCK
    sealer = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(sealer.update(packed + bytes([missing]) * missing) + sealer.finalize()).decode()


def _unpadded(padded: bytes) -> bytes:
    missing = padded[-1]
    if not 1 <= missing <= _BLOCK or padded[-missing:] != bytes([missing]) * missing:
        raise Undecipherable("padding")
    return padded[:-missing]


def _unpacked(packed: bytes) -> tuple[bytes, str]:
    start = _RANDOM + _LENGTH
    end = start + int.from_bytes(packed[_RANDOM:start], "big")
    if len(packed) < start or end > len(packed):
        raise Undecipherable("length")
    return packed[start:end], packed[end:].decode()
