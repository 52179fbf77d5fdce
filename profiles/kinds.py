"""Which kind of entry an event is on the timeline: the first word of its name says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Kind of entry → the first words of the events that belong to it.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "message": ("message", "csat", "nps"),
        "conversation": ("conversation", "sla"),
        "note": ("note",),
        "call": ("call", "meeting", "visit"),
        "task": ("task", "follow_up"),
        "file": ("file",),
        "order": ("order", "checkout"),
        "journey": ("journey", "broadcast", "automation"),
        "consent": ("consent",),
        "profile": ("profile", "contact", "segment"),
    }
)
#: Whatever programs tell of.
OTHER = "event"
_KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
#: Who is named in an event and is nobody of ours.
_NOBODY = frozenset({"", "customer", "system"})


def kind_of(name: str) -> str:
    """`message.received` → `message`, `checkout.started` → `order`, `page.viewed` → `event`."""
    head, dot, _ = name.partition(".")
    return _KIND_OF.get(head, OTHER) if dot else OTHER


def actor_of(properties: Mapping[str, object]) -> str | None:
    """The person, program or journey of ours that an event names as its doer."""
    by = properties.get("by")
    return by if isinstance(by, str) and by not in _NOBODY else None
