"""Which workers are alive, for /readyz, the desk and `rapport check`."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.mongo import Database, Indexes

INDEXES: Indexes = {"workers": [IndexModel([("seen_at", ASCENDING)], name="expiry", expireAfterSeconds=3600)]}
ALIVE = timedelta(seconds=30)


class Heartbeats:
    """One row per worker process, renewed every few seconds."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("workers")
        self._clock = clock
        self._id = f"{socket.gethostname()}:{os.getpid()}"

    async def beat(self) -> None:
        """Say that this process is alive."""
        await self._rows.update_one({"_id": self._id}, {"$set": {"seen_at": self._clock()}}, upsert=True)

    async def alive(self) -> int:
        """How many workers said so in the last half minute."""
        return await self._rows.count_documents({"seen_at": {"$gt": self._clock() - ALIVE}})
