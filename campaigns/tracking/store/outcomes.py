"""Figures of journeys and broadcasts as they were last counted: counting a million messages takes seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from base.mongo import Database, Document, DuplicateKeyError, Indexes, whole

INDEXES: Indexes = {"campaign_figures": []}


class OutcomeStore:
    """Rows `{_id: id of the journey or broadcast, at, took_ms, parts, days, lift?, lift_at?, lift_took_ms?}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("campaign_figures")

    async def many(self, source_ids: Iterable[str]) -> dict[str, Document]:
        """Those that were counted before, by id."""
        wanted = {"_id": {"$in": sorted(set(source_ids))}}
        return {row["_id"]: row for row in await whole(self._rows.find(wanted))}

    async def keep(self, source_id: str, fields: Any) -> None:
        """They are these now; of two that count at once the last one stands."""
        try:
            await self._rows.update_one({"_id": source_id}, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # another one made it in the same moment
            await self._rows.update_one({"_id": source_id}, {"$set": fields})
