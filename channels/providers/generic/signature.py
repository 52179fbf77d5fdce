"""The two ways in which a generic channel signs, in both directions.

Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature` (base.signing). Stripe style:
`Stripe-Signature: t=seconds,v1=hex[,v1=hex…]`, HMAC-SHA256 of `t.body` under the secret as it is written
(https://docs.stripe.com/webhooks#verify-manually, read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from base.signing import TOLERANCE_S, hmac_hex, same, standard_headers, verify_standard, within
from channels.adapter import Delivery

#: One signature per secret in rotation; more would only make us work.
_MAX_PARTS = 20


def is_standard(delivery: Delivery, secrets: Iterable[str], now: datetime) -> bool:
    """True when the three Standard Webhooks headers prove the body."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    message_id, stamp, signature = (delivery.header(name) for name in names)
    return verify_standard(secrets, message_id, stamp, signature, delivery.body, now)


def is_stripe(delivery: Delivery, secrets: Iterable[str], now: datetime) -> bool:
    """True when any `v1` is right under any secret and `t`, which must stand there once, is within 300 s of now."""
    parts = [part.partition("=") for part in (delivery.header("stripe-signature") or "").split(",")[:_MAX_PARTS]]
    stamps = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"]
    if len(stamps) != 1 or not stamps[0].isdecimal() or not within(stamps[0], now, TOLERANCE_S):
        return False
    expected = [_stripe(secret, stamps[0], delivery.body) for secret in secrets if secret]
    return sum(same(value, right) for value in given for right in expected) > 0


def signed_headers(scheme: str, secret: str, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of an outgoing body. The id and the time stand beside either kind of signature."""
    if scheme != "stripe":
        return standard_headers([secret], message_id, now, body)
    stamp = str(int(now.timestamp()))
    signature = f"t={stamp},v1={_stripe(secret, stamp, body)}"
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "Stripe-Signature": signature}


def _stripe(secret: str, stamp: str, body: bytes) -> str:
    return hmac_hex(secret, stamp.encode() + b"." + body)
