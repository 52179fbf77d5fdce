"""What each person has chosen to be told, and how far telling of what is due has got."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, whole

_DUE = "due"


class ChoiceStore:
    """Rows `{_id: usr_, choice, hook?, hook_host?, updated_at}`; `hook` is sealed. One row for each who has chosen."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("telling_choices")
        self._past = database.collection("telling_past")
        self._clock = clock

    async def all(self) -> list[Document]:
        """Of everybody who has chosen."""
        return await whole(self._rows.find({}))

    async def of(self, user_id: str) -> Document | None:
        """Of one."""
        return await self._rows.find_one({"_id": user_id})

    async def choose(self, user_id: str, fields: Mapping[str, Any], gone: tuple[str, ...] = ()) -> Document:
        """Keep a choice; `gone`: fields that go."""
        change: Document = {"$set": {**fields, "updated_at": self._clock()}}
        if gone:
            change["$unset"] = dict.fromkeys(gone, "")
        row: Document = await self._rows.find_one_and_update(
            {"_id": user_id}, change, upsert=True, return_document=ReturnDocument.AFTER
        )
        return row

    async def told_until(self) -> datetime | None:
        """Up to when has been told of what is due; None: nobody has looked yet."""
        row = await self._past.find_one({"_id": _DUE})
        return row["until"] if row else None

    async def has_told(self, until: datetime) -> None:
        """Up to then has been told."""
        await self._past.update_one({"_id": _DUE}, {"$max": {"until": until}}, upsert=True)
