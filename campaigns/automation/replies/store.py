"""What channels say by itself, and what was said to whom: one duty per message that may be answered so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.mongo import (
    BY_ID,
    Database,
    Document,
    DuplicateKeyError,
    Indexes,
    Session,
    inserted_apart_from_duplicates,
    whole,
)
from profiles.store.belongings import Belongings

#: What was said, or not, is known for so long; no house is closed longer.
KEPT = timedelta(days=30)
#: So many of the latest to one person are looked at.
LATEST = 50

INDEXES: Indexes = {
    "automatic_replies": [
        due_index(),
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel(
            [("mark", ASCENDING)], name="once_said", unique=True,
            partialFilterExpression={"mark": {"$exists": True}},
        ),
        IndexModel([("profile_id", ASCENDING), ("settled_at", DESCENDING)], name="by_profile"),
        IndexModel([("settled_at", ASCENDING)], name="expiry", expireAfterSeconds=int(KEPT.total_seconds())),
    ]
}  # fmt: skip


class SaidAlready(Exception):
    """The same was said by somebody else in this moment."""


class ChannelReplyStore:
    """`channel_replies` `{_id: chn_, written, former?, rev, updated_at, by}`. `former`: what stood before."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("channel_replies")
        self._clock = clock

    async def get(self, channel_id: str) -> Document | None:
        """What one channel says."""
        return await self._rows.find_one({"_id": channel_id})

    async def of(self, channel_ids: Iterable[str]) -> dict[str, Document]:
        """The same of several: channel → row."""
        wanted = {"_id": {"$in": sorted(set(channel_ids))}}
        return {row["_id"]: row for row in await whole(self._rows.find(wanted).hint(BY_ID))}

    async def choose(self, channel_id: str, written: Mapping[str, Any], by: str) -> Document:
        """From now on so; the row."""
        change = {"written": {"$literal": dict(written)}, "former": {"$ifNull": ["$written", {}]}}
        return await self._changed({"_id": channel_id}, change, by, upsert=True) or {}

    async def take_back(self, channel_id: str, rev: int, by: str) -> Document | None:
        """What stood before stands again; None where somebody has changed it since."""
        wanted = {"_id": channel_id, "rev": rev, "former": {"$exists": True}}
        return await self._changed(wanted, {"written": "$former", "former": "$written"}, by)

    async def _changed(self, wanted: Document, change: Document, by: str, **more: Any) -> Document | None:
        counted = {"rev": {"$add": [{"$ifNull": ["$rev", 0]}, 1]}, "updated_at": self._clock(), "by": by}
        return await self._rows.find_one_and_update(
            wanted, [{"$set": {**change, **counted}}], return_document=ReturnDocument.AFTER, **more
        )  # fmt: skip


class AutomaticReplyStore:
    """`automatic_replies` `{_id arp_, key, state: due|said|skipped, due_at?, event_id, message_id, conversation_id,
    channel_id, profile_id, identity_id, text, payload, heard_at, kind?, said?, mark?, about?, send_key?, why?,
    settled_at?}`. `about` is what was said once, `mark` the same with whose it is, which is unique."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("automatic_replies")
        self.duties = DutyBook(self._rows)
        self.belongings = Belongings("automatic_replies", self._rows, "arp", by_identity="always")

    async def plan(self, rows: Sequence[Document]) -> int:
        """Keep those whose key is new; how many."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def settle(self, row: Document, change: Mapping[str, Any], session: Session | None = None) -> bool:
        """Note what became of a claimed one; False when it is somebody else's now. Raises `SaidAlready`."""
        wanted = {"_id": row["_id"], "lease": row["lease"], "state": "due"}
        update = {"$set": dict(change), "$unset": {"lease": "", "due_at": "", "text": "", "payload": ""}}
        try:
            return (await self._rows.update_one(wanted, update, session=session)).matched_count == 1
        except DuplicateKeyError:
            raise SaidAlready from None

    async def said_to(self, profile_id: str, since: datetime) -> list[Document]:
        """What was said to a person since then, the latest first."""
        wanted = {"profile_id": profile_id, "settled_at": {"$gt": since}}
        found = self._rows.find(wanted).hint("by_profile").sort("settled_at", DESCENDING).limit(LATEST)
        return [row for row in await whole(found) if row["state"] == "said"]
