"""How this house answers, as one row."""

from __future__ import annotations

from typing import Any

from base.mongo import Database, Document

CHOSEN = "chosen"


class AnsweringStore:
    """`{_id: "chosen", undo_s, lock, by}`; no row: nobody has chosen yet."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("answering")

    async def chosen(self) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._rows.find_one({"_id": CHOSEN}) or {}

    async def choose(self, fields: dict[str, Any], by: str) -> None:
        """From now on so."""
        await self._rows.update_one({"_id": CHOSEN}, {"$set": {**fields, "by": by}}, upsert=True)
