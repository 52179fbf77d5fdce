"""When a file that did not come is asked for again, and what people read meanwhile and at the end. Pure.

A question harms nobody, so more is repeated here than of sends: a lost answer, and an account that an administrator
may mend within the day. Files are asked for soon, because what providers give out expires within minutes or days.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from channels.failures import CONSEQUENCES, Failure, SendFailed
from inbox.models import Reason

MAX_TRIES: Final = 6
#: How long it is tried at all, from the first time on.
TRIED_FOR = timedelta(hours=24)
#: Seconds after the first, second … try. The last try comes close to the end of the day.
PAUSES_S: Final = (15.0, 120.0, 900.0, 7_200.0, 64_800.0)
_AGAIN = frozenset({Failure.UNCERTAIN, Failure.ACCOUNT_PROBLEM, Failure.UNKNOWN})

_BUSY = Reason("rate_limited", "The provider asked us to slow down; the file is fetched a little later.")
_NO_ACCESS_YET = Reason(
    "account_problem",
    "The provider refuses this account (token, permission), so the file could not be fetched yet; we try again.",
)
_NOT_YET = Reason("temporary", "The file could not be fetched yet; we try again by ourselves.")
_REFUSED = Reason("content_rejected", "The provider does not give this file out, or not one that we may take.")
_NO_FILES = Reason("not_supported", "This channel gives no files out.")
_NO_ACCESS = Reason(
    "account_problem", "The provider refused this account (token, permission), so the file could not be fetched."
)
_NOT_FETCHED = Reason("unknown", "The file could not be fetched from the provider.")
_WAITING: Mapping[Failure, Reason] = {Failure.RATE_LIMITED: _BUSY, Failure.ACCOUNT_PROBLEM: _NO_ACCESS_YET}
_ENDED: Mapping[Failure, Reason] = {
    Failure.CONTENT_REJECTED: _REFUSED,
    Failure.NOT_SUPPORTED: _NO_FILES,
    Failure.ACCOUNT_PROBLEM: _NO_ACCESS,
}
CHANNEL_GONE = Reason("channel_gone", "The channel was disconnected before the file was fetched.")
CRASHED = Reason("crashed", "Fetching this file broke off too often.")


def again_at(
    failed: SendFailed, tries: int, first_tried_at: datetime, now: datetime, rng: random.Random
) -> datetime | None:
    """When to ask again after `tries` failures; None: never."""
    if not (CONSEQUENCES[failed.failure].retry or failed.failure in _AGAIN):
        return None
    end = first_tried_at + TRIED_FOR
    if tries >= MAX_TRIES or now >= end:
        return None
    pause_s = PAUSES_S[min(tries, len(PAUSES_S)) - 1] * rng.uniform(0.8, 1.2)
    return min(now + timedelta(seconds=max(pause_s, failed.retry_after_s or 0.0)), end)


def reason_of(failed: SendFailed, *, waiting: bool) -> Reason:
    """Our sentence, and the provider's own words."""
    said = _WAITING.get(failed.failure, _NOT_YET) if waiting else _ENDED.get(failed.failure, _NOT_FETCHED)
    words = " ".join(part for part in (failed.provider_code, failed.detail) if part)[:500]
    return Reason(failed.failure.value, said.sentence, words or None)
