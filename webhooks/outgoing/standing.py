"""When a post that failed is tried again, and when an address has failed for so long that it is switched off. Pure.

The retries are those of Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md,
read 2026-11-28): at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from base.http import HttpReply

RETRIES = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=10),
)  # fmt: skip
#: By how much each wait is spread, so that what failed together is not tried together.
SPREAD = 0.2
#: An address that wants to be left alone for longer is asked again after this.
WAIT_MAX = timedelta(hours=24)
#: An address that does nothing but fail for so long is switched off; who was not asked for so long begins anew.
PATIENCE = timedelta(days=5)
#: Only a post that failed this often tells of more than a moment.
TRIES_THAT_TELL = 4
#: Characters of an answer that are kept.
ANSWER_MAX = 2000
GONE = 410
#: Why an endpoint was switched off by itself → `source.code` of the task that tells of it.
SWITCHED_OFF = {"failing": "webhook_off", "gone": "webhook_gone"}
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def next_try(
    tries: int, now: datetime, not_before: datetime | None = None,
    spread: Callable[[float, float], float] = random.uniform,
) -> datetime | None:  # fmt: skip
    """When a post that has failed so often is tried again; None: not any more."""
    if tries > len(RETRIES):
        return None
    again = now + RETRIES[tries - 1] * spread(1 - SPREAD, 1 + SPREAD)
    return again if not_before is None else max(again, min(not_before, now + WAIT_MAX))


def failing_from(since: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Since when nothing but failure is known of an address that has failed now again."""
    return now if since is None or last is None or now - last > PATIENCE else since


def is_given_up(since: datetime, tries: int, now: datetime) -> bool:
    """Whether an address that fails since then, now for the `tries`-th time with one post, is switched off."""
    return tries >= TRIES_THAT_TELL and now - since >= PATIENCE


def kept_of(reply: HttpReply) -> str:
    """What is kept of an answer, for a person to read."""
    text = reply.body[: 4 * ANSWER_MAX].decode("utf-8", "replace")
    return _UNREADABLE.sub("\ufffd", text)[:ANSWER_MAX]
