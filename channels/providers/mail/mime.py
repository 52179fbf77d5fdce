"""The parts of a MIME message. Own splitting by offsets: one pass per level, hard bounds, nothing copied but leaves.

The standard parser is not used for structure: it recurses with the nesting, asks every open boundary about every
line, and has no bound on either (issue 2, S14 of the security matrix).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import cached_property

from channels.adapter import Unreadable
from channels.providers.mail.charsets import clean, decode, decode_words, unbase64
from channels.providers.mail.headers import MAX_BLOCK, Headers, read_headers

MAX_PARTS = 1000
MAX_DEPTH = 50
#: Characters of one Content-Type or Content-Disposition field that are looked at.
MAX_PARAMETERS = 2000
#: Decoded bytes of one text part that are read as text; a longer letter is cut there (its file is not).
MAX_TEXT = 2_000_000

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,3}=\s{0,3}[\"']?([\w-]{2,30})", re.I)
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_UNSAFE_IN_NAME = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_PARSER_FAULTS = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Part:
    """One leaf: everything that is no multipart. An attached message is a leaf, too."""

    headers: Headers
    body: bytes = field(repr=False)
    #: The multipart types around it, outermost first, each with the number of that multipart: ("related", 3).
    around: tuple[tuple[str, int], ...] = ()

    @cached_property
    def media_type(self) -> str:
        """Lower-case `type/subtype`; `text/plain` where none or nonsense is declared (RFC 2045, 5.2)."""
        return media_type_of(self.headers) or "text/plain"

    @cached_property
    def disposition(self) -> str:
        """`inline`, `attachment` or empty."""
        return self.headers.get("content-disposition").partition(";")[0].strip().lower()[:40]

    @cached_property
    def content_id(self) -> str | None:
        """Content-ID without brackets."""
        return clean(self.headers.get("content-id").strip().strip("<>").strip())[:200] or None

    @cached_property
    def file_name(self) -> str | None:
        """The sender's name for it, made harmless: no folders, no control or direction characters."""
        name = parameter(self.headers, "content-disposition", "filename")
        return safe_file_name(name or parameter(self.headers, "content-type", "name"))

    def content(self) -> bytes:
        """The bytes with the transfer encoding undone."""
        encoding = self.headers.get("content-transfer-encoding").partition(";")[0].strip().lower()
        if encoding == "base64":
            return unbase64(self.body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.body)
        if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
            return _unuu(self.body)
        return self.body

    def text(self) -> str:
        """The content as text with `\\n` line ends, at most `MAX_TEXT` bytes of it."""
        data = self.content()[:MAX_TEXT]
        charset = parameter(self.headers, "content-type", "charset")
        if not charset and self.media_type == "text/html":
            declared = _META_CHARSET.search(data[:2048])
            charset = declared[1].decode() if declared else None
        text = decode(data, charset).replace("\r\n", "\n").replace("\r", "\n")
        if (parameter(self.headers, "content-type", "format") or "").lower() == "flowed":
            delsp = (parameter(self.headers, "content-type", "delsp") or "").lower() == "yes"
            return unflowed(text, delsp=delsp)
        return text


def split(raw: bytes) -> tuple[Headers, list[Part]]:
    """The header fields of a message and its leaves in order. Raises `Unreadable` past the bounds or with no field."""
    headers, start = _head(raw, 0, len(raw))
    if not headers:
        raise Unreadable("The bytes hold no mail header.")
    return headers, list(_Leaves(raw).of(headers, start, len(raw)))


