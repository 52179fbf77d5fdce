"""How many rows Today has for each person: what its page listed last, read anew for the rail once in a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from aiohttp import web

#: The list is put together from many places; a figure is as old as this at most.
FRESH = timedelta(seconds=30)


class TodayFigures:
    """Of this process. One number per person."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, int]] = {}

    async def of(self, user_id: str, now: datetime, read: Callable[[], Awaitable[int]]) -> int:
        """How many; read anew when what is known is too old."""
        known = self._known.get(user_id)
        if known is None or not timedelta(0) <= now - known[0] < FRESH:
            known = self._known[user_id] = (now, await read())
        return known[1]

    def know(self, user_id: str, now: datetime, number: int) -> None:
        """The list was just read."""
        self._known[user_id] = (now, number)

    def forget(self, user_id: str) -> None:
        """Something was done with it."""
        self._known.pop(user_id, None)


TODAY_FIGURES = web.AppKey("today_figures", TodayFigures)
