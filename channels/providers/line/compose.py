"""From one message of ours to LINE's message objects: pure, and refusing what LINE has no form for.

https://developers.line.biz/en/reference/messaging-api/#message-objects (read 2026-11-28)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels.failures import Failure, SendFailed
from channels.reading import Json
from channels.vocabulary import Attachment, AttachmentKind, Button, Location, OutboundMessage

#: Message objects in one push.
PUSH_LIMIT = 5
TITLE_LIMIT = 20
DATA_LIMIT = 300
LINK_LIMIT = 1000
#: A buttons template without picture and title; longer texts get quick replies below them.
TEMPLATE_TEXT_LIMIT = 160
TEMPLATE_BUTTONS = 4
_ALT_LIMIT = 400
_PLACE_LIMIT = 100
_SENDER_LIMIT = 20
#: LINE asks how long a recording is and only displays it; said where nobody knows.
_UNKNOWN_LENGTH_MS = 60_000


def pushes(message: OutboundMessage) -> list[list[Json]]:
    """The message objects of `message`, in order, five to a push. Raises `SendFailed` for what LINE would refuse."""
    objects = [*_files(message), *_place(message.location)]
    asked = [_checked(button) for button in message.buttons]
    if message.text and asked and _fits_template(message):
        objects.append(_template(message.text, asked))
    else:
        objects += [_text(message.text)] if message.text else []
        _hang_on(objects, asked)
    if not objects:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    _quote(objects, message.quote_token)
    sender = _sender(message.sender_name)
    objects = [{**each, **sender} for each in objects]
    return [objects[start : start + PUSH_LIMIT] for start in range(0, len(objects), PUSH_LIMIT)]


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _sender(name: str | None) -> Json:
    """Who of the house writes, shown instead of the account's name; LINE lets nobody call himself LINE."""
    fits = name and len(name) <= _SENDER_LIMIT and "line" not in name.casefold()
    return {"sender": {"name": name}} if fits else {}


def _quote(objects: list[Json], token: str | None) -> None:
    """Only texts and stickers can quote."""
    able = next((each for each in objects if each["type"] in ("text", "sticker")), None)
    if token and able is not None:
        able["quoteToken"] = token


# -- buttons ------------------------------------------------------------------------------------------------


def _fits_template(message: OutboundMessage) -> bool:
    """A template stays in the chat and shows on computers; it cannot quote, and takes little text."""
    short = len(message.text or "") <= TEMPLATE_TEXT_LIMIT and len(message.buttons) <= TEMPLATE_BUTTONS
    return short and message.quote_token is None


def _template(text: str, actions: list[Json]) -> Json:
    return {
        "type": "template",
        "altText": text[:_ALT_LIMIT],
        "template": {"type": "buttons", "text": text, "actions": actions},
    }


def _hang_on(objects: list[Json], actions: list[Json]) -> None:
    """Quick replies stand below the last message until somebody writes."""
    if not actions:
        return
    if not objects:
        raise SendFailed(Failure.CONTENT_REJECTED, "Buttons need a message above them.")
    objects[-1]["quickReply"] = {"items": [{"type": "action", "action": action} for action in actions]}


def _checked(button: Button) -> Json:
    if len(button.title) > TITLE_LIMIT:
        raise SendFailed(Failure.CONTENT_REJECTED, f'The button "{button.title}" is over {TITLE_LIMIT} characters.')
    if button.url:
        if len(button.url) > LINK_LIMIT:
            raise SendFailed(Failure.CONTENT_REJECTED, f"A button's link is over {LINK_LIMIT} characters.")
        return {"type": "uri", "label": button.title, "uri": button.url}
    data = button.payload or button.title
    if len(data) > DATA_LIMIT:
        raise SendFailed(Failure.CONTENT_REJECTED, f'The button "{button.title}" carries over {DATA_LIMIT} characters.')
    return {"type": "postback", "label": button.title, "data": data, "displayText": button.title}


# -- files and places ---------------------------------------------------------------------------------------


def _files(message: OutboundMessage) -> Iterator[Json]:
    """Each file, and its caption as a text of its own: LINE's files have none."""
    for file in message.attachments:
        yield _sticker(file) if file.kind is AttachmentKind.STICKER else _media(file)
        if file.caption:
            yield _text(file.caption)


def _media(file: Attachment) -> Json:
    url = _https(file.url)
    if file.kind in (AttachmentKind.AUDIO, AttachmentKind.VOICE):
        length_ms = _UNKNOWN_LENGTH_MS if file.duration_s is None else file.duration_s * 1000
        return {"type": "audio", "originalContentUrl": url, "duration": length_ms}
    preview = file.extra.get("preview_url")
    kind = "video" if file.kind is AttachmentKind.VIDEO else "image"
    shown = _https(preview) if isinstance(preview, str) else url
    return {"type": kind, "originalContentUrl": url, "previewImageUrl": shown}


def _https(url: str | None) -> str:
    if not url:
        raise SendFailed(Failure.CONTENT_REJECTED, "A file of the message has no address; LINE takes no bytes.")
    if not url.startswith("https://") or len(url) > 2000:
        raise SendFailed(
            Failure.CONTENT_REJECTED, "LINE fetches files from https addresses of at most 2000 characters."
        )
    return url


def _sticker(file: Attachment) -> Json:
    package, sticker = file.extra.get("package_id"), file.extra.get("sticker_id")
    if not isinstance(package, str) or not isinstance(sticker, str):
        raise SendFailed(Failure.NOT_SUPPORTED, "LINE shows only stickers of its own, named by package and number.")
    return {"type": "sticker", "packageId": package, "stickerId": sticker}


def _place(location: Location | None) -> list[Json]:
    """LINE wants a title and an address; the coordinates stand in for a missing one."""
    if location is None:
        return []
    point = f"{location.latitude:.5f}, {location.longitude:.5f}"
    place: dict[str, Any] = {
        "type": "location",
        "title": (location.name or location.address or point)[:_PLACE_LIMIT],
        "address": (location.address or point)[:_PLACE_LIMIT],
        "latitude": location.latitude,
        "longitude": location.longitude,
    }
    return [place]
