"""What WhatsApp's error codes mean in the words of every channel; the same table for answers and for receipts.

https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes (read 2026-11-22).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from channels.failures import Failure
from channels.providers.meta.graph import GRAPH_CODES, GraphError, judge

CODES: Mapping[int, Failure] = {
    **GRAPH_CODES,
    **dict.fromkeys((130429, 131048, 131056, 133016), Failure.RATE_LIMITED),
    **dict.fromkeys((131000, 131016, 131052, 131057, 133004), Failure.TEMPORARY),
    **dict.fromkeys((470, 131047), Failure.WINDOW_CLOSED),
    131050: Failure.CONSENT_WITHDRAWN,
    **dict.fromkeys((130472, 131049), Failure.ENGAGEMENT_LIMITED),
    **dict.fromkeys((131021, 131026, 131030), Failure.RECIPIENT_UNREACHABLE),
    # A user id in place of a number is refused for *this kind* of message; the person can still be reached.
    131062: Failure.NOT_SUPPORTED,
    **dict.fromkeys((131008, 131009, 131051, 131053, *range(132000, 132017), 132068, 132069), Failure.CONTENT_REJECTED),
    **dict.fromkeys((130497, 131005, 131031, 131037, 131042, 131045, 133010), Failure.ACCOUNT_PROBLEM),
}

#: Code 100 is "a parameter is wrong"; only its words tell that it was the recipient.
_RECIPIENT = re.compile(
    r"""\b(?:parameter|field)[\s:]+["'`]?to\b|["'`(\[]to["'`)\]]|recipient|phone number""", re.IGNORECASE
)
#: 131053 is "the file could not be used"; these words tell that only the way to it was broken.
_NETWORK = re.compile(r"time[d -]?out|network|connection|unreachable|\b50[0-9]\b", re.IGNORECASE)


def failure_of(error: GraphError) -> Failure | None:
    """The failure, or None for a code that nobody has told us about."""
    if error.code == 100 and error.subcode is None and _RECIPIENT.search(error.detail):
        return Failure.RECIPIENT_UNREACHABLE
    if error.code == 131053 and _NETWORK.search(error.detail):
        return Failure.TEMPORARY
    return judge(error, CODES)
