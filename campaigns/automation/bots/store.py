"""Bots, and what each is told: one post per message, a duty until the bot has spoken or lost the conversation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, settled
from base.ids import new_id
from base.mongo import Database, Document, Indexes, inserted_apart_from_duplicates, whole
from base.side_by_side import ByHost
from profiles.store.belongings import Belongings

PLANNED, WAITING, DONE, FAILED, SKIPPED = "planned", "waiting", "done", "failed", "skipped"
#: Longer than the longest post takes.
LEASE_S = 45
#: What was told is known, and what was taken away can be put back, for so long.
KEPT = timedelta(days=30)
#: So long what is known of bots is believed where messages come in.
BELIEVED_S = 1.0
LOG_SHOWN = 30

INDEXES: Indexes = {
    "bots": [
        IndexModel(
            [("channel_ids", ASCENDING)], name="one_bot_of_a_channel", unique=True,
            partialFilterExpression={"stands": True, "channel_ids": {"$gt": ""}},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=int(KEPT.total_seconds())),
    ],
    "bot_posts": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("state", ASCENDING), ("host", ASCENDING), ("due_at", ASCENDING)], name="due"),
        IndexModel([("bot_id", ASCENDING), ("_id", DESCENDING)], name="log"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("conversation_id", ASCENDING), ("_id", DESCENDING)], name="by_conversation"),
        IndexModel([("settled_at", ASCENDING)], name="expiry", expireAfterSeconds=int(KEPT.total_seconds())),
    ],
}  # fmt: skip


class BotStore:
    """`bots` `{_id bot_, name, url, host, channel_ids, silent_s, person_words, active, secret, former?, exchanged_at?,
    token_id, stands, leaving?, last_failed_at?, last_error?, removed_at?, rev, created_at, created_by, updated_at}`.
    Secrets are sealed. `leaving`: what it has goes back to people."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("bots")
        self._clock = clock
        self._known: dict[str, str] = {}
        self._known_until = 0.0
        self._any = False

    async def any(self) -> bool:
        """Whether there has ever been one."""
        self._any = self._any or await self._rows.find_one({}, {"_id": 1}) is not None
        return self._any

    async def add(self, fields: Mapping[str, Any]) -> Document:
        """A new one. Raises `DuplicateKeyError` for a channel that has a bot."""
        now = self._clock()
        row = {"stands": True, "rev": 1, "created_at": now, "updated_at": now, **fields}
        await self._rows.insert_one(row)
        return row

    async def all(self) -> list[Document]:
        """Those that stand, the newest first."""
        return await whole(self._rows.find({"stands": True}).sort("_id", DESCENDING))

    async def get(self, bot_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": bot_id, "stands": True})

    async def known(self, bot_id: str) -> Document | None:
        """One, also if it was taken away."""
        return await self._rows.find_one({"_id": bot_id})

    async def names(self, bot_ids: Iterable[str]) -> dict[str, str]:
        """Bot → its name, also of those that were taken away."""
        rows = await whole(self._rows.find({"_id": {"$in": list(bot_ids)}}, {"name": 1}))
        return {row["_id"]: row["name"] for row in rows}

    async def on_channels(self, channel_ids: Iterable[str]) -> dict[str, str]:
        """Channel → its active bot, at most a second old."""
        if time.monotonic() >= self._known_until:
            rows = await whole(self._rows.find({"stands": True, "active": True}, {"channel_ids": 1}))
            self._known = {channel: row["_id"] for row in rows for channel in row["channel_ids"]}
            self._known_until = time.monotonic() + BELIEVED_S
        return {each: self._known[each] for each in channel_ids if each in self._known}

    async def change(
        self, bot_id: str, fields: Mapping[str, Any], *, rev: int | None = None, gone: Sequence[str] = (),
        stands: bool | None = True,
    ) -> Document | None:  # fmt: skip
        """Set these fields, and take some away; None when it is not there, or (`rev`) was changed meanwhile. Raises
        `DuplicateKeyError` for a channel that has another bot."""
        wanted: Document = {"_id": bot_id}
        wanted |= {} if stands is None else {"stands": stands}
        wanted |= {} if rev is None else {"rev": rev}
        change: Document = {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}}
        if gone:
            change["$unset"] = dict.fromkeys(gone, "")
        self._known_until = 0.0
        return await self._rows.find_one_and_update(wanted, change, return_document=ReturnDocument.AFTER)

    async def note_failure(self, bot_id: str, error: str | None) -> None:
        """It has failed just now; None: it works."""
        if error is None:
            await self._rows.update_one(
                {"_id": bot_id, "last_error": {"$exists": True}}, {"$unset": {"last_error": "", "last_failed_at": ""}}
            )
        else:
            await self._rows.update_one(
                {"_id": bot_id}, {"$set": {"last_error": error, "last_failed_at": self._clock()}}
            )

    async def leaving(self) -> list[Document]:
        """Those whose conversations go back to people."""
        return await whole(self._rows.find({"leaving": True}))

    async def left(self, row: Document) -> None:
        """It has none any more."""
        await self._rows.update_one({"_id": row["_id"], "rev": row["rev"]}, {"$unset": {"leaving": ""}})


