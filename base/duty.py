"""Claiming what is due, many rows at a time. Every duty of the house (delivery, event, send, enrolment) is such a row.

A row has `state`, `due_at`, `lease` (token of the last claim), `fence` (how often it was claimed) and `attempts`.
A claim moves `due_at` to the end of its lease by the *server's* clock, so a row whose worker died is simply due again,
and one index on (state, due_at) finds everything. Whoever writes back names the token of the claim: a worker that was
paused beyond its lease matches nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.operations import UpdateOne

from base.mongo import BY_ID, Collection, Document, Session, whole

log = logging.getLogger(__name__)

#: A row whose worker died this often is poison: set aside for a person instead of being tried for ever.
MAX_CRASHES = 8
#: A row claimed this often without an end may be what kills its workers: from then on it is claimed alone, so that
#: those who stood beside it are not set aside with it.
ALONE_AFTER = 3


def due_index(name: str = "due") -> IndexModel:
    """The index every duty collection declares."""
    return IndexModel([("state", ASCENDING), ("due_at", ASCENDING)], name=name)


class DutyBook:
    """Claims rows of one collection."""

    def __init__(
        self, collection: Collection, *, lease_s: int = 30, index: str = "due", weight: str | None = None,
        weight_max: int = 32_000_000,
    ) -> None:  # fmt: skip
        """`weight`: a field whose sum over a claim stays within `weight_max`; one row alone may pass it."""
        self.collection = collection
        self._weight = weight
        self._weight_max = weight_max
        self.lease_s = lease_s
        self._index = index

    async def claim(
        self, states: Sequence[str], now: datetime, *, limit: int, into: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[Document]:  # fmt: skip
        """Lease up to `limit` rows that are in one of `states` and due; those most overdue first.

        `into` sets a new state in the same write. Returned rows carry `lease`; pass it to `settle`.
        """
        wanted = {"state": {"$in": list(states)} if len(states) > 1 else states[0], **(where or {})}
        fields = {"attempts": 1, **({self._weight: 1} if self._weight else {})}
        head = self.collection.find({**wanted, "due_at": {"$lte": now}}, fields).hint(self._index)
        ids = self._together(await whole(head.sort("due_at", ASCENDING).limit(limit)))
        if not ids:
            return []
        token = secrets.token_hex(12)
        still_due = {"_id": {"$in": ids}, **wanted, "$expr": {"$lte": ["$due_at", "$$NOW"]}}
        await self.collection.update_many(still_due, [{"$set": self._leased(token, into)}], hint=BY_ID)
        taken = self.collection.find({"_id": {"$in": ids}, "lease": token}).hint(BY_ID)
        return await whole(taken.sort("due_at", ASCENDING))

    def _together(self, head: Sequence[Document]) -> list[str]:
        """Those from the front that may be claimed in one go."""
        ids: list[str] = []
        total = 0
        for row in head:
            suspect = row.get("attempts", 0) >= ALONE_AFTER
            total += row.get(self._weight) or 0 if self._weight else 0
            if ids and (suspect or total > self._weight_max):
                break
            ids.append(row["_id"])
            if suspect:
                break
        return ids

    async def claim_one(self, states: Sequence[str], now: datetime) -> Document | None:
        """Lease the row that is longest due; None when none is."""
        rows = await self.claim(states, now, limit=1)
        return rows[0] if rows else None

    async def advance(
        self, row: Document, fields: Mapping[str, Any], session: Session | None = None, *, attempts: int = 1
    ) -> bool:  # fmt: skip
        """Note in a claimed row how far it is, and lengthen its lease; False when it is no longer ours, or in another
        state. It got on, so its `attempts` are counted anew, from this one unless another number is given."""
        literal = {name: {"$literal": value} for name, value in fields.items()}
        change = [{"$set": {**literal, "attempts": attempts, "due_at": self._lease_end()}}]
        wanted = {"_id": row["_id"], "lease": row["lease"], "state": row["state"]}
        return (await self.collection.update_one(wanted, change, session=session)).matched_count == 1

    async def renew(self, ids: Sequence[str], lease: str) -> int:
        """Lengthen a lease still held; the number of rows still ours."""
        result = await self.collection.update_many(
            {"_id": {"$in": list(ids)}, "lease": lease}, [{"$set": {"due_at": self._lease_end()}}], hint=BY_ID
        )
        return result.modified_count

    def watched(self, row: Document) -> Watched:
        """The lease of a claimed row during work of many parts; see `Watched`."""
        return Watched(self, row["_id"], row["lease"])

    def held(self, row: Document) -> AbstractAsyncContextManager[None]:
        """Keep the lease of a claimed row while a body runs; see `held`."""
        return held(lambda: self.renew([row["_id"]], row["lease"]), self.lease_s)

    async def settle(self, changes: Sequence[UpdateOne]) -> int:
        """Carry out `settled(...)` operations in one unordered write; the number that still held their lease."""
        if not changes:
            return 0
        result = await self.collection.bulk_write(list(changes), ordered=False)
        return result.matched_count

    async def close(self, rows: Sequence[Document], change: Mapping[str, Any]) -> int:
        """The same change for all these claimed rows, as far as their lease is still ours; the number changed.

        A third of what the server has to do for one update each. The driver does not repeat it after a lost
        connection: only for rows that may be worked off once more.
        """
        by_lease: dict[str, list[str]] = {}
        for row in rows:
            by_lease.setdefault(row["lease"], []).append(row["_id"])
        changed = 0
        for lease, ids in by_lease.items():
            result = await self.collection.update_many({"_id": {"$in": ids}, "lease": lease}, change, hint=BY_ID)
            changed += result.matched_count
        return changed

    async def next_due(self, states: Sequence[str]) -> datetime | None:
        """When the earliest row is due; None when there is none."""
        row = await self.collection.find_one(
            {"state": {"$in": list(states)}}, {"due_at": 1}, sort=[("due_at", ASCENDING)], hint=self._index
        )
        return row["due_at"] if row else None

    def _leased(self, token: str, into: str | None) -> Document:
        change: Document = {
            "due_at": self._lease_end(),
            "lease": token,
            "fence": {"$add": [{"$ifNull": ["$fence", 0]}, 1]},
            "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
        }
        return change if into is None else {**change, "state": into}

    def _lease_end(self) -> Document:
        return {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": self.lease_s}}


def settled(row: Document, change: Mapping[str, Any]) -> UpdateOne:
    """An update of a claimed row that takes effect only while its lease is still ours."""
    return UpdateOne({"_id": row["_id"], "lease": row["lease"]}, change)


class LeaseLost(Exception):
    """The row is somebody else's now: nothing more may be done or written."""


