"""One Shopify delivery taken apart as far as all topics share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.ids import unique_key
from channels.commerce import mail_address, own_id, phone_number, short
from channels.reading import Json, instant, mapping, text
from channels.vocabulary import Address, Person, Unrecognised

_GID = "gid://shopify/"


@dataclass(frozen=True)
class Frame:
    """`at`: when it became so at the shop, so that older news never overwrite newer."""

    channel_id: str
    topic: str
    event_id: str
    at: datetime
    body: Json

    def shared(self, part: str = "") -> Json:
        """The fields of every event; `part` tells several of one delivery apart."""
        event_id = f"{self.event_id}:{part}" if part else self.event_id
        return {"event_id": event_id, "occurred_at": self.at, "raw": self.body}

    def address(self, external_id: str, handle: str | None = None) -> Address:
        """A person of this shop."""
        return Address(channel_id=self.channel_id, external_id=external_id, handle=handle)

    def unrecognised(self, reason: str = "unknown topic") -> Unrecognised:
        """Kept, so that somebody can look."""
        return Unrecognised(**self.shared(), topic=self.topic, reason=reason)

    def time(self, *names: str) -> datetime:
        """The first of these fields that is a time, else the delivery's own."""
        found = (instant(self.body.get(name)) for name in names)
        return next((each for each in found if each is not None), self.at)


@dataclass(frozen=True)
class Customer:
    """A customer as orders, checkouts and customer topics show one."""

    id: str | None
    email: str | None
    phone: str | None
    name: str | None
    locale: str | None
    email_proved: bool

    @property
    def person(self) -> Person:
        """Vouched for is the mail address alone, and that only when the shop says so."""
        return Person(name=self.name, email=self.email, locale=self.locale, verified=self.email_proved)


def customer_of(body: Json) -> Customer:
    """Whose order or checkout it is; what stands on the document itself comes before what the customer has.

    A customer may type any address at the till: it is not proved where their account is told to have another.
    """
    customer = mapping(body.get("customer"))
    place = mapping(body.get("billing_address")) or mapping(body.get("shipping_address"))
    place = place or mapping(customer.get("default_address"))
    own, customer_id = mail_address(customer.get("email")), own_id(customer.get("id"))
    email = mail_address(body.get("email")) or mail_address(body.get("contact_email")) or own
    is_own = customer_id is None or "email" not in customer or (email or "").lower() == (own or "").lower()
    phones = (body.get("phone"), customer.get("phone"), place.get("phone"))
    found = (phone_number(each, place.get("country_code")) for each in phones)
    return Customer(
        id=customer_id,
        email=email,
        phone=next((each for each in found if each is not None), None),
        name=full_name(customer) or full_name(place),
        locale=short(body.get("customer_locale"), 35),
        email_proved=is_own and customer.get("verified_email") is not False,
    )


def full_name(person: Json) -> str | None:
    """First and last name, else the one field some objects have."""
    parts = (short(person.get("first_name"), 100), short(person.get("last_name"), 99))
    return " ".join(part for part in parts if part) or short(person.get("name"), 200)


def number_of(gid: Any) -> str | None:
    """The number at the end of `gid://shopify/Customer/42`."""
    found = text(gid) or ""
    return own_id(found.rpartition("/")[2]) if found.startswith(_GID) else None


def happening(body: bytes, event_id: str | None) -> str:
    """Shopify's id of what happened, else a hash of the body, which a retry sends unchanged."""
    return event_id if event_id and event_id.isascii() and len(event_id) <= 200 else unique_key(body)
