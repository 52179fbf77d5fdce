"""Attachments as rows of files, and what their message shows of them. Pure: values in, documents out.

A message shows `{file_id, state: wanted|stored|failed, reason, name, media_type, size_bytes, kind, …}`; where the bytes
come from (a provider's id, an address that may be private) stands in the row of the file alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from base.ids import new_id
from base.mongo import Document
from channels.capabilities import Capabilities
from channels.vocabulary import Attachment, AttachmentKind
from inbox.file_types import kind_of, plain_type, safe_name
from inbox.models import Reason
from profiles.models import storable

#: Bytes that came inside one message (mail) wait beside it until they are put away: a document holds no more.
INLINE_MAX_BYTES = 12_000_000
#: Larger files are not kept.
FILE_MAX_BYTES = 25_000_000
TOO_LARGE = Reason("too_large", "The file is larger than the 25 MB that are kept.")
#: What the message does not show: where to fetch it from, and the bytes.
_REFERENCE = {"content", "media_id", "url"}


@dataclass(frozen=True)
class Home:
    """The message that files belong to."""

    message_id: str
    channel_id: str
    provider: str | None = None


def inbound(home: Home, attachments: Sequence[Attachment], now: datetime) -> tuple[list[Document], list[Document]]:
    """What the message shows, and the files as duties still to be fetched or put away."""
    shown, rows, room = [], [], INLINE_MAX_BYTES
    for position, attachment in enumerate(attachments):
        row = _wanted(home, position, attachment, now)
        if attachment.content is not None:
            room -= len(attachment.content)
            row |= {"size_bytes": len(attachment.content)}
            row |= {"content": attachment.content} if room >= 0 else _refused()
        elif (attachment.size_bytes or 0) > FILE_MAX_BYTES:
            row |= _refused()
        if row["state"] == "failed":
            del row["due_at"]
        rows.append(row)
        shown.append(_described(attachment) | shown_of(row))
    return shown, rows


def outbound(
    home: Home, chosen: Sequence[tuple[Attachment, Document | None]], able: Capabilities | None, now: datetime
) -> tuple[list[Attachment], list[Document], list[Document]]:
    """An agent's attachments with their kept files (None: bytes or an address came along) as what the send carries,
    what the message shows, and the message's own rows: it keeps its files when the upload is tidied away."""
    sent, shown, rows = [], [], []
    for position, (attachment, kept) in enumerate(chosen):
        row = _own(home, position, attachment, kept, able, now)
        if row is None:
            sent.append(attachment.model_copy(update={"extra": {}}))
            shown.append(described(sent[-1]))
            continue
        sent.append(
            attachment.model_copy(
                update={
                    "kind": AttachmentKind(row["kind"]),
                    "media_type": row["media_type"],
                    "size_bytes": row["size_bytes"],
                    "file_name": row["name"],
                    "content": None,
                    "extra": {"file_id": row["_id"]},
                }
            )
        )
        shown.append(described(sent[-1]) | shown_of(row))
        rows.append(row)
    return sent, shown, rows


def described(attachment: Attachment) -> Document:
    """An outgoing attachment as its message shows it; a kept one names its file."""
    row = _described(attachment)
    if attachment.url:
        row["url"] = attachment.url
    file_id = attachment.extra.get("file_id")
    if isinstance(file_id, str):
        row |= {"file_id": file_id, "state": "stored", "name": attachment.file_name}
        row.pop("extra", None)
    return row


def shown_of(row: Document) -> Document:
    """What the message shows of a file's row."""
    shown: Document = {"file_id": row["_id"], "state": row["state"], "name": row["name"], "file_name": row["name"]}
    for name in ("media_type", "size_bytes", "reason"):
        if row.get(name) is not None:
            shown[name] = row[name]
    return shown


def _described(attachment: Attachment) -> Document:
    row = attachment.model_dump(mode="python", exclude=_REFERENCE, exclude_none=True, exclude_defaults=True)
    described: Document = storable({**row, "kind": attachment.kind.value})
    return described


def _wanted(home: Home, position: int, attachment: Attachment, now: datetime) -> Document:
    reference = attachment.model_dump(mode="python", exclude={"content"}, exclude_none=True, exclude_defaults=True)
    reference["kind"] = attachment.kind.value
    row = _row(home, position, attachment.kind.value, now)
    row |= {
        "state": "wanted", "due_at": now, "attempts": 0, "fence": 0, "tries": 0, "attachment": storable(reference),
        "name": safe_name(attachment.file_name, kind=attachment.kind.value),
    }  # fmt: skip
    if attachment.media_type:
        row["media_type"] = plain_type(attachment.media_type)
    if attachment.size_bytes is not None:
        row["size_bytes"] = attachment.size_bytes
    return row


def _own(
    home: Home, position: int, attachment: Attachment, kept: Document | None, able: Capabilities | None, now: datetime
) -> Document | None:
    """The message's row of an outgoing file; None for one that lies elsewhere."""
    if kept is not None:
        copied = {name: kept[name] for name in ("name", "media_type", "size_bytes", "sha256", "grid_id")}
        kind = kind_of(kept["media_type"], kept["size_bytes"], able).value
        return _row(home, position, kind, now) | copied | {"state": "stored", "copied_from": kept["_id"]}
    if attachment.content is None:
        return None
    row = _wanted(home, position, attachment, now)
    row |= {"content": attachment.content, "size_bytes": len(attachment.content)}
    row.setdefault("media_type", plain_type(None))
    return row


def _row(home: Home, position: int, kind: str, now: datetime) -> Document:
    return {
        "_id": new_id("fil"), "source": "message", "message_id": home.message_id, "position": position, "kind": kind,
        "channel_id": home.channel_id, "provider": home.provider, "created_at": now,
    }  # fmt: skip


def _refused() -> Document:
    return {"state": "failed", "reason": TOO_LARGE.as_document()}
