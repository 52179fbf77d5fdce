"""The secret link to the calendar of a colleague. Whoever has it reads the calendar, so it can be replaced and taken
away at any time, and is kept nowhere."""

from __future__ import annotations

import secrets

from base.mongo import Document
from desk.calendar.store import CalendarStore
from desk.store import fingerprint


class Calendars:
    """The use cases."""

    def __init__(self, store: CalendarStore) -> None:
        self._store = store

    async def link(self, user_id: str, *, with_words: bool) -> str:
        """A new secret; the one before leads nowhere from now on. It is kept nowhere."""
        secret = secrets.token_urlsafe(32)
        await self._store.put(user_id, fingerprint(secret), with_words=with_words)
        return secret

    async def unlink(self, user_id: str) -> bool:
        """No link any more; whether there was one."""
        return await self._store.remove(user_id)

    async def of(self, user_id: str) -> Document | None:
        """What is known of somebody's link."""
        return await self._store.of(user_id)

    async def opened(self, secret: str) -> Document | None:
        """Whose link this is; None: nobody's (any more)."""
        row = await self._store.by_fingerprint(fingerprint(secret)) if 20 <= len(secret) <= 100 else None
        if row is not None:
            await self._store.read(row)
        return row
