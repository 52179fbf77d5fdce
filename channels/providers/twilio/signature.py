"""How Twilio proves itself: HMAC-SHA1 over the address it was told to post to and over every parameter.

https://www.twilio.com/docs/usage/webhooks/webhooks-security (read 2026-11-28). Twilio signs no time: a replay is told
by the ids inside. The address is rebuilt from our own settings, never from what the request says of itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit, urlunsplit

from base.signing import hmac_b64, same
from channels.adapter import Account, Delivery, Unverified

HEADER = "x-twilio-signature"
#: Query parameter that stands for a body which is no form: hex SHA-256 of its bytes.
BODY_HASH = "bodySHA256"
_PORTS = {"https": 443, "http": 80}

Pairs = list[tuple[str, str]]


def webhook_url(account: Account) -> str:
    """The public address of this account's webhook, without a query."""
    own: str = account.settings.webhook_url
    return own or f"{account.base_url}/webhooks/{account.provider}/{account.channel_id}"


def form_pairs(body: bytes) -> Pairs:
    """The parameters of a form body. Bytes that are no UTF-8 stay apart from each other (surrogate escapes)."""
    return parse_qsl(body.decode(errors="surrogateescape"), keep_blank_values=True, errors="surrogateescape")


def signature(token: str, url: str, pairs: Iterable[tuple[str, str]] = ()) -> str:
    """The header's value: names sorted, each followed by its values, every one of them once."""
    signed = url + "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
    return hmac_b64(token, signed.encode(errors="surrogateescape"), "sha1")


def signed_urls(account: Account, delivery: Delivery) -> tuple[str, ...]:
    """The address with this request's query: as configured, with the port written out, and without any."""
    parts = urlsplit(webhook_url(account))
    port = _port(parts)
    query = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, found in delivery.query.items() for value in found)
    host = parts.netloc.removesuffix(f":{port}") if port else parts.netloc
    hosts = (parts.netloc, f"{host}:{port or _PORTS.get(parts.scheme, 443)}", host)
    return tuple(urlunsplit((parts.scheme, each, parts.path, query, "")) for each in dict.fromkeys(hosts))


def verify_signature(account: Account, delivery: Delivery) -> None:
    """Return when one of the account's tokens (current or still rotating) signed address and body."""
    given = delivery.header(HEADER)
    hashed = BODY_HASH in delivery.query
    body_is_right = not hashed or same(delivery.param(BODY_HASH), hashlib.sha256(delivery.body).hexdigest())
    pairs = [] if hashed else form_pairs(delivery.body)
    # Every token and every form of the address is tried, so that the time taken does not tell which one was right.
    matches = [
        same(given, signature(token, url, pairs))
        for token in account.secrets("auth_token")
        for url in signed_urls(account, delivery)
    ]
    if not (any(matches) and body_is_right):
        raise Unverified("The Twilio signature is missing or wrong.")


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # an address of ours with a port that is none; no signature will fit it
        return None


def _escaped(value: str) -> str:
    return quote(value, safe="", errors="replace")
