"""Merges: who was joined to whom, by whom, what both were before, and how far it has been carried out.

A merge is a duty: `moving` → `settling` → `done`, and when it is undone `returning` → `resettling` → `undone`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, Indexes, Session

#: What belongs to one of the two is still on its way: neither may be part of another merge.
UNDER_WAY = ("moving", "returning")
#: All is where it belongs; looked at again for what somebody wrote who had not heard of it.
LOOKED_AFTER = ("settling", "resettling")
STANDING = ("moving", "settling", "done")
LEASE_S = 30

INDEXES: Indexes = {
    "merges": [
        due_index(),
        IndexModel([("survivor_id", ASCENDING), ("_id", DESCENDING)], name="by_survivor"),
        IndexModel([("other_id", ASCENDING), ("_id", DESCENDING)], name="by_other"),
    ]
}


class MergeStore:
    """Rows `{_id, state, survivor_id, other_id, by, at, before: {survivor, other}, changed, set_aside, moved,
    identity_ids, kept, passes}`. Both before-images go when one of the two is erased."""

    def __init__(self, database: Database, *, lease_s: int = LEASE_S) -> None:
        self._rows = database.collection("merges")
        self._erasures = database.collection("erasures")
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    async def add(self, row: Document, session: Session) -> None:
        """A new one."""
        await self._rows.insert_one(row, session=session)

    async def get(self, merge_id: str, session: Session | None = None) -> Document | None:
        """One merge."""
        return await self._rows.find_one({"_id": merge_id}, session=session)

    async def of_profiles(self, profile_ids: Sequence[str], limit: int = 50) -> list[Document]:
        """The merges these people were part of, newest first."""
        ids = list(profile_ids)
        wanted = {"$or": [{"survivor_id": {"$in": ids}}, {"other_id": {"$in": ids}}]}
        return await self._rows.find(wanted).sort("_id", DESCENDING).limit(limit).to_list(limit)

    async def standing(self, survivor_id: str, session: Session | None = None) -> list[Document]:
        """Those that were not undone, newest first."""
        wanted = {"survivor_id": survivor_id, "state": {"$in": list(STANDING)}}
        return await self._rows.find(wanted, session=session).sort("_id", DESCENDING).to_list(None)

    async def busy(self) -> set[str]:
        """Everybody of whom something is still on its way."""
        rows = self._rows.find({"state": {"$in": list(UNDER_WAY)}}, {"survivor_id": 1, "other_id": 1})
        return {row[side] async for row in rows for side in ("survivor_id", "other_id")}

    async def under_way(self, profile_ids: Sequence[str], session: Session | None = None) -> list[str]:
        """Ids of merges of these people that are still being carried out."""
        ids = list(profile_ids)
        wanted = {
            "$or": [{"survivor_id": {"$in": ids}}, {"other_id": {"$in": ids}}],
            "state": {"$in": list(UNDER_WAY)},
        }
        return [row["_id"] async for row in self._rows.find(wanted, {"_id": 1}, session=session)]

    async def being_erased(self, profile_ids: Sequence[str]) -> bool:
        """Whether an erasure of one of these people is under way."""
        return await self._erasures.find_one({"profile_id": {"$in": list(profile_ids)}}, {"_id": 1}) is not None

    async def rewrite(self, merge_id: str, fields: Mapping[str, Any], session: Session) -> None:
        """What an earlier merge had to do with it is taken out of its record."""
        await self._rows.update_one({"_id": merge_id}, {"$set": dict(fields)}, session=session)

    async def forget_images(self, profile_id: str, since: str, image: Mapping[str, Any], session: Session) -> None:
        """Merges of this person after that one which were undone already hold no more what the person was in between,
        which is somebody else's again, but `image`."""
        wanted = {
            "$or": [{"survivor_id": profile_id}, {"other_id": profile_id}], "_id": {"$gt": since},
            "state": {"$in": ["resettling", "undone"]},
        }  # fmt: skip
        for row in await self._rows.find(wanted, {"survivor_id": 1}, session=session).to_list(None):
            side = "survivor" if row["survivor_id"] == profile_id else "other"
            fields = {f"before.{side}": dict(image), "changed": {}, "set_aside": [], "kept": []}
            await self._rows.update_one({"_id": row["_id"]}, {"$set": fields}, session=session)

    async def turn(
        self, merge_id: str, from_states: Sequence[str], to_state: str, at: datetime, fields: Mapping[str, Any],
        session: Session,
    ) -> bool:  # fmt: skip
        """Into another state, due at once; whoever works on it loses the lease. False when it is in none of those."""
        change = {"$set": {"state": to_state, "due_at": at, "passes": 0, **fields}, "$unset": {"lease": ""}}
        wanted = {"_id": merge_id, "state": {"$in": list(from_states)}}
        return (await self._rows.update_one(wanted, change, session=session)).modified_count == 1

    async def claim(self, now: datetime, limit: int, only: str | None = None) -> list[Document]:
        """Lease due ones."""
        states, where = (*UNDER_WAY, *LOOKED_AFTER), {"_id": only} if only else None
        return await self.duties.claim(states, now, limit=limit, where=where)

    async def settle(self, row: Document, fields: Mapping[str, Any], session: Session | None = None) -> bool:
        """Write back under the lease; False when it was lost."""
        due = {} if "due_at" in fields else {"due_at": ""}
        change = settled(row, {"$set": {**fields, "attempts": 0}, "$unset": {"lease": "", **due}})
        return (await self._rows.bulk_write([change], session=session)).matched_count == 1
