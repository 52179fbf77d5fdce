"""Browsers that take web push, and the deployment's own keys, by which push services know who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.ids import new_id, unique_key
from base.mongo import Database, Document, DuplicateKeyError, Indexes, whole

_KEYS = "vapid"

INDEXES: Indexes = {
    "push_subscriptions": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("user_id", ASCENDING)], name="by_user"),
    ]
}


class BrowserStore:
    """Rows `{_id: psh_, key, user_id, session_id, endpoint, p256dh, auth, agent, created_at, updated_at}`. `key` is
    made of the endpoint: a browser is somebody's, the one's who was the last to sign in there."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("push_subscriptions")
        self._clock = clock

    async def keep(self, fields: Mapping[str, Any]) -> Document:
        """A browser as it says of itself; once more it is the same row."""
        now, key = self._clock(), unique_key("push", fields["endpoint"])
        fresh = {"_id": new_id("psh"), "created_at": now}
        change = {"$set": {**fields, "updated_at": now}, "$setOnInsert": fresh}
        while True:
            try:
                row: Document = await self._rows.find_one_and_update(
                    {"key": key}, change, upsert=True, return_document=ReturnDocument.AFTER
                )
                return row
            except DuplicateKeyError:  # two windows of it at once: the other one made the row
                continue

    async def of(self, user_id: str) -> list[Document]:
        """Somebody's, the oldest first."""
        return await whole(self._rows.find({"user_id": user_id}).sort("_id", ASCENDING))

    async def owners(self) -> frozenset[str]:
        """Everybody who has any."""
        return frozenset(await self._rows.distinct("user_id", {}))

    async def remove(self, ids: Sequence[str], user_id: str) -> int:
        """Take some of somebody's away; how many were there."""
        return (await self._rows.delete_many({"_id": {"$in": list(ids)}, "user_id": user_id})).deleted_count

    async def remove_session(self, session_id: str) -> int:
        """A session has ended."""
        return (await self._rows.delete_many({"session_id": session_id})).deleted_count


class PushKeyStore:
    """The one row `{_id, private, public}`; the private key is sealed."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("push_keys")

    async def get(self) -> Document | None:
        """The row, if keys have been made."""
        return await self._rows.find_one({"_id": _KEYS})

    async def begin(self, sealed: str, public: str) -> Document:
        """Keep the first keys; those that are there when somebody was quicker."""
        try:
            await self._rows.insert_one({"_id": _KEYS, "private": sealed, "public": public})
        except DuplicateKeyError:
            pass  # somebody else began at the same moment
        row = await self.get()
        if row is None:
            raise RuntimeError("the keys have just been written")
        return row
