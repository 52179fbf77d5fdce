"""Rooms that are a collection with a condition: most of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isawaitable

from pymongo import ASCENDING

from base.mongo import WAIT_MS, Database, Document
from profiles.holdings import Traces, shown
from profiles.store.profiles import ProfileStore

#: Rows taken away in one write, so that nobody waits long for a person with very many.
BATCH = 1000
Where = Callable[[Traces], Document | Awaitable[Document]]


def by_profile(traces: Traces) -> Document:
    """Rows that name the person in `profile_id`."""
    return {"profile_id": {"$in": list(traces.profile_ids)}}


class Held:
    """The rows of a collection that fit a condition made of a person's traces."""

    read_whole = False

    def __init__(self, database: Database, name: str, where: Where = by_profile) -> None:
        self.name = name
        self._rows = database.collection(name)
        self._where = where

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """As `profiles.holdings.Room`."""
        async for row in self._rows.find(await self._wanted(traces)).sort("_id", ASCENDING):
            yield shown(row)

    async def count(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        return await self._rows.count_documents(await self._wanted(traces), maxTimeMS=WAIT_MS)

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        wanted, erased = await self._wanted(traces), 0
        while True:
            ids = [row["_id"] async for row in self._rows.find(wanted, {"_id": 1}).limit(BATCH)]
            if not ids:
                return erased
            erased += (await self._rows.delete_many({"_id": {"$in": ids}})).deleted_count

    async def _wanted(self, traces: Traces) -> Document:
        made = self._where(traces)
        return await made if isawaitable(made) else made


class PeopleRoom(Held):
    """The profiles, with those merged into them. They leave their segments as they go."""

    def __init__(self, database: Database, profiles: ProfileStore) -> None:
        super().__init__(database, "profiles", lambda traces: {"_id": {"$in": list(traces.profile_ids)}})
        self._profiles = profiles

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        return await self._profiles.delete(traces.profile_ids)


class MergeRoom(Held):
    """Merges. A copy of one that was undone shows this person alone: the other is somebody else."""

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """As `profiles.holdings.Room`."""
        own = set(traces.profile_ids)
        async for row in self._rows.find(await self._wanted(traces)).sort("_id", ASCENDING):
            if {row["survivor_id"], row["other_id"]} <= own:
                yield shown(row)
                continue
            before = {side: each for side, each in row["before"].items() if each["_id"] in own}
            yield shown({name: value for name, value in row.items() if name not in _OF_BOTH} | {"before": before})


#: What a merge keeps of both together.
_OF_BOTH = frozenset({"changed", "set_aside", "kept", "choices", "identity_ids"})
