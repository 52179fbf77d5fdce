"""What calls to mail providers share: basic authentication both ways, what a lost answer means, how long to wait."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from base.http import HttpFailed
from channels.capabilities import MediaLimit
from channels.failures import Failure, SendFailed
from channels.vocabulary import AttachmentKind

#: What a status says where the provider's own code says nothing.
STATUSES = {
    400: Failure.CONTENT_REJECTED,
    401: Failure.ACCOUNT_PROBLEM,
    402: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM,
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
    504: Failure.UNCERTAIN,  # a gateway gave up waiting; what stands behind it may have sent the mail
}


def lost(error: HttpFailed) -> SendFailed:
    """No whole answer came: what may be tried again, and what may have been carried out."""
    if error.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(error))
    return SendFailed(Failure.UNCERTAIN if error.sent else Failure.TEMPORARY, str(error))


def failure_of_answer(status: int) -> Failure:
    """Why a provider refused, as far as its HTTP status tells."""
    return STATUSES.get(status, Failure.TEMPORARY if status >= 500 else Failure.UNKNOWN)


def wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; None when there is none, or a date."""
    given = headers.get("retry-after", "")
    return float(given) if given.isdecimal() and len(given) < 7 else None


def basic(user: str, password: str) -> str:
    """The value of an authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def credentials(header: str | None) -> tuple[str | None, str | None]:
    """User and password of a basic authorization header; None for both when it is none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic" or not encoded.isascii():
        return None, None
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None, None
    user, colon, password = decoded.partition(":")
    return (user, password) if colon else (None, None)


def files_up_to(max_bytes: int) -> tuple[MediaLimit, ...]:
    """Every kind of file but stickers, which no mail has."""
    kinds = (kind for kind in AttachmentKind if kind is not AttachmentKind.STICKER)
    return tuple(MediaLimit(kind=kind, max_bytes=max_bytes) for kind in kinds)
