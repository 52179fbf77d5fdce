"""Messages of customer service, from customers and from colleagues in WeCom's client. Pure; one function per kind.

https://developer.work.weixin.qq.com/document/path/94699 (read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from channels.adapter import Unreadable
from channels.providers.tencent.messages import kept
from channels.providers.tencent.wecom_kf.items import Entry
from channels.reading import Json, identifier, items, mapping, number, read_json, text
from channels.vocabulary import AnyEvent, Attachment, AttachmentKind, Location, MessageReceived, Postback

Fields = dict[str, Any]
_SHOWN_MAX = 20


def received(entry: Entry, *, echo: bool) -> list[AnyEvent]:
    """A message of a kind we do not know is still one that a person wrote."""
    if entry.address is None:
        return [entry.unknown("without customer")]
    read = CONTENTS.get(entry.kind)
    fields = read(entry.content) if read is not None else {}
    if not any(fields.get(name) for name in ("text", "attachments", "location")):
        fields["unsupported"] = entry.kind
    servicer = identifier(entry.item.get("servicer_userid"))
    extra = {**fields.pop("extra", {}), **kept(servicer=servicer)}
    return [
        MessageReceived(
            **entry.base,
            address=entry.address,
            person=None if echo else entry.person,
            message_id=entry.event_id,
            echo=echo,
            extra=extra,
            **fields,
        )
    ]


def _text(content: Json) -> Fields:
    """An answer to a menu comes as text with the row's id."""
    said, chosen = text(content.get("content")), identifier(content.get("menu_id"))
    return {"text": said, **({"postback": Postback(payload=chosen, title=said)} if chosen else {})}


def _media(content: Json, *, kind: AttachmentKind, media_type: str | None = None) -> Fields:
    media_id = identifier(content.get("media_id"))
    name = text(content.get("filename"))
    return {"attachments": (Attachment(kind=kind, media_type=media_type, media_id=media_id, file_name=name),)}


def _location(content: Json) -> Fields:
    latitude, longitude = number(content.get("latitude")), number(content.get("longitude"))
    if latitude is None or longitude is None:
        return {}
    name, address = text(content.get("name")), text(content.get("address"))
    return {"location": Location(latitude=latitude, longitude=longitude, name=name, address=address)}


def _link(content: Json) -> Fields:
    title, about, url = (text(content.get(name)) for name in ("title", "desc", "url"))
    shown = [part for part in (title, about, url) if part]
    link = kept(title=title, description=about, url=url, picture_url=text(content.get("pic_url")))
    return {"text": "\n".join(shown) or None, "extra": {"link": link}}


def _business_card(content: Json) -> Fields:
    """A colleague's card: an id of the company's directory, neither name nor number."""
    member = identifier(content.get("userid"))
    return {"text": member, "extra": {"business_card": kept(userid=member)}}


def _mini_program(content: Json) -> Fields:
    told = kept(
        title=text(content.get("title")),
        app_id=identifier(content.get("appid")),
        page_path=text(content.get("pagepath")),
        thumb_media_id=identifier(content.get("thumb_media_id")),
    )
    return {"text": text(content.get("title")), "extra": {"mini_program": told}}


def _menu(content: Json) -> Fields:
    """A menu that somebody sent: its text with the rows below."""
    rows = [mapping(each) for each in items(content.get("list"))]
    titles = [text(mapping(row.get(str(row.get("type")))).get("content")) for row in rows]
    lines = [text(content.get("head_content")), *titles, text(content.get("tail_content"))]
    return {"text": "\n".join(line for line in lines if line) or None, "extra": {"menu": rows}}


def _titled(content: Json, *, names: tuple[str, ...], key: str) -> Fields:
    """Things of WeChat's own that are shown by their title."""
    title = next((found for name in names if (found := text(content.get(name)))), None)
    return {"text": title, "extra": {key: content}}


def _merged(content: Json) -> Fields:
    """A forwarded conversation. Each line's content is JSON inside a text."""
    lines = []
    for each in items(content.get("item"))[:_SHOWN_MAX]:
        line = mapping(each)
        said = _inner_text(line)
        lines.append(": ".join(part for part in (text(line.get("sender_name")), said) if part))
    shown = [text(content.get("title")), *lines]
    return {"text": "\n".join(line for line in shown if line) or None, "forwarded": True, "extra": {"merged": content}}


def _inner_text(line: Json) -> str:
    kind = text(line.get("msgtype")) or "message"
    try:
        inner = mapping(read_json((text(line.get("msg_content")) or "").encode(errors="replace")))
    except Unreadable:
        inner = {}
    return text(mapping(inner.get("text")).get("content")) or f"[{kind}]"


CONTENTS: dict[str, Callable[[Json], Fields]] = {
    "text": _text,
    "image": partial(_media, kind=AttachmentKind.IMAGE),
    "voice": partial(_media, kind=AttachmentKind.VOICE, media_type="audio/amr"),
    "video": partial(_media, kind=AttachmentKind.VIDEO, media_type="video/mp4"),
    "file": partial(_media, kind=AttachmentKind.FILE),
    "location": _location,
    "link": _link,
    "business_card": _business_card,
    "miniprogram": _mini_program,
    "msgmenu": _menu,
    "channels": partial(_titled, names=("title", "nickname"), key="channels"),
    "channels_shop_product": partial(_titled, names=("title", "product_id"), key="shop_product"),
    "channels_shop_order": partial(_titled, names=("product_titles", "order_id"), key="shop_order"),
    "merged_msg": _merged,
    "note": partial(_titled, names=("title", "content"), key="note"),
}
