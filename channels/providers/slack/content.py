"""What a message of Slack's holds: text, files, what was passed on. Pure.

https://docs.slack.dev/reference/objects/file-object, …/reference/events/message
(by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from channels.providers.slack.objects import slack_id
from channels.providers.slack.words import readable
from channels.reading import Json, integer, items, mapping, text
from channels.vocabulary import Attachment, AttachmentKind

_KINDS = {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}
_SUBTYPES = {"slack_audio": AttachmentKind.VOICE, "slack_video": AttachmentKind.VIDEO}
#: Files that are not there any more, or that lie beyond the plan's limit.
_GONE = frozenset({"tombstone", "hidden_by_limit"})
_LARGEST = 2**53


def text_of(message: Json) -> str | None:
    """What was written; for a message that was only passed on, what that one says."""
    own = text(message.get("text"))
    if own is not None:
        return readable(own)
    quoted = (mapping(each) for each in items(message.get("attachments")))
    said = (text(each.get("text")) or text(each.get("fallback")) for each in quoted)
    return "\n".join(readable(each) for each in said if each) or None


def is_forwarded(message: Json) -> bool:
    """Somebody shared another message."""
    return any(mapping(each).get("is_share") is True for each in items(message.get("attachments")))


def files_of(message: Json) -> tuple[Attachment, ...]:
    """The files, to be fetched with the bot token; a file kept elsewhere (Google Drive) as its address alone."""
    found = (mapping(each) for each in items(message.get("files")))
    return tuple(_file(each) for each in found if slack_id(each.get("id")) and text(each.get("mode")) not in _GONE)


def _file(file: Json) -> Attachment:
    media_type = text(file.get("mimetype"))
    elsewhere = file.get("is_external") is True or file.get("mode") == "external"
    private = text(file.get("url_private_download")) or text(file.get("url_private"))
    kind = _SUBTYPES.get(text(file.get("subtype")) or "") or _KINDS.get((media_type or "").partition("/")[0])
    millis = integer(file.get("duration_ms"))
    return Attachment(
        kind=kind or AttachmentKind.FILE,
        media_type=media_type,
        file_name=text(file.get("name")) or text(file.get("title")),
        size_bytes=_amount(file.get("size")),
        media_id=None if elsewhere else slack_id(file.get("id")),
        url=private if elsewhere else None,
        duration_s=millis // 1000 if millis is not None and 0 <= millis < _LARGEST else None,
        width=_amount(file.get("original_w")),
        height=_amount(file.get("original_h")),
        extra={"address": private} if private and not elsewhere else {},
    )


def _amount(value: object) -> int | None:
    found = integer(value)
    return found if found is not None and 0 <= found < _LARGEST else None
