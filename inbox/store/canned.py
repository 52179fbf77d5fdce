"""Canned replies as rows. Of those that all share, of a team's and of one person's, no two have one shortcut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, Indexes, Session, whole

INDEXES: Indexes = {
    "canned_replies": [
        IndexModel(
            [("owner_id", ASCENDING), ("folded", ASCENDING)], name="one_shortcut", unique=True,
            partialFilterExpression={"stands": True},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", sparse=True),
    ]
}  # fmt: skip


#: Those that belong to a team.
OF_TEAMS: Document = {"owner_id": {"$gte": "tea_", "$lt": "tea`"}}


class CannedStore:
    """Rows are `{_id: cnr_, shortcut, folded, title, text, url?, file_ids, owner_id: usr_|tea_|null, channel_ids, uses,
    used_at, stands, removed_at?, rev, created_by, created_at, updated_at}`; without an owner a reply is everybody's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("canned_replies")
        self._clock = clock

    async def add(self, reply_id: str, fields: Mapping[str, Any], session: Session) -> Document:
        """A new one. Raises `DuplicateKeyError` when the shortcut is taken."""
        now = self._clock()
        row = {
            "_id": reply_id, **fields, "uses": 0, "used_at": None, "stands": True, "rev": 1, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row, session=session)
        return row

    async def seen_by(self, user_id: str, team_ids: Sequence[str] | None = ()) -> list[Document]:
        """Everybody's, this person's own and these teams' (None: all teams'), by shortcut. There are some hundreds at
        most."""
        shared: Document = {"owner_id": {"$in": [None, user_id, *(team_ids or ())]}}
        wanted: Document = {"stands": True, **({"$or": [shared, OF_TEAMS]} if team_ids is None else shared)}
        return await whole(self._rows.find(wanted).sort([("folded", ASCENDING), ("_id", ASCENDING)]))

    async def count(self, owner_id: str | None) -> int:
        """How many somebody has, or (None) all share."""
        return await self._rows.count_documents({"owner_id": owner_id, "stands": True})

    async def get(self, reply_id: str) -> Document | None:
        """One, also when it was taken away."""
        return await self._rows.find_one({"_id": reply_id})

    async def change(
        self, reply_id: str, rev: int, fields: Mapping[str, Any], session: Session
    ) -> Document | None:  # fmt: skip
        """Change one where it still has this revision. Raises `DuplicateKeyError` when the shortcut is taken."""
        return await self._rows.find_one_and_update(
            {"_id": reply_id, "rev": rev, "stands": True},
            {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}}, session=session,
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def remove(self, reply_id: str) -> None:
        """Take one away; until it is forgotten it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        await self._rows.update_one({"_id": reply_id, "stands": True}, change)

    async def restore(self, reply_id: str) -> None:
        """Put one back. Raises `DuplicateKeyError` when the shortcut was given away meanwhile."""
        change: Document = {"$set": {"stands": True}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        await self._rows.update_one({"_id": reply_id, "stands": False}, change)

    async def count_uses(self, reply_ids: Sequence[str], user_id: str | None, by: int, session: Session) -> None:
        """This person made an answer of these (1), or took it back (-1); within its transaction."""
        if not reply_ids:
            return
        seen = {"_id": {"$in": list(reply_ids)}, "$or": [{"owner_id": {"$in": [None, user_id]}}, OF_TEAMS]}
        change: Document = {"$inc": {"uses": by}, "$max": {"used_at": self._clock()}}
        await self._rows.update_many(seen, change, session=session, hint=BY_ID)

    async def removed_before(self, at: datetime, limit: int = 100) -> list[Document]:
        """Those that were taken away before then."""
        found = self._rows.find({"removed_at": {"$lt": at}, "stands": False}, {"file_ids": 1, "created_by": 1})
        return await found.limit(limit).to_list(limit)

    async def forget(self, reply_id: str, session: Session) -> bool:
        """Delete one that is still taken away; whether it was."""
        return (await self._rows.delete_one({"_id": reply_id, "stands": False}, session=session)).deleted_count == 1
