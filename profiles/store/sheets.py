"""Files with tables of people, on their way in or out: the bytes, kept until they are read or fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from base.mongo import Database


class SheetStore:
    """Bytes by the id of the import or export they belong to."""

    def __init__(self, database: Database) -> None:
        self._bucket = database.bucket("sheets")
        self._files = database.collection("sheets.files")

    async def put(self, owner_id: str, path: Path) -> Any:
        """Keep the file that lies there; its id. Twice for one owner are two files, of which one is forgotten."""
        return await self._bucket.put_file(owner_id, path, {"owner": owner_id})

    def read(self, sheet_id: Any) -> AsyncIterator[bytes]:
        """The bytes in pieces. Raises `KeyError` when they are gone."""
        return self._bucket.read(sheet_id)

    async def fetch(self, sheet_id: Any, path: Path) -> None:
        """Put the bytes into a file. Raises `KeyError` when they are gone."""
        with path.open("wb") as file:
            async for piece in self._bucket.read(sheet_id):
                file.write(piece)

    async def delete(self, sheet_id: Any) -> None:
        """Forget them."""
        await self._bucket.delete(sheet_id)

    async def put_before(self, at: datetime, limit: int) -> list[tuple[Any, str]]:
        """(id, owner) of files put before then."""
        found = self._files.find({"uploadDate": {"$lt": at}}, {"metadata.owner": 1}).limit(limit)
        return [(row["_id"], row["metadata"]["owner"]) async for row in found]
