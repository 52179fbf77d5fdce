"""What colleagues write down about a person: notes, and what was said on the phone or face to face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.mongo import Database, Document, Indexes, Session, whole
from base.pages import Page, newest_first
from profiles.store.belongings import Belongings
from profiles.words import Words

INDEXES: Indexes = {
    "notes": [
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel(
            [("profile_id", ASCENDING), ("pinned_at", DESCENDING)],
            name="pinned",
            partialFilterExpression={"pinned_at": {"$exists": True}},
        ),
        IndexModel([("deleted_at", ASCENDING)], name="deleted", sparse=True),
        IndexModel([("key", ASCENDING)], name="once", unique=True, partialFilterExpression={"key": {"$exists": True}}),
    ]
}
PINNED_MAX = 20


class NoteStore:
    """Reads and writes notes. A deleted one stays for a while, so that it can be brought back."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("notes")
        self.belongings = Belongings("notes", self._rows, "nte", counted=True, by_identity="never")

    async def get(self, note_id: str) -> Document | None:
        """One note, deleted ones too."""
        return await self._rows.find_one({"_id": note_id})

    async def by_key(self, key: str) -> Document | None:
        """What an earlier request with this key wrote."""
        return await self._rows.find_one({"key": key})

    async def page(
        self, profile_id: str, *, pinned: bool | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """A person's notes, newest first. `pinned`: only those that are, or are not."""
        wanted: Document = {"profile_id": profile_id, "deleted_at": {"$exists": False}}
        if pinned is not None:
            wanted["pinned_at"] = {"$exists": pinned}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def count(self, profile_id: str) -> int:
        """How many a person has."""
        return await self._rows.count_documents({"profile_id": profile_id, "deleted_at": {"$exists": False}})

    async def words(self, ids: Sequence[str]) -> dict[str, Words]:
        """What they say, for a timeline: by id, in one read."""
        fields = {"text": 1, "by": 1, "deleted_at": 1, "minutes": 1, "direction": 1}
        return {row["_id"]: _words(row) for row in await whole(self._rows.find({"_id": {"$in": list(ids)}}, fields))}

    async def add(self, row: Document, session: Session) -> None:
        """A new note. A taken `key` raises `DuplicateKeyError` and has aborted the transaction."""
        await self._rows.insert_one(row, session=session)

    async def change(
        self, note_id: str, rev: int, fields: Mapping[str, Any], gone: Sequence[str], session: Session
    ) -> Document | None:
        """Set fields and take others away if nobody wrote since `rev`; None when somebody did."""
        update: Document = {"$set": dict(fields), "$inc": {"rev": 1}}
        if gone:
            update["$unset"] = dict.fromkeys(gone, "")
        after: Document | None = await self._rows.find_one_and_update(
            {"_id": note_id, "rev": rev}, update, return_document=ReturnDocument.AFTER, session=session
        )
        return after

    async def forget_deleted(self, before: datetime, limit: int = 500) -> int:
        """Take away for good what was deleted before then; how many."""
        old = self._rows.find({"deleted_at": {"$lt": before}}, {"_id": 1}).limit(limit)
        ids = [row["_id"] async for row in old]
        gone = {"_id": {"$in": ids}, "deleted_at": {"$lt": before}}
        return (await self._rows.delete_many(gone)).deleted_count if ids else 0


def _words(row: Document) -> Words:
    if row.get("deleted_at") is not None:
        return Words(by=row.get("by"), gone=True)
    more = {name: row[name] for name in ("minutes", "direction") if row.get(name) is not None}
    return Words(row["text"], row.get("by"), more=more)
