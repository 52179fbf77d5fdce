"""Links that open exactly one file, without signing in, until they expire: for providers that fetch what we send. Pure.

The token names the file and its end, both under our signature; whoever has it may read that file and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from base.ids import is_id
from base.signing import hmac_hex, same

#: Long enough for a provider that hands the link to its own apps.
LIVES = timedelta(hours=24)
_TOKEN_MAX = 120
#: 128 bits.
_MAC_LENGTH = 32


def make_link(key: str | bytes, file_id: str, now: datetime, lives: timedelta = LIVES) -> str:
    """A token of letters, digits and dots, another one each time."""
    signed = f"{file_id.removeprefix('fil_')}.{int((now + lives).timestamp()):x}.{secrets.token_hex(8)}"
    return f"{signed}.{_mac(key, signed)}"


def read_link(keys: Sequence[str | bytes], token: str, now: datetime) -> str | None:
    """The file it opens, when any of `keys` made it and it has not expired; else None."""
    signed, _, mac = token.rpartition(".") if len(token) <= _TOKEN_MAX else ("", "", "")
    matches = [same(mac, _mac(key, signed)) for key in keys]
    if not any(matches):
        return None
    tail, end, _ = signed.split(".")
    file_id = f"fil_{tail}"
    return file_id if is_id(file_id, "fil") and datetime.fromtimestamp(int(end, 16), UTC) > now else None


def _mac(key: str | bytes, signed: str) -> str:
    return hmac_hex(key, b"link to a file\n" + signed.encode(errors="surrogatepass"))[:_MAC_LENGTH]
