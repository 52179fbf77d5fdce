"""What happens to a message afterwards: edits, deletions, reactions. Any order gives the same end.

The latest edit by the sender's time wins, a deletion wins over every edit, the latest reaction of a person wins. What
comes before its message waits in `changes_early`; both sides write first and look afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.feed import Feed, Notice
from base.ids import unique_key
from base.mongo import Document, UpdateOne
from channels.vocabulary import MessageDeleted, MessageEdited, Reaction
from inbox.incoming import Arrival, believable, cleaned, short_id
from inbox.placing import PREVIEW
from inbox.store import ConversationStore, EarlyStore, MessageStore
from inbox.store.early import ref_of

Change = MessageEdited | MessageDeleted | Reaction
#: Content that a deletion erases.
ERASED = (
    "text", "original", "attachments", "location", "contacts", "postback", "mail", "extra", "edits", "template",
    "buttons",
)  # fmt: skip


class Changes:
    """Applies changes to messages, now or when they come."""

    def __init__(
        self, messages: MessageStore, conversations: ConversationStore, early: EarlyStore, feed: Feed, clock: Clock
    ) -> None:
        self._messages = messages
        self._conversations = conversations
        self._early = early
        self._feed = feed
        self._clock = clock

    async def apply(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Apply each; False where its message is not here yet and the change was kept. May run twice."""
        if not arrivals:
            return []
        wanted = [(arrival.channel_id, short_id(_of(arrival).message_id)) for arrival in arrivals]
        rows = [_early_row(arrival, self._clock()) for arrival in arrivals]
        found = await self._messages.by_provider_ids(wanted)
        unmatched = [row for row, key in zip(rows, wanted, strict=True) if key not in found]
        if unmatched:
            await self._early.keep(unmatched)
            # The message may have been committed between our look and our write.
            again = await self._messages.by_provider_ids(key for key in wanted if key not in found)
            await self.catch_up(again)
            found |= again
        await self._carry_out(
            [(found[key], row["body"]) for row, key in zip(rows, wanted, strict=True) if key in found]
        )
        return [key in found for key in wanted]

    async def catch_up(self, keys: Iterable[tuple[str, str]]) -> None:
        """Apply what waited for these messages (channel id, provider message id). Call after they are committed."""
        refs = {ref_of(*key): key for key in keys}
        waiting = await self._early.waiting_for(refs)
        if not waiting:
            return
        found = await self._messages.by_provider_ids(refs[row["ref"]] for row in waiting)
        here = [row for row in waiting if refs[row["ref"]] in found]
        await self._carry_out([(found[refs[row["ref"]]], row["body"]) for row in here])
        await self._early.done(here)

    async def _carry_out(self, pairs: Sequence[tuple[Document, Document]]) -> None:
        if not pairs:
            return
        await self._messages.write([UpdateOne({"_id": row["_id"]}, _update(body)) for row, body in pairs])
        said = [row["_id"] for row, body in pairs if body["kind"] != "reaction"]
        await self._messages.words_of.want(said, self._clock())
        erased = [row["_id"] for row, body in pairs if body["kind"] == "message_deleted"]
        if erased:
            await self._messages.remove_files(erased)
        await self._refresh_previews([row for row, body in pairs if body["kind"] != "reaction"])
        await self._feed.append(
            [
                Notice(
                    "message.updated",
                    {"message_id": row["_id"], "conversation_id": row.get("conversation_id")},
                    row["channel_id"],
                )
                for row in {row["_id"]: row for row, _ in pairs}.values()
            ]
        )

    async def _refresh_previews(self, rows: Sequence[Document]) -> None:
        """The list shows a conversation's last message: when that one changed, so does the list."""
        fresh = await self._messages.many(row["_id"] for row in rows)
        updates = []
        for row in fresh.values():
            if row.get("conversation_id"):
                where = {"_id": row["conversation_id"], "last_message.id": row["_id"]}
                text = (row.get("text") or "")[:PREVIEW] or None
                kind = "deleted" if row.get("deleted_at") else None
                change = {"last_message.text": text} | ({"last_message.kind": kind} if kind else {})
                updates.append((where, {"$set": change}))
        await self._conversations.write(updates)


def _of(arrival: Arrival) -> Change:
    event = arrival.event
    assert isinstance(event, Change)  # noqa: S101 - the receiver sorts events by kind
    return event


def _early_row(arrival: Arrival, now: datetime) -> Document:
    event = _of(arrival)
    ref = ref_of(arrival.channel_id, short_id(event.message_id))
    body: Document = {"kind": event.kind, "at": believable(event.occurred_at, now), "by": _whose(event)}
    if isinstance(event, MessageEdited):
        body["text"] = cleaned(event.text)
    if isinstance(event, Reaction):
        body["emoji"] = cleaned(event.emoji, 40)
    return {
        "key": unique_key(ref, event.kind, event.event_id.encode("utf-8", "replace")),
        "ref": ref,
        "at": now,
        "body": body,
    }


def _whose(event: Change) -> str:
    return short_id(event.address.external_id) if event.address else "unknown"


def _update(body: Document) -> list[Document]:
    """A pipeline that may run in any order and any number of times."""
    if body["kind"] == "message_deleted":
        return _deletion(body["at"])
    if body["kind"] == "message_edited":
        return _edit(body["text"], body["at"])
    return _reaction(body["emoji"], body["by"], body["at"])


def _deletion(at: datetime) -> list[Document]:
    gone: dict[str, Any] = {"deleted_at": {"$ifNull": ["$deleted_at", at]}}
    return [{"$set": gone}, {"$unset": list(ERASED)}]


def _edit(text: str | None, at: datetime) -> list[Document]:
    edits = {"$ifNull": ["$edits", []]}
    known = {"$in": [at, {"$map": {"input": edits, "in": "$$this.at"}}]}
    entry = {"at": {"$literal": at}, "text": {"$literal": text}}
    added = {"$sortArray": {"input": {"$concatArrays": [edits, [entry]]}, "sortBy": {"at": 1}}}
    is_newer = {"$lt": [{"$ifNull": ["$edited_at", datetime.min.replace(tzinfo=at.tzinfo, year=1970)]}, at]}
    alive = {"$not": [{"$ifNull": ["$deleted_at", False]}]}
    change = {
        "original": {"$ifNull": ["$original", "$text"]},
        "edits": {"$cond": [known, edits, added]},
        "text": {"$cond": [is_newer, {"$literal": text}, "$text"]},
        "edited_at": {"$cond": [is_newer, at, "$edited_at"]},
    }
    kept = {name: {"$cond": [alive, value, f"${name}"]} for name, value in change.items()}
    return [{"$set": kept}]


def _reaction(emoji: str | None, by: str, at: datetime) -> list[Document]:
    reactions = {"$ifNull": ["$reactions", []]}
    is_mine = {"$eq": ["$$this.by", {"$literal": by}]}
    newer = {"$filter": {"input": reactions, "cond": {"$and": [is_mine, {"$gte": ["$$this.at", at]}]}}}
    others = {"$filter": {"input": reactions, "cond": {"$not": [is_mine]}}}
    entry = {"emoji": {"$literal": emoji}, "by": {"$literal": by}, "at": {"$literal": at}}
    replaced = {"$sortArray": {"input": {"$concatArrays": [others, [entry]]}, "sortBy": {"at": 1, "by": 1}}}
    return [{"$set": {"reactions": {"$cond": [{"$gt": [{"$size": newer}, 0]}, reactions, replaced]}}}]
