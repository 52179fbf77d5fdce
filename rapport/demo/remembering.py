"""A clock that can be set back: what the demo remembers happens by the ordinary ways, at the time it is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from base.clock import now

_TOLD: ContextVar[datetime | None] = ContextVar("told", default=None)


def remembered() -> datetime:
    """The time of what is being told, and otherwise the current one. As `base.clock.now`."""
    return _TOLD.get() or now()


@contextmanager
def told_at(moment: datetime) -> Iterator[None]:
    """Within it this is the time, for this task and whatever it awaits."""
    token = _TOLD.set(moment)
    try:
        yield
    finally:
        _TOLD.reset(token)
