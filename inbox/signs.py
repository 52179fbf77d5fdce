"""What of a conversation decides in which views it is counted, and what a write does to that. Pure.

A write that changes it leaves a mark in the same transaction: the sign before and after. Counts are sums over marks, so
their order does not matter, and no conversation has to be read to keep them (decision 43).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from base.ids import unique_key
from base.mongo import Document
from inbox.view_filter import ViewFilter, belongs

#: The fields of a conversation that a view without search and people asks about.
FIELDS = ("status", "assignee_id", "team_id", "channel_id", "labels", "priority", "unread", "waiting_since")
_WAITS = True

#: Key of a tally → the view it counts. A key names one wording of one view.
Kept = Mapping[str, ViewFilter]


def sign_of(row: Mapping[str, Any]) -> Document:
    """What decides, as small as it can be: how many are unread, and since when somebody waits, does not matter."""
    sign: Document = {
        "status": row["status"], "assignee_id": row.get("assignee_id"), "team_id": row.get("team_id"),
        "channel_id": row["channel_id"], "labels": sorted(row.get("labels") or ()),
        "priority": row.get("priority") or "none", "unread": int((row.get("unread") or 0) > 0),
    }  # fmt: skip
    return sign | ({"waiting_since": _WAITS} if row.get("waiting_since") is not None else {})


def touches(update: Mapping[str, Any]) -> bool:
    """Whether an update may change the sign."""
    return any(name in FIELDS for change in update.values() for name in change)


def sign_after(row: Mapping[str, Any], update: Mapping[str, Any]) -> Document:
    """The sign that an update leaves behind. Raises `ValueError` for an operator it does not know on such a field."""
    after = {name: row[name] for name in FIELDS if name in row}
    for operator, change in update.items():
        for name, value in change.items():
            if name not in FIELDS:
                continue
            if operator == "$set":
                after[name] = value
            elif operator == "$unset":
                after.pop(name, None)
            elif operator == "$inc":
                after[name] = (after.get(name) or 0) + value
            else:
                raise ValueError(f"{operator} on {name} leaves no sign")
    return sign_of(after)


def mark_of(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Document | None:
    """What a write leaves (signs; None: there is no such conversation); None when it changes nothing that counts."""
    return None if before == after else {"before": before, "after": after}


def key_of(view_key: str, view: ViewFilter) -> str:
    """Under what a view is counted: another wording is another key."""
    return f"{view_key}:{unique_key(sorted(view.written().items()))[:10]}"


def own_key(key: str, user_id: str) -> str:
    """Where conversations are counted that belong because it is this person who looks."""
    return f"{key}@{user_id}"


def place_of(sign: Mapping[str, Any], key: str, view: ViewFilter) -> str | None:
    """Where a conversation is counted for a view: for everybody, for the one who has it, or nowhere."""
    if belongs(sign, view, None):
        return key
    owner = sign.get("assignee_id")
    if owner is not None and "me" in view.assignee and belongs(sign, view, owner):
        return own_key(key, owner)
    return None


def folded(marks: Iterable[Mapping[str, Any]], kept: Kept) -> Counter[tuple[str, str]]:
    """(place, channel) → by how much these marks change it."""
    found: Counter[tuple[str, str]] = Counter()
    for mark in marks:
        for sign, by in ((mark["before"], -1), (mark["after"], 1)):
            if sign is None:
                continue
            for key, view in kept.items():
                place = place_of(sign, key, view)
                if place is not None:
                    found[place, sign["channel_id"]] += by
    return Counter({each: by for each, by in found.items() if by})
