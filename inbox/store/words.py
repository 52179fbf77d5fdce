"""The words of messages, beside them: what was said is found here by an index, and read where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.ids import new_id
from base.mongo import BY_ID, Database, Document, Indexes, Session, UpdateOne, in_time, whole
from profiles.store.belongings import Belongings

#: How long a question may take, milliseconds.
ASK_MS = 3000
INDEXES: Indexes = {
    "message_words": [
        # The channel stands in the index so that whoever sees few channels reads no rows of the others.
        IndexModel([("words", ASCENDING), ("at", DESCENDING), ("channel_id", ASCENDING)], name="by_word"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
    ],
    "words_due": [IndexModel([("due_at", ASCENDING)], name="due")],
}


class WordStore:
    """Rows of `message_words` are `{_id: msg_, conversation_id, channel_id, profile_id, identity_id, at, words}`; of
    `words_due` `{_id, message_ids, due_at}`: these messages, written together, are to be read anew."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("message_words")
        self._due = database.collection("words_due")
        self._messages = database.collection("messages")
        self._state = database.collection("words_past")
        self.belongings = Belongings("message_words", self._rows, "msg", by_identity="always")

    async def want(self, message_ids: Iterable[str], at: datetime, session: Session | None = None) -> None:
        """These messages are to be read, from that time on."""
        ids = list(message_ids)
        if ids:
            await self._due.insert_one({"_id": new_id("log"), "message_ids": ids, "due_at": at}, session=session)

    async def due(self, now: datetime, limit: int, session: Session | None = None) -> list[Document]:
        """What is to be read now, the longest waiting first."""
        found = self._due.find({"due_at": {"$lte": now}}, session=session).sort("due_at", ASCENDING).limit(limit)
        return await whole(found)

    async def messages(self, ids: Iterable[str], session: Session) -> dict[str, Document]:
        """Those of these messages that there are."""
        fields = {
            "conversation_id": 1, "channel_id": 1, "profile_id": 1, "identity_id": 1, "provider_at": 1, "text": 1,
            "mail.subject": 1, "attachments.name": 1, "attachments.caption": 1, "deleted_at": 1, "direction": 1,
            "author.type": 1,
        }  # fmt: skip
        found = self._messages.find({"_id": {"$in": sorted(set(ids))}}, fields, session=session).hint(BY_ID)
        return {row["_id"]: row for row in await whole(found)}

    async def write(self, rows: Sequence[Mapping[str, Any]], session: Session) -> None:
        """Put words in place of what stood there."""
        writes = [
            UpdateOne({"_id": row["_id"]}, {"$set": {name: row[name] for name in row if name != "_id"}}, upsert=True)
            for row in rows
        ]
        if writes:
            await self._rows.bulk_write(writes, ordered=False, session=session)

    async def remove(self, ids: Sequence[str], session: Session | None = None) -> None:
        """Messages that are not to be found any more."""
        if ids:
            await self._rows.delete_many({"_id": {"$in": list(ids)}}, hint=BY_ID, session=session)

    async def remove_lost(self, ids: Sequence[str]) -> None:
        """The same for those of these that are gone."""
        found = self._messages.find({"_id": {"$in": list(ids)}}, {"_id": 1}).hint(BY_ID)
        await self.remove(sorted(set(ids) - {row["_id"] for row in await whole(found)}))

    async def forget_due(self, due: Sequence[Document]) -> None:
        """These were read."""
        await self._due.delete_many({"_id": {"$in": [each["_id"] for each in due]}}, hint=BY_ID)

    async def found(
        self, words: Sequence[str], channels: Sequence[str] | None, limit: int, before: datetime | None = None,
        known: Sequence[str] = (),
    ) -> list[Document]:  # fmt: skip
        """Messages with all of these words, the newest first, from `before` on with those of that moment but `known`
        ones: {_id, conversation_id, at}. Raises `TooSlow`."""
        wanted: Document = {"$and": [{"words": each} for each in words]}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        if before is not None:
            wanted |= {"at": {"$lte": before}, **({"_id": {"$nin": list(known)}} if known else {})}
        found = self._rows.find(wanted, {"conversation_id": 1, "at": 1}).sort("at", DESCENDING).limit(limit)
        with in_time("These words stand in too many messages; write one more, or a rarer one."):
            return await found.hint("by_word").max_time_ms(ASK_MS).to_list(limit)

    # -- the past ----------------------------------------------------------------------------------------------

    async def past(self) -> Document:
        """How far reading what was written before this could be searched has come: {after, done}."""
        return await self._state.find_one({"_id": "past"}) or {"after": None, "done": False, "turn": 0}

    async def earlier(self, after: str | None, limit: int) -> list[str]:
        """Ids of messages before one, the newest first."""
        wanted: Document = {} if after is None else {"_id": {"$lt": after}}
        found = self._messages.find(wanted, {"_id": 1}).sort("_id", DESCENDING).limit(limit).hint(BY_ID)
        return [row["_id"] for row in await whole(found)]

    async def went_on(self, state: Mapping[str, Any], after: str | None, done: bool, session: Session) -> bool:
        """Note how far; False when somebody else was quicker."""
        change = {"$set": {"after": after, "done": done}, "$inc": {"turn": 1}}
        wanted = {"_id": "past", "turn": state.get("turn", 0)}
        result = await self._state.update_one(wanted, change, upsert=state.get("turn", 0) == 0, session=session)
        return bool(result.modified_count or result.upserted_id)
