"""How Slack proves itself: HMAC-SHA256 over version, time and raw body; the same for events, buttons and commands.

https://docs.slack.dev/authentication/verifying-requests-from-slack (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from datetime import datetime

from base.signing import TOLERANCE_S, hmac_hex, same, within
from channels.adapter import Account, Delivery, Unverified

HEADER = "x-slack-signature"
TIME_HEADER = "x-slack-request-timestamp"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The header's value for these bytes at that time (Unix seconds as text)."""
    return "v0=" + hmac_hex(secret, b"v0:%s:%s" % (timestamp.encode(errors="replace"), body))


def verify_signature(account: Account, delivery: Delivery, now: datetime) -> None:
    """Return when one of the account's secrets (current or still rotating) signed body and a fresh time."""
    given, timestamp = delivery.header(HEADER), delivery.header(TIME_HEADER) or ""
    # Every secret is tried, so that the time taken does not tell which one was right.
    matches = [same(given, signature(secret, timestamp, delivery.body)) for secret in account.secrets("signing_secret")]
    if not (within(timestamp, now, TOLERANCE_S) and any(matches)):
        raise Unverified("The Slack signature is missing, wrong or too old.")
