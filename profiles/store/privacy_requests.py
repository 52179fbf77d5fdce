"""What shops pass on of their customers' rights: to be shown or to be forgotten. A person here decides."""

from __future__ import annotations

from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.mongo import Database, Document, Indexes, inserted_apart_from_duplicates

INDEXES: Indexes = {
    "privacy_requests": [
        IndexModel([("dedupe", ASCENDING)], name="once", unique=True),
        IndexModel([("state", ASCENDING), ("answer_by", ASCENDING)], name="open"),
        IndexModel([("keys", ASCENDING)], name="by_key"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile", sparse=True),
    ]
}


class RequestStore:
    """Rows `{_id, dedupe, kind, channel_id, subject, keys, received_at, answer_by, state}`; kind `show`, `erase` or
    `erase_shop`; state `open` or `answered`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("privacy_requests")

    async def note(self, row: Document) -> None:
        """Keep each once."""
        await inserted_apart_from_duplicates(self._rows, [row])

    async def open(self, limit: int = 100) -> list[Document]:
        """Those that wait, the most urgent first."""
        return await self._rows.find({"state": "open"}).sort("answer_by", ASCENDING).limit(limit).to_list(limit)

    async def get(self, request_id: str) -> Document | None:
        """One request."""
        return await self._rows.find_one({"_id": request_id})

    async def answered(self, limit: int = 20) -> list[Document]:
        """Those done with, the latest first."""
        return await self._rows.find({"state": "answered"}).sort("_id", DESCENDING).limit(limit).to_list(limit)

    async def answer(self, request_id: str, by: str, how: str, at: datetime) -> bool:
        """Somebody has seen to it; False when it was answered before. Who it was about is forgotten."""
        change = {"state": "answered", "answered_by": by, "answered_at": at, "answer": how, "keys": [], "subject": {}}
        return (await self._rows.update_one({"_id": request_id, "state": "open"}, {"$set": change})).modified_count == 1
