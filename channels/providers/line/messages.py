"""Messages of LINE: new, changed, taken back. Pure; one function per kind of content, in the table at the end.

https://github.com/line/line-openapi/blob/main/webhook.yml (read 2026-11-28)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from channels.providers.line.objects import Frame, amount
from channels.reading import Json, identifier, items, mapping, number, text
from channels.vocabulary import (
    AnyEvent,
    Attachment,
    AttachmentKind,
    Location,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
)

Fields = dict[str, Any]


def received(frame: Frame) -> list[AnyEvent]:
    """A message of a kind we do not know is still one that a person wrote."""
    message = mapping(frame.item.get("message"))
    message_id, kind = identifier(message.get("id")), text(message.get("type")) or "unknown"
    if frame.address is None or message_id is None:
        return [frame.unknown("without sender or message id")]
    read = CONTENTS.get(kind)
    fields = read(message, message_id) if read is not None else {}
    if not any(fields.get(name) for name in ("text", "attachments", "location")):
        fields["unsupported"] = kind[:100]
    extra = {**fields.pop("extra", {}), **_context(frame, message)}
    return [
        MessageReceived(
            **frame.base,
            address=frame.address,
            person=frame.person,
            message_id=message_id,
            reply_to=identifier(message.get("quotedMessageId")),
            group_id=frame.source.group_id,
            extra=extra,
            **fields,
        )
    ]


def edited(frame: Frame) -> list[AnyEvent]:
    """The person corrected a message."""
    message = mapping(frame.item.get("message"))
    message_id = identifier(message.get("id"))
    if message_id is None:
        return [frame.unknown("without message id")]
    return [
        MessageEdited(
            **frame.base,
            address=frame.address,
            person=frame.person,
            message_id=message_id,
            text=text(message.get("text")),
        )
    ]


def unsent(frame: Frame) -> list[AnyEvent]:
    """The person took a message back; LINE asks that its content be erased."""
    message_id = identifier(mapping(frame.item.get("unsend")).get("messageId"))
    if message_id is None:
        return [frame.unknown("without message id")]
    return [MessageDeleted(**frame.base, address=frame.address, person=frame.person, message_id=message_id)]


def _context(frame: Frame, message: Json) -> Fields:
    """What stands beside the content: the token to quote it with, and which sort of group it is."""
    token = text(message.get("quoteToken"))
    room = {"group_type": frame.source.kind} if frame.source.group_id and frame.source.kind else {}
    return {**({"quote_token": token} if token else {}), **room}


# -- content ------------------------------------------------------------------------------------------------


def _text(message: Json, message_id: str) -> Fields:
    mentioned = [each for each in items(mapping(message.get("mention")).get("mentionees")) if isinstance(each, dict)]
    emojis = [each for each in items(message.get("emojis")) if isinstance(each, dict)]
    extra = {name: value for name, value in (("mentions", mentioned), ("emojis", emojis)) if value}
    return {"text": text(message.get("text")), "extra": extra}


def _media(message: Json, message_id: str, *, kind: AttachmentKind, media_type: str | None) -> Fields:
    """LINE keeps the file under the message's id, unless an app sent it by an address of its own."""
    provider = mapping(message.get("contentProvider"))
    outside = provider.get("type") == "external"
    length_ms = amount(message.get("duration"))
    preview = text(provider.get("previewImageUrl"))
    file = Attachment(
        kind=kind,
        media_type=media_type,
        media_id=None if outside else message_id,
        url=text(provider.get("originalContentUrl")) if outside else None,
        file_name=text(message.get("fileName")),
        size_bytes=amount(message.get("fileSize")),
        duration_s=None if length_ms is None else round(length_ms / 1000),
        extra={"preview_url": preview} if outside and preview else {},
    )
    return {"attachments": (file,), "extra": _album(mapping(message.get("imageSet")))}


def _album(image_set: Json) -> Fields:
    """Pictures sent together come as messages of their own, numbered from 1."""
    album = identifier(image_set.get("id"))
    if album is None:
        return {}
    found = {
        "album": album,
        "album_place": amount(image_set.get("index")),
        "album_size": amount(image_set.get("total")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _location(message: Json, message_id: str) -> Fields:
    latitude, longitude = number(message.get("latitude")), number(message.get("longitude"))
    if latitude is None or longitude is None:
        return {}
    name, address = text(message.get("title")), text(message.get("address"))
    return {"location": Location(latitude=latitude, longitude=longitude, name=name, address=address)}


def _sticker(message: Json, message_id: str) -> Fields:
    """LINE gives numbers and words, not the picture; some stickers carry a text of the sender's own."""
    told = {
        "package_id": identifier(message.get("packageId")),
        "sticker_id": identifier(message.get("stickerId")),
        "form": text(message.get("stickerResourceType")),
        "keywords": [word for each in items(message.get("keywords")) if (word := text(each))],
    }
    sticker = Attachment(kind=AttachmentKind.STICKER, extra={name: value for name, value in told.items() if value})
    return {"attachments": (sticker,), "text": text(message.get("text"))}


CONTENTS: dict[str, Callable[[Json, str], Fields]] = {
    "text": _text,
    "image": partial(_media, kind=AttachmentKind.IMAGE, media_type="image/jpeg"),
    "video": partial(_media, kind=AttachmentKind.VIDEO, media_type="video/mp4"),
    "audio": partial(_media, kind=AttachmentKind.AUDIO, media_type="audio/mp4"),
    "file": partial(_media, kind=AttachmentKind.FILE, media_type=None),
    "location": _location,
    "sticker": _sticker,
}
