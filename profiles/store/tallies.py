"""How many people each stored membership has. Kept with every write of `segments`, never counted by looking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base.mongo import Database, Document, Session, UpdateOne

#: Rows one count is spread over: so many transactions can change it at the same time without a clash.
LANES = 2


class TallyStore:
    """Rows `{_id: key of the membership, members}`, and the same with `key#lane` for the lanes after the first. The sum
    is the count. A key without rows is one that nobody keeps any more."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("segment_tallies")

    async def shift(
        self, changes: Iterable[tuple[Sequence[str], Sequence[str]]], session: Session, lane: int = 0
    ) -> None:  # fmt: skip
        """(memberships before, memberships after) of people, changed in this transaction."""
        steps: Counter[str] = Counter()
        for before, after in changes:
            steps.update(after)
            steps.subtract(before)
        changed = sorted((key, by) for key, by in steps.items() if by)
        updates = [UpdateOne({"_id": _lanes(key)[lane]}, {"$inc": {"members": by}}) for key, by in changed]
        if updates:
            await self._rows.bulk_write(updates, session=session)

    async def set(self, members: Mapping[str, int], session: Session) -> None:
        """Counted just now, in this transaction. Clashes with whoever shifts, in any lane."""
        updates = [
            UpdateOne({"_id": row_id}, {"$set": {"members": 0 if lane else number}}, upsert=True)
            for key, number in members.items()
            for lane, row_id in enumerate(_lanes(key))
        ]
        if updates:
            await self._rows.bulk_write(updates, session=session)

    async def of(self, keys: Iterable[str]) -> dict[str, int]:
        """Key → members; nothing for unknown ones."""
        sums: Counter[str] = Counter()
        async for row in self._rows.find({"_id": {"$in": [row_id for key in keys for row_id in _lanes(key)]}}):
            sums[row["_id"].partition("#")[0]] += row["members"]
        return dict(sums)

    async def forget(self, keys: Iterable[str], session: Session | None = None) -> None:
        """Nobody keeps these any more."""
        gone = [row_id for key in keys for row_id in _lanes(key)]
        await self._rows.delete_many({"_id": {"$in": gone}}, session=session)


async def spread_tallies(database: Database) -> None:
    """Counts of before there were lanes get theirs. Repeatable; run before anybody shifts."""
    rows = database.collection("segment_tallies")
    kept = [row["_id"] async for row in rows.find({"_id": {"$not": {"$regex": "#"}}}, {"_id": 1})]
    fresh = [
        UpdateOne({"_id": row_id}, {"$setOnInsert": {"members": 0}}, upsert=True)
        for key in kept
        for row_id in _lanes(key)[1:]
    ]
    if fresh:
        await rows.bulk_write(fresh, ordered=False)


def _lanes(key: str) -> list[str]:
    return [key, *(f"{key}#{lane}" for lane in range(1, LANES))]


def memberships(row: Mapping[str, Any] | Document) -> list[str]:
    """Those of a profile's document; a tombstone has none."""
    return [] if row.get("merged_into") else list(row.get("segments") or ())
