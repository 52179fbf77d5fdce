"""What one Twilio request holds: a form with one happening, or JSON with several. Pure.

https://www.twilio.com/docs/messaging/guides/webhook-request (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.providers.twilio.signature import BODY_HASH
from channels.reading import Json, identifier, read_json, storable
from channels.vocabulary import Address, Unrecognised

#: Names under which the id of a message stands, the telling one first: they may differ within one request.
_SIDS = ("MessageSid", "SmsMessageSid", "SmsSid")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_LONGEST_ID = 200
#: The first moment of Unix time, for a payload without any (a file read from disk).
NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Record:
    """One happening with all its fields."""

    channel_id: str
    fields: Json
    #: Names it where Twilio gives no id: delivery and place.
    key: str
    #: Twilio tells no time.
    received_at: datetime
    #: Our send key, as it came back in the query of a status callback.
    correlation: str | None = None

    def get(self, name: str) -> str | None:
        """A field as text; None when it is missing or empty."""
        return identifier(self.fields.get(name))

    @property
    def sid(self) -> str | None:
        found = next((sid for name in _SIDS if (sid := self.get(name))), None)
        return found[:_LONGEST_ID] if found else None

    @property
    def status(self) -> str:
        """In lower case; empty where there is none."""
        return (self.get("MessageStatus") or self.get("SmsStatus") or "").lower()

    def address(self, name: str) -> Address | None:
        """The other side, whose address stands in field `name`, with its prefix (`whatsapp:+49…`)."""
        given = (self.get(name) or "").strip()[:_LONGEST_ID]
        bare = bare_of(given)
        return Address(channel_id=self.channel_id, external_id=given, handle=bare) if bare else None

    def unknown(self, topic: str, reason: str = "unknown kind") -> Unrecognised:
        """The record kept as it is."""
        topic = topic[:100]
        return Unrecognised(
            event_id=f"{self.key}:{topic}", occurred_at=self.received_at, raw=self.fields, topic=topic, reason=reason
        )


def bare_of(address: str) -> str:
    """An address without the prefix of its channel."""
    return address.rpartition(":")[2].strip()


def phone_of(address: str) -> str | None:
    """The number of an address in E.164; None for short codes, sender names and ids."""
    bare = bare_of(address)
    return bare if _PHONE.fullmatch(bare) else None


def records(
    channel_id: str, delivery: Delivery, received_at: datetime, correlation: str | None = None
) -> Iterator[Record]:
    """Every happening of a request. Raises `Unreadable` when it is neither the form nor the JSON that it should be."""
    key = unique_key(delivery.body)
    for place, fields in enumerate(_all_fields(delivery)):
        yield Record(channel_id, fields, f"{key}.{place}", received_at, correlation)


def _all_fields(delivery: Delivery) -> list[Json]:
    if BODY_HASH not in delivery.query:
        return [_form(delivery.body)]
    found: Any = read_json(delivery.body)
    listed = found if isinstance(found, list) else [found]
    return [each if isinstance(each, dict) and each else {"item": each} for each in listed]


def _form(body: bytes) -> Json:
    try:
        pairs = parse_qsl(body.decode("utf-8-sig"), keep_blank_values=True, errors="replace")
    except ValueError:
        raise Unreadable("The body is no form.") from None
    if not pairs or b"=" not in body:
        raise Unreadable("The body is no form.")
    fields: Json = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    found: Json = storable(fields)
    return found
