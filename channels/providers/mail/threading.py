"""What holds a mail conversation together: our own address tag, and message ids of our own making.

Order of trust (channels.md, section 11): the tag in the address it was sent to, In-Reply-To, References from the end,
nothing. A tag is only a claim until its owner (the inbox) has checked its signature; ids can be forged as well, so the
inbox compares the sender, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from base.ids import unique_key
from channels.providers.mail.headers import MAX_ID_LENGTH, valid_address

#: The local part that stands for every account of a domain: `reply+<token>@example.com`.
GENERAL_LOCAL_PART = "reply"
#: RFC 5321, 4.5.3.1.1: a longer local part may be refused on the way.
MAX_LOCAL_PART = 64

_TOKEN = re.compile(r"[A-Za-z0-9._~=-]{1,120}")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ID = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]+")


def tagged(address: str, token: str) -> str | None:
    """`support@example.com` and a token → `support+token@example.com`; None when that would be no address."""
    local, _, domain = address.rpartition("@")
    made = f"{local}+{token}@{domain}"
    return made if _TOKEN.fullmatch(token) and valid_address(made) else None


def token_of(recipient: str, own: str) -> str | None:
    """The token in an address of ours; None when there is none or the address is somebody else's.

    Accepted are `local+token@` of `own` and `reply+token@` of its domain. The token keeps its case.
    """
    local, _, domain = recipient.rpartition("@")
    own_local, _, own_domain = own.rpartition("@")
    if domain.lower() != own_domain.lower():
        return None
    for base in (own_local, GENERAL_LOCAL_PART):
        if local.lower().startswith(f"{base.lower()}+"):
            token = local[len(base) + 1 :]
            return token if _TOKEN.fullmatch(token) else None
    return None


def is_ours(recipient: str, own: str) -> bool:
    """True when mail to `recipient` belongs to the account whose address is `own`, with or without a tag."""
    return recipient.lower() == own.lower() or token_of(recipient, own) is not None


def first_token(recipients: Iterable[str], own: Iterable[str]) -> str | None:
    """The first token in any of the addresses a mail was sent to."""
    owned = tuple(own)
    found = (token_of(recipient, each) for recipient in recipients for each in owned)
    return next((token for token in found if token), None)


def bare_id(message_id: str) -> str:
    """A message id without brackets and spaces: the form in which ids are kept and compared."""
    return message_id.strip().removeprefix("<").removesuffix(">").strip()


def valid_id(message_id: str) -> bool:
    """True for a bare id that may stand in a header we write."""
    return len(message_id) <= MAX_ID_LENGTH and _ID.fullmatch(message_id) is not None


def own_id(key: str, domain: str) -> str:
    """The bare Message-ID for a send key: always the same, so that a repeat is the same mail to its receiver."""
    left = key if len(key) <= 120 and _DOT_ATOM.fullmatch(key) else unique_key(key)
    return f"{left}@{domain if domain.isascii() else unique_key(domain)[:12] + '.invalid'}"
