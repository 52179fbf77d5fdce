"""Header fields of a mail: unfolding, addresses, ids, dates. Bounded and linear, whatever was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from channels.providers.mail.charsets import clean, decode, decode_words

#: Bytes of one header block that are looked at; what lies behind is passed over.
MAX_BLOCK = 256_000
#: Characters of one address field that are looked at.
MAX_ADDRESS_FIELD = 20_000
#: Addresses kept of one mail and ids kept of one field.
MAX_ADDRESSES = 200
MAX_IDS = 50
#: RFC 5322 allows a line of 998; real ids stay below this, and it must fit an index.
MAX_ID_LENGTH = 400

_ADDRESS = re.compile(
    r"[^\s@<>(),;:\"\\\[\]\x00-\x1f\x7f]{1,128}@(?:\[[0-9A-Fa-f:.]{2,60}\]|[^\s@<>(),;:\"\\\[\]\x00-\x1f\x7f]{1,255})"
)
_SIMPLE = re.compile(r'\s*(?:"([^"\\<>@]*)"|([^"<>@,;:()\\]*))\s*<([^<>@\s"(),;:\\]+@[^<>@\s"(),;:\\]+)>\s*')
#: A quoted string is bounded, so that quotes never closed cannot make the search quadratic.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.){0,250}+"|<[^<>]*+>?|[(),;:]|[^"<>(),;:]+|.', re.S)
_ESCAPED = re.compile(r"\\(.)", re.S)
_BRACKETED = re.compile(r"<\s*([^<>\s]+)\s*>")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Mailbox(NamedTuple):
    """A name and an address, both as written."""

    name: str
    address: str

    @property
    def key(self) -> str:
        """The address as it is compared."""
        return self.address.lower()


class Headers:
    """The fields of one header block in their order; names are compared without case."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields = tuple(fields)
        self._by_name: dict[str, list[str]] = {}
        for name, value in self.fields:
            self._by_name.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str:
        """The first value, unfolded and not decoded; empty when there is none."""
        return self._by_name.get(name.lower(), [""])[0]

    def all(self, name: str) -> list[str]:
        """Every value of this name."""
        return self._by_name.get(name.lower(), [])

    def text(self, name: str, limit: int = 1000) -> str:
        """The first value with its encoded words read, at most `limit` characters."""
        return decode_words(self.get(name)[: 4 * limit]).strip()[:limit]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._by_name

    def __bool__(self) -> bool:
        return bool(self.fields)


def read_headers(block: bytes) -> Headers:
    """Fields of a header block. Raw bytes that no header may hold are read as UTF-8, else as windows-1252."""
    text = decode(block[:MAX_BLOCK]).replace("\r\n", "\n").replace("\r", "\n")
    return Headers(_fields(text.split("\n")))


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    name, parts = "", [""]
    for line in lines:
        if line[:1] in (" ", "\t"):
            parts.append(" " + line.strip())
            continue
        if name:
            yield name, "".join(parts).strip()
        head, colon, rest = line.partition(":")
        name = head.rstrip() if colon and head and len(head) <= 100 and not re.search(r"\s", head.rstrip()) else ""
        parts = [rest.strip()]
    if name:
        yield name, "".join(parts).strip()


def valid_address(text: str) -> bool:
    """True when `text` has the form of one mail address, without a name and of a bearable length."""
    return len(text) <= 320 and _ADDRESS.fullmatch(text) is not None


def mailboxes(field: str, limit: int = MAX_ADDRESSES) -> list[Mailbox]:
    """The mailboxes of an address field, groups opened, comments and unreadable entries left out."""
    simple = _SIMPLE.fullmatch(field) if len(field) < 1000 else None
    if simple is not None and valid_address(simple[3]):
        return [Mailbox(_name(simple[1] or simple[2] or ""), simple[3])][:limit]
    found: list[Mailbox] = []
    for phrase, angle in _entries(field[:MAX_ADDRESS_FIELD]):
        address = (angle if angle is not None else phrase).strip()
        address = address.rpartition(":")[2].strip() if angle is not None else address
        if valid_address(address):
            found.append(Mailbox(_name(phrase) if angle is not None else "", address))
            if len(found) >= limit:
                break
    return found


def _name(phrase: str) -> str:
    return " ".join(decode_words(phrase).split())[:200]


def _entries(field: str) -> Iterator[tuple[str, str | None]]:
    """(phrase, text in angle brackets or None) of each entry; comments and names of groups are left out."""
    phrase: list[str] = []
    angle: str | None = None
    comment = 0
    for token in _TOKEN.findall(field):
        if token in "()":
            comment = comment + 1 if token == "(" else max(0, comment - 1)
            phrase.append(" ")  # so that what stands on both sides never becomes one address
        elif comment:
            continue
        elif token[0] == "<":
            angle = token.strip("<>")
        elif token in ",;:":
            if token != ":":
                yield "".join(phrase), angle
            phrase, angle = [], None
        else:
            phrase.append(_ESCAPED.sub(r"\1", token[1:-1]) if len(token) > 1 and token[0] == '"' else token.strip('"'))
    yield "".join(phrase), angle


def message_ids(field: str) -> tuple[str, ...]:
    """The ids of a Message-ID, In-Reply-To or References field, without brackets, in order, each once.

    Some senders forget the brackets: then a lone word counts, and among several those with an `@`. Of more than
    `MAX_IDS` the last ones count: they are nearest to the answer.
    """
    field = field[:MAX_ADDRESS_FIELD]
    found = _BRACKETED.findall(field)
    if not found:
        words = field.replace("<", " ").replace(">", " ").split()
        found = words if len(words) == 1 else [word for word in words if "@" in word]
    kept = dict.fromkeys(clean(each) for each in found if len(each) <= MAX_ID_LENGTH)
    return tuple(kept)[-MAX_IDS:]


def instant(field: str, received_at: datetime | None) -> datetime:
    """The time of a Date field as UTC; `received_at` where there is none or it lies more than a day ahead of it.

    A clock set wrong, or a sender who wants to stay on top of the list, must not order our inbox.
    """
    fallback = received_at or _EPOCH
    try:
        parsed = parsedate_to_datetime(field[:100])
        found = (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return fallback
    if found < _EPOCH or (received_at is not None and found > received_at + timedelta(days=1)):
        return fallback
    return found
