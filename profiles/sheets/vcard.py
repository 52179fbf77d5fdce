"""vCard 3.0 and 4.0, written and read; 2.1 with its quoted-printable is read too.

Standards: https://www.rfc-editor.org/rfc/rfc2426 and https://www.rfc-editor.org/rfc/rfc6350 (read 2026-11-28).
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from profiles.sheets.cells import listed
from profiles.sheets.table import ROWS_MAX, Row, Table, Unreadable

Version = Literal["3.0", "4.0"]
#: Columns that a card is read into.
COLUMNS = (
    "uid", "name", "nickname", "email", "phone", "organisation", "title", "address", "city", "region", "postcode",
    "country", "birthday", "website", "note", "tags", "locale", "time_zone", "location", "customer_id", "stage", "tier",
)  # fmt: skip
#: Octets of a line, without its end. RFC 6350, 3.2.
LINE_MAX = 75
CARD_MAX_LINES = 5000
#: Octets that are kept of a property.
UNFOLDED_MAX = 100_000
#: Stands on a card whose `FN`, which there has to be, is no name.
NAMELESS = "X-RAPPORT-NAMELESS"
#: Simple properties: name on the card → column.
_PLAIN = {
    "FN": "name", "NICKNAME": "nickname", "TITLE": "title", "BDAY": "birthday", "URL": "website", "NOTE": "note",
    "UID": "uid", "LANG": "locale", "TZ": "time_zone", "X-CUSTOMER-ID": "customer_id", "X-RAPPORT-STAGE": "stage",
    "X-RAPPORT-TIER": "tier", NAMELESS: "nameless",
}  # fmt: skip


#: Parts of a postal address in the order of the card, after the box and the extension.
_ADR = ("street", "city", "region", "postal_code", "country")


@dataclass(frozen=True)
class Card:
    """One person. `more`: further properties by name, as they are."""

    uid: str
    name: str
    emails: Sequence[str] = ()
    phones: Sequence[str] = ()
    tags: Sequence[str] = ()
    organisation: str = ""
    locale: str = ""
    time_zone: str = ""
    location: tuple[float, float] | None = None
    more: Mapping[str, str] = field(default_factory=dict)
    #: As `profiles.postal.block_of` makes it.
    address: Mapping[str, str | None] | None = None


# -- writing -------------------------------------------------------------------------------------------------------


def write_card(card: Card, version: Version = "4.0") -> str:
    """The card with folded lines, CRLF at each end. The first address and number are the preferred ones."""
    lines = ["BEGIN:VCARD", f"VERSION:{version}", f"UID:{_escaped(card.uid)}", f"FN:{_escaped(card.name)}"]
    lines.append(f"N:;{_escaped(card.name)};;;")
    lines += [f"EMAIL{_preferred(place, version)}:{_escaped(each)}" for place, each in enumerate(card.emails)]
    lines += [_phone(place, each, version) for place, each in enumerate(card.phones)]
    lines += [f"ORG:{_escaped(card.organisation)}"] if card.organisation else []
    lines += ["CATEGORIES:" + ",".join(_escaped(tag) for tag in card.tags)] if card.tags else []
    lines += [f"LANG:{card.locale}"] if card.locale and version == "4.0" else []
    lines += [f"TZ:{_escaped(card.time_zone)}"] if card.time_zone else []
    if card.location is not None:
        latitude, longitude = card.location
        lines.append(f"GEO:geo:{latitude},{longitude}" if version == "4.0" else f"GEO:{latitude};{longitude}")
    if card.address is not None:
        parts = (card.address.get(name) or "" for name in _ADR)
        lines.append("ADR:;;" + ";".join(_escaped(part) for part in parts))
    lines += [f"{name}:{_escaped(value)}" for name, value in card.more.items() if value]
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCARD"])


def _preferred(place: int, version: Version) -> str:
    if place:
        return ""
    return ";PREF=1" if version == "4.0" else ";TYPE=PREF"


def _phone(place: int, number: str, version: Version) -> str:
    if version == "4.0":
        return f"TEL;VALUE=uri{_preferred(place, version)}:tel:{number}"
    return f"TEL{_preferred(place, version)}:{number}"


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return plain.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")


def _folded(line: str) -> str:
    """Lines of at most 75 octets, no character cut in two."""
    parts: list[str] = []
    part, size = "", 0
    for character in line:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > LINE_MAX:
            parts.append(part)
            part, size = " ", 1
        part += character
        size += octets
    return "\r\n".join([*parts, part])


# -- reading -------------------------------------------------------------------------------------------------------


def read_cards(path: Path) -> Table:
    """A file of cards as a table with `COLUMNS`. Raises `Unreadable` when there is no card in it."""
    if next(_cards(path), None) is None:
        raise Unreadable("There is no vCard in this file.")

    def rows() -> Iterator[Row]:
        for number, lines in enumerate(_cards(path), 1):
            if number > ROWS_MAX:
                raise Unreadable("A file may have 1,000,000 rows.")
            found = card_cells(lines)
            yield number, [found.get(name, "") for name in COLUMNS]

    return Table("vcard", COLUMNS, rows, "utf-8")


def _cards(path: Path) -> Iterator[list[bytes]]:
    """The unfolded lines of each card between its BEGIN and END."""
    lines: list[bytes] | None = None
    with path.open("rb") as file:
        for line in _unfolded(file):
            mark = line.strip().upper()
            if mark == b"BEGIN:VCARD":
                lines = []
            elif mark == b"END:VCARD" and lines is not None:
                yield lines
                lines = None
            elif lines is not None and len(lines) < CARD_MAX_LINES:
                lines.append(line)


def _unfolded(file: Iterable[bytes]) -> Iterator[bytes]:
    """Continued lines put together, those of quoted-printable too. A picture of megabytes is cut, not kept."""
    line: bytearray | None = None
    packed = ended = False  # quoted-printable; its last piece ends with a sign that it goes on
    for raw in file:
        piece = raw.rstrip(b"\r\n")
        if line is not None and piece[:1] in (b" ", b"\t"):
            more = piece[1:]
        elif line is not None and packed and not ended:
            more = piece
        else:
            if line is not None:
                yield bytes(line)
            line, packed, more = bytearray(), b"QUOTED-PRINTABLE" in piece.partition(b":")[0].upper(), piece
        ended = not more.endswith(b"=")
        kept = more if ended or not packed else more[:-1]
        line += kept[: max(0, UNFOLDED_MAX - len(line))]
    if line is not None:
        yield bytes(line)


def card_cells(lines: Sequence[bytes]) -> dict[str, str]:
    """Column → cell of one card's lines."""
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for line in lines:
        name, value = _property(line)
        if name in _PLAIN:
            single.setdefault(_PLAIN[name], _plain_text(value))
        elif name in ("EMAIL", "TEL"):
            column = "email" if name == "EMAIL" else "phone"
            several.setdefault(column, []).append(_plain_text(value).removeprefix("tel:").removeprefix("mailto:"))
        elif name == "CATEGORIES":
            several.setdefault("tags", []).extend(_plain_text(part) for part in _parts(value, ","))
        else:
            for column, text in _compound(name, value).items():
                single.setdefault(column, text)
    if single.pop("nameless", ""):
        single["name"] = ""
    elif not single.get("name"):
        single["name"] = single.pop("names", "")
    single.pop("names", None)
    return {**single, **{column: listed(dict.fromkeys(values)) for column, values in several.items()}}