class BotPostStore:
    """`bot_posts` `{_id bpo_, key, bot_id, event_id, message_id, conversation_id, channel_id, profile_id, identity_id,
    host, kind: message|given|undelivered, waits, state: planned|waiting|done|failed|skipped, due_at?, tries, said?,
    settled_at?, created_at}`.
    `waiting`: the bot has it, and has until `due_at` to speak."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("bot_posts")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)
        self.by_host = ByHost(self.duties, clock)
        self.belongings = Belongings("bot_posts", self._rows, "bpo", by_identity="always")

    async def plan(self, posts: Sequence[Mapping[str, Any]]) -> int:
        """Keep these, each once by its `key`; how many were new."""
        now = self._clock()
        rows = [
            {"_id": new_id("bpo"), "state": PLANNED, "due_at": now, "tries": 0, "attempts": 0, "fence": 0,
             "created_at": now, **post}
            for post in posts
        ]  # fmt: skip
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def claim_silent(self, limit: int) -> list[Document]:
        """Those whose bot should have spoken by now."""
        return await self.duties.claim((WAITING,), self._clock(), limit=limit)

    async def put_off(self, row: Document, until: datetime, said: str, state: str = PLANNED) -> bool:
        """It is looked at again then; False when it is somebody else's now."""
        change = {
            "$set": {"state": state, "due_at": until, "said": said, "attempts": 0}, "$inc": {"tries": 1},
            "$unset": {"lease": ""},
        }  # fmt: skip
        return await self.duties.settle([settled(row, change)]) == 1

    async def settle(self, row: Document, state: str, said: str) -> bool:
        """The end of it; False when it is somebody else's now."""
        change = {
            "$set": {"state": state, "said": said, "settled_at": self._clock()}, "$unset": {"lease": "", "due_at": ""},
        }  # fmt: skip
        return await self.duties.settle([settled(row, change)]) == 1

    async def latest(self, bot_id: str, limit: int = LOG_SHOWN) -> list[Document]:
        """What a bot was told, the latest first."""
        return await whole(self._rows.find({"bot_id": bot_id}).hint("log").sort("_id", DESCENDING).limit(limit))

    async def given_since(self, row: Document) -> bool:
        """Whether the conversation was given to the bot again after this post."""
        wanted = {"conversation_id": row["conversation_id"], "kind": "given", "_id": {"$gt": row["_id"]}}
        return await self._rows.find_one(wanted, {"_id": 1}, hint="by_conversation") is not None

    async def told_since(self, conversation_id: str, since: datetime) -> int:
        """How often a bot was told of a conversation from then on."""
        wanted = {"conversation_id": conversation_id, "created_at": {"$gte": since}}
        return await self._rows.count_documents(wanted, hint="by_conversation")
