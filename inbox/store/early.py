"""What came before the message it speaks of: receipts, edits, deletions, reactions. Kept until the message is there.

Both sides write first and look afterwards, so whichever is later sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pymongo import ASCENDING, IndexModel

from base.mongo import Database, Document, Indexes, inserted_apart_from_duplicates
from profiles.holdings import Traces

#: Speaks of a message we will never have (written in the provider's own app before we were connected).
FORGOTTEN_AFTER_S = 30 * 24 * 3600


def _rows_of(name: str) -> list[IndexModel]:
    return [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("ref", ASCENDING)], name="by_ref"),
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=FORGOTTEN_AFTER_S),
    ]


INDEXES: Indexes = {"receipts_early": _rows_of("receipts_early"), "changes_early": _rows_of("changes_early")}


def ref_of(channel_id: str, message_id: str) -> str:
    """Speaks of a provider's message id."""
    return f"{channel_id}|id|{message_id}"


def key_ref(channel_id: str, send_key: str) -> str:
    """Speaks of one of our send keys."""
    return f"{channel_id}|key|{send_key}"


def watermark_ref(channel_id: str, identity_id: str) -> str:
    """Speaks of everything sent to an identity until some moment."""
    return f"{channel_id}|until|{identity_id}"


def early_of(traces: Traces) -> Document:
    """The condition for what came early and is this person's: marks on their identities, and what they did."""
    marks = [watermark_ref(channel_id, identity_id) for channel_id, identity_id in traces.channels]
    mine = [external_id for _, external_id in traces.addresses]
    until = {"at": {"$lte": traces.until}} if traces.until else {}
    return {"$or": [{"ref": {"$in": marks}}, {"body.by": {"$in": mine}}], **until}


class EarlyStore:
    """Rows `{_id, key, ref, at, body}` waiting for the message behind `ref`."""

    def __init__(self, database: Database, collection: str) -> None:
        self._rows = database.collection(collection)

    async def keep(self, rows: Sequence[Document]) -> None:
        """Keep each once."""
        await inserted_apart_from_duplicates(self._rows, rows)

    async def keep_latest(self, key: str, ref: str, at: datetime, body: Document) -> None:
        """Keep one row per key: the one that reaches furthest (`body.until`)."""
        newer = {"key": key, "$or": [{"body.until": {"$lt": body["until"]}}, {"body": {"$exists": False}}]}
        change = {"$set": {"ref": ref, "at": at, "body": body}}
        result = await self._rows.update_one(newer, change)
        if result.matched_count == 0:
            await inserted_apart_from_duplicates(self._rows, [{"key": key, "ref": ref, "at": at, "body": body}])

    async def waiting_for(self, refs: Iterable[str]) -> list[Document]:
        """What waits for any of these, in the order of its coming."""
        wanted = list(refs)
        if not wanted:
            return []
        return await self._rows.find({"ref": {"$in": wanted}}).sort("_id", ASCENDING).to_list(None)

    async def done(self, rows: Sequence[Document]) -> None:
        """These were applied."""
        if rows:
            await self._rows.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})

    async def done_keys(self, keys: Sequence[str]) -> None:
        """These were applied by the one who kept them."""
        if keys:
            await self._rows.delete_many({"key": {"$in": list(keys)}})

    async def count(self) -> int:
        """How many wait."""
        return await self._rows.count_documents({})
