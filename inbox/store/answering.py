"""How this house answers, as one row, and for each channel what becomes of closed conversations there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from base.mongo import Database, Document

CHOSEN, REOPEN = "chosen", "reopen:"


class AnsweringStore:
    """`{_id: "chosen", undo_s, lock, by}`; no row: nobody has chosen yet. `{_id: "reopen:<channel>", mode, days}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("answering")

    async def chosen(self) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._rows.find_one({"_id": CHOSEN}) or {}

    async def reopening(self, channel_ids: Iterable[str]) -> dict[str, Document]:
        """What was chosen for these channels: channel → {mode, days}."""
        keys = [f"{REOPEN}{each}" for each in sorted(set(channel_ids))]
        found = await self._rows.find({"_id": {"$in": keys}}).to_list(None) if keys else []
        return {row["_id"].removeprefix(REOPEN): {"mode": row["mode"], "days": row["days"]} for row in found}

    async def choose_reopening(self, channel_id: str, fields: dict[str, Any], by: str) -> None:
        """From now on so on this channel."""
        await self._rows.update_one({"_id": f"{REOPEN}{channel_id}"}, {"$set": {**fields, "by": by}}, upsert=True)

    async def choose(self, fields: dict[str, Any], by: str) -> None:
        """From now on so."""
        await self._rows.update_one({"_id": CHOSEN}, {"$set": {**fields, "by": by}}, upsert=True)
