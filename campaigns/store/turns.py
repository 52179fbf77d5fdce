"""Places in lines: who came when, who may pass, whose turn it is. One row per visit of a step, by its key.

A place is the number after the highest one there is, kept apart by a unique index: when a place can be seen, all
before it can be seen too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, DuplicateKeyError, Indexes, inserted_apart_from_duplicates

#: How often a place is looked for again because somebody else has just taken it.
ROUNDS = 50

INDEXES: Indexes = {
    "turns": [
        IndexModel([("pool", ASCENDING), ("place", ASCENDING)], name="place", unique=True),
        IndexModel([("pool", ASCENDING), ("state", ASCENDING), ("place", ASCENDING)], name="waiting"),
        IndexModel([("pool", ASCENDING), ("state", ASCENDING), ("until", ASCENDING)], name="recent"),
        IndexModel([("until", ASCENDING)], name="age", partialFilterExpression={"until": {"$exists": True}}),
    ]
}


class TurnStore:
    """Reads and writes places. Rows: `{_id: key, pool, place, state: waiting|passed|left, run_id, until?}`; `until`:
    for so long somebody who has passed counts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("turns")
        self._clock = clock

    async def join(self, pool: str, wanted: Sequence[tuple[str, str]], **more: Any) -> dict[str, Document]:
        """(key, run id) in order of arrival: each gets a place behind all others, or keeps the one it has.

        Who has left the line gets a new one. `more`: further fields of new rows.
        """
        for _ in range(ROUNDS):
            found = {row["_id"]: row async for row in self._rows.find({"_id": {"$in": [key for key, _ in wanted]}})}
            new = [(key, run_id) for key, run_id in wanted if key not in found]
            back = [row for row in found.values() if row["state"] == "left"]
            if not new and not back:
                return found
            await self._placed(pool, new, back, more)
        raise DuplicateKeyError("too many people join this line just now", 11000)

    async def ahead(self, pool: str, most: int) -> list[Document]:
        """Those who wait, the first `most` of them."""
        wanted = {"pool": pool, "state": "waiting"}
        return await self._rows.find(wanted).sort("place", ASCENDING).limit(most).to_list(None)

    async def recent(self, pool: str, now: datetime, most: int) -> list[Document]:
        """Those who have passed and still count, at most `most`: those who count longest."""
        wanted = {"pool": pool, "state": "passed", "until": {"$gt": now}}
        return await self._rows.find(wanted).sort("until", DESCENDING).limit(most).to_list(None)

    async def let_pass(self, keys: Sequence[str], now: datetime, counts_for: timedelta) -> None:
        """Write down that these pass now. Who has passed before keeps their time."""
        change = {"$set": {"state": "passed", "passed_at": now, "until": now + counts_for}}
        if keys:
            await self._rows.update_many({"_id": {"$in": list(keys)}, "state": "waiting"}, change, hint=BY_ID)

    async def leave(self, keys: Sequence[str], now: datetime) -> None:
        """Take these out of their line: their runs stand there no more."""
        if keys:
            change = {"$set": {"state": "left", "until": now}}
            await self._rows.update_many({"_id": {"$in": list(keys)}, "state": "waiting"}, change, hint=BY_ID)

    async def number(self, pool: str, key: str) -> int:
        """A number in turn, from 0 on; the same key again has the same number."""
        done = {"state": "passed", "until": self._clock()}
        return int((await self.join(pool, [(key, "")], **done))[key]["place"])

    async def forget(self, before: datetime) -> int:
        """Let go of places that counted for nothing any more at that time. A run that still needs one joins anew."""
        return (await self._rows.delete_many({"until": {"$lt": before}})).deleted_count

    async def _placed(
        self, pool: str, new: Sequence[tuple[str, str]], back: Sequence[Document], more: Mapping[str, Any]
    ) -> None:
        last = await self._rows.find_one({"pool": pool}, {"place": 1}, sort=[("place", DESCENDING)])
        place = last["place"] + 1 if last else 0
        rows = [
            {"_id": key, "pool": pool, "place": place + each, "state": "waiting", "run_id": run_id, **more}
            for each, (key, run_id) in enumerate(new)
        ]
        await inserted_apart_from_duplicates(self._rows, rows)
        for each, row in enumerate(back, len(new)):
            change = {"$set": {"state": "waiting", "place": place + each}, "$unset": {"until": ""}}
            try:
                await self._rows.update_one({"_id": row["_id"], "state": "left"}, change)
            except DuplicateKeyError:
                return  # somebody has just taken that place: look again
