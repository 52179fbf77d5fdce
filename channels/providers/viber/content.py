"""What stands in a Viber message; one function per kind, in the table at the end. Pure.

https://developers.viber.com/docs/api/rest-bot-api/#receive-message-from-user (read 2026-11-28)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from channels.adapter import Unreadable
from channels.providers.viber.tracking import sent_before
from channels.reading import Json, identifier, integer, mapping, number, text
from channels.vocabulary import Attachment, AttachmentKind, ContactCard, Location, Postback

Fields = dict[str, Any]
_LARGEST = 2**53
_SAID = ("text", "attachments", "location", "contacts", "postback")


def read_content(message: Json) -> Fields:
    """The fields of `MessageReceived`; `unsupported` for a kind that says nothing we know."""
    kind = text(message.get("type")) or "unknown"
    read = KINDS.get(kind)
    fields = read(message) if read is not None else {"text": text(message.get("text"))}
    if not any(fields.get(name) for name in _SAID):
        fields["unsupported"] = kind[:100]
    return {**fields, **_context(message, fields)}


def _context(message: Json, fields: Fields) -> Fields:
    """What our last message left in `tracking_data`: its key, and the titles of its buttons by payload.

    A button of a keyboard comes back as a text, so this tells it from one that was typed.
    """
    given = text(message.get("tracking_data"))
    if given is None:
        return {}
    try:
        before = sent_before(given)
    except Unreadable:
        return {"extra": {"tracking_data": given[:4096]}}
    found: Fields = {"extra": {"after_send": before.key}}
    title = before.titles.get(fields.get("text") or "")
    if title is not None:
        found |= {"text": title, "postback": Postback(payload=fields["text"], title=title)}
    return found


def _text(message: Json) -> Fields:
    return {"text": text(message.get("text"))}


def _link(message: Json) -> Fields:
    """A shared address; `text` beside it is rare."""
    lines = (text(message.get("text")), text(message.get("media")))
    return {"text": "\n".join(line for line in lines if line) or None}


def _media(message: Json, *, kind: AttachmentKind, media_type: str | None) -> Fields:
    """The address is good for about an hour."""
    url, preview = text(message.get("media")), text(message.get("thumbnail"))
    if url is None:
        return _text(message)
    file = Attachment(
        kind=kind,
        media_type=media_type,
        url=url,
        file_name=text(message.get("file_name")),
        size_bytes=_amount(message.get("size")),
        duration_s=_amount(message.get("duration")),
        extra={"preview_url": preview} if preview else {},
    )
    return {"attachments": (file,), "text": text(message.get("text"))}


def _sticker(message: Json) -> Fields:
    """A number; the picture only where Viber adds its address."""
    number_of = identifier(message.get("sticker_id"))
    url = text(message.get("media"))
    if number_of is None and url is None:
        return {}
    extra = {"sticker_id": number_of} if number_of else {}
    return {"attachments": (Attachment(kind=AttachmentKind.STICKER, url=url, extra=extra),)}


def _contact(message: Json) -> Fields:
    data = mapping(message.get("contact"))
    name, phone = text(data.get("name")), identifier(data.get("phone_number"))
    card = ContactCard(name=name, phones=(phone,) if phone else ())
    return {"contacts": (card,)} if name or phone else {}


def _location(message: Json) -> Fields:
    point = mapping(message.get("location"))
    latitude, longitude = number(point.get("lat")), number(point.get("lon"))
    if latitude is None or longitude is None:
        return {}
    address = text(point.get("address"))
    return {"location": Location(latitude=latitude, longitude=longitude, address=address)}


def _amount(value: object) -> int | None:
    found = integer(value)
    return found if found is not None and 0 <= found < _LARGEST else None


KINDS: dict[str, Callable[[Json], Fields]] = {
    "text": _text,
    "url": _link,
    "picture": partial(_media, kind=AttachmentKind.IMAGE, media_type="image/jpeg"),
    "video": partial(_media, kind=AttachmentKind.VIDEO, media_type="video/mp4"),
    "file": partial(_media, kind=AttachmentKind.FILE, media_type=None),
    "sticker": _sticker,
    "contact": _contact,
    "location": _location,
}
