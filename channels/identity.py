"""Is a visitor who the page says they are? The operator's server signed it, or nothing is believed. Pure.

`hash` is HMAC-SHA256 of the user id under the identity secret, lower-case hex. It says nothing of the mail address that
comes beside it: that is believed when the user id *is* the address, or when `email_hash` signs it in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from base.signing import hmac_hex, same
from channels.reading import Json, identifier, text

#: Longer ids are nobody's.
USER_ID_MAX = 200


@dataclass(frozen=True)
class Proved:
    """A customer of the operator's. `email` only where it was signed as well."""

    customer_id: str
    email: str | None = None


def proved(claim: Json, secrets: Iterable[str]) -> Proved | None:
    """What of a page's claim holds under any of `secrets` (current and former); None: an anonymous visitor."""
    user_id, keys = identifier(claim.get("user_id")), tuple(secrets)
    if user_id is None or len(user_id) > USER_ID_MAX or not user_id.strip():
        return None
    if not _signed(claim.get("hash"), user_id, keys):
        return None
    email = text(claim.get("email"))
    sure = email is not None and (email == user_id or _signed(claim.get("email_hash"), email, keys))
    return Proved(user_id, email if sure else None)


def _signed(given: object, value: str, keys: tuple[str, ...]) -> bool:
    if not isinstance(given, str):
        return False
    data = value.encode("utf-8", "surrogatepass")
    # All keys are compared, so that the time taken does not tell which was right.
    return sum(same(given, hmac_hex(key, data)) for key in keys if key) > 0
