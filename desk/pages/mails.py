"""Mails of strangers as they were sent, shown so that they can do nothing: cleaned, on a page of their own."""

from __future__ import annotations

import nh3
from aiohttp import web

from base.errors import NotFound
from inbox.models import Message

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


def clean_mail(html: str, *, pictures: bool = False) -> str:
    """Nothing that runs, loads, frames or posts; links say nothing of where they were clicked. `pictures`: those of the
    web are let through, for mails of our own."""
    return nh3.clean(
        html[:2_000_000],
        tags=MAIL_TAGS,
        attributes=MAIL_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "data"},
        link_rel="noopener noreferrer nofollow",
        filter_style_properties=MAIL_STYLES,
        attribute_filter=_with_pictures if pictures else _only_safe,
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


def _with_pictures(tag: str, attribute: str, value: str) -> str | None:
    return value if attribute == "src" and value.startswith("https://") else _only_safe(tag, attribute, value)
