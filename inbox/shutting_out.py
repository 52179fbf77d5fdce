"""Shutting somebody out: what they write is kept without a sound, nothing is sent to them, and it can be taken back.

Kept on the person, so that an address they come by later is shut out too, and on their addresses as a suppression, so
that every gate of sending knows it. What they have open becomes spam by an act that can be undone (`inbox.bulk`).
"""

from __future__ import annotations

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id
from base.mongo import Database, Document, Session
from inbox.acts import Change
from inbox.bulk import Bulk, Order
from inbox.models import Actor
from inbox.store import ConversationStore
from profiles.events import EventStore, NewEvent
from profiles.models import SHUT_OUT
from profiles.store import ProfileStore

#: Open conversations of one person that become spam.
MOST = 1000


class ShuttingOut:
    """The use cases. Both may run twice."""

    def __init__(
        self, database: Database, profiles: ProfileStore, conversations: ConversationStore, bulk: Bulk,
        events: EventStore, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._profiles = profiles
        self._conversations = conversations
        self._bulk = bulk
        self._events = events
        self._clock = clock

    async def shut(self, profile_id: str, by: Actor) -> Document:
        """From now on; the act that made spam of what was open. Raises `NotFound`."""
        shut: Document = await self._database.in_transaction(lambda session: self._close(profile_id, by, session))
        await self._profiles.refresh_reach([shut["profile_id"]])
        act = await self._bulk.find(shut["act_id"])
        if act is not None:
            return act
        identities = await self._profiles.identities_of(shut["profile_id"])
        rows = await self._conversations.open_of([each.id for each in identities])
        ids = [row["_id"] for row in rows if row["status"] != "spam"][:MOST]
        return await self._bulk.begin(Order(Change(status="spam"), by, ids, kind=SHUT_OUT, act_id=shut["act_id"]))

    async def let_in(self, profile_id: str, by: Actor) -> Document | None:
        """Never mind: sends go again, and what became spam is as it was. The act that was taken back; None where they
        were not shut out. Raises `NotFound`."""
        person = await self._profiles.get(profile_id)
        if person is None:
            raise NotFound("There is no such person.")
        if person.shut_out is None:
            return None
        act = await self._bulk.find(person.shut_out.act_id)
        if act is not None:  # first, so that who comes again after a death still finds them shut out
            act = await self._bulk.undo(act["_id"], by)
        await self._database.in_transaction(lambda session: self._open(person.id, by, session))
        await self._profiles.refresh_reach([person.id])
        return act

    async def _close(self, profile_id: str, by: Actor, session: Session) -> Document:
        row = await self._locked(profile_id, session)
        if row.get("shut_out"):
            return {**row["shut_out"], "profile_id": row["_id"]}
        at = self._clock()
        shut = {"at": at, "by": by.id, "act_id": new_id("act")}
        await self._profiles.write(row["_id"], {"shut_out": shut}, session)
        await self._profiles.identity_rows.shut_out(row["_id"], at, session)
        await self._events.record([_event("profile.shut_out", row["_id"], shut, by)], session)
        return {**shut, "profile_id": row["_id"]}

    async def _open(self, profile_id: str, by: Actor, session: Session) -> None:
        row = await self._locked(profile_id, session)
        shut: Document | None = row.get("shut_out")
        if not shut:
            return
        await self._profiles.write(row["_id"], {"shut_out": None}, session)
        await self._profiles.identity_rows.let_in(row["_id"], session)
        event = _event("profile.let_in", row["_id"], {**shut, "at": self._clock()}, by)
        await self._events.record([event], session)

    async def _locked(self, profile_id: str, session: Session) -> Document:
        row = await self._profiles.locked(profile_id, session)
        if row is None:
            raise NotFound("There is no such person.")
        return row


def _event(name: str, profile_id: str, shut: Document, by: Actor) -> NewEvent:
    properties = {"by": by.id, "by_name": by.name, "by_type": by.type}
    return NewEvent(name, f"{name}:{shut['act_id']}", shut["at"], profile_id, properties=properties)
