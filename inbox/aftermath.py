"""What follows from a send's result: message, conversation, events, suppressions, the source that waits for it.

Every step may run twice; `unsettled` on the row is taken off after the last of them. A worker that dies in between
leaves the mark, and the next one does it all again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from base.clock import Clock
from base.errors import Unavailable
from base.feed import Feed, Notice
from base.mongo import UNAVAILABLE, Document, UpdateOne
from base.queue import Doorbell
from channels.failures import Failure
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.consequences import Consequences
from inbox.effects import send_event
from inbox.incoming import thread_key
from inbox.models import line_id, send_of
from inbox.outbox import still_waiting, unanswered
from inbox.receipts import Receipts
from inbox.sla.clocks import SlaClocks
from inbox.sources import SendSource
from inbox.standing import SHOWN
from inbox.store import ConversationStore, MessageStore, SendStore
from inbox.store.conversations import THREAD_KEYS_KEPT
from profiles.events import EventStore, NewEvent

log = logging.getLogger(__name__)

#: A result whose consequences were not drawn for so long belongs to a worker that died.
ABANDONED_AFTER = timedelta(seconds=45)


class Aftermath:
    """Draws the consequences of results."""

    def __init__(
        self, sends: SendStore, messages: MessageStore, conversations: ConversationStore, channels: ChannelStore,
        registry: Registry, receipts: Receipts, consequences: Consequences, events: EventStore, sla: SlaClocks,
        feed: Feed, doorbell: Doorbell, sources: Mapping[str, SendSource], clock: Clock,
    ) -> None:  # fmt: skip
        self._sends = sends
        self._messages = messages
        self._conversations = conversations
        self._channels = channels
        self._registry = registry
        self._receipts = receipts
        self._consequences = consequences
        self._events = events
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._sources = sources
        self._clock = clock

    async def draw(self, ids: Sequence[str]) -> None:
        """For the results of these sends that are still unsettled."""
        if ids:
            rows = [row for row in await self._sends.many(ids) if row.get("unsettled")]
            await self._draw(rows)

    async def draw_abandoned(self, limit: int) -> int:
        """For results whose worker died before it came to that; how many."""
        rows = await self._sends.unsettled(self._clock() - ABANDONED_AFTER, limit)
        await self._draw(rows)
        return len(rows)

    async def note_waiting(self, ids: Sequence[str]) -> None:
        """Let agents see why a reply has not gone yet."""
        if not ids:
            return
        rows = [r for r in await self._sends.many(ids) if r.get("message_id") and r["state"] == "deferred"]
        await self._messages.write([_waiting_line(row) for row in rows])
        await self._feed.append([_notice(row, "message.updated") for row in rows])

    async def _draw(self, rows: Sequence[Document]) -> None:
        """For all of them; where that fails, halved until the bad one stands alone. That one waits, unsettled."""
        if not rows:
            return
        try:
            await self._drawn(rows)
        except (*UNAVAILABLE, Unavailable):
            raise
        except Exception:
            if len(rows) == 1:
                log.exception("what follows from a send could not be drawn", extra={"send": rows[0]["_id"]})
                await self._sends.put_off(rows[0]["_id"])
                return
            middle = len(rows) // 2
            await self._draw(rows[:middle])
            await self._draw(rows[middle:])

    async def _drawn(self, rows: Sequence[Document]) -> None:
        learned = await self._name_lines(rows)
        await self._without_doubles(rows)
        await self._consequences.draw([case for row in rows if (case := _failure_of(row))])
        await self._show([row for row in rows if row.get("message_id")])
        await self._conversations.write(await self._conversation_changes(rows))
        moved = [row["conversation_id"] for row in rows if _moves_clocks(row)]
        await self._sla.refresh([*moved, *(await self._conversations.heads_of(moved)).values()] if moved else [])
        await self._events.record([event for row in rows if (event := _event_of(row))])
        await self._tell_sources(rows)
        await self._receipts.catch_up([row for row in rows if row["state"] != "skipped"])
        await self._feed.append([notice for row in rows if (notice := _announced(row))])
        await self._sends.close_books(learned)
        await self._doorbell.ring("react", "advance")

    async def _name_lines(self, rows: Sequence[Document]) -> dict[str, Document]:
        """Campaign sends learn in which conversation they are shown; what is to be written down of it."""
        unnamed = {line_id(row): row for row in rows if not row.get("message_id") and row["tries"]}
        found: dict[str, Document] = {row["_id"]: {} for row in rows}
        for message_id, line in (await self._messages.homes(unnamed)).items():
            row = unnamed[message_id]
            row["message_id"] = message_id
            if line.get("conversation_id"):
                row["conversation_id"] = line["conversation_id"]
                found[row["_id"]] = {"message_id": message_id, "conversation_id": line["conversation_id"]}
        return found

    async def _show(self, rows: Sequence[Document]) -> None:
        """The messages show what became of their sends. Nearly always it is the first that is heard of them, and a
        plain write will do; where one was not as it was put, the full one is written for all, and changes no other."""
        new = [row for row in rows if row["state"] == "accepted" and not row.get("scheduled")]
        others = [row for row in rows if row["state"] != "accepted" or row.get("scheduled")]
        if await self._messages.write([_first_word(row) for row in new]) < len(new):
            others = list(rows)
        await self._messages.write([_line_change(row) for row in others])

    async def _without_doubles(self, rows: Sequence[Document]) -> None:
        """An echo that came before the provider's answer was taken for a colleague's message: it is this one."""
        keys = [f"{row['channel_id']}:{each}" for row in rows for each in row.get("provider_message_ids", ())]
        if keys:
            doubles = await self._messages.remove_doubles(keys)
            counted = [row["conversation_id"] for row in doubles if row.get("conversation_id")]
            await self._conversations.write([({"_id": each}, {"$inc": {"message_count": -1}}) for each in counted])

    async def _conversation_changes(self, rows: Sequence[Document]) -> list[tuple[Document, Document]]:
        changes: list[tuple[Document, Document]] = []
        for row in rows:
            if not row.get("conversation_id"):
                continue
            if row["state"] in ("failed", "skipped"):
                changes += [*still_waiting(row), *unanswered(row)]
            elif row["state"] == "accepted":
                changes += await self._sent_in(row)
        return changes

    async def _sent_in(self, row: Document) -> list[tuple[Document, Document]]:
        conversation_id, at = row["conversation_id"], row["accepted_at"]
        changes: list[tuple[Document, Document]] = []
        channel = await self._channels.get(row["channel_id"]) if row["provider_message_ids"] else None
        if channel is not None and self._registry.get(channel.provider).card.kind == "email":
            keys = [thread_key(row["channel_id"], each) for each in row["provider_message_ids"]]
            fresh = {"_id": conversation_id, "thread_keys": {"$nin": keys}}
            changes.append((fresh, {"$push": {"thread_keys": {"$each": keys, "$slice": -THREAD_KEYS_KEPT}}}))
        if row.get("scheduled"):
            answered = {"_id": conversation_id, "waiting_since": {"$lte": row["planned_at"]}}
            changes.append((answered, {"$unset": {"waiting_since": ""}}))
            first = {"_id": conversation_id, "first_reply_at": {"$exists": False}}
            changes.append((first, {"$set": {"first_reply_at": at, "first_reply_id": row["message_id"]}}))
            changes.append(({"_id": conversation_id}, {"$max": {"last_activity_at": at}}))
        return changes

    async def _tell_sources(self, rows: Sequence[Document]) -> None:
        by_kind: dict[str, list[Document]] = {}
        for row in rows:
            by_kind.setdefault(row["source"]["kind"], []).append(row)
        for kind, group in by_kind.items():
            source = self._sources.get(kind)
            if source is not None:
                await source.settled([send_of(row) for row in group])


def _moves_clocks(row: Document) -> bool:
    """Whether this result may have changed since when a customer waits."""
    is_reply = row["source"]["kind"] == "reply" and bool(row.get("conversation_id"))
    return is_reply and (bool(row.get("scheduled")) or row["state"] in ("failed", "skipped"))


def _failure_of(row: Document) -> tuple[Document, Failure, str | None] | None:
    reason = row.get("reason") or {}
    if row["state"] != "failed" or reason.get("code") not in set(Failure):
        return None
    return row, Failure(reason["code"]), reason.get("detail")


def _entry(row: Document) -> Document:
    """What the message keeps of it: that it went, or why it did not."""
    went_at: datetime | None = row.get("accepted_at")
    at: datetime = went_at or row["standing_at"]
    shown = "sent" if went_at else SHOWN[row["state"]]
    entry = {"status": shown, "at": at, "key": f"{shown}:{at.timestamp():.3f}"}
    return entry if went_at else {**entry, "reason": row.get("reason")}


def _first_word(row: Document) -> UpdateOne:
    """What `_line_change` makes of a message of which nothing was heard yet, for such a one alone."""
    change: Document = {
        "status": SHOWN[row["state"]], "status_rank": row["rank"], "status_at": row["standing_at"],
        "reason": row.get("reason"), "status_history": [_entry(row)],
    }  # fmt: skip
    ids = row.get("provider_message_ids") or []
    if ids:
        change |= {"provider_message_id": ids[0], "provider_message_ids": ids}
    untouched = {"_id": row["message_id"], "status_rank": 0, "status_history": [], "provider_message_ids": None}
    return UpdateOne(untouched, {"$set": change, "$unset": {"due_at": "", "waiting": ""}})


def _line_change(row: Document) -> UpdateOne:
    """The message shows what became of its send. A receipt that was quicker is not overtaken."""
    went_at = row.get("accepted_at")
    rank, standing_at = row["rank"], row["standing_at"]
    known_rank = {"$ifNull": ["$status_rank", 0]}
    same_but_earlier = {"$and": [{"$eq": [known_rank, rank]}, {"$gt": ["$status_at", standing_at]}]}
    ahead = {"$or": [{"$lt": [known_rank, rank]}, same_but_earlier]}
    fresh = {"status": SHOWN[row["state"]], "status_rank": rank, "status_at": standing_at, "reason": row.get("reason")}
    change: Document = {
        name: {"$cond": [ahead, {"$literal": value}, {"$ifNull": [f"${name}", None]}]} for name, value in fresh.items()
    }
    change["status_history"] = _with_entry(_entry(row))
    ids = row.get("provider_message_ids") or []
    if ids:
        change["provider_message_id"] = {"$literal": ids[0]}
        known = {"$ifNull": ["$provider_message_ids", []]}
        new = {"$filter": {"input": {"$literal": ids}, "cond": {"$not": [{"$in": ["$$this", known]}]}}}
        change["provider_message_ids"] = {"$concatArrays": [known, new]}
    if row.get("scheduled") and went_at:
        change["provider_at"] = went_at
    return UpdateOne({"_id": row["message_id"]}, [{"$set": change}, {"$unset": ["due_at", "waiting"]}])


def _with_entry(entry: Document) -> Document:
    """The status history with one more entry, by time; unchanged when it is there."""
    history = {"$ifNull": ["$status_history", []]}
    there = {"$in": [entry["key"], {"$map": {"input": history, "in": {"$ifNull": ["$$this.key", ""]}}}]}
    longer = {"$concatArrays": [history, [{"$literal": entry}]]}
    return {"$cond": [there, history, {"$sortArray": {"input": longer, "sortBy": {"at": 1, "key": 1}}}]}


def _waiting_line(row: Document) -> UpdateOne:
    change = {"waiting": {**(row.get("reason") or {}), "until": row["due_at"]}}
    return UpdateOne({"_id": row["message_id"]}, {"$set": change})


def _event_of(row: Document) -> NewEvent | None:
    name = {"accepted": "message.sent", "failed": "message.failed"}.get(row["state"])
    if name is None or row.get("stranger") or row["source"]["kind"] == "reaction":
        return None
    return send_event(row, name, row["standing_at"], dedupe=f"{name}:{row['_id']}", reason=row.get("reason"))


def _announced(row: Document) -> Notice | None:
    if not row.get("message_id"):
        return None
    return _notice(row, "message.updated" if row["source"]["kind"] == "reply" else "message.created")


def _notice(row: Document, kind: str) -> Notice:
    data = {"message_id": row["message_id"], "conversation_id": row.get("conversation_id"), "direction": "out"}
    return Notice(kind, data, row["channel_id"])
