"""DKIM (RFC 6376): our own signature under a mail, for who sends without a relay that signs.

Only signing, with `rsa-sha256` and relaxed canonicalization of both parts: what every receiver checks. The header
fields by which a person leaves a list are signed as RFC 8058 asks, and From once more than it stands, so that nobody
adds one. The key is made here and leaves the house only as the record for the DNS.

RFC 6376 and RFC 8301 (read 2026-11-28).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

KEY_BITS = 2048
#: Fields that are signed where they stand, in this order.
SIGNED = (
    "From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "List-Id",
    "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
)  # fmt: skip
_SPACE = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_BEFORE_END = re.compile(rb"[ \t]+\r\n")
SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Signer:
    """Whose signature it is. `key`: as `new_key` makes it, or PEM."""

    domain: str
    selector: str
    key: str

    @property
    def record_name(self) -> str:
        """Where the DNS holds the record."""
        return f"{self.selector}._domainkey.{self.domain}"


def new_key() -> str:
    """A private key on one line (PKCS 8, base64). Slow: about half a second."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    der = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()


def record_of(key: str) -> str:
    """The text that the DNS has to hold for it. Raises `ValueError` for what is no RSA key."""
    public = _opened(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def signed(mail: bytes, signer: Signer, at: datetime) -> bytes:
    """The mail with the signature before it. Raises `ValueError` for what is no RSA key."""
    head, _, body = mail.partition(b"\r\n\r\n")
    fields = _fields(head + b"\r\n")
    names = [name for name in SIGNED if name.lower().encode() in fields]
    digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
    listed = ":".join([name.lower() for name in names] + ["from"])
    tags = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={signer.domain}; s={signer.selector};\r\n\tt={int(at.timestamp())};"
        f" bh={digest};\r\n\th={_folded(listed)};\r\n\tb="
    )
    lines = b"".join(_relaxed(fields[name.lower().encode()]) + b"\r\n" for name in names)
    own = f"DKIM-Signature: {tags}".encode()
    signature = _opened(signer.key).sign(lines + _relaxed(own), padding.PKCS1v15(), hashes.SHA256())
    text = base64.b64encode(signature).decode()
    cut = "\r\n\t ".join(text[start : start + 70] for start in range(0, len(text), 70))
    return own + cut.encode() + b"\r\n" + mail


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Name in small letters → the whole field as it stands. Of several the last one, which is what is signed first."""
    found: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b"\x00", head).split(b"\r\n"):
        name, colon, _ = line.partition(b":")
        if colon:
            found[name.strip().lower()] = line.replace(b"\x00", b"\r\n")
    return found


def _relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip()


def _relaxed_body(body: bytes) -> bytes:
    lines = _SPACE.sub(b" ", _BEFORE_END.sub(b"\r\n", body + b"\r\n"))
    kept = lines.rstrip(b"\r\n")
    return kept + b"\r\n" if kept else b""


def _folded(listed: str) -> str:
    lines, current = [], ""
    for name in listed.split(":"):
        if current and len(current) + len(name) > 60:
            lines.append(current)
            current = ""
        current += f"{':' if current or lines else ''}{name}"
    return "\r\n\t ".join([*lines, current])


@lru_cache(maxsize=64)
def _opened(key: str) -> rsa.RSAPrivateKey:
    text = key.strip()
    try:
        if "-----BEGIN" in text:
            made = load_pem_private_key(_on_lines(text), None)
        else:
            made = load_der_private_key(base64.b64decode("".join(text.split()), validate=True), None)
    except (ValueError, TypeError, binascii.Error):
        raise ValueError("That is no private key without a password, in the form PEM or base64.") from None
    if not isinstance(made, rsa.RSAPrivateKey) or made.key_size < 1024:
        raise ValueError("The signature wants an RSA key of at least 1024 bits.")
    return made


def _on_lines(pem: str) -> bytes:
    """A key pasted into one line has lost its line breaks."""
    begin, _, rest = pem.partition("KEY-----")
    body, _, _ = rest.partition("-----END")
    kind = begin.rpartition("-----BEGIN")[2]
    return f"-----BEGIN{kind}KEY-----\n{''.join(body.split())}\n-----END{kind}KEY-----\n".encode()
