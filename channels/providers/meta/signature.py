"""How every Meta webhook proves itself: the hub signature over the raw body, and the GET challenge before it.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started (read 2026-11-22). Meta signs no time, so a
replay is told by the ids inside alone. Bodies come with non-ASCII and slashes escaped; those very bytes are signed.
"""

from __future__ import annotations

from base.signing import hmac_hex, same
from channels.adapter import Account, Answer, Delivery, Unverified

HEADER = "x-hub-signature-256"


def hub_signature(secret: str, body: bytes) -> str:
    """The header's value for these bytes."""
    return f"sha256={hmac_hex(secret, body)}"


def verify_hub(account: Account, delivery: Delivery) -> None:
    """Return when one of the account's app secrets (current or still rotating) signed the raw body."""
    given = delivery.header(HEADER)
    # Every secret is tried, so that the time taken does not tell which one was right.
    matches = [same(given, hub_signature(secret, delivery.body)) for secret in account.secrets("app_secret")]
    if not any(matches):
        raise Unverified("The hub signature is missing or wrong.")


def answer_challenge(account: Account, delivery: Delivery) -> Answer | None:
    """Echo `hub.challenge` when the verify token is ours; None when this is no challenge at all."""
    if delivery.method != "GET" or "hub.mode" not in delivery.query:
        return None
    given = delivery.param("hub.verify_token")
    matches = [same(given, token) for token in account.secrets("verify_token")]
    if delivery.param("hub.mode") != "subscribe" or not any(matches):
        raise Unverified("The verify token is missing or wrong.")
    return Answer(body=(delivery.param("hub.challenge") or "").encode(errors="replace"))
