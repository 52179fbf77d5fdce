"""What Twilio's error codes mean in the words of every channel; the same table for answers and for receipts.

https://www.twilio.com/docs/api/errors (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.failures import Failure

CODES: Mapping[int, Failure] = {
    **dict.fromkeys((14107, 20429, 30001, 30022, 30023, 63018), Failure.RATE_LIMITED),
    **dict.fromkeys((20500, 30003, 30008, 30017), Failure.TEMPORARY),
    63016: Failure.WINDOW_CLOSED,
    21610: Failure.CONSENT_WITHDRAWN,
    # The number is none, is no mobile, does not exist, or lies where this account may not send.
    **dict.fromkeys(
        (21211, 21214, 21217, 21408, 21614, 30005, 30006, 63003, 63024),
        Failure.RECIPIENT_UNREACHABLE,
    ),
    30004: Failure.RECIPIENT_BLOCKED,
    63049: Failure.ENGAGEMENT_LIMITED,
    **dict.fromkeys(
        (
            11751,
            12300,
            21602,
            21617,
            21619,
            21620,
            21623,
            21655,
            21656,
            30007,
            30019,
            63005,
            63013,
            63021,
            63027,
            63028,
        ),
        Failure.CONTENT_REJECTED,
    ),
    # About one recipient (WhatsApp's own limits; a sandbox the person has not joined): no reason to pause the channel.
    **dict.fromkeys((63015, 63032), Failure.CONTENT_REJECTED),
    **dict.fromkeys(
        (20003, 20005, 20006, 20008, 20404, 21212, 21603, 21606, 21609, 21659, 21660, 21703, 30002, 30032, 30034),
        Failure.ACCOUNT_PROBLEM,
    ),
}
_STATUS: Mapping[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}


def failure_of(code: int | None, status: int | None = None) -> Failure:
    """By the code, else by the HTTP status; `UNKNOWN` where neither says."""
    known = CODES.get(code) if code is not None else None
    if known is not None or status is None:
        return known or Failure.UNKNOWN
    return Failure.TEMPORARY if status >= 500 else _STATUS.get(status, Failure.UNKNOWN)
