"""An outbound message as messages of customer service. Pure.

https://developer.work.weixin.qq.com/document/path/96427 (read 2026-11-28).
"""

from __future__ import annotations

import re

from base.ids import unique_key
from channels.failures import Failure, SendFailed
from channels.providers.tencent.parts import Part, check_length, file_parts
from channels.providers.tencent.wecom_kf.card import CAPABILITIES
from channels.reading import Json
from channels.vocabulary import Button, Location, OutboundMessage

_LIMITS = {limit.kind: limit.max_bytes for limit in CAPABILITIES.media}
#: Bytes above the rows of a menu, in one row's text, in its id.
_HEAD, _ROW, _ID = 1024, 128, 128
_OWN_ID = re.compile(r"[0-9a-zA-Z_-]{1,32}", re.ASCII)


def own_id(key: str, place: int) -> str:
    """The `msgid` of one part: the same for every try, so that WeCom takes it once. 32 letters and digits."""
    return key if place == 0 and _OWN_ID.fullmatch(key) else unique_key(key, place)[:32]


def kf_messages(message: OutboundMessage) -> list[Part]:
    """Files first, each with its caption as a text; the place; the text, as a menu where there are buttons."""
    parts = file_parts(message.attachments, _LIMITS)
    if message.location is not None:
        parts.append(Part("location", _place(message.location)))
    text = message.text or ""
    if message.buttons:
        rows = [_row(button) for button in message.buttons]
        parts.append(Part("msgmenu", {"head_content": check_length(text, _HEAD), "list": rows}))
    elif text:
        parts.append(Part("text", {"content": text}))
    return parts


def _place(place: Location) -> Json:
    where = f"{place.latitude:.5f}, {place.longitude:.5f}"
    return {
        "name": place.name or place.address or where,
        "address": place.address or place.name or where,
        "latitude": place.latitude,
        "longitude": place.longitude,
    }


def _row(button: Button) -> Json:
    if len(button.title.encode()) > _ROW:
        raise SendFailed(
            Failure.CONTENT_REJECTED, f"A button's title is longer than {_ROW} bytes: {button.title[:40]}…"
        )
    if button.url:
        return {"type": "view", "view": {"url": button.url, "content": button.title}}
    payload = button.payload or button.title
    if len(payload.encode()) > _ID:
        raise SendFailed(Failure.CONTENT_REJECTED, f"What a button sends back is longer than {_ID} bytes.")
    return {"type": "click", "click": {"id": payload, "content": button.title}}
