"""People of older versions are taken along to a newer one: one row per such batch, and the writes that move their runs.

Rows `{_id, key, journey_id, to, nodes, state, by, moved, …}` are duties. `state`: pending, done, undoing, undone,
failed. A run that was moved holds in `migrated` by which batch, and what it was before, in the same write: so it is
moved once, and can be put back for as long as its `rev` is the one that this write gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import new_id
from base.mongo import Database, Document, Indexes, UpdateOne, inserted_apart_from_duplicates
from base.pages import Page, newest_first
from campaigns.store.enrolments import LIVE

LEASE_S = 20
#: States of a batch that is under way.
ACTIVE = ("pending", "undoing")
INDEXES: Indexes = {
    "journey_migrations": [
        due_index(),
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("journey_id", ASCENDING), ("_id", DESCENDING)], name="by_journey"),
    ],
}


class MigrationStore:
    """Reads and writes batches, and moves runs for them."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = LEASE_S) -> None:
        self._rows = database.collection("journey_migrations")
        self._runs = database.collection("enrolments")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    # -- batches -----------------------------------------------------------------------------------------------

    async def add(self, row: Document) -> Document:
        """Begin it, once per key; the row that is there now."""
        await inserted_apart_from_duplicates(self._rows, [row])
        found = await self._rows.find_one({"key": row["key"]})
        return _opened(found or row)

    async def there(self, keys: Iterable[str]) -> set[str]:
        """Which of these keys there are."""
        return {row["key"] async for row in self._rows.find({"key": {"$in": list(keys)}}, {"_id": 0, "key": 1})}

    async def get(self, migration_id: str) -> Document | None:
        """One."""
        row = await self._rows.find_one({"_id": migration_id})
        return _opened(row) if row else None

    async def claim(self) -> Document | None:
        """The one longest due."""
        row = await self.duties.claim_one(ACTIVE, self._clock())
        return _opened(row) if row else None

    async def rest(self, row: Document, until: datetime) -> None:
        """Go on then, whoever."""
        await self._settle(row, {"$set": {"due_at": until, "attempts": 0}, "$unset": {"lease": ""}})

    async def close(self, row: Document, state: str, **fields: Any) -> None:
        """It is over."""
        await self._settle(row, {"$set": {"state": state, **fields}, "$unset": {"lease": "", "due_at": ""}})

    async def begin_undo(self, migration_id: str, by: str | None) -> bool:
        """Put back whom it moved; False when it is under way or was undone."""
        now = self._clock()
        fields = {"state": "undoing", "due_at": now, "attempts": 0, "undone_by": by, "reason": None}
        wanted = {"_id": migration_id, "state": {"$in": ["done", "failed"]}}
        return (await self._rows.update_one(wanted, {"$set": fields})).modified_count == 1

    async def page(self, journey_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Of a journey, newest first."""
        wanted: Document = {"journey_id": journey_id}
        return (await newest_first(self._rows, wanted, limit, cursor)).each(_opened)

    async def _settle(self, row: Document, change: Mapping[str, Any]) -> None:
        await self._rows.update_one({"_id": row["_id"], "lease": row["lease"], "state": row["state"]}, change)

    # -- runs --------------------------------------------------------------------------------------------------

    async def older(self, journey_id: str, version: int, limit: int) -> list[Document]:
        """Runs under way in an older version that nobody is carrying out something for just now."""
        wanted = {**_older(journey_id, version), "todo": None}
        return await self._runs.find(wanted).limit(limit).hint("place").to_list(None)

    async def any_older(self, journey_id: str, version: int) -> bool:
        """Whether there are any, busy ones among them."""
        return await self._runs.find_one(_older(journey_id, version), {"_id": 1}, hint="place") is not None

    async def at(self, journey_id: str, version: int, node: str, after: str, limit: int) -> list[Document]:
        """Runs under way at one step of one version, from one id on."""
        wanted = {
            "journey_id": journey_id, "state": {"$in": list(LIVE)}, "version": version, "node": node,
            "_id": {"$gt": after},
        }  # fmt: skip
        return await self._runs.find(wanted).sort("_id", ASCENDING).limit(limit).hint("place").to_list(None)

    async def to_put_back(self, migration_id: str, limit: int) -> list[Document]:
        """Runs that this batch moved and that have not moved on since."""
        wanted = {**_unmoved(migration_id), "todo": None}
        return await self._runs.find(wanted).limit(limit).hint("migrated").to_list(None)

    async def any_to_put_back(self, migration_id: str) -> bool:
        """Whether there are any, busy ones among them."""
        return await self._runs.find_one(_unmoved(migration_id), {"_id": 1}, hint="migrated") is not None

    async def write(self, changes: Sequence[tuple[Document, Mapping[str, Any]]]) -> list[Document]:
        """(run as it was read, change): carried out where nobody touched the run meanwhile. The runs as they are now:
        `{_id, state, end, tail}`."""
        if not changes:
            return []
        await self._runs.bulk_write([UpdateOne(_untouched(row), change) for row, change in changes], ordered=False)
        wanted = {"_id": {"$in": [row["_id"] for row, _ in changes]}}
        return await self._runs.find(wanted, {"tail": 1, "state": 1, "end": 1}).to_list(None)

    async def count(self, migration_id: str, **wanted: Any) -> int:
        """Runs that this batch moved and no later one did."""
        return await self._runs.count_documents({"migrated.id": migration_id, **wanted}, hint="migrated")

    async def with_rivals(self, journey_id: str, profile_ids: Iterable[str]) -> set[str]:
        """Of these people those who are in the journey now."""
        wanted = {"journey_id": journey_id, "profile_id": {"$in": list(profile_ids)}, "state": {"$in": list(LIVE)}}
        return {row["profile_id"] async for row in self._runs.find(wanted, {"profile_id": 1})}


def migration_row(
    key: str, journey_id: str, to: int, nodes: Mapping[str, str | None], by: str | None, now: datetime
) -> Document:
    """As inserted, due at once. The choices are kept as text: their names are their author's."""
    return {
        "_id": new_id("jmg"), "key": key, "journey_id": journey_id, "to": to,
        "nodes": orjson.dumps(dict(nodes)).decode(), "state": "pending", "due_at": now, "lease": None,
        "fence": 0, "attempts": 0, "by": by, "created_at": now, "moved": 0, "ended": 0, "put_back": 0,
        "done_at": None, "undone_at": None, "undone_by": None, "reason": None,
    }  # fmt: skip


def _older(journey_id: str, version: int) -> Document:
    return {"journey_id": journey_id, "state": {"$in": list(LIVE)}, "version": {"$lt": version}}


def _unmoved(migration_id: str) -> Document:
    return {
        "migrated.id": migration_id, "$expr": {"$eq": ["$rev", "$migrated.rev"]},
        "$or": [{"state": {"$in": list(LIVE)}}, {"state": "ended", "end.migration": migration_id}],
    }  # fmt: skip


def _untouched(row: Document) -> Document:
    """The run exactly as it was read: nobody claimed, wrote, held, called or ended it since."""
    return {
        "_id": row["_id"], "version": row["version"], "state": row["state"], "rev": row["rev"], "fence": row["fence"],
        "lease": row.get("lease"), "todo": None,
    }  # fmt: skip


def _opened(row: Document) -> Document:
    return {**row, "nodes": orjson.loads(row["nodes"])}
