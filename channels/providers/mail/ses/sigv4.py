"""Amazon's request signature, version 4, over HMAC: the four lines of it that we need.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (read 2026-11-28).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Signer:
    """A key pair of Amazon's and what it is used for."""

    key_id: str
    secret: str = field(repr=False)
    region: str
    service: str

    def headers(
        self, method: str, url: str, body: bytes, at: datetime, extra: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """`extra` with the host's time and the signature added: everything but Host, which the client sends."""
        stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(url)
        signed = {name.lower(): " ".join(value.split()) for name, value in (extra or {}).items()}
        signed |= {"host": parts.netloc, "x-amz-date": stamp}
        names = ";".join(sorted(signed))
        request = "\n".join((
            method, quote(parts.path or "/", safe="/-_.~%"), _canonical_query(parts.query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, self.digest(body),
        ))  # fmt: skip
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = _hmac(self._key(stamp[:8]), f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}").hex()
        proof = f"{_ALGORITHM} Credential={self.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**(extra or {}), "X-Amz-Date": stamp, "Authorization": proof}

    @staticmethod
    def digest(body: bytes) -> str:
        """Hash of a body, as S3 wants it in a header of its own."""
        return hashlib.sha256(body).hexdigest()

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        return key


def _canonical_query(query: str) -> str:
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
