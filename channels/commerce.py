"""What shops have in common: exact amounts, who bought, how an order is told, and that a shop takes no messages.

The dictionaries are those of `CommerceEvent.order`: the fields of `POST /orders`, every one within its limits, so that
whatever a shop sends can be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import phonenumbers
from babel.numbers import get_currency_precision

from base.ids import unique_key
from channels.failures import Failure, SendFailed
from channels.reading import Json, identifier, integer, text

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_MAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,}", re.ASCII)
_MOST_MINOR = 10**14
_ID_MAX, _NAME_MAX, _LINK_MAX = 200, 300, 2000
#: Lines kept of one order.
LINES_MAX = 500


def currency(value: Any) -> str | None:
    """A currency code of three capital letters."""
    found = (text(value) or "").strip().upper()
    return found if _CURRENCY.fullmatch(found) else None


def money(value: Any, code: str | None) -> Json | None:
    """An amount as shops write it (`"409.94"`, `3`) in the smallest unit of its currency; yen have no cents."""
    if code is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value).strip()).scaleb(get_currency_precision(code))
    except (ArithmeticError, ValueError):
        return None
    if not amount.is_finite() or abs(amount) > _MOST_MINOR:
        return None
    return {"amount_minor": int(amount.to_integral_value("ROUND_HALF_UP")), "currency": code}


def total_of(amounts: Iterable[Json | None]) -> Json | None:
    """Several amounts of one currency together; None when there is none."""
    found = [each for each in amounts if each is not None]
    if not found or len({each["currency"] for each in found}) > 1:
        return None
    return {"amount_minor": sum(each["amount_minor"] for each in found), "currency": found[0]["currency"]}


def mail_address(value: Any) -> str | None:
    """What looks like a mail address."""
    found = (text(value) or "").strip()
    return found if _MAIL.fullmatch(found) else None


def phone_number(value: Any, country: Any = None) -> str | None:
    """E.164 of a number that can exist, read as one of `country` (two letters) when it has no country code."""
    region = text(country)
    try:
        found = phonenumbers.parse(text(value) or "", region.strip().upper()[:2] if region else None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(found):
        return None
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def web_link(value: Any) -> str | None:
    """An address that may be shown as a link."""
    found = (text(value) or "").strip()
    fits = len(found) <= _LINK_MAX and not re.search(r"\s", found)
    return found if fits and re.match(r"https?://[^/]", found) else None


def own_id(value: Any) -> str | None:
    """The shop's id of anything, short enough to be kept; hashed when it is absurdly long."""
    found = (identifier(value) or "").strip()
    return (found if len(found) <= _ID_MAX else unique_key(found)) or None


def stamp(at: datetime) -> str:
    """A time within an order, as our own contract writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short(value: Any, limit: int = _NAME_MAX) -> str | None:
    """One text of a limited length."""
    return (text(value) or "").strip()[:limit].strip() or None


def said(**fields: Any) -> Json:
    """The fields that have something in them: None and empty lists mean "not said"."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def buyer(
    channel_id: str, *, customer_id: str | None, email: str | None, phone: str | None = None, email_proved: bool = True
) -> list[Json]:
    """Who bought, as identities. The customer's number counts within this shop alone.

    The shop writes to the mail address, so a guest's stands for the person; who is named by a customer's number keeps
    other people's addresses apart (`email_proved`). A phone number was typed and only suggests.
    """
    found: list[Json] = []
    if customer_id is not None:
        found.append({"kind": "channel", "value": customer_id, "channel_id": channel_id})
    if email is not None:
        found.append({"kind": "email", "value": email, "verified": email_proved})
    if phone is not None:
        found.append({"kind": "phone", "value": phone, "verified": False})
    return found


def post_address(
    *, street: Iterable[Any], postal_code: Any = None, city: Any = None, region: Any = None, country: Any = None
) -> Json | None:
    """Where an order goes, as `shipping_address` of an order. A country alone is no address; a code of another form
    than two letters is left out."""
    lines_ = dict.fromkeys(found for each in street if (found := short(each, 140)))
    place = said(street="\n".join(lines_)[:300] or None, postal_code=short(postal_code, 20), city=short(city, 100))
    if not place:
        return None
    code = (text(country) or "").strip().upper()
    return {**place, **said(region=short(region, 100), country=code if _COUNTRY.fullmatch(code) else None)}


def line(
    *, name: Any, quantity: Any, sku: Any = None, product_id: Any = None, price: Json | None = None,
    image_url: Any = None,
) -> Json | None:  # fmt: skip
    """One product line; None for one without a name or with nothing left of it."""
    count, title = integer(quantity), short(name)
    if title is None or count is None or count < 1:
        return None
    return {
        "name": title, "quantity": min(count, 1_000_000),
        **said(sku=short(sku, 120), product_id=short(identifier(product_id), 120), unit_price=price,
               image_url=web_link(image_url)),
    }  # fmt: skip


def lines(found: Iterable[Json | None]) -> list[Json]:
    """The readable ones, as many as an order holds."""
    return [each for each in found if each is not None][:LINES_MAX]


def tracking(number: Any, company: Any = None, url: Any = None) -> Json | None:
    """Where the parcel is."""
    found = short(number)
    return {"number": found, **said(company=short(company, 120), url=web_link(url))} if found else None


def takes_no_messages(label: str) -> SendFailed:
    """What a shop's `send` raises."""
    return SendFailed(Failure.NOT_SUPPORTED, f"{label} only receives: it is a source of orders, not a way to write.")
