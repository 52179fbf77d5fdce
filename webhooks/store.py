"""Accounts that have to be asked for their news: one row each, with where the last poll ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from pymongo.operations import UpdateOne

from base.clock import Clock
from base.duty import DutyBook, due_index, settled
from base.mongo import Database, Document, Indexes

INDEXES: Indexes = {"polls": [due_index()]}
#: Held on to with each page, and while one takes long.
LEASE_S = 60


class PollStore:
    """Duties named by their channel, so that an account is polled by one worker at a time."""

    def __init__(self, database: Database, clock: Clock, *, wanted: Callable[[], None] | None = None) -> None:
        """`wanted` is called after each wish for a poll (it rings the doorbell)."""
        self._rows = database.collection("polls")
        self._duties = DutyBook(self._rows, lease_s=LEASE_S)
        self._clock = clock
        self._wanted = wanted

    async def ensure(self, channel_ids: Iterable[str]) -> None:
        """See to it that each of these accounts is polled from now on."""
        fresh = {"state": "due", "due_at": self._clock(), "attempts": 0, "fence": 0, "cursor": None, "failures": 0}
        each = [UpdateOne({"_id": channel_id}, {"$setOnInsert": fresh}, upsert=True) for channel_id in channel_ids]
        if each:
            await self._rows.bulk_write(each, ordered=False)

    async def want(self, channel_id: str, hint: str | None) -> None:
        """Make the account due now. While a worker is asking it, that worker asks once more instead."""
        await self.ensure([channel_id])
        due = {"$cond": [{"$ifNull": ["$lease", False]}, "$due_at", self._clock()]}
        await self._rows.update_one(
            {"_id": channel_id}, [{"$set": {"wanted": True, "hint": {"$literal": hint}, "due_at": due}}]
        )
        if self._wanted is not None:
            self._wanted()

    async def claim(self, limit: int) -> list[Document]:
        """Lease accounts that are due, and take their wishes off them."""
        rows = await self._duties.claim(["due"], self._clock(), limit=limit) if limit > 0 else []
        await self._duties.settle([settled(row, {"$unset": {"wanted": ""}}) for row in rows])
        return rows

    async def advance(self, row: Document, cursor: str) -> bool:
        """Keep where the poll has got to, and hold the account a while longer. False: somebody else has it now."""
        moved = await self._duties.settle([settled(row, {"$set": {"cursor": cursor, "failures": 0}})])
        return bool(moved) and await self.hold(row)

    async def hold(self, row: Document) -> bool:
        """Hold the account a while longer. False: somebody else has it now."""
        return await self._duties.renew([row["_id"]], row["lease"]) == 1

    async def rest(self, row: Document, wait_s: float, *, failures: int = 0) -> None:
        """Let go of the account until then; until now, where somebody asked for it in between and it had not failed.

        A hint is good for one poll.
        """
        until, now = self._clock() + timedelta(seconds=wait_s), self._clock()
        due: object = until if failures else {"$cond": [{"$ifNull": ["$wanted", False]}, now, until]}
        hint: object = "$hint" if failures else {"$cond": [{"$ifNull": ["$wanted", False]}, "$hint", None]}
        fresh: Document = {"due_at": due, "hint": hint, "failures": failures, "attempts": 0}
        change: list[Document] = [{"$set": fresh}, {"$unset": "lease"}]
        await self._rows.update_one({"_id": row["_id"], "lease": row["lease"]}, change)

    async def forget(self, channel_id: str) -> None:
        """This account is polled no more."""
        await self._rows.delete_one({"_id": channel_id})
