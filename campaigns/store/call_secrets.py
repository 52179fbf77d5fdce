"""The one row with the sealed secret that calls of journeys are signed with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from base.mongo import Database, Document, DuplicateKeyError

_ID = "webhooks"


class CallSecretStore:
    """Row: `{_id, secret, former?, exchanged_at?}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("call_secrets")

    async def get(self) -> Document | None:
        """The row, if a secret has been made."""
        return await self._rows.find_one({"_id": _ID})

    async def begin(self, sealed: str) -> Document:
        """Keep the first secret; the one that is there when somebody was quicker."""
        try:
            await self._rows.insert_one({"_id": _ID, "secret": sealed})
        except DuplicateKeyError:
            pass  # somebody else began at the same moment
        row = await self.get()
        if row is None:
            raise RuntimeError("the secret has just been written")
        return row

    async def exchange(self, sealed: str, at: datetime) -> Document | None:
        """The new one takes the place of the old one, which becomes the former."""
        change: list[Mapping[str, Any]] = [{"$set": {"former": "$secret", "secret": sealed, "exchanged_at": at}}]
        row: Document | None = await self._rows.find_one_and_update(
            {"_id": _ID}, change, return_document=ReturnDocument.AFTER
        )
        return row

    async def take_back(self, current: str, at: datetime) -> bool:
        """The former one takes its place again and `current` becomes the former; False when that is not in use."""
        change: list[Mapping[str, Any]] = [{"$set": {"secret": "$former", "former": "$secret", "exchanged_at": at}}]
        wanted = {"_id": _ID, "secret": current, "former": {"$type": "string"}}
        return (await self._rows.update_one(wanted, change)).modified_count == 1
