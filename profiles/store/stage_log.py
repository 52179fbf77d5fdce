"""Every move from stage to stage, with how long the former one lasted. Rows are added, never changed.

A merge or its undoing moves people, too: such a row has its id in `merge_id`, and nobody gave a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.ids import new_id
from base.mongo import Database, Document, Indexes, Session
from base.pages import Page, newest_first
from profiles.store.belongings import Belongings

INDEXES: Indexes = {
    "stage_log": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        # holds all that `spent` asks for, so that no row is read
        IndexModel([("at", DESCENDING), ("from", ASCENDING), ("spent_s", ASCENDING)], name="spent"),
        IndexModel([("to", ASCENDING), ("at", DESCENDING), ("reason", ASCENDING)], name="reasons"),
    ]
}


class StageLogStore:
    """Rows are `{_id, key, profile_id, from, to, at, since, spent_s, by, source, reason}`, some with `merge_id`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("stage_log")
        self.belongings = Belongings("stage_log", self._rows, "stl", by_identity="never")

    async def add(self, row: Document, session: Session) -> None:
        """Keep a move. A `key` kept before raises `DuplicateKeyError` and has aborted the transaction."""
        await self._rows.insert_one(row, session=session)

    async def add_many(self, rows: Sequence[Document], session: Session) -> None:
        """The same for several."""
        if rows:
            await self._rows.insert_many(rows, session=session)

    async def of_profile(
        self, profile_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """A person's moves, the latest first."""
        wanted: Document = {"profile_id": profile_id}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def get(self, row_id: str) -> Document | None:
        """One move."""
        return await self._rows.find_one({"_id": row_id})

    async def spent(self, since: datetime) -> dict[str, tuple[float, int]]:
        """Stage → (seconds that those who left it since then had spent there on average, how many left it)."""
        steps: list[dict[str, Any]] = [
            {"$match": {"at": {"$gte": since}}},
            {"$project": {"_id": 0, "from": 1, "spent_s": 1}},
            {"$group": {"_id": "$from", "mean_s": {"$avg": "$spent_s"}, "count": {"$sum": 1}}},
        ]
        found = await self._database.aggregate(self._rows, steps, hint="spent")
        return {row["_id"]: (row["mean_s"] or 0.0, row["count"]) for row in found if row["_id"]}

    async def reasons(self, stage: str, since: datetime) -> dict[str, int]:
        """Reason → how many moved to this stage for it since then, most often first."""
        steps: list[dict[str, Any]] = [
            {"$match": {"to": stage, "at": {"$gte": since}}},
            {"$project": {"_id": 0, "reason": 1}},
            {"$group": {"_id": "$reason", "count": {"$sum": 1}}},
            {"$sort": {"count": -1, "_id": 1}},
            {"$limit": 20},
        ]
        found = await self._database.aggregate(self._rows, steps, hint="reasons")
        return {str(row["_id"]): row["count"] for row in found if row["_id"]}


def move_row(
    before: Mapping[str, Any], after: Mapping[str, Any], at: datetime, *, key: str, by: str | None, source: str,
    reason: str | None = None,
) -> Document:  # fmt: skip
    """The row for a person's move from the stage of `before` to that of `after`. Pure; unique by `key`."""
    since = before.get("stage_since") or before.get("created_at") or at
    return {
        "_id": new_id("stl"), "key": key, "profile_id": before["_id"], "from": before["stage"], "to": after["stage"],
        "at": at, "since": since, "spent_s": max(0, round((at - since).total_seconds())), "by": by, "source": source,
        "reason": reason,
    }  # fmt: skip
