"""What every parsed part shares: its place in the delivery, its time, and how to say "unknown"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.providers.meta.keys import unrecognised
from channels.providers.meta.whatsapp.people import Contacts
from channels.reading import Json, instant
from channels.vocabulary import Unrecognised


@dataclass(frozen=True)
class Change:
    """One element of `changes`, with what its parsers need to know around it."""

    channel_id: str
    field: str
    value: Json
    #: When Meta sent it, else when we got it.
    at: datetime
    contacts: Contacts

    def time(self, value: Any) -> datetime:
        """The time of an item, else of the change."""
        return instant(value) or self.at

    def unknown(self, topic: str, part: Any, reason: str = "unknown kind") -> Unrecognised:
        """Something signed and readable that we cannot name; kept whole."""
        return unrecognised(topic, part, self.at, reason)
