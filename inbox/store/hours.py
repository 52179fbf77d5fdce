"""Business hours as rows. No two that stand have one name, however it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, Indexes, Session, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
EDITION = "edition"
INDEXES: Indexes = {
    "business_hours": [
        IndexModel([("folded", ASCENDING)], name="one_name", unique=True, partialFilterExpression={"stands": True}),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}


class HoursStore:
    """Rows are `{_id: hrs_, name, folded, zone, week, holidays, special, stands, removed_at?, holds_since?, rev,
    created_at, updated_at}`; what stands between is `inbox.hours.models.HoursInput` as JSON. `holds_since`: when it
    last became another time that is open; missing before that was kept. One more, `{_id: "edition", number}`, counts
    all changes of any of them, each in its own transaction: who has seen a number has missed nothing before."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rows = database.collection("business_hours")
        self._clock = clock

    async def add(self, hours_id: str, fields: Mapping[str, Any]) -> Document:
        """New ones. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        row = {
            "_id": hours_id, **fields, "folded": _folded(fields["name"]), "stands": True, "rev": 1,
            "holds_since": now, "created_at": now, "updated_at": now,
        }  # fmt: skip

        async def work(session: Session) -> Document:
            await self._rows.insert_one(row, session=session)
            await self._count(session)
            return row

        added: Document = await self._database.in_transaction(work)
        return added

    async def all(self) -> list[Document]:
        """Those that stand, by name. There are a handful."""
        return await whole(self._rows.find({"stands": True}).sort("folded", ASCENDING))

    async def edition(self) -> int:
        """A number that grows with every change of any of them. Reads one small row by its id."""
        row = await self._rows.find_one({"_id": EDITION}, {"number": 1})
        return int(row["number"]) if row else 0

    async def get(self, hours_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": hours_id, "stands": True})

    async def held_since(self, hours_ids: Iterable[str]) -> dict[str, datetime]:
        """Since when they are open as they are; for those that were taken away, since when they are that."""
        rows = await whole(self._rows.find({"_id": {"$in": list(hours_ids)}}, {"holds_since": 1}))
        return {row["_id"]: row["holds_since"] for row in rows if "holds_since" in row}

    async def change(
        self, hours_id: str, rev: int, fields: Mapping[str, Any], *, holds_anew: bool
    ) -> Document | None:  # fmt: skip
        """Replace them where they still have this revision. Raises `DuplicateKeyError` when the name is taken."""
        now = self._clock()
        change = {**fields, "folded": _folded(fields["name"]), "updated_at": now}
        change |= {"holds_since": now} if holds_anew else {}
        return await self._changed({"_id": hours_id, "rev": rev, "stands": True}, {"$set": change})

    async def remove(self, hours_id: str) -> bool:
        """Take them away; for `KEPT_S` they can be put back."""
        now = self._clock()
        change: Document = {"$set": {"stands": False, "removed_at": now, "holds_since": now}}
        return await self._changed({"_id": hours_id, "stands": True}, change) is not None

    async def restore(self, hours_id: str) -> bool:
        """Put them back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        put_back = {"stands": True, "holds_since": self._clock()}
        change: Document = {"$set": put_back, "$unset": {"removed_at": ""}}
        return await self._changed({"_id": hours_id, "stands": False}, change) is not None

    async def _changed(self, wanted: Document, change: Document) -> Document | None:
        """One more revision of the one that is like this, and one more edition of all; None: there is none."""

        async def work(session: Session) -> Document | None:
            row = await self._rows.find_one_and_update(
                wanted, {**change, "$inc": {"rev": 1}}, return_document=ReturnDocument.AFTER, session=session
            )
            if row is not None:
                await self._count(session)
            return row

        row: Document | None = await self._database.in_transaction(work)
        return row

    async def _count(self, session: Session) -> None:
        await self._rows.update_one({"_id": EDITION}, {"$inc": {"number": 1}}, upsert=True, session=session)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
