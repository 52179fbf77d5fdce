"""Who is what to whom. A relation is two rows, one for each side, under one `link`.

A row follows its own `profile_id` when people are merged; `other_id` stays as it was written and is followed when read,
so that an unmerge finds everything where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, IndexModel

from base.mongo import Database, Document, Indexes, Session
from profiles.store.belongings import Belongings

#: A relation that was removed can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "relations": [
        IndexModel([("link", ASCENDING), ("way", ASCENDING)], name="once", unique=True),
        IndexModel([("pair", ASCENDING), ("way", ASCENDING)], name="pair", unique=True),
        IndexModel([("profile_id", ASCENDING), ("_id", ASCENDING)], name="by_profile"),
        IndexModel([("other_id", ASCENDING)], name="by_other"),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}


class RelationStore:
    """Rows are `{_id, link, pair, way: forth | back, profile_id, other_id, kind, note, at, by, removed_at?, rev}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("relations")
        self.belongings = Belongings("relations", self._rows, "rel", by_identity="never")

    async def of_profile(self, profile_id: str, limit: int = 200) -> list[Document]:
        """The person's relations that stand, oldest first."""
        found = self._rows.find({"profile_id": profile_id, "removed_at": None}).sort("_id", ASCENDING)
        return await found.limit(limit).to_list(limit)

    async def get(self, row_id: str) -> Document | None:
        """One side, removed or not."""
        return await self._rows.find_one({"_id": row_id})

    async def by_pair(self, pair: str, session: Session) -> Document | None:
        """The side from which it was made, removed or not."""
        return await self._rows.find_one({"pair": pair, "way": "forth"}, session=session)

    async def add(self, rows: Sequence[Document], session: Session) -> None:
        """Both sides."""
        await self._rows.insert_many(list(rows), session=session)

    async def turn(self, link: str, removed_at: datetime | None, session: Session, note: str | None = None) -> bool:
        """Remove both sides, or put them back; False when that is how they are."""
        wanted: Document = {"link": link, "removed_at": {"$ne": None} if removed_at is None else None}
        gone = {"$unset": {"removed_at": ""}} if removed_at is None else {}
        fields = {**({"removed_at": removed_at} if removed_at else {}), **({"note": note} if note else {})}
        change: Document = {**gone, "$inc": {"rev": 1}, **({"$set": fields} if fields else {})}
        return (await self._rows.update_many(wanted, change, session=session)).modified_count > 0
