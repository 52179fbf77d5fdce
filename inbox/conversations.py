"""What people at the desk do with conversations. Each act leaves a quiet line, a domain event and a live notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Doorbell
from inbox.incoming import system_row
from inbox.models import (
    PRIORITY_RANK,
    SYSTEM,
    Actor,
    Conversation,
    Message,
    Priority,
    ReplyInput,
    Status,
    conversation_of,
)
from inbox.outbox import Outbox
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.store import ConversationStore, MessageStore
from profiles.events import EventStore, NewEvent

ROUNDS = 12
LABELS_MAX, LABEL_MAX = 40, 60


class _AnyOwner:
    """No expectation who has the conversation."""


ANY_OWNER = _AnyOwner()


@dataclass(frozen=True)
class _Act:
    """What one use case does to a conversation as read: its fields, and the line and event that tell of it."""

    set: Document
    unset: Sequence[str] = ()
    code: str | None = None
    params: Document | None = None
    event: str | None = None


#: From the row as read to what is to be done; None: nothing, it is so already. May raise.
_Plan = Callable[[Document], _Act | None]


class ConversationActions:
    """Assign, set the status, label, prioritise, read, note."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, events: EventStore,
        outbox: Outbox, sla: SlaClocks, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._events = events
        self._outbox = outbox
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def assign(
        self, conversation_id: str, assignee_id: str | None, by: Actor, *, assignee_name: str | None = None,
        expected: str | _AnyOwner | None = ANY_OWNER,
    ) -> Conversation:  # fmt: skip
        """Give it to somebody, or (None) to nobody. With `expected` only when that one has it now, else `Conflict`."""

        def plan(row: Document) -> _Act | None:
            now_has = row.get("assignee_id")
            if not isinstance(expected, _AnyOwner) and now_has != expected:
                raise Conflict("Somebody else has taken this conversation meanwhile.", code="assigned_meanwhile")
            if now_has == assignee_id:
                return None
            params = {"from": now_has, "to": assignee_id, "to_name": assignee_name, "by": by.id, "by_name": by.name}
            code = "assigned" if assignee_id else "unassigned"
            return _Act({"assignee_id": assignee_id}, (), code, params, "conversation.assigned")

        return await self._done(conversation_id, plan, by)

    async def assign_team(
        self, conversation_id: str, team_id: str | None, by: Actor, *, team_name: str | None = None
    ) -> Conversation:
        """Move it to a team, or (None) to none."""

        def plan(row: Document) -> _Act | None:
            if row.get("team_id") == team_id:
                return None
            params = {"from": row.get("team_id"), "to": team_id, "to_name": team_name, "by": by.id, "by_name": by.name}
            return _Act({"team_id": team_id}, (), "team_assigned", params, "conversation.assigned")

        return await self._done(conversation_id, plan, by)

    async def set_status(
        self, conversation_id: str, status: Status, by: Actor, *, snoozed_until: datetime | None = None
    ) -> Conversation:
        """Open, pending, snoozed (until a time, or a message), resolved or spam.

        Raises `WrongInput` for a snooze without a time to come, `Conflict` when the person has another open
        conversation on that account.
        """
        now = self._clock()
        if status == "snoozed" and (snoozed_until is None or snoozed_until <= now):
            fault = FieldError("snoozed_until", "a time to come")
            raise WrongInput("A conversation is snoozed until a time to come.", [fault])

        def plan(row: Document) -> _Act | None:
            if row["status"] == status and row.get("snoozed_until") == snoozed_until:
                return None
            return _status_act(row, status, snoozed_until, by, now)

        return await self._done(conversation_id, plan, by)

    async def set_labels(self, conversation_id: str, labels: Sequence[str], by: Actor) -> Conversation:
        """Exactly these labels."""
        wanted = _checked_labels(labels)

        def plan(row: Document) -> _Act | None:
            before = row.get("labels", [])
            added, removed = [x for x in wanted if x not in before], [x for x in before if x not in wanted]
            if not added and not removed:
                return None
            params = {"added": added, "removed": removed, "by": by.id, "by_name": by.name}
            return _Act({"labels": wanted}, (), "labelled", params, "conversation.labelled")

        return await self._done(conversation_id, plan, by)

    async def change_labels(
        self, conversation_id: str, by: Actor, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Conversation:
        """Add and remove labels; the others stay."""
        adding, removing = _checked_labels(add), _checked_labels(remove)

        def plan(row: Document) -> _Act | None:
            before = row.get("labels", [])
            after = [x for x in before if x not in removing] + [x for x in adding if x not in before]
            if after == before:
                return None
            params = {
                "added": [x for x in after if x not in before], "removed": [x for x in before if x not in after],
                "by": by.id, "by_name": by.name,
            }  # fmt: skip
            return _Act({"labels": _checked_labels(after)}, (), "labelled", params, "conversation.labelled")

        return await self._done(conversation_id, plan, by)

    async def set_priority(self, conversation_id: str, priority: Priority, by: Actor) -> Conversation:
        """None, low, medium, high or urgent."""
        if priority not in PRIORITY_RANK:
            raise WrongInput("There is no such priority.", [FieldError("priority", " ".join(PRIORITY_RANK))])

        def plan(row: Document) -> _Act | None:
            if row.get("priority") == priority:
                return None
            params = {"from": row.get("priority"), "to": priority, "by": by.id, "by_name": by.name}
            change = {"priority": priority, "priority_rank": PRIORITY_RANK[priority]}
            return _Act(change, (), "prioritised", params, "conversation.prioritised")

        return await self._done(conversation_id, plan, by)

    async def mark_read(self, conversation_id: str, by: Actor) -> Conversation:
        """The customer's messages have been seen. Leaves no line."""
        return await self._done(conversation_id, lambda row: _Act({"unread": 0}) if row.get("unread") else None, by)

    async def mark_unread(self, conversation_id: str, by: Actor) -> Conversation:
        """Somebody is to look at it again. Leaves no line."""
        return await self._done(conversation_id, lambda row: None if row.get("unread") else _Act({"unread": 1}), by)

    async def note(self, conversation_id: str, by: Actor, text: str, client_key: str) -> Message:
        """A line that stays inside the house."""
        return await self._outbox.reply(conversation_id, by, ReplyInput(text=text, note=True), client_key)

    async def wake_due(self, limit: int = 100) -> int:
        """Open what was snoozed until now. For the clockwork; several may do it at once."""
        rows = await self._conversations.due_snoozes(self._clock(), limit)
        for row in rows:
            until = row["snoozed_until"]

            def plan(fresh: Document, until: datetime = until) -> _Act | None:
                if fresh["status"] != "snoozed" or fresh.get("snoozed_until") != until:
                    return None
                return _status_act(fresh, "open", None, SYSTEM, self._clock())

            await self._done(row["_id"], plan, SYSTEM)
        return len(rows)

    # -- one transaction ---------------------------------------------------------------------------------------

    async def _done(self, conversation_id: str, plan: _Plan, by: Actor) -> Conversation:
        for _ in range(ROUNDS):
            row = await self._conversations.row(conversation_id)
            if row is None:
                raise NotFound("There is no such conversation.")
            act = plan(row)
            if act is None:
                return conversation_of(row)
            after = await self._written(row, act, by)
            if after is not None:
                return conversation_of(after)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    async def _written(self, row: Document, act: _Act, by: Actor) -> Document | None:
        now = self._clock()
        line = self._line(row, act, by, now)
        events = [_event(row, act, by, now)] if act.event else []
        update: Document = {"$set": {**act.set, "updated_at": now}, "$inc": {"seq": 1 if line else 0}}
        if act.unset:
            update["$unset"] = dict.fromkeys(act.unset, "")
        update = with_clocks(update, row, await self._sla.terms(), now)

        async def work(session: Session) -> Document | None:
            after = await self._conversations.change_one(row, update, session)
            if after is not None:
                await self._sla.watch([(row, clocks_of(update, row))], session)
                await self._messages.insert([line] if line else [], session)
                await self._events.record(events, session)
            return after

        try:
            after: Document | None = await self._database.in_transaction(work)
        except DuplicateKeyError:
            sentence = "This person has another open conversation on the same channel; go on in that one."
            raise Conflict(sentence, code="other_open") from None
        if after is not None:
            await self._announce(after, line)
            if events:
                await self._doorbell.ring("react")
        return after

    def _line(self, row: Document, act: _Act, by: Actor, now: datetime) -> Document | None:
        if act.code is None:
            return None
        dedupe = f"system:{row['_id']}:{row['rev'] + 1}"
        return system_row(
            row, act.code, act.params or {}, at=now, seq=row["seq"] + 1, author=by.as_author(), dedupe=dedupe
        )

    async def _announce(self, row: Document, line: Document | None) -> None:
        notices = [Notice("conversation.updated", {"conversation_id": row["_id"]}, row["channel_id"])]
        if line is not None:
            data = {"message_id": line["_id"], "conversation_id": row["_id"], "direction": "system"}
            notices.append(Notice("message.created", data, row["channel_id"]))
        await self._feed.append(notices)


def _status_act(row: Document, status: Status, snoozed_until: datetime | None, by: Actor, now: datetime) -> _Act:
    change: Document = {"status": status}
    gone = ["snoozed_until"]
    if status == "resolved":
        gone += ["open", "waiting_since"]
        change |= {"resolved_at": now, "unread": 0}
    else:
        gone.append("resolved_at")
        change["open"] = True
    if status == "spam":
        gone.append("waiting_since")
        change["unread"] = 0
    if status == "snoozed":
        gone.remove("snoozed_until")
        change["snoozed_until"] = snoozed_until
    params: dict[str, Any] = {"from": row["status"], "to": status, "by": by.id, "by_name": by.name}
    if snoozed_until is not None:
        params["until"] = snoozed_until
    code = "woken" if by.type == "system" and row["status"] == "snoozed" else "status_changed"
    return _Act(change, tuple(name for name in gone if name in row), code, params, "conversation.status_changed")


def _event(row: Document, act: _Act, by: Actor, now: datetime) -> NewEvent:
    name = act.event or ""
    properties = {**(act.params or {}), "conversation_id": row["_id"], "by_type": by.type}
    return NewEvent(
        name=name, dedupe=f"{name}:{row['_id']}:{row['rev'] + 1}", occurred_at=now, profile_id=row["profile_id"],
        identity_id=row["identity_id"], channel_id=row["channel_id"], conversation_id=row["_id"], properties=properties,
    )  # fmt: skip


def _checked_labels(labels: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if len(wanted) > LABELS_MAX or any(len(label) > LABEL_MAX for label in wanted):
        fault = FieldError("labels", f"at most {LABELS_MAX} labels of at most {LABEL_MAX} characters")
        raise WrongInput("These labels cannot be kept.", [fault])
    return wanted
