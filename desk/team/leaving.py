"""When somebody leaves: their open conversations go to a colleague, or back to everybody. Tasks follow by themselves
(`campaigns.handing_over`)."""

from __future__ import annotations

from contextlib import suppress

from base.errors import Conflict, NotFound
from desk.store import User
from inbox.conversations import ConversationActions
from inbox.models import Actor, Conversation, Status
from inbox.store import ConversationStore
from inbox.view_filter import ConversationFilter, ViewFilter

#: Statuses in which somebody still waits for something.
UNDONE: tuple[Status, ...] = ("open", "pending", "snoozed")
#: Handed over at once at most; nobody holds as many, and a request must end.
MOST = 2000


class Leaving:
    """The use case."""

    def __init__(self, conversations: ConversationStore, actions: ConversationActions) -> None:
        self._conversations = conversations
        self._actions = actions

    async def hand_over(self, user_id: str, to: User | None, by: Actor) -> int:
        """Give all open conversations of a person to another one, where they may answer, else to nobody; how many.

        Safe to be repeated: what was handed over is not found again.
        """
        moved = 0
        for status in UNDONE:
            wanted = ConversationFilter(ViewFilter(status=(status,), assignee=(user_id,)))
            while moved < MOST and (found := (await self._conversations.page(wanted, limit=100)).data):
                for each in found:
                    moved += await self._give(each, user_id, to, by)
        return moved

    async def _give(self, talk: Conversation, user_id: str, to: User | None, by: Actor) -> int:
        able = to is not None and (to.channels is None or talk.channel_id in to.channels)
        taker = to if able else None
        with suppress(Conflict, NotFound):  # somebody else has taken it meanwhile
            name = taker.name if taker else None
            await self._actions.assign(talk.id, taker.id if taker else None, by, assignee_name=name, expected=user_id)
            return 1
        return 0
