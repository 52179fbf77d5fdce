"""The signed part of a mail's reply address (`reply+<token>@…`): whoever holds it was written to by us.

Lower-case letters and digits only and short, because gateways fold the case of addresses and a local part may have
64 characters. A token is worth as much as the mail it stands in: it leads into one conversation and nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from base.ids import is_id
from base.signing import hmac_hex, same

_ID_LENGTH = 26
#: 80 bits in base32: every character fewer leaves room for a longer mailbox name.
_MAC_LENGTH = 16


def make_reply_token(key: str | bytes, conversation_id: str) -> str:
    """42 characters; always the same for the same conversation and key."""
    tail = conversation_id.removeprefix("cnv_")
    return tail + _mac(key, tail)


def verify_reply_token(keys: Sequence[str | bytes], token: str | None) -> str | None:
    """The conversation id, when any of `keys` (newest first, old ones during rotation) made the token; else None."""
    if not token or len(token) != _ID_LENGTH + _MAC_LENGTH or not token.isascii():
        return None
    tail, mac = token[:_ID_LENGTH].lower(), token[_ID_LENGTH:].lower()
    if not is_id(f"cnv_{tail}", "cnv"):
        return None
    return f"cnv_{tail}" if any(same(mac, _mac(key, tail)) for key in keys) else None


def _mac(key: str | bytes, tail: str) -> str:
    digest = bytes.fromhex(hmac_hex(key, b"rapport reply address\x1f" + tail.encode()))
    return base64.b32encode(digest[:10]).decode().lower()
