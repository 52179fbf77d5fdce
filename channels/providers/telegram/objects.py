"""Small readers for the objects that Telegram's updates are made of: ids, users, chats, places.

https://core.telegram.org/bots/api#available-types (read 2026-11-22)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from channels.reading import Json, identifier, instant, integer, mapping, number, text
from channels.vocabulary import Address, Location, Person, Unrecognised

_ID = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_CONNECTION = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
#: Above this a number is no size, no length and no duration.
_LARGEST = 2**53


@dataclass(frozen=True)
class Frame:
    """What every event of one update shares."""

    channel_id: str
    update_id: str
    #: When we got it: the time of happenings that Telegram gives none for (buttons, deletions).
    received_at: datetime
    raw: Json

    def time(self, value: object) -> datetime:
        """A Unix time of Telegram's, else the time of receipt."""
        return instant(value) or self.received_at

    def unknown(self, topic: str, reason: str) -> Unrecognised:
        """The update kept as it is."""
        topic = topic[:100]
        event_id, at = f"{self.update_id}:{topic}", self.received_at
        return Unrecognised(event_id=event_id, occurred_at=at, raw=self.raw, topic=topic, reason=reason)


@dataclass(frozen=True)
class Chat:
    """Where something happened. Message ids count per chat, and per business connection apart from the bot's own."""

    id: str
    kind: str
    data: Json
    connection: str | None = None

    @property
    def private(self) -> bool:
        return self.kind == "private"

    @property
    def group_id(self) -> str | None:
        """The chat when several people are in it."""
        return None if self.private else self.id

    def message_id(self, number_in_chat: object) -> str | None:
        """Telegram's message id made unique within the bot."""
        found = telegram_id(number_in_chat)
        return None if found is None else f"{self.prefix}:{found}"

    @property
    def prefix(self) -> str:
        return self.id if self.connection is None else f"{self.connection}:{self.id}"


def telegram_id(value: object) -> str | None:
    """An id as text (they exceed 32 bits); None for everything that is no whole number."""
    found = identifier(value)
    return found if found is not None and _ID.fullmatch(found) else None


def chat_of(value: object, connection: object = None) -> Chat | None:
    """A Chat object, perhaps reached through a business connection; None without an id."""
    data = mapping(value)
    found = telegram_id(data.get("id"))
    if found is None:
        return None
    given = text(connection)
    kind = text(data.get("type")) or ("group" if found.startswith("-") else "private")
    return Chat(found, kind, data, given if given and _CONNECTION.fullmatch(given) else None)


def address_of(channel_id: str, data: Json, connection: str | None = None) -> Address | None:
    """The address of a User or Chat object.

    A person met through a business connection has an address of its own there, for only through that connection may
    we answer: the bot itself was never started by that person.
    """
    found = telegram_id(data.get("id"))
    if found is None:
        return None
    username = text(data.get("username"))
    external_id = found if connection is None else f"{found}@{connection}"
    return Address(channel_id=channel_id, external_id=external_id, handle=f"@{username}" if username else None)


def person_of(data: Json, phone: str | None = None) -> Person:
    """A User, or a Chat that speaks for itself (channel, anonymous administrator)."""
    return Person(name=name_of(data), locale=text(data.get("language_code")), phone=phone)


def name_of(data: Json) -> str | None:
    """First and last name, or the title of a chat."""
    names = (text(data.get("first_name")), text(data.get("last_name")))
    return " ".join(each for each in names if each) or text(data.get("title"))


def place_of(message: Json) -> Location | None:
    """The location or venue of a message."""
    venue = mapping(message.get("venue"))
    point = mapping(message.get("location")) or mapping(venue.get("location"))
    latitude, longitude = number(point.get("latitude")), number(point.get("longitude"))
    if latitude is None or longitude is None:
        return None
    name, address = text(venue.get("title")), text(venue.get("address"))
    return Location(latitude=latitude, longitude=longitude, name=name, address=address)


def amount(value: object) -> int | None:
    """A size, length or duration; None when missing or absurd."""
    found = integer(value)
    return found if found is not None and 0 <= found < _LARGEST else None


def international(value: object) -> str | None:
    """A phone number in E.164; Telegram gives some with and some without the plus."""
    digits = re.sub(r"[\s()./-]", "", text(value) or "").removeprefix("+")
    return f"+{digits}" if re.fullmatch(r"[1-9][0-9]{6,14}", digits, re.ASCII) else None
