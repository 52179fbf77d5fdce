"""Journeys and broadcasts that name a snippet or an offer in words of their own, not through a template."""

from __future__ import annotations

import asyncio

from base.mongo import Document
from campaigns.wording.parts import names_in
from profiles.uses import Source


class OwnWords:
    """Looks through what is written in send steps and broadcasts: drafts, what is live, what somebody still walks."""

    def __init__(self, *rooms: Source) -> None:
        self._rooms = rooms

    async def users(self, *, include: str | None = None, offer: str | None = None) -> list[Document]:
        """Journeys and broadcasts in which this snippet or this offer stands: `{_id, name}`."""
        found = await asyncio.gather(*(each.definitions() for each in self._rooms))
        part, key = ("offers", offer) if include is None else ("includes", include)
        return [
            {"_id": each.use.id, "name": each.use.name}
            for room in found
            for each in room
            if key in names_in(each.parts)[part]
        ]
