"""Web push as bytes: a message for one browser, and the word by which a push service knows who sends it. Pure.

RFC 8291 (message encryption, aes128gcm of RFC 8188) and RFC 8292 (VAPID), read 2026-11-29:
https://www.rfc-editor.org/rfc/rfc8291, https://www.rfc-editor.org/rfc/rfc8292
"""

from __future__ import annotations

import base64
import binascii
import os
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CURVE = ec.SECP256R1()
#: Bytes of an uncompressed point, of the secret a browser shares with us, and of one record, which is all we send.
POINT, AUTH, RECORD = 65, 16, 4096
#: Plain bytes that fit: services need not take more than 4096 in all (RFC 8030, 7.2).
PLAIN_MAX = RECORD - 16 - 1 - (16 + 4 + 1 + POINT)
#: A day at most (RFC 8292, 2).
VALID_FOR = timedelta(hours=12)


def encoded(raw: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The reverse. Raises ValueError."""
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error as error:
        raise ValueError("is no base64") from error


def point_of(raw: bytes) -> ec.EllipticCurvePublicKey:
    """A public key. Raises ValueError for what is no point of the curve."""
    if len(raw) != POINT:
        raise ValueError("is no key of a browser")
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, raw)


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The point that belongs to a private key."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def private_of(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    """A private key from its 32 bytes."""
    return ec.derive_private_key(int.from_bytes(scalar, "big"), CURVE)


def scalar_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The 32 bytes of a private key."""
    return key.private_numbers().private_value.to_bytes(32, "big")


def encrypted(
    plain: bytes, browser: bytes, auth: bytes, *, key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:  # fmt: skip
    """The body of a push: only the browser with this key can read it. `key`, `salt`: fresh ones, unless given.

    Raises ValueError for a plain text that does not fit.
    """
    if len(plain) > PLAIN_MAX:
        raise ValueError(f"is longer than {PLAIN_MAX} bytes")
    key, salt = key or ec.generate_private_key(CURVE), salt or os.urandom(16)
    ours = public_bytes(key)
    shared = key.exchange(ec.ECDH(), point_of(browser))
    cipher, nonce = content_keys(shared, auth, browser, ours, salt)
    head = salt + RECORD.to_bytes(4, "big") + bytes([len(ours)]) + ours
    return head + AESGCM(cipher).encrypt(nonce, plain + b"\x02", None)


def content_keys(shared: bytes, auth: bytes, browser: bytes, server: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """(key, nonce) of the one record, as both ends derive them (RFC 8291, 3.4)."""
    material = _derived(auth, shared, b"WebPush: info\x00" + browser + server, 32)
    cipher = _derived(salt, material, b"Content-Encoding: aes128gcm\x00", 16)
    return cipher, _derived(salt, material, b"Content-Encoding: nonce\x00", 12)


def authorization(endpoint: str, key: ec.EllipticCurvePrivateKey, contact: str, now: datetime) -> str:
    """The header by which the push service of this endpoint knows us. `contact`: https: or mailto:."""
    parts = urlsplit(endpoint)
    claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int((now + VALID_FOR).timestamp()), "sub": contact}
    return f"vapid t={jwt.encode(claims, key, algorithm='ES256')}, k={encoded(public_bytes(key))}"


def _derived(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(material)
