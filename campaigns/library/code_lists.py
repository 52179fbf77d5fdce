"""Codes out of what somebody pasted or uploaded: a line each, or the first column of a table. Pure."""

from __future__ import annotations

import re

from base.errors import FieldError, WrongInput

#: Headings of a column of codes; a first line that says so is no code.
HEADINGS = frozenset(
    {"code", "codes", "coupon", "coupons", "coupon code", "voucher", "discount code", "优惠码", "优惠券", "优惠券码",
     "券码", "兑换码", "折扣码"}
)  # fmt: skip
_SEPARATED = re.compile(r"[\t;,，]")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def read_text(raw: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with its mark, or GB18030. Raises `WrongInput`."""
    encodings = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    sentence = "is no text: save the list as CSV or as plain text, in UTF-8 or GB18030"
    raise WrongInput("The file cannot be read.", [FieldError("file", sentence)])


def codes_in(text: str) -> list[str]:
    """The codes in their order, doubles among them."""
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    found = [cell for line in lines if (cell := _first_cell(line))]
    return found[1:] if found and found[0].casefold() in HEADINGS else found


def _first_cell(line: str) -> str:
    """A code may stand in quotes; what follows a separator is another column."""
    line = line.strip(" ")
    quoted = _QUOTED.match(line)
    return (quoted[1].replace('""', '"') if quoted else _SEPARATED.split(line, maxsplit=1)[0]).strip()
