"""Many people are taken into a journey, or planned for it, in the background: one row per such work, which is a duty.

Rows `{_id, key, journey_id, kind, state, at, after, seen, total, entered, …}`. `kind`: `dates` (everybody's date is
planned), `schedule` (an occurrence: the members of a segment enter), `backfill` (those who qualify already). `key`
makes each of them unique, so two who begin the same at once begin it once. How far it is, is noted after each stretch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import new_id
from base.mongo import Database, Document, Indexes, inserted_apart_from_duplicates
from base.pages import Page, bounded, cut, read_cursor, write_cursor

LEASE_S = 20
INDEXES: Indexes = {
    "intakes": [
        due_index(),
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("journey_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name="by_journey"),
        IndexModel([("journey_id", ASCENDING), ("kind", ASCENDING), ("at", DESCENDING)], name="by_kind"),
    ],
}


class IntakeStore:
    """Reads and writes intakes. `state`: pending, done, missed (too late), cancelled, failed."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = LEASE_S) -> None:
        self._rows = database.collection("intakes")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    async def add(self, rows: Sequence[Document]) -> int:
        """Begin these; how many were new."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def get(self, intake_id: str) -> Document | None:
        """One."""
        return await self._rows.find_one({"_id": intake_id})

    async def by_key(self, key: str) -> Document | None:
        """One."""
        return await self._rows.find_one({"key": key})

    async def there(self, keys: Iterable[str]) -> set[str]:
        """Which of these keys there are."""
        return {row["key"] async for row in self._rows.find({"key": {"$in": list(keys)}}, {"_id": 0, "key": 1})}

    async def claim(self) -> Document | None:
        """The one longest due."""
        return await self.duties.claim_one(["pending"], self._clock())

    async def rest(self, row: Document, until: datetime) -> None:
        """Go on then, whoever."""
        await self._settle(row, {"$set": {"due_at": until, "attempts": 0}, "$unset": {"lease": ""}})

    async def close(self, row: Document, state: str = "done", reason: str | None = None) -> None:
        """It is over."""
        fields = {"state": state, "reason": reason, "done_at": self._clock(), "after": None}
        await self._settle(row, {"$set": fields, "$unset": {"lease": "", "due_at": ""}})

    async def call_off(self, intake_id: str) -> bool:
        """Stop one that is under way, or not begun. Those who are in stay in."""
        fields = {"state": "cancelled", "done_at": self._clock(), "after": None}
        change = {"$set": fields, "$unset": {"lease": "", "due_at": ""}}
        return (await self._rows.update_one({"_id": intake_id, "state": "pending"}, change)).modified_count == 1

    async def forget(self, journey_id: str, kind: str) -> None:
        """As if they had never been begun."""
        await self._rows.delete_many({"journey_id": journey_id, "kind": kind})

    async def latest(self, journey_id: str, kind: str) -> Document | None:
        """The one that began last."""
        wanted = {"journey_id": journey_id, "kind": kind}
        return await self._rows.find_one(wanted, sort=[("at", DESCENDING)])

    async def page(self, journey_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Of a journey, those that began last first."""
        wanted: Document = {"journey_id": journey_id}
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, str)
            wanted["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": last}}]
        size = bounded(limit)
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        rows, more = cut(await self._rows.find(wanted).sort(order).limit(size + 1).to_list(None), size)
        return Page(rows, write_cursor(rows[-1]["at"], rows[-1]["_id"]) if more else None)

    async def _settle(self, row: Document, change: Mapping[str, Any]) -> None:
        await self._rows.update_one({"_id": row["_id"], "lease": row["lease"], "state": "pending"}, change)


def intake_row(key: str, journey_id: str, kind: str, at: datetime, now: datetime, **more: Any) -> Document:
    """As inserted, due at once unless `state` says that it is over. `at`: the occurrence, or when it was begun."""
    row = {
        "_id": new_id("itk"), "key": key, "journey_id": journey_id, "kind": kind, "state": "pending", "due_at": now,
        "lease": None, "fence": 0, "attempts": 0, "at": at, "created_at": now, "after": "", "seen": 0, "total": 0,
        "entered": 0, "reason": None, "done_at": None, "by": None, **more,
    }  # fmt: skip
    if row["state"] != "pending":
        del row["due_at"]
    return row
