"""Conversations that were merged: the head shows them all as one thread, the parts keep their messages. Pure.

A part keeps its identity and channel, so that answers go out as before and news finds it by its slot; whatever is said
in it counts on the head as well. What a part was before the merge stands in the act of merging (decision 42).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from base.mongo import Document
from inbox.models import PRIORITY_RANK
from inbox.owning import FIELDS as OWNER
from inbox.owning import freed, has_bot

#: Threads that make one: the head and its parts.
THREADS_MAX = 20
#: Statuses in which a conversation is put off or over.
ASLEEP = ("pending", "snoozed", "resolved", "spam")


def threads_of(row: Mapping[str, Any]) -> list[str]:
    """The conversations whose messages it shows."""
    return [row["_id"], *row.get("parts", ())]


def is_part(row: Mapping[str, Any]) -> bool:
    """Whether it was merged into another one."""
    return row.get("merged_into") is not None


def head_in(row: Mapping[str, Any], heads: Mapping[str, Document]) -> Document | None:
    """What a part was merged into, among these. None: it is no part, its head is gone, or another person's since
    people were taken apart again; then it goes its own way."""
    head = heads.get(row.get("merged_into") or "")
    return head if head is not None and head["profile_id"] == row["profile_id"] else None


def head_change(head: Document, others: Sequence[Document], members: Sequence[str]) -> Document:
    """What the head is when these others are merged into it: `{field: value}`; None: the field goes. Each of them
    stands for its own parts; `members`: ids of all of them."""
    all_of_them = (head, *others)
    heard = [row for row in all_of_them if row["status"] != "spam"]
    change: Document = {
        "parts": [*head.get("parts", ()), *members],
        "unread": sum(row.get("unread", 0) for row in heard),
        "labels": _joined(row.get("labels", ()) for row in all_of_them),
        "participants": _joined(row.get("participants", ()) for row in all_of_them),
        "tokens": _joined(row.get("tokens", ()) for row in all_of_them),
        **combined_clocks(all_of_them),
    }
    urgent = max(all_of_them, key=lambda row: row.get("priority_rank", 0)).get("priority", "none")
    change |= {"priority": urgent, "priority_rank": PRIORITY_RANK[urgent]}
    owner = next((row["assignee_id"] for row in all_of_them if row.get("assignee_id")), None)
    change["assignee_id"] = owner
    if head["status"] in ASLEEP and any(row["status"] == "open" or has_bot(row) for row in all_of_them):
        change |= {"status": "open", "resolved_at": None, "snoozed_until": None}
        change |= {} if head.get("branch") else {"open": True}
    if any(has_bot(row) for row in all_of_them):
        change |= {name: None for name in OWNER if name in head}
    if head["status"] == "resolved" and "status" not in change:
        change |= {"waiting_since": None, "unread": 0}
    return change


def combined_clocks(rows: Sequence[Document]) -> Document:
    """Clocks, counter and last message over several threads, None where there is none."""
    lasts = [row["last_message"] | on_channel(row, rows[0]) for row in rows if row.get("last_message")]
    replied = max((row for row in rows if row.get("last_reply_at")), key=lambda row: row["last_reply_at"], default={})
    answered = [row for row in rows if row["status"] not in ("spam", "resolved")]
    return {
        "message_count": sum(row.get("message_count", 0) for row in rows),
        "last_message": max(lasts, key=lambda each: each["at"], default=None),
        "last_activity_at": max(row["last_activity_at"] for row in rows),
        "last_inbound_at": _latest(rows, "last_inbound_at"), "answered_at": _latest(rows, "answered_at"),
        "waiting_since": min((row["waiting_since"] for row in answered if row.get("waiting_since")), default=None),
        "last_reply_at": replied.get("last_reply_at"), "last_reply_id": replied.get("last_reply_id"),
    }  # fmt: skip


def on_channel(row: Mapping[str, Any], head: Mapping[str, Any]) -> Document:
    """Where a last message stands, when not on the head's own channel: not everybody may read it."""
    return {} if row["channel_id"] == head["channel_id"] else {"channel_id": row["channel_id"]}


def member_before(row: Document) -> Document:
    """What a merge takes from a part, to be given back."""
    names = ("status", "snoozed_until", "resolved_at", "merged_into", "parts", "open")
    given_up = {"status": "open"} if has_bot(row) else {}
    return {"id": row["_id"], **{name: row[name] for name in names if name in row}, **given_up}


def member_update(row: Document, head_id: str, now: datetime, *, takes_slot: bool) -> Document:
    """A conversation becomes a part. With its slot it goes on to receive what comes on its channel. Who wrote to a bot
    waits for a person from then on, also when it is taken apart again."""
    change: Document = {**freed(row, now), "status": "merged", "merged_into": head_id}
    change |= {"open": True} if takes_slot else {}
    gone = [name for name in ("snoozed_until", "resolved_at", "parts", *OWNER) if name in row]
    return {"$set": change, **({"$unset": dict.fromkeys(gone, "")} if gone else {})}


def parted_update(row: Document, before: Mapping[str, Any], merged_at: datetime, now: datetime, *, slot_is_free: bool,
                  head_read: bool) -> Document:  # fmt: skip
    """A part is a conversation of its own again: as it was, but open where somebody has written since."""
    status = before["status"]
    news = row.get("last_inbound_at") is not None and row["last_inbound_at"] > merged_at
    if news and status in ("resolved", "snoozed", "pending"):
        status = "open"
    if status not in ("resolved", "merged") and not (slot_is_free or row.get("open") or row.get("branch")):
        status = "resolved"
    change: Document = {"status": status}
    if status == before["status"]:
        change |= {name: before[name] for name in ("snoozed_until", "resolved_at") if name in before}
    if status == "resolved":
        change.setdefault("resolved_at", now)
    change |= {name: before[name] for name in ("merged_into", "parts") if name in before}
    has_slot = status != "resolved" and (status != "merged" or before.get("open") or row.get("open"))
    change |= {"open": True} if has_slot and not row.get("branch") else {}
    change |= {"unread": 0} if head_read or status == "resolved" else {}
    gone = [name for name in ("snoozed_until", "resolved_at", "merged_into", "parts", "open") if name not in change]
    gone += ["waiting_since"] if status == "resolved" else []
    return {"$set": change, "$unset": {name: "" for name in gone if name in row}}


def as_update(change: Mapping[str, Any], row: Mapping[str, Any]) -> Document:
    """`$set` what has a value, `$unset` what is None and was there."""
    update: Document = {
        "$set": {name: value for name, value in change.items() if value is not None},
        "$unset": {name: "" for name, value in change.items() if value is None and row.get(name) is not None},
    }
    return {name: value for name, value in update.items() if value}


def together(first: Mapping[str, Any], then: Mapping[str, Any]) -> Document:
    """Two updates as one; the second has the last word on a field."""
    later = {*then.get("$set", {}), *then.get("$unset", {})}
    kept = {name: {f: v for f, v in first.get(name, {}).items() if f not in later} for name in ("$set", "$unset")}
    both = {name: {**kept[name], **then.get(name, {})} for name in ("$set", "$unset")}
    return {name: value for name, value in both.items() if value}


def applied(row: Mapping[str, Any], update: Mapping[str, Any]) -> Document:
    """The row after `$set` and `$unset`."""
    after = {**row, **update.get("$set", {})}
    return {name: value for name, value in after.items() if name not in update.get("$unset", {})}


def _joined(lists: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(each for some in lists for each in some))


def _latest(rows: Sequence[Document], name: str) -> datetime | None:
    return max((row[name] for row in rows if row.get(name)), default=None)
