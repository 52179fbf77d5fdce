"""Conversations by all that a view may ask: what stands in them, and what is known of the people who wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from base.clock import Clock
from base.pages import Page, bounded
from inbox.models import Conversation
from inbox.store import ConversationStore
from inbox.store.conversations import Sort
from inbox.view_filter import ConversationFilter, Due, PersonFilter, belongs, fits_person
from profiles.store import ProfileStore

#: Conversations looked at for one page when people are asked for; a page may end there and go on from its cursor.
LOOKED_AT_MAX, AT_ONCE = 1000, 200


class Finding:
    """Reads lists. A page never reads more than `LOOKED_AT_MAX` rows, so that with a filter on people it may hold fewer
    than asked for, or none, and still have a cursor."""

    def __init__(self, conversations: ConversationStore, profiles: ProfileStore, clock: Clock) -> None:
        self._conversations = conversations
        self._profiles = profiles
        self._clock = clock

    async def page(
        self, wanted: ConversationFilter, *, sort: Sort = "last_activity", limit: int | None = None,
        cursor: str | None = None, sla: Due | None = None,
    ) -> Page[Conversation]:  # fmt: skip
        """A part of the list; see `ConversationStore.page`."""
        if wanted.view.person == PersonFilter():
            return await self._conversations.page(wanted, sort=sort, limit=limit, cursor=cursor, sla=sla)
        size, looked_at = bounded(limit), 0
        found: list[Conversation] = []
        while True:
            part = await self._conversations.page(wanted, sort=sort, limit=AT_ONCE, cursor=cursor, sla=sla)
            fitting = await self._fitting(part.data, wanted.view.person)
            looked_at += len(part.data)
            if len(found) + len(fitting) > size:
                # Read once more up to where this page ends, so that its cursor names the last row given.
                kept = fitting[: size - len(found)]
                end = part.data.index(kept[-1]) + 1
                again = await self._conversations.page(wanted, sort=sort, limit=end, cursor=cursor, sla=sla)
                return Page([*found, *kept], again.next_cursor)
            found += fitting
            cursor = part.next_cursor
            if cursor is None or len(found) == size or looked_at >= LOOKED_AT_MAX:
                return Page(found, cursor)

    async def belonging(self, found: Iterable[Conversation], wanted: ConversationFilter) -> list[Conversation]:
        """Those of some conversations that belong, searching apart."""
        now = self._clock()
        rows = [each for each in found if belongs(each.model_dump(exclude_none=True), wanted.view, wanted.me, now)]
        if wanted.channels is not None:
            rows = [each for each in rows if each.channel_id in wanted.channels]
        if wanted.ids is not None:
            rows = [each for each in rows if each.id in wanted.ids]
        return await self._fitting(rows, wanted.view.person)

    async def _fitting(self, found: Sequence[Conversation], person: PersonFilter) -> list[Conversation]:
        if person == PersonFilter() or not found:
            return list(found)
        people = await self._profiles.many({each.profile_id for each in found})
        return [
            each
            for each in found
            if (them := people.get(each.profile_id)) and fits_person(person, them.stage, them.tier, them.tags)
        ]
