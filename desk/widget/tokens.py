"""Which visitor a browser is: an opaque id under the deployment's own signature, bound to one channel. Pure.

The id of an unknown visitor is chance and lives as long as the browser keeps its token. That of a known customer
follows from the customer's id, so all their devices share it; its token ends after a day, and every window has to
prove anew who it is.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from base.signing import hmac_hex, same
from channels.providers.webchat.parse import ANONYMOUS, IDENTIFIED, visitor_of
from channels.reading import identifier, integer, items, mapping

#: Seconds for which a token of a known customer counts.
IDENTIFIED_S = 24 * 3600
_TOKEN_MAX = 2000
_MAC_LENGTH = 40
_ID = re.compile(r"[uv]_[0-9a-z]{16,64}", re.ASCII)


@dataclass(frozen=True)
class Visitor:
    """`id`: the address on the channel. `former`: ids whose thread the same browser may read, too."""

    id: str
    customer_id: str | None = None
    former: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, the one messages are written under first."""
        return (self.id, *self.former)

    @property
    def identified(self) -> bool:
        """Whether the operator's server said who it is."""
        return self.id.startswith(IDENTIFIED)


def somebody_new() -> Visitor:
    """A visitor nobody has seen before."""
    return Visitor(ANONYMOUS + secrets.token_hex(16))


def customer(channel_id: str, customer_id: str, former: tuple[str, ...] = ()) -> Visitor:
    """The visitor that a known customer is, on whatever device."""
    return Visitor(visitor_of(channel_id, customer_id), customer_id, former)


def make_token(key: str | bytes, channel_id: str, visitor: Visitor, now: datetime) -> str:
    """Letters, digits, `-`, `_` and one dot."""
    told = {"c": channel_id, "v": visitor.id, "t": int(now.timestamp())}
    if visitor.customer_id is not None:
        told["u"] = visitor.customer_id
    if visitor.former:
        told["w"] = list(visitor.former)
    body = base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")
    return f"{body}.{_mac(key, body)}"


def read_token(keys: Sequence[str | bytes], channel_id: str, token: object, now: datetime) -> Visitor | None:
    """The visitor, when any of `keys` made the token for this channel and it has not ended; else None."""
    if not isinstance(token, str) or len(token) > _TOKEN_MAX or not token.isascii():
        return None
    body, _, mac = token.rpartition(".")
    if not any(same(mac, _mac(key, body)) for key in keys):
        return None
    try:
        told = mapping(orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    except (ValueError, binascii.Error):
        return None
    visitor, made = identifier(told.get("v")) or "", integer(told.get("t")) or 0
    if told.get("c") != channel_id or not _ID.fullmatch(visitor):
        return None
    if visitor.startswith(IDENTIFIED) and now.timestamp() - made > IDENTIFIED_S:
        return None
    former = tuple(str(each) for each in items(told.get("w")))
    return Visitor(visitor, identifier(told.get("u")), former)


def _mac(key: str | bytes, body: str) -> str:
    return hmac_hex(key, b"rapport web chat visitor\x1f" + body.encode())[:_MAC_LENGTH]
