"""Open pages hear that work was done, so that the counts on them are read anew; at most once a second per kind."""

from __future__ import annotations

import logging
import time

from base.feed import Feed, Notice
from base.mongo import UNAVAILABLE
from worker.drains import Drain

log = logging.getLogger(__name__)

#: Shorter than the pause after which a page reads (two seconds, `desk/static/js/watch.js`): what is done within it is
#: read together with what was told.
PAUSE_S = 1.0


def told(drain: Drain, feed: Feed, kind: str) -> Drain:
    """`drain`, followed by a notice of this kind when it did something. A notice lost with the database is no loss."""
    until = 0.0

    async def drained(limit: int) -> int:
        nonlocal until
        done = await drain(limit)
        if done and time.monotonic() >= until:
            until = time.monotonic() + PAUSE_S
            try:
                await feed.append([Notice(kind)])
            except UNAVAILABLE as error:
                log.info("pages were not told", extra={"kind": kind, "error": type(error).__name__})
        return done

    return drained
