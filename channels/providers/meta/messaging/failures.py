"""What the error codes of the Send API mean in the words of every channel.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/error-codes (read 2026-11-28), with
the classes of the platform facts file.
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.failures import Failure
from channels.providers.meta.graph import GRAPH_CODES, GraphError, judge

CODES: Mapping[int, Failure] = {
    **GRAPH_CODES,
    **dict.fromkeys((9, 80006), Failure.RATE_LIMITED),
    1200: Failure.TEMPORARY,
    551: Failure.RECIPIENT_UNREACHABLE,
    **dict.fromkeys((10900, 10903), Failure.CONTENT_REJECTED),  # this comment has its private reply, or takes none
    10904: Failure.ACCOUNT_PROBLEM,  # the page has switched messages off
}
#: Codes whose subcode says more. Code 10 alone is a missing permission and stops the account: these do not.
SUBCODES: Mapping[tuple[int, int], Failure] = {
    **dict.fromkeys(((10, 2018278), (10, 2018065), (10, 2534022)), Failure.WINDOW_CLOSED),
    # Another app controls the thread. It stays so until that app hands over, so trying again is of no use.
    (10, 2018300): Failure.NOT_SUPPORTED,
    **dict.fromkeys(((10, 2018108), (200, 2018108)), Failure.RECIPIENT_BLOCKED),
    **dict.fromkeys(((551, 1545041), (200, 1545041)), Failure.RECIPIENT_UNREACHABLE),
    **dict.fromkeys(((100, 33), (100, 2018001), (100, 2534014)), Failure.RECIPIENT_UNREACHABLE),
}


def failure_of(error: GraphError) -> Failure | None:
    """The failure, or None for a code that nobody has told us about."""
    if error.code is not None and error.subcode is not None:
        found = SUBCODES.get((error.code, error.subcode))
        if found is not None:
            return found
    return judge(error, CODES)