#: Lengthens the lease; how many rows are still ours.
Renew = Callable[[], Awaitable[int]]


class Watched:
    """A lease that is looked at between the parts of a work, and lengthened only when a third of it has run out: most
    parts are over at once, and a write that a majority keeps would take longer than they do."""

    def __init__(self, book: DutyBook, row_id: str, lease: str) -> None:
        self._book = book
        self._row_id = row_id
        self._lease = lease
        self._lengthened = time.monotonic()

    async def ours(self) -> bool:
        """Whether nobody else has the row by now."""
        begun = time.monotonic()
        if begun - self._lengthened < self._book.lease_s / 3:
            wanted = {"_id": self._row_id, "lease": self._lease}
            return await self._book.collection.find_one(wanted, {"_id": 1}) is not None
        self._lengthened = begun
        return await self._book.renew([self._row_id], self._lease) == 1


@asynccontextmanager
async def held(renew: Renew, lease_s: float) -> AsyncIterator[None]:
    """Keep a lease for as long as the body takes. When it is lost, or could not be renewed until it ended, the body is
    cancelled where it stands and `LeaseLost` is raised."""
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout_at(loop.time() + lease_s)
    try:
        async with limit, beating(renew, lease_s, lambda left_s: limit.reschedule(loop.time() + left_s)):
            yield
    except TimeoutError as error:
        if limit.expired():
            raise LeaseLost("The lease was lost.") from error
        raise


@asynccontextmanager
async def beating(renew: Renew, lease_s: float, told: Callable[[float], None]) -> AsyncIterator[None]:
    """Renew a lease three times in its length and tell for how many seconds it is certainly ours (0: it is lost), for
    bodies that must bring to an end what they have begun. A beat that fails says nothing: the next may succeed."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(lease_s / 3)
            begun = time.monotonic()
            try:
                ours = await renew()
            except Exception as error:
                log.warning("lease not renewed", extra={"error": type(error).__name__})
                continue
            told(begun + lease_s - time.monotonic() if ours else 0.0)
            if not ours:
                return

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()
        await asyncio.wait([beats])
