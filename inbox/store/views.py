"""Saved views as rows. No two shared ones have one name, and no two of one person's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, Indexes, Session, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "views": [
        IndexModel(
            [("owner_id", ASCENDING), ("folded", ASCENDING)], name="one_name", unique=True,
            partialFilterExpression={"stands": True},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}  # fmt: skip


class ViewStore:
    """Rows are `{_id: viw_, name, folded, owner_id: usr_|null, filter, stands, removed_at?, rev, created_by,
    created_at, updated_at}`; without an owner a view is everybody's. `filter`: `inbox.view_filter.ViewFilter`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("views")
        self._clock = clock

    async def add(self, view_id: str, fields: Mapping[str, Any], session: Session | None = None) -> Document:
        """A new one. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        row = {
            "_id": view_id, **fields, "folded": folded(fields["name"]), "stands": True, "rev": 1, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row, session=session)
        return row

    async def seen_by(self, user_id: str) -> list[Document]:
        """Everybody's and this person's own, by name. There are a few hundred at most."""
        wanted = {"owner_id": {"$in": [None, user_id]}, "stands": True}
        return await whole(self._rows.find(wanted).sort([("folded", ASCENDING), ("_id", ASCENDING)]))

    async def all(self, session: Session | None = None) -> list[Document]:
        """Everybody's views that stand."""
        return await whole(self._rows.find({"stands": True}, session=session))

    async def count(self, owner_id: str | None) -> int:
        """How many somebody has, or (None) all share."""
        return await self._rows.count_documents({"owner_id": owner_id, "stands": True})

    async def get(self, view_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": view_id, "stands": True})

    async def any(self, view_id: str) -> Document | None:
        """One, also when it was taken away."""
        return await self._rows.find_one({"_id": view_id})

    async def change(
        self, view_id: str, rev: int, fields: Mapping[str, Any], session: Session | None = None
    ) -> Document | None:
        """Change one where it still has this revision. Raises `DuplicateKeyError` when the name is taken."""
        change = {**fields, "updated_at": self._clock()}
        if "name" in fields:
            change["folded"] = folded(fields["name"])
        return await self._rows.find_one_and_update(
            {"_id": view_id, "rev": rev, "stands": True}, {"$set": change, "$inc": {"rev": 1}}, session=session,
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def remove(self, view_id: str, session: Session | None = None) -> bool:
        """Take one away; for `KEPT_S` it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        done = await self._rows.update_one({"_id": view_id, "stands": True}, change, session=session)
        return done.modified_count == 1

    async def restore(self, view_id: str, session: Session | None = None) -> bool:
        """Put one back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        change: Document = {"$set": {"stands": True}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        done = await self._rows.update_one({"_id": view_id, "stands": False}, change, session=session)
        return done.modified_count == 1


def folded(name: str) -> str:
    """What makes two names the same."""
    return " ".join(name.casefold().split())
