"""How many people each stored membership has. Kept with every write of `segments`, never counted by looking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base.mongo import Database, Document, Session, UpdateOne


class TallyStore:
    """Rows `{_id: key of the membership, members}`. A key without a row is one that nobody keeps any more."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("segment_tallies")

    async def shift(self, changes: Iterable[tuple[Sequence[str], Sequence[str]]], session: Session) -> None:
        """(memberships before, memberships after) of people, changed in this transaction."""
        steps: Counter[str] = Counter()
        for before, after in changes:
            steps.update(after)
            steps.subtract(before)
        updates = [UpdateOne({"_id": key}, {"$inc": {"members": by}}) for key, by in sorted(steps.items()) if by]
        if updates:
            await self._rows.bulk_write(updates, session=session)

    async def set(self, members: Mapping[str, int], session: Session) -> None:
        """Counted just now, in this transaction."""
        updates = [UpdateOne({"_id": k}, {"$set": {"members": n}}, upsert=True) for k, n in members.items()]
        if updates:
            await self._rows.bulk_write(updates, session=session)

    async def of(self, keys: Iterable[str]) -> dict[str, int]:
        """Key → members; nothing for unknown ones."""
        found = self._rows.find({"_id": {"$in": list(keys)}})
        return {row["_id"]: row["members"] async for row in found}

    async def forget(self, keys: Iterable[str], session: Session | None = None) -> None:
        """Nobody keeps these any more."""
        await self._rows.delete_many({"_id": {"$in": list(keys)}}, session=session)


def memberships(row: Mapping[str, Any] | Document) -> list[str]:
    """Those of a profile's document; a tombstone has none."""
    return [] if row.get("merged_into") else list(row.get("segments") or ())
