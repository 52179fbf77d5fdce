"""Who has a conversation open just now: marks on the bus that go by themselves. Losing one is no loss."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from base.bus import Bus

#: A window that has not said so for this long is not there any more, seconds. Windows say it twice as often.
KEPT_S = 40


class Viewing:
    """Each window of a person is a mark of its own: who closes one of two is still there."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def look(self, conversation_id: str, user_id: str, window: str) -> None:
        """This window shows the conversation. Never raises."""
        await self._bus.mark(_place(conversation_id), f"{user_id}|{window}", kept_s=KEPT_S)

    async def leave(self, conversation_id: str, user_id: str, window: str) -> bool:
        """It shows it no more; whether no other window of this person does."""
        await self._bus.unmark(_place(conversation_id), f"{user_id}|{window}")
        return user_id not in await self.who(conversation_id)

    async def who(self, conversation_id: str) -> list[str]:
        """Ids of those who have it open, each once, in order."""
        members = await self._bus.marked(_place(conversation_id))
        return sorted({member.partition("|")[0] for member in members})

    async def of_many(self, conversation_ids: Iterable[str]) -> dict[str, list[str]]:
        """The same for several: those that nobody has open are left out."""
        ids = list(conversation_ids)
        found = await asyncio.gather(*(self.who(each) for each in ids))
        return {each: people for each, people in zip(ids, found, strict=True) if people}


def _place(conversation_id: str) -> str:
    return f"viewing:{conversation_id}"
