"""Splitting a conversation: from one message on it is another one. Merging that one back undoes it.

What was split off has no slot: what comes next on the channel goes to the conversation it was split from, but mails
that answer a mail of it find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import Database, Document, Session
from base.queue import Doorbell
from inbox.clashes import Contended
from inbox.heads import as_update, is_part
from inbox.incoming import system_row, thread_key
from inbox.merging import own_clocks
from inbox.models import Actor, Conversation, conversation_of
from inbox.owning import has_bot
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.store import ConversationStore, MessageStore, SendStore
from inbox.store.words import WordStore
from profiles.events import EventStore, NewEvent

ROUNDS = 12
#: Lines that are moved at once.
LINES_MAX = 2000
#: What the new one has of the old.
KEPT = (
    "profile_id", "identity_id", "channel_id", "provider", "address", "display_name", "subject", "group_id", "tokens",
    "labels", "participants", "priority", "priority_rank", "assignee_id", "team_id", "team_chosen", "assigned_at",
)  # fmt: skip


class Splitting:
    """The use case: one transaction."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, sends: SendStore,
        words: WordStore, events: EventStore, sla: SlaClocks, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._sends = sends
        self._words = words
        self._events = events
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def split(self, conversation_id: str, message_id: str, by: Actor) -> Conversation:
        """From this message on another conversation; it. Raises `NotFound`; `WrongInput` for the first message, too
        long a rest, or a conversation that others were merged into."""
        for _ in range(ROUNDS):
            row = await self._conversations.row(conversation_id)
            if row is None:
                raise NotFound("There is no such conversation.")
            moved = await self._moved(row, message_id)
            try:
                new: Document = await self._database.in_transaction(partial(self._written, row, moved, by))
            except Contended:
                continue
            ids = (row["_id"], new["_id"])
            await self._feed.append(
                [Notice("conversation.updated", {"conversation_id": each}, row["channel_id"]) for each in ids]
            )
            await self._doorbell.ring("react")
            return conversation_of(new)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    async def _moved(self, row: Document, message_id: str) -> list[Document]:
        if row.get("parts") or is_part(row):
            raise WrongInput("Take the merge apart first.", [FieldError("message_id", "stands in a merged one")])
        line = (await self._messages.many([message_id])).get(message_id)
        if line is None or line.get("conversation_id") != row["_id"]:
            raise NotFound("There is no such message in this conversation.")
        moved = await self._messages.rest(line, LINES_MAX + 1)
        if len(moved) > LINES_MAX:
            raise WrongInput(f"At most {LINES_MAX} lines can be split off.")
        said = await self._messages.count({"conversation_id": row["_id"], "direction": {"$ne": "system"}})
        if said <= sum(each["direction"] != "system" for each in moved):
            raise WrongInput("Nothing comes before this message.", [FieldError("message_id", "is the first one")])
        return moved

    async def _written(self, row: Document, moved: list[Document], by: Actor, session: Session) -> Document:
        now, ids = self._clock(), [each["_id"] for each in moved]
        new = _new_row(row, moved, now)
        await self._messages.rehome(ids, new["_id"], row["_id"], session)
        await self._sends.rehome([each["send_id"] for each in moved if each.get("send_id")], new["_id"], session)
        await self._words.want(ids, now, session)
        new |= await self._clocks({**row, "_id": new["_id"], **({"status": "open"} if has_bot(row) else {})}, session)
        old = {**await self._clocks(row, session), "thread_keys": _keys_left(row, new), "seq": row["seq"] + 1}
        terms = await self._sla.terms()
        update = with_clocks(as_update({**old, "updated_at": now}, row), row, terms, now)
        new |= with_clocks({}, new, terms, now).get("$set", {})
        new = {name: value for name, value in new.items() if value is not None or name in ("assignee_id", "team_id")}
        await self._conversations.change([(row, update)], session)
        await self._conversations.insert([new], session)
        await self._sla.watch([(row, clocks_of(update, row)), ({"_id": new["_id"]}, new.get("sla"))], session)
        lines = [_line(row, "split_off", new, by, now), _line(new, "split_from", row, by, now)]
        await self._messages.insert(lines, session)
        await self._events.record([_event(row, new, by, now)], session)
        return new

    async def _clocks(self, row: Document, session: Session) -> Document:
        clocks = await own_clocks(self._messages, {**row, "waiting_since": row["created_at"]}, session)
        if row["status"] in ("resolved", "spam"):
            clocks |= {"waiting_since": None, "unread": 0}
        if has_bot(row):
            clocks["waiting_since"] = None
        return clocks | {"unread": min(clocks["unread"], row.get("unread", 0))}


def _new_row(row: Document, moved: list[Document], now: Any) -> Document:
    kept = {name: row[name] for name in KEPT if name in row}
    keys = {
        thread_key(row["channel_id"], each["mail"]["message_id"])
        for each in moved
        if (each.get("mail") or {}).get("message_id")
    }
    threads = [each for each in row.get("thread_keys", ()) if each in keys]
    return {
        **kept, "_id": new_id("cnv"), "status": "open", "branch": True, "split_from": row["_id"], "rev": 0,
        "seq": row["seq"] + 1, "created_at": now, "updated_at": now, **({"thread_keys": threads} if threads else {}),
    }  # fmt: skip


def _keys_left(row: Mapping[str, Any], new: Mapping[str, Any]) -> list[str] | None:
    gone = set(new.get("thread_keys", ()))
    return [each for each in row.get("thread_keys", ()) if each not in gone] or None


def _line(row: Document, code: str, other: Document, by: Actor, now: Any) -> Document:
    params = {"conversation_id": other["_id"], "by": by.id, "by_name": by.name}
    dedupe = f"system:{row['_id']}:{row['rev'] + 1}:{code}"
    seq = row["seq"] + (1 if code == "split_off" else 0)
    return system_row(row, code, params, at=now, seq=seq, author=by.as_author(), dedupe=dedupe)


def _event(row: Document, new: Document, by: Actor, now: Any) -> NewEvent:
    properties = {
        "conversation_id": new["_id"], "from_id": row["_id"], "by": by.id, "by_name": by.name, "by_type": by.type,
    }  # fmt: skip
    return NewEvent(
        "conversation.split", f"conversation.split:{new['_id']}", now, profile_id=row["profile_id"],
        identity_id=row["identity_id"], channel_id=row["channel_id"], conversation_id=new["_id"], properties=properties,
    )  # fmt: skip
