"""What an export says of a person: one row of named columns that an import understands again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from profiles.models import iso_ms, plain
from profiles.postal import PARTS
from profiles.sheets.cells import guarded, listed, text_of
from profiles.sheets.vcard import NAMELESS, Card, Version, write_card

Document = Mapping[str, Any]
Format = Literal["csv", "xlsx", "jsonl", "vcf"]
FORMATS: tuple[Format, ...] = ("csv", "xlsx", "jsonl", "vcf")
#: Columns before and after the attributes. Those after are ours to reckon: an import passes over them.
FIRST = (
    "id", "name", "email", "other_emails", "phone", "other_phones", "customer_id", "tags", "stage", "tier", "owner",
    "locale", "time_zone", "latitude", "longitude", "address.street", "address.postal_code", "address.city",
    "address.region", "address.country",
)  # fmt: skip
LAST = ("score", "channels", "orders_count", "orders_revenue", "created_at", "last_seen_at")
#: With the fixed ones no more than an import takes.
ATTRIBUTES_MAX = 170
LISTS = ("other_emails", "other_phones", "tags", "channels")


@dataclass(frozen=True)
class Person:
    """What a row is made of. `owner`: the colleague's mail address."""

    document: Document
    customer_ids: Sequence[str] = ()
    owner: str = ""


def columns_of(attributes: Sequence[str]) -> tuple[str, ...]:
    """The header."""
    return (*FIRST, *(f"attributes.{key}" for key in attributes[:ATTRIBUTES_MAX]), *LAST)


def values_of(person: Person) -> dict[str, Any]:
    """Column → value, without the attributes."""
    row = person.document
    emails, phones = _contacts(row, "emails"), _contacts(row, "phones")
    longitude, latitude = (row.get("location") or {}).get("coordinates") or (None, None)
    orders, post = row.get("orders") or {}, row.get("address") or {}
    return {
        "id": row["_id"], "name": row.get("name"), "email": emails[0] if emails else None, "other_emails": emails[1:],
        "phone": phones[0] if phones else None, "other_phones": phones[1:],
        "customer_id": person.customer_ids[0] if person.customer_ids else None, "tags": row.get("tags") or [],
        "stage": row.get("stage"), "tier": row.get("tier"), "owner": person.owner or None, "locale": row.get("locale"),
        "time_zone": row.get("time_zone"), "latitude": latitude, "longitude": longitude,
        **{f"address.{part}": post.get(part) for part in PARTS},
        "score": row.get("score") or 0, "channels": row.get("reachable_on") or [],
        "orders_count": orders.get("count") or 0, "orders_revenue": _revenue(orders.get("revenue") or {}),
        "created_at": row["created_at"], "last_seen_at": row.get("last_seen_at"),
    }  # fmt: skip


def cells_of(person: Person, columns: Sequence[str]) -> list[str | int | float]:
    """The row of a sheet. Numbers are numbers; every text is guarded against being taken for a formula."""
    values, attributes = values_of(person), person.document.get("attributes") or {}
    return [
        _cell(attributes.get(name[11:]) if name.startswith("attributes.") else values[name], listing=name in LISTS)
        for name in columns
    ]


def _cell(value: Any, *, listing: bool) -> str | int | float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return value
    return guarded(listed(value) if listing else text_of(value))


def json_line(person: Person) -> bytes:
    """The person as one line; what is not there is left out."""
    values = {name: value for name, value in values_of(person).items() if value not in (None, "", [])}
    post = {part: values.pop(f"address.{part}") for part in PARTS if f"address.{part}" in values}
    values |= {"address": post} if post else {}
    return orjson.dumps(plain({**values, "attributes": person.document.get("attributes") or {}})) + b"\n"


def card_of(person: Person, version: Version) -> str:
    """The person as a vCard."""
    values, attributes = values_of(person), person.document.get("attributes") or {}
    latitude, longitude = values["latitude"], values["longitude"]
    emails = [each for each in (values["email"], *values["other_emails"]) if each]
    phones = [each for each in (values["phone"], *values["other_phones"]) if each]
    name = values["name"] or next(iter([*(person.document.get("handles") or []), *emails, *phones]), values["id"])
    more = {
        "TITLE": text_of(attributes.get("title")), "BDAY": text_of(attributes.get("birthday"))[:10],
        "URL": text_of(attributes.get("website")), "NOTE": text_of(attributes.get("note")),
        "X-CUSTOMER-ID": text_of(values["customer_id"]), "X-RAPPORT-STAGE": text_of(values["stage"]),
        "X-RAPPORT-TIER": text_of(values["tier"]), NAMELESS: "" if values["name"] else "1",
        "REV": iso_ms(person.document["updated_at"]),
    }  # fmt: skip
    organisation = attributes.get("company") or attributes.get("organisation")
    return write_card(
        Card(
            values["id"], name, emails, phones, values["tags"], text_of(organisation), text_of(values["locale"]),
            text_of(values["time_zone"]), None if latitude is None else (latitude, longitude), more,
            person.document.get("address"),
        ),
        version,
    )  # fmt: skip


def _contacts(row: Document, name: str) -> list[str]:
    """The primary one first."""
    entries = sorted(row.get(name) or [], key=lambda each: not each.get("primary"))
    return [each["value"] for each in entries]


def _revenue(revenue: Mapping[str, int]) -> str:
    """Amounts in minor units, as the API has them: `1999 EUR`."""
    return ", ".join(f"{amount} {currency}" for currency, amount in sorted(revenue.items()))
