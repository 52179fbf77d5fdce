"""What a campaign sends, as a line that agents see. Pure."""

from __future__ import annotations

from datetime import datetime

from base.mongo import Document
from channels.vocabulary import OutboundMessage
from inbox.attached import described
from inbox.incoming import cleaned
from inbox.models import line_id

#: Sources whose sends no campaign asked for: the application itself says them.
OWN_WORDS = frozenset({"consent", "rating", "channel_reply"})


def _author(source: Document) -> Document:
    if source["kind"] in OWN_WORDS:
        return {"type": "system", "id": None, "name": source["kind"]}
    return {"type": "campaign", "id": source.get("id"), "name": source["kind"]}


def campaign_line(send: Document, message: OutboundMessage, home: Document | None, now: datetime) -> Document:
    """The row of what is being handed over. Without a conversation it waits for the person's first message."""
    source = send["source"]
    row: Document = {
        "_id": line_id(send), "dedupe": f"send:{send['_id']}", "profile_id": send["profile_id"],
        "identity_id": send["identity_id"], "channel_id": send["channel_id"], "direction": "out",
        "author": _author(source), "text": cleaned(message.text),
        "provider_at": now, "received_at": now, "seq": home["seq"] if home else 0, "status": "queued",
        "status_rank": 0, "status_history": [], "send_id": send["_id"],
        "conversation_id": home["_id"] if home else None,
    }  # fmt: skip
    extras = {
        "attachments": [described(each) for each in message.attachments],
        "buttons": [each.model_dump(exclude_none=True) for each in message.buttons],
        "template": message.template.model_dump(mode="json") if message.template else None,
        "mail": {"subject": message.mail.subject} if message.mail else None,
        "orphan": home is None,
    }
    return row | {name: value for name, value in extras.items() if value}
