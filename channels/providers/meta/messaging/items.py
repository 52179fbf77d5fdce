"""One element of `messaging` or `standby`, and one of `changes`: whose it is, when it was, and events made of it.

https://developers.facebook.com/docs/messenger-platform/reference/webhook-events (by the platform facts file, read
2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.providers.meta.keys import unrecognised
from channels.reading import Json, identifier, instant, mapping
from channels.vocabulary import Address, AnyEvent, Person, Unrecognised

#: What stands before the name that a plugin of ours gave a person whom Messenger has not named yet.
USER_REF = "user_ref:"
#: The entry id of what the dashboard's test button sends.
TEST_ID = "0"


@dataclass(frozen=True)
class Ours:
    """The account a delivery is read for."""

    channel_id: str
    #: The page, or the professional account.
    account_id: str
    #: Our app's own id, where somebody gave it.
    app_id: str = ""


@dataclass(frozen=True)
class Item:
    """One happening in one person's thread."""

    ours: Ours
    entry_id: str | None
    part: Json
    #: When Meta sent the delivery, else when we got it.
    sent_at: datetime
    #: Another app answers in this thread; we are only told.
    standby: bool = False

    @property
    def at(self) -> datetime:
        """When it happened; some kinds carry no time of their own."""
        return instant(self.part.get("timestamp")) or self.sent_at

    def content(self, kind: str) -> Json:
        """The object under the key that names the kind."""
        return mapping(self.part.get(kind))

    @property
    def sender(self) -> str | None:
        """Who did it: an id, or the name given by a plugin."""
        sender = mapping(self.part.get("sender"))
        ref = identifier(sender.get("user_ref")) or identifier(self.content("optin").get("user_ref"))
        return identifier(sender.get("id")) or (f"{USER_REF}{ref}" if ref else None)

    @property
    def recipient(self) -> str | None:
        """To whom."""
        return identifier(mapping(self.part.get("recipient")).get("id"))

    @property
    def by_us(self) -> bool:
        """Done by the account: by us, by another app, or by a colleague in Meta's own inbox."""
        return self.content("message").get("is_echo") is True or self.sender in self._us

    @property
    def person_id(self) -> str | None:
        """The other side of the thread; None when both are ours, or nobody is named."""
        both = (self.recipient, self.sender) if self.by_us else (self.sender, self.recipient)
        return next((each for each in both if each and each not in self._us), None)

    @property
    def is_ours(self) -> bool:
        """Whether it happened on this account. The entry and one side of the thread can carry different ids."""
        named = {self.entry_id, self.sender, self.recipient}
        return self.entry_id in (None, TEST_ID) or self.ours.account_id in named

    @property
    def _us(self) -> frozenset[str | None]:
        return frozenset((self.ours.account_id, self.entry_id)) - {TEST_ID}

    @property
    def address(self) -> Address | None:
        """The person as we write to them."""
        found = self.person_id
        return Address(channel_id=self.ours.channel_id, external_id=found) if found else None

    def base(self, event_id: str, **more: Any) -> dict[str, Any]:
        """The fields that all events read from it share."""
        return {"event_id": event_id, "occurred_at": self.at, "address": self.address, "raw": self.part, **more}

    def unknown(self, kind: str, reason: str = "unknown kind") -> Unrecognised:
        """Kept, and named."""
        return unrecognised(f"messaging.{kind}"[:100], self.part, self.at, reason)


@dataclass(frozen=True)
class Change:
    """One element of `changes`: something public, or of the account itself."""

    ours: Ours
    entry_id: str | None
    field: str
    value: Json
    at: datetime

    @property
    def is_ours(self) -> bool:
        """Whether it happened on this account."""
        return self.entry_id in (None, TEST_ID, self.ours.account_id)

    def author(self) -> tuple[str | None, str | None]:
        """Id and name of who did it; older deliveries have them apart."""
        who = mapping(self.value.get("from"))
        return (
            identifier(who.get("id")) or identifier(self.value.get("sender_id")),
            identifier(who.get("username")) or identifier(who.get("name")) or identifier(self.value.get("sender_name")),
        )

    def is_by_us(self, author: str | None) -> bool:
        """What a page says below its own posts is no customer's."""
        return author is not None and author in (self.ours.account_id, self.entry_id) and author != TEST_ID

    def address(self, external_id: str | None, handle: str | None = None) -> Address | None:
        """The author as somebody to write to."""
        if external_id is None:
            return None
        return Address(channel_id=self.ours.channel_id, external_id=external_id, handle=handle)

    def unknown(self, reason: str = "unknown kind", topic: str | None = None) -> Unrecognised:
        """Kept, and named."""
        return unrecognised((topic or self.field or "change")[:100], self.value, self.at, reason)


def named(name: str | None) -> Person | None:
    """A person of whom no more than the name is known."""
    return Person(name=name) if name else None


ItemParser = Callable[[Item], AnyEvent | Iterator[AnyEvent]]
ChangeParser = Callable[[Change], AnyEvent]


@dataclass(frozen=True)
class Platform:
    """In what the deliveries of Messenger and Instagram differ."""

    #: The `object` of the envelope.
    object: str
    #: The setting that holds the account's id.
    setting: str
    #: Field → parser of a change that is no message.
    changes: Mapping[str, ChangeParser]
    #: Fields that are known and of no use here.
    elsewhere: frozenset[str] = frozenset()
    #: What an item of somebody else's is called.
    another: str = "another account of this app"
