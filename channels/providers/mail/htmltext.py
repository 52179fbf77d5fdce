"""HTML of a mail → plain text, and away with the quoted history that mail programs mark in HTML.

One pass over the tags, no tree: the HTML parsers at hand are quadratic in open elements or attributes, and half a
megabyte of `<b>x</i>` kept one busy for 25 s (measured with selectolax 1.0.2, 2026-11-22). What is only *shown* goes
through a sanitiser at the desk; here nothing but words is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

#: Characters of HTML that are read as text.
MAX_HTML = 300_000

_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9:-]{0,40})")
_QUOTE_OR_END = re.compile(r"[>\"']")
_SPACES = re.compile(r"[ \t\n\r\f]+")
_ANY_TAG = re.compile(r"<[^<>]{0,5000}>")
_ATTRIBUTE = re.compile(r"(?:^|[\s\"'/])(class|id|type|style)\s{0,3}=\s{0,3}(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)", re.I)
#: Characters of a tag in which its class and id are looked for.
_MAX_ATTRIBUTES = 3000

_RAW = frozenset({"script", "style", "title", "textarea", "noscript", "template", "iframe", "object", "svg"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "figure",
     "footer", "form", "header", "hr", "html", "li", "main", "nav", "ol", "pre", "section", "table", "tr", "ul"}
)  # fmt: skip
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})

#: What mail programs put around the history (Gmail, Thunderbird, Yahoo, Proton, Zoho, NetEase, Lark) and signatures.
_HISTORY_CLASSES = frozenset(
    {"gmail_quote", "gmail_attr", "moz-cite-prefix", "yahoo_quoted", "protonmail_quote", "zmail_extra",
     "netease_mail_quote", "xm_mail_oringinal_describe", "lark-mail-quote", "history-quote-wrapper",
     "gmail_signature", "moz-signature", "protonmail_signature_block"}
)  # fmt: skip
_HISTORY_IDS = frozenset({"isreplycontent", "signature", "mail-editor-reference-message-container"})
#: Where Outlook begins the history: everything behind it is history.
_CUT_IDS = frozenset({"divrplyfwdmsg", "x_divrplyfwdmsg", "appendonsend", "x_appendonsend", "olk_src_body_section"})


#: (tag, is it a closing one, its attributes), or ("", False, text between tags).
_Piece = tuple[str, bool, str]


def html_to_text(html: str, *, visible_only: bool = False) -> str:
    """The text a reader sees, block by block. `visible_only` leaves out quoted history and marked signatures.

    Links keep their words only: the HTML is kept for whoever needs the address.
    """
    return _read(html, visible_only)[0]


def both_texts(html: str) -> tuple[str, str]:
    """The whole text and the visible one; one pass where no history is marked."""
    visible, cut = _read(html, True)
    return (_read(html, False)[0] if cut else visible), visible


def _read(html: str, visible_only: bool) -> tuple[str, bool]:
    """The text, and whether history was left out of it."""
    page, cut = _Page(), False
    skipped, depth = "", 0
    for tag, closing, content in _pieces(html[:MAX_HTML]):
        if skipped:  # inside something left out: only its own end matters
            depth += (tag == skipped) * (-1 if closing else 1)
            skipped = skipped if depth > 0 else ""
        elif not tag:
            page.write(unescape(content))
        elif closing:
            _leave(tag, page)
        else:
            what = _left_out(tag, content)
            if what.startswith("history"):
                cut = cut or visible_only
                what = what.removeprefix("history ") if visible_only else ""
            if what == "rest":
                break
            if what == "element" and tag not in _VOID:
                skipped, depth = tag, 1
            else:
                _enter(tag, page)
    text = page.text()
    return text if text or not skipped else _crude(html), cut  # an element left open swallowed everything


def _crude(html: str) -> str:
    return _SPACES.sub(" ", unescape(_ANY_TAG.sub(" ", html[:MAX_HTML]))).strip()


def _left_out(tag: str, attributes: str) -> str:
    """`element` when this one is never read; `history element`, or `history rest` when all behind it is; else empty."""
    if tag in _RAW:
        return "element"
    if tag == "includetail":
        return "history element"
    if not attributes:
        return ""
    found = {name.lower(): value.strip("\"'").lower() for name, value in _ATTRIBUTE.findall(attributes)}
    if "display:none" in found.get("style", "").replace(" ", ""):
        return "element"
    if found.get("id") in _CUT_IDS:
        return "history rest"
    marked = not _HISTORY_CLASSES.isdisjoint(found.get("class", "").split()) or found.get("id") in _HISTORY_IDS
    return "history element" if marked or (tag == "blockquote" and found.get("type") == "cite") else ""


def _pieces(html: str) -> Iterator[_Piece]:
    """Text and tags in order. Comments and declarations vanish; linear whatever is left open."""
    at, size = 0, len(html)
    while at < size:
        start = html.find("<", at)
        if start < 0:
            yield ("", False, html[at:])
            return
        if start > at:
            yield ("", False, html[at:start])
        name = _NAME.match(html, start + 1)
        if name is not None:
            end = _tag_end(html, name.end())
            content = html[name.end() : min(end, name.end() + _MAX_ATTRIBUTES)]
            yield (name[1].lower(), html[start + 1] == "/", content)
            at = end + 1
        elif html.startswith("<!--", start):
            end = html.find("-->", start + 4)
            at = end + 3 if end >= 0 else size
        elif html[start + 1 : start + 2] in ("!", "?"):
            end = html.find(">", start)
            at = end + 1 if end >= 0 else size
        else:
            yield ("", False, "<")
            at = start + 1


def _tag_end(html: str, at: int) -> int:
    """Where the tag ends; quoted values may hold `>`. What never ends, ends with the text."""
    while (mark := _QUOTE_OR_END.search(html, at)) is not None:
        if mark[0] == ">":
            return mark.start()
        closing = html.find(mark[0], mark.end())
        if closing < 0:
            return len(html)
        at = closing + 1
    return len(html)


class _Page:
    """Lines as they grow. Breaks made by blocks are asked for, not written: nested blocks end one line, not three."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line: list[str] = []
        self.preformatted = 0

    def write(self, text: str) -> None:
        if self.preformatted <= 0:
            self._line.append(text)
            return
        first, *more = text.split("\n")
        self._line.append(first)
        for line in more:
            self.end_line()
            self._line.append(line)

    def end_line(self) -> None:
        text = "".join(self._line)
        self._line = []
        self._done.append(text.rstrip() if self.preformatted > 0 else _SPACES.sub(" ", text).strip(" \xa0"))

    def end_block(self, *, paragraph: bool = False) -> None:
        if any(not piece.isspace() for piece in self._line if piece):
            self.end_line()
        else:
            self._line = []
        if paragraph and self._done and self._done[-1]:
            self._done.append("")

    def text(self) -> str:
        self.end_block()
        return "\n".join(self._done).strip("\n")


def _enter(tag: str, page: _Page) -> None:
    if tag == "br":
        page.end_line()
    elif tag in _PARAGRAPHS:
        page.end_block(paragraph=True)
    elif tag in _BLOCKS:
        page.end_block()
        if tag == "li":
            page.write("- ")
        page.preformatted += tag == "pre"
    elif tag in ("td", "th"):
        page.write(" ")


def _leave(tag: str, page: _Page) -> None:
    if tag in _PARAGRAPHS:
        page.end_block(paragraph=True)
    elif tag in _BLOCKS:
        page.end_block()
        page.preformatted -= tag == "pre" and page.preformatted > 0
