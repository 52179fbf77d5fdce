"""Postal addresses: one block of parts, countries by their code whatever they are called. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from babel import Locale

from profiles.normalise import clean_text, folded

#: Parts of an address, from the street to the country.
PARTS = ("street", "postal_code", "city", "region", "country")
#: The most characters of each; a street may have lines.
LONGEST: Mapping[str, int] = {"street": 300, "postal_code": 20, "city": 100, "region": 100, "country": 2}
_CODE = re.compile(r"[A-Z]{2}")
#: Languages in which lists name countries.
_LANGUAGES = ("en", "zh", "zh_Hant", "de", "fr", "es", "it", "nl", "pt", "ja", "ko", "pl", "ru", "sv", "tr")
#: What Babel does not know them by.
_ALSO: Mapping[str, str] = {
    "US": "usa|u s a|u s|united states of america|america|美利坚合众国",
    "GB": "uk|u k|great britain|england|scotland|wales|gbr", "RU": "rus|russia|russian federation",
    "CN": "chn|prc|p r c|p r china|china mainland|mainland china|people s republic of china"
    "|中国大陆|大陆|中华人民共和国",
    "HK": "hkg|hong kong|hongkong|hong kong sar|香港|中国香港", "MO": "mac|macau|macao|澳门|中国澳门",
    "TW": "twn|taiwan|台湾|臺灣|中国台湾", "KR": "kor|south korea|korea|republic of korea|韩国|南韩",
    "CZ": "cze|czech republic|czechia", "NL": "nld|holland|the netherlands", "AE": "are|uae|u a e",
    "VN": "vnm|viet nam",
    "DE": "deu|ger|brd|d", "AT": "aut|oesterreich", "CH": "che|switzerland", "FR": "fra|f", "IT": "ita", "ES": "esp",
    "PT": "prt", "BE": "bel", "LU": "lux", "DK": "dnk", "SE": "swe", "NO": "nor", "FI": "fin", "PL": "pol", "IE": "irl",
    "CA": "can", "MX": "mex", "BR": "bra", "AR": "arg", "AU": "aus", "NZ": "nzl", "JP": "jpn", "SG": "sgp",
    "MY": "mys", "TH": "tha", "ID": "idn", "PH": "phl", "IN": "ind", "TR": "tur|turkey", "ZA": "zaf", "IL": "isr",
    "SA": "sau", "UA": "ukr", "GR": "grc", "HU": "hun", "RO": "rou",
}  # fmt: skip


def block_of(parts: Mapping[str, Any]) -> dict[str, str | None] | None:
    """An address as it is kept: every part there, each a clean text or None; None where nothing is left of it."""
    lines = (clean_text(line, LONGEST["street"]) for line in str(parts.get("street") or "").splitlines())
    kept: dict[str, str | None] = {"street": "\n".join(filter(None, lines)) or None}
    kept |= {name: clean_text(parts.get(name), LONGEST[name]) for name in PARTS[1:]}
    return kept if any(kept.values()) else None


def same_block(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether both are the same address, or both none."""
    return block_of(one or {}) == block_of(other or {})


def lines_of(block: Mapping[str, Any]) -> list[str]:
    """An address from the street to the country."""
    town = " ".join(filter(None, (block.get("postal_code"), block.get("city"))))
    street = str(block.get("street") or "").splitlines()
    return [line for line in (*street, town, block.get("region"), block.get("country")) if line]


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """The two letters of a country, by them or by a name in one of many languages; None when it is none.

    `UK` is taken for `GB`.
    """
    plain = text.strip()
    upper = plain.upper()
    if _CODE.fullmatch(upper) and upper in Locale("en").territories:
        return "GB" if upper == "UK" else upper
    return _countries().get(_plain(plain))


@lru_cache(maxsize=8)
def country_names(language: str) -> dict[str, str]:
    """Code → name in this language, in the order of the names."""
    found = {code: name for code, name in Locale.parse(language).territories.items() if _is_country(code)}
    return dict(sorted(found.items(), key=lambda each: folded(each[1])))


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    found: dict[str, str] = {}
    for language in _LANGUAGES:
        for code, name in Locale.parse(language).territories.items():
            if _is_country(code):
                found.setdefault(_plain(name), code)
    for code, names in _ALSO.items():
        found |= {_plain(name): code for name in names.split("|")}
    return found


def _is_country(code: str) -> bool:
    """Babel's list also has regions of the world, by numbers, and groups of countries."""
    return _CODE.fullmatch(code) is not None and code not in ("EU", "EZ", "UN", "QO", "ZZ", "XA", "XB")


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", folded(name)).split())
