"""For how long things are kept: the figures, the nightly duty with how far it has got, and what went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from base.duty import DutyBook, due_index, settled
from base.mongo import LOOK_MS, Database, Document, Indexes, in_time

#: Longer than one batch takes.
LEASE_S = 120
NIGHTLY, CHOSEN = "nightly", "chosen"
#: Counted no further for a page.
COUNT_MAX = 100_000
INDEXES: Indexes = {"retention": [due_index()]}


class RetentionStore:
    """`{_id: "chosen", days}`, `{_id: "nightly", state, due_at, counts, ended}` and one row per night that took
    something: `{_id: "night:…", at, counts}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("retention")
        self._duties = DutyBook(self._rows, lease_s=LEASE_S)

    async def chosen(self) -> dict[str, int | None]:
        """Kind → days, those that somebody has chosen; None: for ever."""
        row = await self._rows.find_one({"_id": CHOSEN})
        return dict(row["days"]) if row else {}

    async def choose(self, days: Mapping[str, int | None], by: str, at: datetime) -> None:
        """From now on so long."""
        change = {"days": dict(days), "by": by, "at": at}
        await self._rows.update_one({"_id": CHOSEN}, {"$set": change}, upsert=True)

    async def ensure(self, due_at: datetime) -> None:
        """See to it that there is a next night."""
        fresh = {"state": "waiting", "due_at": due_at, "attempts": 0, "fence": 0, "counts": {}, "ended": []}
        await self._rows.update_one({"_id": NIGHTLY}, {"$setOnInsert": fresh}, upsert=True)

    async def hurry(self, at: datetime) -> None:
        """The night is now."""
        await self._rows.update_one({"_id": NIGHTLY}, {"$set": {"due_at": at}})

    async def claim(self, now: datetime) -> Document | None:
        """Lease the duty when it is due."""
        return await self._duties.claim_one(["waiting"], now)

    async def removed(self, row: Document, kind: str, count: int) -> bool:
        """Some of a kind are gone. False: somebody else has the duty now."""
        noted = await self._duties.settle([settled(row, {"$inc": {f"counts.{kind}": count}})])
        return noted == 1 and await self._duties.renew([row["_id"]], row["lease"]) == 1

    async def ended(self, row: Document, kind: str) -> bool:
        """Nothing of this kind is old any more. False: somebody else has the duty now."""
        return await self._duties.settle([settled(row, {"$addToSet": {"ended": kind}})]) == 1

    async def later(self, row: Document, until: datetime) -> None:
        """Go on then."""
        change = {"$set": {"due_at": until, "attempts": 0}, "$unset": {"lease": ""}}
        await self._duties.settle([settled(row, change)])

    async def over(self, row: Document, at: datetime, next_at: datetime) -> dict[str, int]:
        """The night is over; what went."""
        fresh = await self._rows.find_one({"_id": NIGHTLY}) or {}
        counts = {name: count for name, count in fresh.get("counts", {}).items() if count}
        if counts:
            night = {"at": at, "counts": counts}
            await self._rows.update_one({"_id": f"night:{at.isoformat()}"}, {"$set": night}, upsert=True)
        change = {"$set": {"due_at": next_at, "attempts": 0, "counts": {}, "ended": []}, "$unset": {"lease": ""}}
        await self._duties.settle([settled(row, change)])
        return counts

    async def nights(self, limit: int = 14) -> list[Document]:
        """The last nights in which something went, the latest first."""
        found = self._rows.find({"_id": {"$gte": "night:", "$lt": "night;"}})
        return await found.sort("_id", DESCENDING).limit(limit).to_list(limit)


class Aged:
    """Rows of one collection that go by their age, found by an index."""

    def __init__(self, database: Database, name: str, where: Callable[[datetime], Document]) -> None:
        self._rows = database.collection(name)
        self._where = where

    async def count(self, before: datetime) -> int:
        """How many are older, counted no further than `COUNT_MAX`. Raises `TooSlow`."""
        with in_time("There is too much to count now. Try again in a while."):
            return await self._rows.count_documents(self._where(before), limit=COUNT_MAX, maxTimeMS=LOOK_MS)

    async def remove(self, before: datetime, limit: int) -> int:
        """Take up to `limit` away, the oldest first; how many."""
        return (await self._rows.delete_many({"_id": {"$in": await self.ids(before, limit)}})).deleted_count

    async def ids(self, before: datetime, limit: int) -> list[Any]:
        """The oldest of them."""
        found = self._rows.find(self._where(before), {"_id": 1}).sort("_id", ASCENDING).limit(limit)
        return [row["_id"] async for row in found]

    async def change(self, before: datetime, limit: int, update: Document) -> int:
        """Write on up to `limit` of them what makes them fit no more; how many."""
        ids = await self.ids(before, limit)
        return (await self._rows.update_many({"_id": {"$in": ids}}, update)).modified_count
