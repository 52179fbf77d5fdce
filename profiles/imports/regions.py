"""In which country the phone numbers of a list are written that name none: guessed, with the reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from profiles.sheets.headings import plain_heading

#: By what it was guessed: the headings' language, that of the rows, or the setting of the deployment; "": by nothing.
Why = Literal["headings", "rows", "default", ""]
#: Writing → where it is at home, first the most likely.
_WRITINGS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"[\u3040-\u30ff]"), ("JP",)),
    (re.compile(r"[\uac00-\ud7af]"), ("KR",)),
    (re.compile(r"[\u4e00-\u9fff]"), ("CN", "TW", "HK", "MO", "SG")),
    (re.compile(r"[\u0e00-\u0e7f]"), ("TH",)),
)
_GERMAN = ("DE", "AT", "CH", "LI", "LU")
_GERMAN_WORDS = frozenset(
    [
        "vorname",
        "nachname",
        "familienname",
        "telefon",
        "telefonnummer",
        "handy",
        "handynummer",
        "straße",
        "strasse",
        "plz",
        "postleitzahl",
        "ort",
        "stadt",
        "land",
        "geburtstag",
        "geburtsdatum",
        "kundennummer",
        "anrede",
        "firma",
        "sprache",
        "bemerkung",
    ]
)
#: Of the cells so many hold the writing.
_SHARE = 0.3


@dataclass(frozen=True)
class Region:
    """Two letters, or "" where nobody knows."""

    code: str
    why: Why

    def document(self) -> dict[str, str]:
        """As it is kept."""
        return {"code": self.code, "why": self.why}


def guessed_region(columns: Sequence[str], rows: Iterable[Sequence[str]], default: str | None) -> Region:
    """`rows`: some of them. Where the deployment's own country speaks the language, it is that one."""
    found = _written(columns, default, 0.5)
    if found is not None:
        return Region(found, "headings")
    if sum(plain_heading(name) in _GERMAN_WORDS for name in columns) >= 2:
        return Region(_near(_GERMAN, default), "headings")
    words = [cell for row in rows for cell in row if any(character.isalpha() for character in cell) and "@" not in cell]
    found = _written(words, default, _SHARE)
    if found is not None:
        return Region(found, "rows")
    return Region(default, "default") if default else Region("", "")


def _written(texts: Sequence[str], default: str | None, share: float) -> str | None:
    for pattern, homes in _WRITINGS:
        if texts and sum(bool(pattern.search(text)) for text in texts) > share * len(texts):
            return _near(homes, default)
    return None


def _near(homes: Sequence[str], default: str | None) -> str:
    return default if default is not None and default in homes else homes[0]


@dataclass
class Numbers:
    """Phone numbers of a list that are written without a country. `asked`: read as of the country that was chosen;
    `told`: their row has an address, whose country they are read as of."""

    asked: int = 0
    told: int = 0

    def plus(self, other: Mapping[str, int]) -> dict[str, int]:
        """Both together, as they are kept."""
        return {"asked": self.asked + other.get("asked", 0), "told": self.told + other.get("told", 0)}


def names_country(number: str) -> bool:
    """Whether a number says itself of which country it is."""
    return number.lstrip(" (\t").removeprefix("tel:").startswith(("+", "00", "＋"))