class _Leaves:
    """Walks the parts of one message and counts them."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._count = 0
        self._multiparts = 0

    def of(self, headers: Headers, start: int, end: int, around: tuple[tuple[str, int], ...] = ()) -> Iterator[Part]:
        """The leaves of the part with these header fields and this body."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise Unreadable(f"The mail has more than {MAX_PARTS} parts.")
        kind, _, subtype = (media_type_of(headers) or "text/plain").partition("/")
        boundary = parameter(headers, "content-type", "boundary") if kind == "multipart" else None
        if not boundary:
            yield Part(headers, self._raw[start:end], around)
            return
        if len(around) >= MAX_DEPTH:
            raise Unreadable(f"The mail is nested more than {MAX_DEPTH} deep.")
        self._multiparts += 1
        inside = (*around, (subtype, self._multiparts))
        default = "message/rfc822" if subtype == "digest" else None
        for first, last in self._sections(boundary.encode("utf-8", "replace"), start, end):
            inner, body = _head(self._raw, first, last)
            if default and "content-type" not in inner:
                inner = Headers((*inner.fields, ("Content-Type", default)))
            yield from self.of(inner, min(body, last), last, inside)

    def _sections(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(start, end) of each section between lines of `--boundary`; a missing closing line is forgiven.

        The line end before a boundary belongs to the boundary (RFC 2046, 5.1.1).
        """
        line = rb"--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?=\n|\Z)"
        first = re.compile(line).match(self._raw, start, end)
        opened = first.end() + 1 if first is not None else None
        if first is not None and first[1]:
            return
        for mark in re.compile(rb"\n" + line).finditer(self._raw, start, end):
            if opened is not None:
                stop = mark.start() - (self._raw[mark.start() - 1 : mark.start()] == b"\r")
                yield min(opened, end), max(opened, stop)
            if mark[1]:
                return
            opened = mark.end() + 1
        if opened is not None:
            yield min(opened, end), end


def media_type_of(headers: Headers) -> str | None:
    """The declared media type in lower case; None when none or nonsense is declared."""
    declared = headers.get("content-type").partition(";")[0].strip().lower()
    return declared if _TYPE.fullmatch(declared) else None


def parameter(headers: Headers, field_name: str, name: str) -> str | None:
    """A parameter of a structured field, RFC 2231 and encoded words undone; None when missing or unreadable."""
    value = headers.get(field_name)
    if name not in value.lower():
        return None
    carrier = Message()
    try:
        carrier[field_name] = value[:MAX_PARAMETERS]
        found = carrier.get_param(name, header=field_name)
        plain = collapse_rfc2231_value(found) if found else ""
        return (decode_words(plain) if name in ("name", "filename") else clean(plain)) or None
    except _PARSER_FAULTS:  # the library's parameter parser stumbles over some nonsense; that is not ours to mend
        return None


def safe_file_name(name: str | None) -> str | None:
    """A file name without path, control and direction characters, at most 200 characters; None when nothing is left."""
    if not name:
        return None
    last = _UNSAFE_IN_NAME.sub("", clean(name)).replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    if len(last) > 200:
        stem, dot, ending = last.rpartition(".")
        last = f"{stem[:180]}.{ending[:19]}" if dot else last[:200]
    return last or None


def unflowed(text: str, *, delsp: bool = False) -> str:
    """Text of `format=flowed` with its soft line breaks undone (RFC 3676), per depth of quotation."""
    out: list[str] = []
    open_depth: int | None = None
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        body = line[depth:].removeprefix(" ")
        soft = body.endswith(" ") and body != "-- "
        shown = body[:-1] if soft and delsp else body
        if open_depth == depth and out and body != "-- ":
            out[-1] += shown
        else:
            out.append((">" * depth + " " if depth else "") + shown)
        open_depth = depth if soft else None
    return "\n".join(out)


def _head(raw: bytes, start: int, end: int) -> tuple[Headers, int]:
    """Header fields of the section and where its body begins."""
    if raw[start : start + 1] == b"\n":
        return Headers(), start + 1
    if raw[start : start + 2] == b"\r\n":
        return Headers(), start + 2
    blank = _BLANK_LINE.search(raw, start, end)
    stop, body = (blank.start(), blank.end()) if blank else (end, end)
    return read_headers(raw[start : min(stop, start + MAX_BLOCK)]), body


def _unuu(data: bytes) -> bytes:
    out = []
    for line in data.splitlines():
        if line.startswith((b"begin ", b"end")) or not line:
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            continue
    return b"".join(out)
