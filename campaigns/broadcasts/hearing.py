"""Hears what becomes of messages after they were taken: delivered, read, opened, and who left because of one."""

from __future__ import annotations

from collections.abc import Sequence

from base.ids import is_id
from campaigns.broadcasts.store import BroadcastStore
from inbox.store import MailingStore
from inbox.store.mailings import KIND
from profiles.events import Event
from profiles.store import ConsentStore

_RECEIPTS = frozenset(
    {"message.delivered", "message.read", "message.failed", "message.bounced", "message.opened", "message.clicked"}
)
#: A no that came by the link in a message; its proof is the send.
_BY_LINK = frozenset({"unsubscribe_link", "preference_centre"})


class Hearing:
    """Listens to domain events; may hear one twice."""

    def __init__(self, store: BroadcastStore, mailings: MailingStore, consents: ConsentStore) -> None:
        self._store = store
        self._mailings = mailings
        self._consents = consents

    async def hear(self, events: Sequence[Event]) -> None:
        """Have the broadcasts concerned counted anew."""
        told = {
            str(each.properties.get("source_id"))
            for each in events
            if each.name in _RECEIPTS and each.properties.get("source") == KIND
        }
        told |= await self._left(events)
        if told:
            await self._store.touch(told)

    async def _left(self, events: Sequence[Event]) -> set[str]:
        acts = [
            str(each.properties.get("act_id"))
            for each in events
            if each.name == "consent.denied" and each.properties.get("source") in _BY_LINK
        ]
        if not acts:
            return set()
        rows = await self._consents.many(acts)
        marks = {str(row["proof"]): row["at"] for row in rows if is_id(str(row.get("proof") or ""), "snd")}
        return await self._mailings.left_by(marks) if marks else set()
