"""Buttons of the menu below a chat: pressed, a code scanned, pictures taken, a place chosen. Pure.

https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html and
https://developer.work.weixin.qq.com/document/path/90240 (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels.providers.tencent.markup import listed, word
from channels.providers.tencent.messages import kept, location_of
from channels.providers.tencent.objects import Frame
from channels.reading import Json, integer, mapping
from channels.vocabulary import AnyEvent, MessageReceived, Postback

Fields = dict[str, Any]
_PAYLOAD_MAX = 1000


def pressed(frame: Frame) -> list[AnyEvent]:
    """A postback. Its payload is the key of the button, or the address that a link opened."""
    key = frame.word("EventKey")
    if frame.address is None or key is None:
        return [frame.unknown("without person or key")]
    more = MENUS[frame.event.lower()](frame.item)
    postback = Postback(payload=key[:_PAYLOAD_MAX], description=more.pop("description", None))
    return [
        MessageReceived(
            **frame.base, address=frame.address, message_id=f"menu:{frame.event_id}", postback=postback, **more
        )
    ]


def _nothing(item: Json) -> Fields:
    return {}


def _scanned(item: Json) -> Fields:
    info = mapping(item.get("ScanCodeInfo"))
    told = kept(scan_type=word(info.get("ScanType")), scan_result=word(info.get("ScanResult")))
    return {"description": told.get("scan_result"), "extra": told}


def _pictures(item: Json) -> Fields:
    """Only how many, and their digests; the pictures themselves come as messages."""
    info = mapping(item.get("SendPicsInfo"))
    found = [
        digest
        for pictures in listed(info.get("PicList"))
        for each in listed(mapping(pictures).get("item"))
        if (digest := word(mapping(each).get("PicMd5Sum")))
    ]
    count = integer(word(info.get("Count")))
    return {"extra": kept(picture_count=count, picture_md5=found)}


def _place(item: Json) -> Fields:
    return {"location": location_of(mapping(item.get("SendLocationInfo")))}


MENUS: dict[str, Callable[[Json], Fields]] = {
    "click": _nothing,
    "view": _nothing,
    "view_miniprogram": _nothing,
    "scancode_push": _scanned,
    "scancode_waitmsg": _scanned,
    "pic_sysphoto": _pictures,
    "pic_photo_or_album": _pictures,
    "pic_weixin": _pictures,
    "location_select": _place,
}
