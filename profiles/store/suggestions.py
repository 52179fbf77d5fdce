"""Pairs of profiles that may be one person, with the evidence; a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.ids import new_id
from base.mongo import Database, Document, Indexes, Session, UpdateOne
from base.pages import Page, newest_first
from profiles.models import Dispute

INDEXES: Indexes = {
    "suggestions": [
        IndexModel([("pair", ASCENDING)], name="pair", unique=True),
        IndexModel([("state", ASCENDING), ("_id", DESCENDING)], name="by_state"),
        IndexModel([("profile_ids", ASCENDING)], name="by_profile"),
        IndexModel([("merge_id", ASCENDING)], name="by_merge", sparse=True),
        IndexModel([("evidence.key", ASCENDING)], name="by_evidence"),
        IndexModel([("updated_at", ASCENDING)], name="visitors", partialFilterExpression={"visitor": True}),
    ]
}


class SuggestionStore:
    """One row per pair, `state` open until a person has said "the same" or "not the same"."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("suggestions")

    async def note(self, disputes: Iterable[Dispute], at: datetime) -> None:
        """Keep the evidence. May run twice; a pair already answered keeps its answer."""
        changes = [_noting(dispute, at) for dispute in disputes if dispute.profile_id != dispute.other_id]
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    async def open(self, limit: int = 50) -> list[Document]:
        """Rows `{_id, profile_ids, evidence: [{kind, key, reason}], created_at}`, newest first."""
        return await self._rows.find({"state": "open"}).sort("_id", DESCENDING).limit(limit).to_list(limit)

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """The same in parts."""
        wanted: Document = {"state": "open"}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def get(self, suggestion_id: str) -> Document | None:
        """One pair."""
        return await self._rows.find_one({"_id": suggestion_id})

    async def answer(self, suggestion_id: str, from_state: str, to_state: str, by: str | None, at: datetime) -> bool:
        """Somebody has said whether they are one person, or takes that back; False when it was said before."""
        change = {"$set": {"state": to_state, "answered_by": by, "answered_at": at}}
        return (await self._rows.update_one({"_id": suggestion_id, "state": from_state}, change)).modified_count == 1

    async def merged(self, profile_ids: Sequence[str], merge_id: str, session: Session) -> None:
        """Pairs among these ids need no answer any more: they are one person."""
        ids = list(profile_ids)
        among = {"$in": ids, "$not": {"$elemMatch": {"$nin": ids}}}
        change = {"$set": {"state": "merged", "merge_id": merge_id}, "$unset": {"visitor": ""}}
        await self._rows.update_many({"state": "open", "profile_ids": among}, change, session=session)

    async def reopen(self, merge_id: str, session: Session) -> None:
        """The merge that answered them is undone. From now on only a person answers."""
        wanted = {"merge_id": merge_id, "state": "merged"}
        change = {"$set": {"state": "open", "parted": True}, "$unset": {"merge_id": ""}}
        await self._rows.update_many(wanted, change, session=session)

    async def pairs_by(self, key: str, *, proved: bool) -> int:
        """How many pairs this key spoke for, whatever was answered; counted no further than 100. `proved`: only those
        of which it came from where it was proved."""
        said: Document = {"key": key, "proved": True} if proved else {"key": key}
        wanted: Document = {"evidence": {"$elemMatch": said}}
        return await self._rows.count_documents(wanted, limit=100)

    async def withdraw(self, key: str) -> None:
        """Nothing but this key spoke for these pairs, and it says nothing."""
        alone = {"$elemMatch": {"key": key}, "$not": {"$elemMatch": {"key": {"$ne": key}}}}
        await self._rows.update_many({"state": "open", "evidence": alone}, {"$set": {"state": "withdrawn"}})

    async def visitors(self, limit: int) -> list[Document]:
        """Open pairs of which one may be a visitor who said who it is; longest known first."""
        found = self._rows.find({"visitor": True}).sort("updated_at", ASCENDING).limit(limit)
        return await found.to_list(limit)

    async def left_to_people(self, suggestion_id: str) -> None:
        """It is no visitor: a person decides, as with every other pair."""
        await self._rows.update_one({"_id": suggestion_id}, {"$unset": {"visitor": ""}})

    async def of_profile(self, profile_id: str) -> list[Document]:
        """Those that concern one person."""
        return await self._rows.find({"profile_ids": profile_id}).to_list(None)

    async def delete_of(self, profile_ids: Sequence[str], session: Session | None = None) -> int:
        """Erase all that name one of these."""
        wanted = {"profile_ids": {"$in": list(profile_ids)}}
        return (await self._rows.delete_many(wanted, session=session)).deleted_count


def _noting(dispute: Dispute, at: datetime) -> UpdateOne:
    pair = sorted((dispute.profile_id, dispute.other_id))
    evidence: Document = {"kind": dispute.kind, "key": dispute.key, "reason": dispute.reason}
    return UpdateOne(
        {"pair": "|".join(pair)},
        {
            "$setOnInsert": {"_id": new_id("sug"), "profile_ids": pair, "state": "open", "created_at": at},
            "$addToSet": {"evidence": {**evidence, "proved": True} if dispute.proved else evidence},
            "$max": {"updated_at": at},
            **({"$set": {"visitor": True}} if dispute.visitor else {}),
        },
        upsert=True,
    )
