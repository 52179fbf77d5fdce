"""What a mail server's code means: SMTP replies and the enhanced status codes of RFC 3463, as one table.

RFC 5321 section 4.2, RFC 3463, RFC 5248 (read 2026-11-22). The stage matters: the same 550 says "no such user" after
RCPT and "this sender may not" after MAIL.
"""

from __future__ import annotations

import re
from typing import Literal

from channels.failures import Failure

Stage = Literal["greeting", "auth", "mail", "rcpt", "data"]

_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_RATE = re.compile(
    r"\brates?\b|throttl|too (?:many|fast|much)|limit exceeded|exceeded.{1,20}limit|greylist|grey-list", re.I
)
_RELAY = re.compile(r"relay|not authenticated|authentication required|must authenticate", re.I)
_TOO_LARGE = re.compile(r"too (?:large|big)|size (?:limit|exceeds)|exceeds.{1,20}size", re.I)


def enhanced(text: str) -> tuple[int, int, int] | None:
    """The first enhanced status code in a server's words, e.g. (5, 1, 1)."""
    found = _ENHANCED.search(text[:500])
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def failure_of(stage: Stage, code: int, text: str) -> Failure:
    """Why the server refused. `code` is its three digits, `text` its words."""
    status = enhanced(text)
    if stage == "auth" and code in (530, 534, 535, 538):
        return Failure.ACCOUNT_PROBLEM
    if 400 <= code < 500:
        slow = _RATE.search(text) or (status is not None and status[:2] == (4, 7))
        return Failure.RATE_LIMITED if slow else Failure.TEMPORARY
    if stage in ("greeting", "auth") or code == 530:
        return Failure.ACCOUNT_PROBLEM
    if stage == "mail":
        return _sender_refused(code, text, status)
    if _RELAY.search(text) and stage == "rcpt":
        return Failure.ACCOUNT_PROBLEM
    if status is not None:
        return failure_of_status(*status)
    if stage == "rcpt":
        return Failure.RECIPIENT_UNREACHABLE if code in (550, 551, 553) else Failure.UNKNOWN
    return Failure.CONTENT_REJECTED


def failure_of_status(kind: int, subject: int, detail: int) -> Failure:
    """What an enhanced status code says of one recipient."""
    if kind == 4:
        return Failure.TEMPORARY
    if (subject, detail) in ((1, 7), (1, 8)):  # the sender's address is at fault
        return Failure.ACCOUNT_PROBLEM
    if subject == 1 or (subject, detail) == (2, 1):  # no such address; mailbox disabled
        return Failure.RECIPIENT_UNREACHABLE
    if (subject, detail) == (2, 2):  # mailbox full: nothing wrong with the address, and a repeat is refused again
        return Failure.UNKNOWN
    if subject == 4:  # no route to the domain
        return Failure.RECIPIENT_UNREACHABLE if detail in (1, 4) else Failure.UNKNOWN
    return Failure.CONTENT_REJECTED if subject in (2, 3, 6, 7) else Failure.UNKNOWN


def _sender_refused(code: int, text: str, status: tuple[int, int, int] | None) -> Failure:
    too_large = code == 552 or _TOO_LARGE.search(text) or (status is not None and status[1:] == (3, 4))
    return Failure.CONTENT_REJECTED if too_large else Failure.ACCOUNT_PROBLEM
