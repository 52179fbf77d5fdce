"""An iCalendar feed: https://www.rfc-editor.org/rfc/rfc5545 (sections 3.1, 3.3.11, 3.6.1; read 2026-11-29). Pure.

Events, not to-dos: few calendars show those of a feed. They take no time from the day (`TRANSPARENT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

#: Octets of a line, without its end.
LINE_MAX = 75
#: How long an entry is, and after how long programs are to look again.
LENGTH, AGAIN = "PT15M", "PT15M"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Entry:
    """Something that is due. `uid` stays the same for ever; `changed_at`: when it became what it is."""

    uid: str
    at: datetime
    changed_at: datetime
    summary: str
    url: str


def calendar(name: str, entries: Iterable[Entry]) -> str:
    """The feed; the same entries give the same text, so that its hash tells whether anything is new."""
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Rapport//Tasks//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH",
        f"X-WR-CALNAME:{escaped(name)}", f"REFRESH-INTERVAL;VALUE=DURATION:{AGAIN}", f"X-PUBLISHED-TTL:{AGAIN}",
    ]  # fmt: skip
    for entry in sorted(entries, key=lambda each: (each.at, each.uid)):
        lines += [
            "BEGIN:VEVENT", f"UID:{entry.uid}", f"DTSTAMP:{utc(entry.changed_at)}", f"DTSTART:{utc(entry.at)}",
            f"DURATION:{LENGTH}", f"SUMMARY:{escaped(entry.summary)}", f"URL:{entry.url}",
            f"DESCRIPTION:{escaped(entry.url)}", "TRANSP:TRANSPARENT", "END:VEVENT",
        ]  # fmt: skip
    return "".join(f"{folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def escaped(text: str) -> str:
    """A text value."""
    plain = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    for sign in ("\\", ";", ","):
        plain = plain.replace(sign, "\\" + sign)
    return plain.replace("\n", "\\n")


def folded(line: str) -> str:
    """A line in parts of at most `LINE_MAX` octets, no character cut in two."""
    parts, part, size = [], "", 0
    for character in line:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > LINE_MAX:
            parts.append(part)
            part, size = " ", 1
        part += character
        size += octets
    return "\r\n".join([*parts, part])


def utc(at: datetime) -> str:
    """A moment."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
