"""What somebody is told, as they read it: how much is new, what it is, and that they have seen it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.errors import NotFound
from base.feed import Feed, Notice
from base.mongo import Document
from base.pages import Page
from campaigns.telling.store import NotificationStore


class Notifications:
    """The use cases. Whoever calls asks for their own alone."""

    def __init__(self, store: NotificationStore, feed: Feed, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock

    async def page(
        self, user_id: str, *, unread: bool | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """The newest first. Raises `WrongInput` for a foreign cursor."""
        return await self._store.page(user_id, unread=unread, limit=limit, cursor=cursor)

    async def unread(self, user_id: str) -> list[Document]:
        """What is new: of each what it is about, its channel and its person."""
        return await self._store.unread(user_id)

    async def get(self, user_id: str, notification_id: str) -> Document:
        """One. Raises `NotFound`."""
        row = await self._store.get(user_id, notification_id)
        if row is None:
            raise NotFound("There is no such notification.")
        return row

    async def read(self, user_id: str, row: Document) -> int:
        """Seen, with all that is about the same; how many were new."""
        return await self._seen(user_id, about=row["about"])

    async def read_about(self, user_id: str, ids: Sequence[str]) -> int:
        """Somebody looks at these conversations or people: what they were told of them is seen."""
        return await self._seen(user_id, about={"$in": list(ids)})

    async def read_all(self, user_id: str) -> tuple[int, datetime]:
        """All is seen; how much was new, and the time by which that can be taken back."""
        at = self._clock()
        return await self._seen(user_id, at=at), at

    async def unread_again(self, user_id: str, read_at: datetime) -> int:
        """What was seen at that very moment is new again; how much."""
        count = await self._store.unread_again(user_id, read_at)
        await self._show(user_id, count)
        return count

    async def _seen(self, user_id: str, *, at: datetime | None = None, **about: Any) -> int:
        count = await self._store.read(user_id, at or self._clock(), **about)
        await self._show(user_id, count)
        return count

    async def _show(self, user_id: str, count: int) -> None:
        """The other windows of this person count anew."""
        if count:
            await self._feed.append([Notice("notification.read", {}, user_ids=(user_id,))])
