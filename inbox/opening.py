"""What is written when one of ours begins a conversation. Pure."""

from __future__ import annotations

from datetime import datetime

from base.mongo import Document
from inbox.heads import applied
from inbox.models import Actor
from profiles.models import NewEvent


def with_line(row: Document, update: Document) -> Document:
    """The row once its first line has done what it does."""
    counts = {name: row.get(name, 0) + more for name, more in update.get("$inc", {}).items()}
    return {**applied(row, update), **counts}


def created_event(row: Document, by: Actor, now: datetime) -> NewEvent:
    """That it has begun, and who began it."""
    properties = {
        "provider": row["provider"], "conversation_id": row["_id"], "by": by.id, "by_name": by.name,
        "by_type": by.type,
    }  # fmt: skip
    properties |= {"parent_id": row["parent_id"]} if row.get("parent_id") else {}
    return NewEvent(
        "conversation.created", f"conversation.created:{row['_id']}", now, profile_id=row["profile_id"],
        identity_id=row["identity_id"], channel_id=row["channel_id"], conversation_id=row["_id"],
        properties=properties,
    )  # fmt: skip
