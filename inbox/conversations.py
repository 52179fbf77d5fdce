"""What people at the desk do with conversations. Each act leaves a quiet line, a domain event and a live notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from base.clock import Clock
from base.errors import Conflict, NotFound
from base.feed import Feed, Notice
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Doorbell
from inbox.acts import (
    ANY_OWNER,
    Act,
    AnyOwner,
    ListChange,
    Plan,
    assigned,
    checked_labels,
    in_team,
    labels_changed,
    labels_set,
    participants_set,
    prioritised,
    read,
    status_act,
    status_set,
    unread,
)
from inbox.incoming import system_row
from inbox.models import SYSTEM, Actor, Conversation, Message, Priority, ReplyInput, Status, conversation_of
from inbox.outbox import Outbox
from inbox.owning import belongs_to
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.store import ConversationStore, MessageStore, TeamStore
from profiles.events import EventStore, NewEvent

ROUNDS = 12
#: Writes down more in the transaction of an act: the row as read, and what was done to it.
Within = Callable[[Session, Document, Sequence[Act]], Awaitable[None]]


class ConversationActions:
    """Assign, set the status, label, prioritise, follow, read, note."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, events: EventStore,
        teams: TeamStore, outbox: Outbox, sla: SlaClocks, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._events = events
        self._teams = teams
        self._outbox = outbox
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def assign(
        self, conversation_id: str, assignee_id: str | None, by: Actor, *, assignee_name: str | None = None,
        expected: str | AnyOwner | None = ANY_OWNER,
    ) -> Conversation:  # fmt: skip
        """Give it to somebody, or (None) to nobody. With `expected` only when that one has it now, else `Conflict`."""
        plan = assigned(assignee_id, by, self._clock(), name=assignee_name, expected=expected)
        return await self._done(conversation_id, plan, by)

    async def assign_team(self, conversation_id: str, team_id: str | None, by: Actor) -> Conversation:
        """Move it to a team, or (None) to none; from then on its channel moves it nowhere by itself."""
        name = (await self._teams.names([team_id])).get(team_id) if team_id else None
        return await self._done(conversation_id, in_team(team_id, by, name=name), by)

    async def carried_out(self, row: Document, act: Act, by: Actor, within: Within | None = None) -> Document | None:
        """Do this to a row as read; the row afterwards, or None when somebody was quicker. `within` may run again."""
        return await self._written(row, [act], by, within)

    async def set_status(
        self, conversation_id: str, status: Status, by: Actor, *, snoozed_until: datetime | None = None
    ) -> Conversation:
        """Open, pending, snoozed (until a time, or None: until an answer), resolved or spam.

        Raises `WrongInput` for a snooze until a time that is over, `Conflict` when the person has another open
        conversation on that account.
        """
        return await self._done(conversation_id, status_set(status, by, self._clock(), snoozed_until=snoozed_until), by)

    async def set_labels(self, conversation_id: str, labels: Sequence[str], by: Actor) -> Conversation:
        """Exactly these labels."""
        return await self._done(conversation_id, labels_set(labels, by), by)

    async def change_labels(
        self, conversation_id: str, by: Actor, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Conversation:
        """Add and remove labels; the others stay."""
        change = ListChange(add=tuple(checked_labels(add)), remove=tuple(checked_labels(remove)))
        return await self._done(conversation_id, labels_changed(change, by), by)

    async def set_priority(self, conversation_id: str, priority: Priority, by: Actor) -> Conversation:
        """None, low, medium, high or urgent."""
        return await self._done(conversation_id, prioritised(priority, by), by)

    async def set_participants(self, conversation_id: str, user_ids: Sequence[str], by: Actor) -> Conversation:
        """Exactly these colleagues follow it."""
        return await self._done(conversation_id, participants_set(user_ids, by), by)

    async def mark_read(self, conversation_id: str, by: Actor) -> Conversation:
        """The customer's messages have been seen. Leaves no line."""
        return await self._done(conversation_id, read, by)

    async def mark_unread(self, conversation_id: str, by: Actor) -> Conversation:
        """Somebody is to look at it again. Leaves no line."""
        return await self._done(conversation_id, unread, by)

    async def note(self, conversation_id: str, by: Actor, text: str, client_key: str) -> Message:
        """A line that stays inside the house."""
        return await self._outbox.reply(conversation_id, by, ReplyInput(text=text, note=True), client_key)

    async def wake_due(self, limit: int = 100) -> int:
        """Open what was snoozed until now. For the clockwork; several may do it at once."""
        rows = await self._conversations.due_snoozes(self._clock(), limit)
        for row in rows:
            until = row["snoozed_until"]

            def plan(fresh: Document, until: datetime = until) -> Act | None:
                if fresh["status"] != "snoozed" or fresh.get("snoozed_until") != until:
                    return None
                return status_act(fresh, "open", None, SYSTEM, self._clock())

            await self._done(row["_id"], plan, SYSTEM)
        return len(rows)

    # -- one transaction ---------------------------------------------------------------------------------------

    async def change(
        self, conversation_id: str, plans: Sequence[Plan], by: Actor, within: Within | None = None
    ) -> Conversation:  # fmt: skip
        """Carry out several plans together; `within` writes down more in the same transaction, also where there is
        nothing to be done."""
        for _ in range(ROUNDS):
            row = await self._conversations.head(conversation_id)
            if row is None:
                raise NotFound("There is no such conversation.")
            if by.type == "bot" and not belongs_to(row, by.id or ""):
                raise Conflict("People have this conversation now.", code="not_yours")
            acts = [await self._named(act) for plan in plans if (act := plan(row)) is not None]
            if not acts and within is None:
                return conversation_of(row)
            after = await self._written(row, acts, by, within)
            if after is not None:
                return conversation_of(after)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    async def _named(self, act: Act) -> Act:
        """With the name of the team it moves to, where who planned it knew the id alone: an undone move."""
        params = act.params or {}
        if act.code != "team_assigned" or params.get("to_name"):
            return act
        name = (await self._teams.names([params["to"]])).get(params["to"])
        return replace(act, params={**params, "to_name": name})

    async def _done(self, conversation_id: str, plan: Plan, by: Actor) -> Conversation:
        return await self.change(conversation_id, [plan], by)

    async def _written(
        self, row: Document, acts: Sequence[Act], by: Actor, within: Within | None
    ) -> Document | None:  # fmt: skip
        now = self._clock()
        lines = _lines(row, acts, by, now)
        events = [_event(row, act, by, now, number) for number, act in enumerate(acts) if act.event]
        update = with_clocks(_update(acts, now, len(lines)), row, await self._sla.terms(), now)

        async def work(session: Session) -> Document | None:
            after = await self._conversations.change_one(row, update, session) if acts else row
            if after is not None:
                if acts:
                    await self._sla.watch([(row, clocks_of(update, row))], session)
                await self._messages.insert(lines, session)
                await self._events.record(events, session)
                if within is not None:
                    await within(session, row, acts)
            return after

        try:
            after: Document | None = await self._database.in_transaction(work)
        except DuplicateKeyError:
            sentence = "This person has another open conversation on the same channel; go on in that one."
            raise Conflict(sentence, code="other_open") from None
        if after is not None and acts:
            await self._announce(after, lines)
            if events:
                await self._doorbell.ring("react")
        return after

    async def _announce(self, row: Document, lines: Sequence[Document]) -> None:
        about = {"conversation_id": row["_id"], "assignee_id": row.get("assignee_id")}
        notices = [Notice("conversation.updated", about, row["channel_id"])]
        for line in lines:
            data = {"message_id": line["_id"], "conversation_id": row["_id"], "direction": "system"}
            notices.append(Notice("message.created", data, row["channel_id"]))
        await self._feed.append(notices)


def _update(acts: Sequence[Act], now: datetime, lines: int) -> Document:
    changed: Document = {"updated_at": now}
    gone: dict[str, str] = {}
    for act in acts:
        changed |= act.set
        gone |= dict.fromkeys(act.unset, "")
    return {"$set": changed, "$inc": {"seq": lines}, **({"$unset": gone} if gone else {})}


def _lines(row: Document, acts: Sequence[Act], by: Actor, now: datetime) -> list[Document]:
    told = [act for act in acts if act.code is not None]
    return [
        system_row(
            row, act.code or "", act.params or {}, at=now, seq=row["seq"] + 1 + number, author=by.as_author(),
            dedupe=_once("system", row, number),
        )
        for number, act in enumerate(told)
    ]  # fmt: skip


def _event(row: Document, act: Act, by: Actor, now: datetime, number: int) -> NewEvent:
    name = act.event or ""
    properties = {**(act.params or {}), "conversation_id": row["_id"], "by_type": by.type}
    return NewEvent(
        name=name, dedupe=_once(name, row, number), occurred_at=now, profile_id=row["profile_id"],
        identity_id=row["identity_id"], channel_id=row["channel_id"], conversation_id=row["_id"], properties=properties,
    )  # fmt: skip


def _once(kind: str, row: Document, number: int) -> str:
    """The key of what one change of a conversation causes; several parts may change at once."""
    return f"{kind}:{row['_id']}:{row['rev'] + 1}" + (f":{number}" if number else "")
