"""Calls to addresses outside: one row per visit of a step or action of a rule, a duty until it is settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, settled
from base.ids import new_id
from base.mongo import Database, Document, Indexes, inserted_apart_from_duplicates
from base.side_by_side import ByHost
from profiles.store.belongings import Belongings

PLANNED = "planned"
SETTLED = ("done", "failed", "cancelled")
#: Longer than the longest call takes.
LEASE_S = 60

INDEXES: Indexes = {
    "webhook_calls": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("state", ASCENDING), ("host", ASCENDING), ("due_at", ASCENDING)], name="due_by_host"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("settled_at", ASCENDING)], name="age", partialFilterExpression={"settled_at": {"$exists": True}}),
    ]
}


class CallStore:
    """Reads and writes calls. Rows: `{_id, key, state: planned|done|failed|cancelled, due_at, tries, enrolment_id,
    journey_id, version, node, visit, profile_id, host, url, body?, address?, said?, answer?, …}`. Those of automation
    have no `enrolment_id`, and from the beginning `body`, `address` and `timeout_s`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("webhook_calls")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S, index="due_by_host")
        self.by_host = ByHost(self.duties, clock)
        self.belongings = Belongings("webhook_calls", self._rows, "whc", by_identity="never")

    async def plan(self, calls: Sequence[Mapping[str, Any]]) -> None:
        """Keep these, each once by its `key`."""
        now = self._clock()
        rows = [
            {
                "_id": new_id("whc"), "state": PLANNED, "due_at": now, "tries": 0, "attempts": 0, "fence": 0,
                "lease": None, "created_at": now, **call,
            }
            for call in calls
        ]  # fmt: skip
        await inserted_apart_from_duplicates(self._rows, rows)

    async def by_keys(self, keys: Iterable[str]) -> dict[str, Document]:
        """Calls by key."""
        found = self._rows.find({"key": {"$in": list(set(keys))}})
        return {row["key"]: row async for row in found}

    async def hold(self, row: Document, fields: Mapping[str, Any]) -> bool:
        """Note something in a claimed row; False when it is no longer ours."""
        return await self.duties.settle([settled(row, {"$set": dict(fields)})]) == 1

    async def put_off(self, row: Document, until: datetime, fields: Mapping[str, Any]) -> bool:
        """Try again later; False when it is no longer ours."""
        change = {"$set": {"due_at": until, "attempts": 0, **fields}, "$unset": {"lease": ""}}
        return await self.duties.settle([settled(row, change)]) == 1

    async def settle(self, row: Document, state: str, fields: Mapping[str, Any]) -> bool:
        """The end of a call; False when it is no longer ours."""
        change = {
            "$set": {"state": state, "settled_at": self._clock(), **fields},
            "$unset": {"lease": "", "due_at": "", "body": "", "address": ""},
        }
        return await self.duties.settle([settled(row, change)]) == 1

    async def settled_before(self, at: datetime, after: str, limit: int) -> list[Document]:
        """Settled calls in the order of their ids, `after` one of them."""
        wanted = {"settled_at": {"$lt": at}, "_id": {"$gt": after}}
        fields = {"enrolment_id": 1, "node": 1, "visit": 1}
        return await self._rows.find(wanted, fields).sort("_id", ASCENDING).limit(limit).to_list(None)

    async def remove(self, ids: Sequence[str]) -> int:
        """Let go of these."""
        return (await self._rows.delete_many({"_id": {"$in": list(ids)}})).deleted_count
