"""Files and mails of strangers, shown so that they can do nothing: neutral types, own policies, cleaned HTML."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import nh3
from aiohttp import web

from base.errors import NotFound, Unavailable
from channels.failures import SendFailed
from channels.vocabulary import Attachment
from desk.keys import runtime_of
from desk.pages.inbox_lines import INLINE_AUDIO, INLINE_IMAGES, INLINE_VIDEO
from inbox.models import Message

MAX_BYTES = 26_000_000
INLINE = INLINE_IMAGES | INLINE_AUDIO | INLINE_VIDEO
#: What the bytes begin with; a picture that is none is offered as a download.
MAGIC = {
    "image/png": (b"\x89PNG\r\n\x1a\n",), "image/jpeg": (b"\xff\xd8\xff",), "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}  # fmt: skip
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
#: Nothing is loaded from anywhere: remote pictures would tell the sender who reads when.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'"
)
MAIL_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "center", "code", "col", "colgroup", "dd", "div", "dl", "dt",
    "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s",
    "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "u", "ul",
}  # fmt: skip
MAIL_ATTRIBUTES = {
    "*": {"align", "valign", "width", "height", "bgcolor", "color", "dir", "lang", "title", "style"},
    "a": {"href"}, "img": {"src", "alt"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"},
    "table": {"border", "cellpadding", "cellspacing"}, "font": {"face", "size"},
}  # fmt: skip
MAIL_STYLES = {
    "color", "background-color", "font-size", "font-weight", "font-style", "font-family", "text-align",
    "text-decoration", "line-height", "padding", "margin", "border", "border-collapse", "width", "max-width",
    "vertical-align", "white-space",
}  # fmt: skip


async def file_response(request: web.Request, message: Message) -> web.Response:
    """Attachment number `position` of a message. Raises `NotFound`, `Unavailable`."""
    position = int(request.match_info["position"])
    if message.deleted_at is not None or position >= len(message.attachments):
        raise NotFound("There is no such file.")
    attachment = dict(message.attachments[position])
    body, media_type = await _bytes(request, message, position, attachment)
    return safe_file(body, media_type, str(attachment.get("file_name") or "file"))


async def _bytes(
    request: web.Request, message: Message, position: int, attachment: dict[str, Any]
) -> tuple[bytes, str]:
    runtime = runtime_of(request)
    kept = await runtime.messages.content(message.id, position)
    if kept is not None:
        return kept, str(attachment.get("media_type") or "")
    account = await runtime.channels.account(message.channel_id)
    if account is None:
        raise NotFound("The channel this file came by is not connected any more.")
    known = {name: attachment[name] for name in Attachment.model_fields if name in attachment}
    try:
        adapter = runtime.registry.get(account.provider)
        body, media_type = await adapter.media(account, Attachment.model_validate(known), max_bytes=MAX_BYTES)
    except NotImplementedError:
        raise NotFound("This file can not be fetched any more.") from None
    except SendFailed as error:
        raise Unavailable("The provider does not give this file out right now.") from error
    return body, media_type or str(attachment.get("media_type") or "")


def safe_file(body: bytes, media_type: str, name: str) -> web.Response:
    """An answer that a browser shows only when it is a picture, sound or film and looks like one."""
    plain = media_type.split(";")[0].strip().lower()
    shown = plain in INLINE and body.startswith(MAGIC.get(plain, (b"",)))
    disposition = "inline" if shown else "attachment"
    return web.Response(
        body=body,
        content_type=plain if shown else "application/octet-stream",
        headers={
            "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(file_name(name), safe='')}",
            "Content-Security-Policy": FILE_POLICY,
            "Cache-Control": "private, max-age=86400",
        },
    )


def file_name(name: str) -> str:
    """A name without paths, controls and invisible signs, of sane length, that ends as it did."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(c for c in last if c.isprintable() and c not in '"<>|:*?\u200b\u200e\u200f\u202e').strip(". ")
    return clean[-120:] or "file"


def mail_response(message: Message) -> web.Response:
    """The mail's HTML on a page of its own that may load nothing and run nothing."""
    html = (message.mail or {}).get("html")
    if not html or message.deleted_at is not None:
        raise NotFound("This mail has no other form.")
    text = (
        '<!doctype html><meta charset="utf-8"><base target="_blank"><style>body{margin:16px;font:14px/1.5 sans-serif;'
        f"color:#222;background:#fff;overflow-wrap:anywhere}}img{{max-width:100%}}</style>{clean_mail(str(html))}"
    )
    headers = {
        "Content-Security-Policy": MAIL_POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "SAMEORIGIN",
    }  # fmt: skip
    return web.Response(text=text, content_type="text/html", headers=headers)


def clean_mail(html: str) -> str:
    """Nothing that runs, loads, frames or posts; links say nothing of where they were clicked."""
    return nh3.clean(
        html[:2_000_000],
        tags=MAIL_TAGS,
        attributes=MAIL_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "data"},
        link_rel="noopener noreferrer nofollow",
        filter_style_properties=MAIL_STYLES,
        attribute_filter=_only_safe,
        clean_content_tags={"script", "style", "title", "noscript", "template", "iframe", "object", "svg", "math"},
    )


def _only_safe(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "src":
        return (
            value
            if value.startswith(("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp"))
            else None
        )
    if attribute == "href" and value.strip().lower().startswith("data:"):
        return None
    return value
