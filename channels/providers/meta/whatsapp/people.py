"""Who it is: a phone number where WhatsApp tells it, else the business-scoped user id; the other ids become aliases.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids (read 2026-11-22).
The phone number stays the address while it is known, because everybody we knew before user ids came is stored under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import Address, Person

_PHONE = re.compile(r"[0-9]{7,15}", re.ASCII)
_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Ids:
    """The names one person goes by in one item; each may be missing."""

    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None

    def __iter__(self) -> Iterator[str]:
        """All that are there, the one to write to first."""
        return (each for each in (self.wa_id, self.user_id, self.parent_user_id) if each)


def phone_of(wa_id: str | None) -> str | None:
    """`+` and the digits, when a WhatsApp id is a phone number (it can be an opaque id)."""
    return f"+{wa_id}" if wa_id is not None and _PHONE.fullmatch(wa_id) else None


def is_user_id(external_id: str) -> bool:
    """True for a business-scoped user id such as `US.13491208655302741918`."""
    return _USER_ID.fullmatch(external_id) is not None


@dataclass(frozen=True)
class Contacts:
    """The `contacts` of one change: what WhatsApp says of the people its items name."""

    channel_id: str
    known: tuple[Json, ...]

    @classmethod
    def of(cls, channel_id: str, value: Any) -> Contacts:
        """From the `value` of a change."""
        return cls(
            channel_id, tuple(contact for contact in items(mapping(value).get("contacts")) if isinstance(contact, dict))
        )

    def who(self, ids: Ids) -> tuple[Address, Person] | None:
        """Address and person; None when neither the item nor a single contact beside it names anybody."""
        contact = self._contact(ids)
        profile = mapping(contact.get("profile"))
        wa_id = ids.wa_id or identifier(contact.get("wa_id"))
        all_ids = Ids(
            wa_id,
            ids.user_id or identifier(contact.get("user_id")),
            ids.parent_user_id or identifier(contact.get("parent_user_id")),
        )
        external_id, *aliases = dict.fromkeys(all_ids) or [None]
        if external_id is None:
            return None
        phone, username = phone_of(wa_id), text(profile.get("username"))
        handle = f"@{username.lstrip('@')}" if username else phone
        person = Person(name=text(profile.get("name")), phone=phone, aliases=tuple(filter(None, aliases)))
        return Address(channel_id=self.channel_id, external_id=external_id, handle=handle), person

    def _contact(self, ids: Ids) -> Json:
        wanted = set(ids)
        for contact in self.known:
            if wanted & {identifier(contact.get(name)) for name in ("wa_id", "user_id", "parent_user_id")}:
                return contact
        return self.known[0] if not wanted and len(self.known) == 1 else {}
