"""Which events there are, and which of them somebody wants to hear of. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from channels.vocabulary import RESERVED

#: Everything, also what is still to be invented.
ALL = "*"
#: What a test says it is; it can be no event of anybody's.
TEST = "webhook.test"

#: Family → what may happen in it; beside these there are whatever events the deployment's own programs tell of.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "message": (
        "received", "sent", "delivered", "read", "failed", "clicked", "opened", "bounced", "complained", "noted",
        "reacted", "forwarded",
    ),
    "automation": ("ran",),
    "conversation": (
        "created", "assigned", "status_changed", "labelled", "prioritised", "participants_changed", "merged",
        "unmerged", "split",
    ),
    "profile": (
        "created", "updated", "merged", "unmerged", "stage_changed", "tier_changed", "tag_added", "tag_removed",
        "tag_renamed", "score_changed", "owner_changed", "relation_added", "relation_removed", "profiling_changed",
        "shut_out", "let_in",
    ),
    "order": ("created", "paid", "payment_failed", "fulfilled", "delivered", "cancelled", "refunded"),
    "checkout": ("started", "updated", "completed"),
    "consent": ("granted", "denied", "requested"),
    "contact": ("left", "returned"),
    "address": ("suppressed", "released"),
    "segment": ("entered", "left"),
    "task": ("created", "done"),
    "note": ("added", "changed", "deleted", "restored"),
    "call": ("logged",),
    "meeting": ("logged",),
    "visit": ("logged",),
    "follow_up": ("set", "snoozed", "done", "handed_over", "cleared"),
    "file": ("attached", "removed", "restored"),
    "csat": ("submitted",),
    "nps": ("submitted",),
    "sla": ("due_soon", "breached"),
}  # fmt: skip
KNOWN: tuple[str, ...] = tuple(f"{family}.{what}" for family, names in FAMILIES.items() for what in names)


def wants(subscribed: Collection[str], name: str) -> bool:
    """Whether who subscribed to these hears of an event of this name."""
    return ALL in subscribed or name in subscribed or f"{name.partition('.')[0]}.*" in subscribed


def fault_in(name: str) -> str | None:
    """What is wrong with a name that somebody subscribes to; None: nothing. What is not ours is free."""
    family, _, what = name.partition(".")
    if name == ALL:
        return None
    if "*" in name and (what != "*" or "*" in family or not family):
        return f"“{name}”: the star stands alone or ends a family, as in order.*"
    if what == "*" or name in KNOWN or not name.startswith(RESERVED):
        return None
    close = close_to(name)
    return f"there is no event “{name}”" + (f"; did you mean {close}?" if close else "")


def close_to(name: str) -> str | None:
    """What may have been meant."""
    close = get_close_matches(name, KNOWN, n=1, cutoff=0.5)
    return close[0] if close else None
