"""Messages as Official Accounts and WeCom's apps deliver them. Pure; one function per kind, in the table at the end.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html and
https://developer.work.weixin.qq.com/document/path/90239 (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from channels.providers.tencent.markup import word
from channels.providers.tencent.objects import Frame
from channels.reading import Json, integer, number, text
from channels.vocabulary import AnyEvent, Attachment, AttachmentKind, Location, MessageReceived, Postback

Fields = dict[str, Any]
_LARGEST = 2**53


def received(frame: Frame) -> list[AnyEvent]:
    """A message of a kind we do not know is still one that a person wrote."""
    if frame.address is None:
        return [frame.unknown("without sender")]
    read = CONTENTS.get(frame.kind)
    fields = read(frame.item) if read is not None else {}
    if not any(fields.get(name) for name in ("text", "attachments", "location")):
        fields["unsupported"] = frame.kind
    return [MessageReceived(**frame.base, address=frame.address, message_id=frame.event_id, **fields)]


def location_of(item: Json) -> Location | None:
    """`Location_X` is the latitude, `Location_Y` the longitude."""
    latitude, longitude = number(word(item.get("Location_X"))), number(word(item.get("Location_Y")))
    if latitude is None or longitude is None:
        return None
    label, name = text(item.get("Label")), text(item.get("Poiname"))
    return Location(latitude=latitude, longitude=longitude, name=name, address=label)


def kept(**values: Any) -> Json:
    """Those of the values that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _text(item: Json) -> Fields:
    """An answer to a menu message comes as text with the row's id."""
    said, chosen = text(item.get("Content")), word(item.get("bizmsgmenuid"))
    return {"text": said, **({"postback": Postback(payload=chosen, title=said)} if chosen else {})}


def _media(item: Json, *, kind: AttachmentKind, media_type: str | None = None) -> Fields:
    file = Attachment(
        kind=kind,
        media_type=media_type,
        media_id=word(item.get("MediaId")),
        url=word(item.get("PicUrl")),
        extra=kept(thumb_media_id=word(item.get("ThumbMediaId"))),
    )
    return {"attachments": (file,)}


def _voice(item: Json) -> Fields:
    """`Recognition` is what WeChat's machine heard, where the account has that switched on."""
    form = (word(item.get("Format")) or "").lower()
    file = Attachment(
        kind=AttachmentKind.VOICE,
        media_type="audio/amr" if form == "amr" else None,
        media_id=word(item.get("MediaId")),
        caption=text(item.get("Recognition")),
        extra=kept(format=form),
    )
    return {"attachments": (file,)}


def _location(item: Json) -> Fields:
    return {"location": location_of(item)}


def _link(item: Json) -> Fields:
    """Something shared: shown by title and address, all of it in `extra`."""
    title, about, url = (text(item.get(name)) for name in ("Title", "Description", "Url"))
    shown = [part for part in (title, about if about != title else None, url) if part]
    link = kept(title=title, description=about, url=url, picture_url=word(item.get("PicUrl")))
    return {"text": "\n".join(shown) or None, "extra": {"link": link}}


def _file(item: Json) -> Fields:
    """Official Accounts are told of a file, and cannot fetch it."""
    size = integer(word(item.get("FileTotalLen")))
    file = Attachment(
        kind=AttachmentKind.FILE,
        file_name=text(item.get("Title")),
        media_id=word(item.get("MediaId")),
        size_bytes=size if size is not None and 0 <= size < _LARGEST else None,
    )
    return {"attachments": (file,)}


def _mini_program(item: Json) -> Fields:
    told = kept(
        title=text(item.get("Title")),
        app_id=word(item.get("AppId")),
        page_path=word(item.get("PagePath")),
        thumb_media_id=word(item.get("ThumbMediaId")),
        thumb_url=word(item.get("ThumbUrl")),
    )
    return {"text": text(item.get("Title")), "extra": {"mini_program": told}}


CONTENTS: dict[str, Callable[[Json], Fields]] = {
    "text": _text,
    "image": partial(_media, kind=AttachmentKind.IMAGE),
    "voice": _voice,
    "video": partial(_media, kind=AttachmentKind.VIDEO, media_type="video/mp4"),
    "shortvideo": partial(_media, kind=AttachmentKind.VIDEO, media_type="video/mp4"),
    "location": _location,
    "link": _link,
    "file": _file,
    "miniprogrampage": _mini_program,
}
