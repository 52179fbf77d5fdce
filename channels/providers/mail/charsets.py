"""Bytes of any declared or undeclared charset → text that can be stored. Never raises on what a stranger sent."""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache

#: Names that senders use and Python does not know, or that mean a smaller set than what is really sent.
_ALIASES = {
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252",
    "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949", "ksc5601": "cp949", "euc-kr": "cp949",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030",
    "shift_jis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "windows-31j": "cp932",
    "iso-2022-jp": "iso2022_jp_ext", "iso-8859-8-i": "iso8859_8", "iso-8859-8-e": "iso8859_8",
    "big5": "cp950", "x-mac-roman": "mac_roman", "utf8mb4": "utf-8", "unicode-1-1-utf-7": "utf-7",
}  # fmt: skip
#: Declared by programs that declare this of everything: UTF-8 is tried first, which real Latin text never fits.
_DEFAULTS = frozenset({"ascii", "us-ascii", "iso-8859-1", "latin1", "latin-1"})
#: Codecs that make text of bytes in linear time. Python's list also holds zip, punycode and other traps.
_HARMLESS = (
    "utf", "iso8859", "iso2022", "cp", "koi8", "gb", "big5", "shift_jis", "euc", "johab", "hz", "mac-", "mac_",
    "tis-620", "kz1048", "ptcp154", "hp-roman8",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][\w.:+-]{0,38}", re.ASCII)
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([BbQq])\?([^?]*)\?=")


@lru_cache(maxsize=256)
def codec_of(charset: str) -> str | None:
    """The name of a harmless codec for a declared charset; None when we know none."""
    name = charset.strip().strip("'\"").lower().partition("*")[0]
    if not _NAME.fullmatch(name):
        return None
    try:
        found = codecs.lookup(_ALIASES.get(name, name)).name
    except (LookupError, ValueError):
        return None
    return found if found.startswith(_HARMLESS) else None


def decode(data: bytes, charset: str | None = None) -> str:
    """`data` as text: the declared charset if it fits, else UTF-8 if it fits, else what can be saved."""
    codec = codec_of(charset) if charset else None
    usual = charset is not None and charset.strip("'\" ").lower() in _DEFAULTS
    for name in ("utf-8", codec) if usual else (codec, "utf-8"):
        if name is not None:
            try:
                return clean(data.decode(name))
            except UnicodeError:
                continue
    return clean(data.decode(codec or "cp1252", "replace"))


def clean(text: str) -> str:
    """The same text without NUL, byte order mark and lone surrogates, which neither BSON nor UTF-8 can hold."""
    text = text.replace("\0", "").removeprefix("\ufeff")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decode_words(value: str) -> str:
    """A header value with its encoded words (RFC 2047) read; neighbours of one charset are joined as bytes first.

    The joining is for senders that cut a character in two, which the RFC forbids and many do.
    """
    if "=?" not in value:
        return clean(value)
    out: list[str] = []
    held, held_charset, end = bytearray(), "", 0
    for word in _WORD.finditer(value):
        gap = value[end : word.start()]
        charset, data = word[1].lower(), _word_bytes(word[2], word[3])
        if (held_charset != charset or gap.strip()) and held_charset:
            out.append(decode(bytes(held), held_charset))
            held.clear()
        if gap.strip() or not held_charset:
            out.append(clean(gap))
        held += data
        held_charset, end = charset, word.end()
    if held_charset:
        out.append(decode(bytes(held), held_charset))
    out.append(clean(value[end:]))
    return "".join(out)


def unbase64(data: bytes) -> bytes:
    """Base64 with whatever junk, missing padding or cut end it has."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        pass
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if encoding in "Bb":
        return unbase64(raw)
    return binascii.a2b_qp(raw, header=True)
