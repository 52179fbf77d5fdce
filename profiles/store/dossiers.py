"""Dossiers: everything held on a person in one file, made in the background, fetched, and forgotten after some days."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import IO, Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, Indexes
from profiles.holdings import Traces, shown

#: How long a finished one can be fetched. That it was made, for whom and by whom, stays until the person is erased.
KEPT = timedelta(days=7)
LEASE_S = 120
INDEXES: Indexes = {
    "dossiers": [
        due_index(),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel([("expires_at", ASCENDING)], name="expiry", sparse=True),
    ]
}


class DossierStore:
    """Rows `{_id, state, profile_id, asked_by, asked_at, source, language, counts, grid_id, size_bytes, reason}`; state
    `wanted`, `ready`, `failed`, `expired`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("dossiers")
        self._bucket = database.bucket("dossiers")
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)

    async def add(self, row: Document) -> None:
        """A new one."""
        await self._rows.insert_one(row)

    async def get(self, dossier_id: str) -> Document | None:
        """One row."""
        return await self._rows.find_one({"_id": dossier_id})

    async def of_profile(self, profile_ids: list[str], limit: int = 20) -> list[Document]:
        """Those of a person, newest first."""
        found = self._rows.find({"profile_id": {"$in": profile_ids}}).sort("_id", DESCENDING).limit(limit)
        return await found.to_list(limit)

    async def claim(self, now: datetime, limit: int) -> list[Document]:
        """Lease those that are to be made."""
        return await self.duties.claim(["wanted"], now, limit=limit)

    async def keep(self, name: str, content: bytes | IO[bytes]) -> Any:
        """Put the bytes away; their id."""
        return await self._bucket.put(name, content, {})

    async def settle(self, row: Document, fields: Mapping[str, Any]) -> bool:
        """Write back under the lease; False when it was lost (or the person was erased): then bytes are nobody's."""
        change = {"$set": dict(fields), "$unset": {"lease": "", "due_at": ""}}
        return await self.duties.settle([settled(row, change)]) == 1

    async def again(self, row: Document, until: datetime) -> None:
        """It did not work out: once more then."""
        await self.duties.settle([settled(row, {"$set": {"due_at": until}, "$unset": {"lease": ""}})])

    async def read(self, row: Document) -> AsyncIterator[bytes]:
        """The bytes. `KeyError`: gone."""
        async for piece in self._bucket.read(row["grid_id"]):
            yield piece

    async def forget(self, grid_id: Any) -> None:
        """These bytes are nobody's."""
        await self._bucket.delete(grid_id)

    async def tidy(self, now: datetime, limit: int = 50) -> int:
        """Forget files that were there long enough; how many."""
        old = await self._rows.find({"expires_at": {"$lte": now}}).limit(limit).to_list(limit)
        for row in old:
            await self._bucket.delete(row["grid_id"])
            change = {"$set": {"state": "expired"}, "$unset": {"grid_id": "", "expires_at": ""}}
            await self._rows.update_one({"_id": row["_id"], "grid_id": row["grid_id"]}, change)
        return len(old)

    async def erase(self, profile_ids: list[str]) -> int:
        """Files and rows of these people."""
        rows = await self._rows.find({"profile_id": {"$in": profile_ids}}).to_list(None)
        for row in rows:
            if row.get("grid_id") is not None:
                await self._bucket.delete(row["grid_id"])
        return (await self._rows.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})).deleted_count


class DossierRoom:
    """That exports were made, as `profiles.holdings.Room`."""

    name = "dossiers"
    read_whole = False

    def __init__(self, dossiers: DossierStore) -> None:
        self._dossiers = dossiers

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """Who asked for what is handed out here, and when."""
        for row in await self._dossiers.of_profile(list(traces.profile_ids), limit=1000):
            yield shown({name: value for name, value in row.items() if name != "grid_id"})

    async def count(self, traces: Traces) -> int:
        """How many."""
        return len(await self._dossiers.of_profile(list(traces.profile_ids), limit=1000))

    async def erase(self, traces: Traces) -> int:
        """Rows and files."""
        return await self._dossiers.erase(list(traces.profile_ids))
