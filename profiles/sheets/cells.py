"""What stands in one cell: values as text, lists in a cell, and the guard against formulas. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from profiles.models import iso_ms, plain

#: What a spreadsheet may take for a formula, in half and full width. https://owasp.org/www-community/attacks/CSV_Injection
#: (read 2026-11-28)
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
#: A number that a spreadsheet has shortened: its last digits are lost.
_SHORTENED = re.compile(r"[+-]?[0-9]([.,][0-9]+)?[eE]\+[0-9]{1,3}", re.ASCII)
_SEPARATORS = re.compile(r"[,;|\n\r，；、]")


def guarded(text: str) -> str:
    """The same text with an apostrophe before it where a spreadsheet would take it for a formula.

    A text that already begins with apostrophes and then such a sign gets one more, so `unguarded` gives back exactly
    what was there. What looks like a negative number is guarded too: telling the two apart is left to nobody.
    """
    return "'" + text if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The reverse of `guarded`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def is_shortened(text: str) -> bool:
    """True for `4.91701E+11`: a phone number or an id of which only the beginning is left."""
    return _SHORTENED.fullmatch(text.strip()) is not None


def number_in(text: str) -> int | float | None:
    """The number that a cell says; None when it says none, as `1.234,5`: whose comma is it?"""
    plain_text = text.strip()
    if not _NUMBER.fullmatch(plain_text) or len(plain_text) > 18:
        return None
    return int(plain_text) if plain_text.lstrip("-").isdigit() else float(plain_text)


def text_of(value: Any) -> str:
    """A value of a profile as a cell shows it; the same for every format, so that what came back unchanged is seen."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return iso_ms(value)
    if isinstance(value, list | tuple):
        return listed(text_of(each) for each in value)
    if isinstance(value, dict):
        return json.dumps(plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return str(value)


def listed(values: Iterable[str]) -> str:
    """Several values in one cell: `red, blue, "salt, pepper"`."""
    return ", ".join(_quoted(value) for value in values if value)


def _quoted(value: str) -> str:
    risky = _SEPARATORS.search(value) or '"' in value or value != value.strip()
    return '"' + value.replace('"', '""') + '"' if risky else value


def parted(text: str) -> list[str]:
    """The values of a cell, apart at `,`, `;`, `|`, their Chinese forms and new lines; what stands in quotation marks
    stays together. Each once, in their order."""
    if '"' not in text:
        parts = _SEPARATORS.split(text)
    else:
        even = "".join(_even(piece) for piece in re.split(r'("(?:[^"]|"")*")', text))
        parts = next(csv.reader(io.StringIO(even), skipinitialspace=True), [])
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _even(piece: str) -> str:
    quoted = len(piece) > 1 and piece.startswith('"') and piece.endswith('"')
    return piece if quoted else re.sub(r"\s*,\s*", ",", _SEPARATORS.sub(",", piece)).replace('"', "")
