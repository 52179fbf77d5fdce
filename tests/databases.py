"""Databases in shape, handed from one test to the next, and a place in memory for the servers that hold them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo import AsyncMongoClient

from base.mongo import Database
from rapport.migrations import migrate

#: Files that live in memory, on Linux.
MEMORY = Path("/dev/shm")
#: Three workers with their servers need less than this.
ROOM_BYTES = 4 * 2**30


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder for the data of servers that no test kills: in memory where there is room, gone afterwards.

    A write is acknowledged when it is on disk. Where it is never asked for again, the disk proves nothing, and takes
    most of the time that a test with a database takes.
    """
    if not _roomy():
        yield otherwise
        return
    for left in MEMORY.glob("rapport-tests-*"):
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)  # its run was killed
    with tempfile.TemporaryDirectory(prefix=f"rapport-tests-{os.getpid()}-", dir=MEMORY) as folder:
        yield Path(folder)


def _roomy() -> bool:
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return False
    return available is not None and min(int(available[1]) * 1024, free) > ROOM_BYTES


@dataclass
class Shelf:
    """Holds what nobody uses at the moment. Each comes with all indexes and without a single row.

    Handing them on, because making all indexes takes longer than most tests do.
    """

    url: str
    _client: AsyncMongoClient[dict[str, Any]] = field(init=False)
    _free: list[str] = field(default_factory=list)
    _made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._client = AsyncMongoClient(self.url)

    async def take(self) -> str:
        """The name of a database that nobody else has until it is put back."""
        if not self._free:
            return await self._new()
        name = self._free.pop()
        await self.empty(name)  # now, and not when it is put back: what its last user had sent off may arrive later
        return name

    def put_back(self, name: str) -> None:
        """It goes to the next one, who gets it empty."""
        self._free.append(name)

    async def empty(self, name: str) -> None:
        """No row is left; collections and indexes stay. One question finds the few collections that hold something."""
        handle = self._client[name]
        rooms = [each for each in await handle.list_collection_names() if not each.startswith("system.")]
        if rooms:
            looks = [{"$unionWith": {"coll": each, "pipeline": _one_of(each)}} for each in rooms[1:]]
            holding = await (await handle[rooms[0]].aggregate([*_one_of(rooms[0]), *looks])).to_list()
            await asyncio.gather(*(handle[each["room"]].delete_many({}) for each in holding))

    async def close(self) -> None:
        """Drop them all."""
        for name in self._made:
            await self._client.drop_database(name)
        await self._client.close()

    async def _new(self) -> str:
        name = f"test_shelf_{uuid4().hex[:12]}"
        self._made.append(name)
        database = Database(self.url, name)
        await migrate(database)
        database.close()
        return name


def _one_of(room: str) -> list[dict[str, Any]]:
    return [{"$limit": 1}, {"$project": {"_id": 0, "room": {"$literal": room}}}]
