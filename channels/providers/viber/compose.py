"""From one message of ours to the bodies that Viber takes: pure, and refusing what Viber has no form for.

https://developers.viber.com/docs/api/rest-bot-api/#send-message and
https://creators.viber.com/docs/bots-api/resources/messaging/keyboards (read 2026-11-28)
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from channels.failures import Failure, SendFailed
from channels.providers.viber.card import SENDER_LIMIT, VIDEO_MAX_BYTES
from channels.providers.viber.tracking import payload_of, tracking
from channels.reading import Json
from channels.vocabulary import Attachment, AttachmentKind, Button, OutboundMessage

CAPTION_LIMIT = 768
TITLE_LIMIT = 250
#: A whole body, keyboard included.
BODY_MAX_BYTES = 30_000
#: A larger picture goes as a file.
PICTURE_MAX_BYTES = 1_000_000
PICTURES = (None, "image/jpeg", "image/png", "image/gif")
_FILE_NAME_LIMIT = 256


def bodies(message: OutboundMessage, name: str, avatar: str | None) -> list[Json]:
    """The requests this message becomes, in order. `name`: who is shown. Raises `SendFailed` for what Viber refuses."""
    parts = _parts(message)
    if not parts:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    if message.buttons:
        parts[-1] = {**parts[-1], "keyboard": keyboard(message.buttons)}
    sender = {"name": (message.sender_name or name)[:SENDER_LIMIT], **({"avatar": avatar} if avatar else {})}
    frame = {
        "receiver": message.to.external_id,
        "min_api_version": 1,
        "sender": sender,
        "tracking_data": tracking(message.key, message.buttons),
    }
    made = [{**frame, **part} for part in parts]
    if any(len(orjson.dumps(body)) > BODY_MAX_BYTES for body in made):
        raise SendFailed(Failure.CONTENT_REJECTED, "With its buttons the message is over 30 kB, Viber's limit.")
    return made


def keyboard(buttons: Sequence[Button]) -> Json:
    """Takes the place of the person's own keyboard; one button to a row."""
    return {"Type": "keyboard", "DefaultHeight": False, "Buttons": [_button(each) for each in buttons]}


def _button(button: Button) -> Json:
    if len(button.title) > TITLE_LIMIT:
        raise SendFailed(Failure.CONTENT_REJECTED, f'The button "{button.title}" is over {TITLE_LIMIT} characters.')
    action, body = ("open-url", button.url) if button.url else ("reply", payload_of(button))
    return {"Columns": 6, "Rows": 1, "Text": button.title, "ActionType": action, "ActionBody": body}


def _parts(message: OutboundMessage) -> list[Json]:
    """Files in their order, the place, the text; one picture takes the text as its caption."""
    captioned = _text_is_caption(message)
    parts: list[Json] = []
    for file in message.attachments:
        parts += _file(file, message.text if captioned else file.caption)
    if message.location is not None:
        point = {"lat": message.location.latitude, "lon": message.location.longitude}
        parts.append({"type": "location", "location": point})
    if message.text and not captioned:
        parts.append(_text(message.text))
    return parts


def _text_is_caption(message: OutboundMessage) -> bool:
    if len(message.attachments) != 1 or message.location is not None or not message.text:
        return False
    (file,) = message.attachments
    return _is_picture(file) and not file.caption and len(message.text) <= CAPTION_LIMIT


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _file(file: Attachment, caption: str | None) -> list[Json]:
    """The file, and its caption below it where the form has none."""
    if file.kind is AttachmentKind.STICKER:
        return [_sticker(file)]
    url = _address(file)
    if _is_picture(file):
        short = caption if caption and len(caption) <= CAPTION_LIMIT else ""
        rest = [_text(caption)] if caption and not short else []
        return [{"type": "picture", "text": short, "media": url, **_preview(file)}, *rest]
    below = [_text(caption)] if caption else []
    size = file.size_bytes
    if size is None:
        # Viber asks for the size of videos and files; without one only the address can go.
        return [{"type": "url", "media": url}, *below]
    if file.kind is AttachmentKind.VIDEO and size <= VIDEO_MAX_BYTES:
        length = {"duration": file.duration_s} if file.duration_s is not None else {}
        return [{"type": "video", "media": url, "size": size, **length, **_preview(file)}, *below]
    return [{"type": "file", "media": url, "size": size, "file_name": _name(file, url)}, *below]


def _is_picture(file: Attachment) -> bool:
    small = (file.size_bytes or 0) <= PICTURE_MAX_BYTES
    return file.kind is AttachmentKind.IMAGE and small and file.media_type in PICTURES


def _preview(file: Attachment) -> Json:
    preview = file.extra.get("preview_url")
    return {"thumbnail": preview} if isinstance(preview, str) else {}


def _address(file: Attachment) -> str:
    if not file.url:
        raise SendFailed(Failure.CONTENT_REJECTED, "A file of the message has no address; Viber takes no bytes.")
    return file.url


def _name(file: Attachment, url: str) -> str:
    """Viber wants a name with an ending; devices tell the type by it."""
    named = file.file_name or url.partition("?")[0].rpartition("/")[2] or "file"
    return named[-_FILE_NAME_LIMIT:]


def _sticker(file: Attachment) -> Json:
    given = file.extra.get("sticker_id")
    if not isinstance(given, str | int) or not str(given).isdecimal():
        raise SendFailed(Failure.NOT_SUPPORTED, "Viber shows only stickers of its own, named by their number.")
    return {"type": "sticker", "sticker_id": int(given)}