def _compound(name: str, value: str) -> dict[str, str]:
    parts = [_plain_text(part) for part in _parts(value, ";")]
    if name == "N":
        family, given, *_ = [*parts, "", ""]
        return {"names": " ".join(part for part in (given, family) if part)}
    if name == "ORG":
        return {"organisation": " · ".join(part for part in parts if part)}
    if name == "ADR":
        _, extended, street, city, region, code, country, *_ = [*parts, *[""] * 7]
        found = {"address": "\n".join(part for part in (street, extended) if part), "city": city, "region": region,
                 "postcode": code, "country": country}  # fmt: skip
        return {column: text for column, text in found.items() if text}
    if name == "GEO":
        return {"location": value.removeprefix("geo:").partition("?")[0].partition(";u=")[0].replace(";", ",")}
    return {}


def _property(line: bytes) -> tuple[str, str]:
    """Name without its group, and the value decoded; parameters that matter are used up here."""
    head, _, rest = _cut(line)
    name, *parameters = (part.decode("ascii", "replace") for part in head.split(b";"))
    told = {key.upper(): text for key, _, text in (each.partition("=") for each in parameters)}
    if "QUOTED-PRINTABLE" in {text.upper() for text in told.values()} | {key.upper() for key in told}:
        rest = quopri.decodestring(rest)
    return name.rpartition(".")[2].upper(), _decoded(rest, told.get("CHARSET", ""))


def _cut(line: bytes) -> tuple[bytes, bytes, bytes]:
    """At the colon that ends the head: one within quotation marks does not."""
    quoted = False
    for place, octet in enumerate(line):
        if octet == 0x22:
            quoted = not quoted
        elif octet == 0x3A and not quoted:
            return line[:place], b":", line[place + 1 :]
    return line, b"", b""


def _decoded(raw: bytes, told: str) -> str:
    for name in (told, "utf-8", "gb18030"):
        try:
            if name:
                return raw.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("cp1252", "replace")


def _parts(value: str, sign: str) -> list[str]:
    """Apart at signs that no backslash stands before."""
    parts = [""]
    for piece in re.findall(r"\\.|[^\\]|\\", value, re.DOTALL):
        if piece == sign:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _plain_text(value: str) -> str:
    return re.sub(r"\\([\\,;:nN])", lambda found: "\n" if found[1] in "nN" else found[1], value).strip()
