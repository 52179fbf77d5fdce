"""Raw deliveries, kept before they are answered: requests in flight share one write (group commit).

Why a group: on two cores one majority insert per request gave 940–1,560 requests/s, shared inserts about three times
that (docs/decisions/0004-group-commit.md). A request is answered only after *its own* row is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.errors import Unavailable
from base.ids import id_before, new_id
from base.mongo import (
    BY_ID,
    UNAVAILABLE,
    Collection,
    Database,
    Document,
    Indexes,
    OperationFailure,
    inserted_apart_from_duplicates,
)
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from channels.adapter import Delivery

INDEXES: Indexes = {
    "deliveries": [
        IndexModel([("channel_id", ASCENDING), ("key", ASCENDING)], name="once", unique=True),
        due_index(),
        IndexModel([("channel_id", ASCENDING), ("_id", DESCENDING)], name="log"),
        IndexModel(
            [("channel_id", ASCENDING), ("_id", DESCENDING)], name="trouble",
            partialFilterExpression={"reason": {"$type": "string"}},
        ),
    ]
}  # fmt: skip
Kept = Literal["new", "seen"]

#: Rows of one shared insert. More only delays the first of them.
GROUP = 400
#: Headers worth keeping; never signatures, credentials or cookies.
KEPT_HEADERS = frozenset(
    {"content-type", "user-agent", "webhook-id",
     "x-shopify-topic", "x-shopify-event-id", "x-shopify-webhook-id", "x-shopify-triggered-at",
     "x-shopify-shop-domain", "x-wc-webhook-topic", "x-wc-webhook-id", "x-wc-webhook-delivery-id",
     "x-slack-retry-num", "x-slack-retry-reason", "x-amz-sns-message-type", "i-twilio-idempotency-token"}
)  # fmt: skip


@dataclass
class _Waiting:
    document: RawBSONDocument
    answer: asyncio.Future[Kept]


class GroupCommit:
    """Collects rows while a write is under way and writes them together as soon as it returns."""

    def __init__(self, collection: Collection, *, group: int = GROUP) -> None:
        self._collection = collection
        self._group = group
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def insert(self, row: Document) -> Kept:
        """Write one row; `seen` when its unique key was there. Raises `Unavailable` when the write is not acknowledged.

        The row is encoded here, so that one that cannot be stored fails its own request alone (`ValueError`).
        """
        try:
            document = RawBSONDocument(bson.encode(row))
        except (bson.errors.BSONError, UnicodeEncodeError, OverflowError) as error:
            raise ValueError(f"cannot be stored: {type(error).__name__}") from None
        waiting = _Waiting(document, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # A sender that hangs up cancels its own answer alone, never the write that others share.
        return await waiting.answer

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._group], self._waiting[self._group :]
            try:
                seen = await inserted_apart_from_duplicates(self._collection, [each.document for each in batch])
            except Exception as error:  # whatever it was, each waiting request must hear of it
                _fail(batch, error)
            else:
                for position, each in enumerate(batch):
                    if not each.answer.done():
                        each.answer.set_result("seen" if position in seen else "new")

    async def idle(self) -> None:
        """Return when nothing waits to be written."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])


def forgotten(at: datetime) -> Document:
    """What stays of a delivery whose words are taken away."""
    return {"body": b"", "bytes": 0, "headers": {}, "query": [], "reason": None, "erased_at": at}


def _fail(batch: list[_Waiting], error: Exception) -> None:
    told = error
    if isinstance(error, (*UNAVAILABLE, OperationFailure)):  # the latter: no majority in time, a full disk
        told = Unavailable("The database did not confirm the delivery.")
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(told)
            each.answer.exception()  # seen by us; a sender that hung up never asks


class Journal:
    """Keeps deliveries, leases them to the ingest, and shows them."""

    def __init__(self, database: Database, clock: Clock, *, kept: Callable[[], None] | None = None) -> None:
        """`kept` is called after each new delivery is durable (it rings the doorbell)."""
        self._rows = database.collection("deliveries")
        self._group = GroupCommit(self._rows)
        self._clock = clock
        self._kept = kept
        self.duties = DutyBook(self._rows, weight="bytes")

    async def keep(self, channel_id: str, provider: str, key: str, delivery: Delivery) -> tuple[str, Kept]:
        """Store the raw delivery under the provider's unique key; returns its id and whether it is new.

        Returning means: acknowledged by a majority and on disk.
        """
        row = self._row(channel_id, provider, key, delivery)
        kept = await self._group.insert(row)
        if kept == "new" and self._kept is not None:
            self._kept()
        return row["_id"], kept

    def _row(self, channel_id: str, provider: str, key: str, delivery: Delivery) -> Document:
        now = delivery.received_at or self._clock()
        headers = {name: list(delivery.headers[name]) for name in KEPT_HEADERS & delivery.headers.keys()}
        return {
            "_id": new_id("dlv"), "channel_id": channel_id, "provider": provider, "key": key[:1000],
            "method": delivery.method, "headers": headers, "query": [[k, list(v)] for k, v in delivery.query.items()],
            "body": delivery.body, "bytes": len(delivery.body), "received_at": now,
            "state": "pending", "due_at": now, "attempts": 0, "fence": 0, "reason": None, "events": None,
        }  # fmt: skip

    async def again(self, where: dict[str, Any], *, limit: int = 10_000) -> int:
        """Make done, dead or quarantined deliveries pending again (effects stay unique by their own keys)."""
        ids = [row["_id"] async for row in self._rows.find(where, {"_id": 1}).sort("_id", ASCENDING).limit(limit)]
        fresh = {"state": "pending", "due_at": self._clock(), "attempts": 0, "reason": None}
        result = await self._rows.update_many(
            {"_id": {"$in": ids}, "state": {"$ne": "pending"}, "erased_at": None},
            {"$set": fresh, "$unset": {"lease": ""}},
            hint=BY_ID,
        )
        return result.modified_count

    async def first_to_acknowledge(self, delivery_id: str) -> bool:
        """True for the first who asks for this delivery, and for nobody after that, in whatever process."""
        result = await self._rows.update_one(
            {"_id": delivery_id, "acknowledged_at": {"$exists": False}}, {"$set": {"acknowledged_at": self._clock()}}
        )
        return result.modified_count == 1

    async def page(
        self, channel_id: str, *, troubled: bool = False, cursor: str | None = None, limit: int | None = None
    ) -> Page[Document]:
        """The deliveries of a channel without their bodies, newest first; `troubled`: those that did not go well."""
        where: dict[str, Any] = {"channel_id": channel_id}
        if troubled:
            where["reason"] = {"$type": "string"}
        if cursor is not None:
            where["_id"] = {"$lt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = self._rows.find(where, {"body": 0, "lease": 0}).sort("_id", DESCENDING).limit(size + 1)
        rows, more = cut(await found.to_list(None), size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)

    async def latest(self, channel_id: str, limit: int) -> list[Document]:
        """The last deliveries of a channel with their bodies."""
        found = self._rows.find({"channel_id": channel_id}).sort("_id", DESCENDING).limit(limit)
        return await found.to_list(limit)

    async def one(self, channel_id: str, delivery_id: str) -> Document | None:
        """A delivery of a channel with its body."""
        return await self._rows.find_one({"_id": delivery_id, "channel_id": channel_id})

    # -- what is forgotten -------------------------------------------------------------------------------------------

    async def bodies(self, since: datetime | None, *, batch: int) -> AsyncIterator[Document]:
        """All deliveries received since then that still have a body, the oldest first. Reads one index, by time."""
        last = id_before("dlv", since) if since is not None else ""
        while True:
            wanted = {"_id": {"$gt": last}, "erased_at": None}
            rows = await self._rows.find(wanted).sort("_id", ASCENDING).limit(batch).to_list(None)
            for row in rows:
                yield row
            if len(rows) < batch:
                return
            last = rows[-1]["_id"]

    async def count_since(self, since: datetime | None) -> int:
        """How many deliveries `bodies` would give, counted no further than 100,000."""
        last = id_before("dlv", since) if since is not None else ""
        return await self._rows.count_documents({"_id": {"$gt": last}}, limit=100_000)

    async def pending_until(self, at: datetime) -> AsyncIterator[Document]:
        """Deliveries received by then that were not worked off yet."""
        async for row in self._rows.find({"state": "pending", "received_at": {"$lte": at}}).hint("due"):
            yield row

    async def forget(self, ids: Sequence[str]) -> int:
        """Take away what these deliveries said; how many. Those that still wait keep it."""
        if not ids:
            return 0
        wanted = {"_id": {"$in": list(ids)}, "state": {"$ne": "pending"}, "erased_at": None}
        return (await self._rows.update_many(wanted, {"$set": forgotten(self._clock())}, hint=BY_ID)).modified_count

    async def forget_key(self, delivery_id: str, key: str) -> None:
        """A provider's key that names somebody. The same delivery, coming again, would not be known by it."""
        await self._rows.update_one({"_id": delivery_id, "state": {"$ne": "pending"}}, {"$set": {"key": key}})

    # -- by age: ids sort by time, so no further index is needed -----------------------------------------------------

    async def count_bodies(self, before: datetime) -> int:
        """How many worked-off deliveries older than that still say something, counted no further than 100,000."""
        return await self._rows.count_documents(_old(before, erased_at=None), limit=100_000)

    async def drop_bodies(self, before: datetime, limit: int) -> int:
        """Take away what up to `limit` of them said; how many."""
        found = self._rows.find(_old(before, erased_at=None), {"_id": 1}).sort("_id", ASCENDING).limit(limit)
        return await self.forget([row["_id"] async for row in found])

    async def count_old(self, before: datetime) -> int:
        """How many worked-off deliveries are older than that."""
        return await self._rows.count_documents(_old(before), limit=100_000)

    async def drop_old(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` of them altogether: coming again they would be new, and their effects seen by their
        own keys."""
        found = self._rows.find(_old(before), {"_id": 1}).sort("_id", ASCENDING).limit(limit)
        ids = [row["_id"] async for row in found]
        return (await self._rows.delete_many({"_id": {"$in": ids}})).deleted_count

    async def idle(self) -> None:
        """Return when no write is under way; part of an orderly stop."""
        await self._group.idle()


def _old(before: datetime, **more: Any) -> Document:
    return {"_id": {"$lt": id_before("dlv", before)}, "state": "done", **more}


def as_delivery(row: Document) -> Delivery:
    """The stored request, as the adapter saw it (kept headers only)."""
    return Delivery(
        method=row["method"],
        body=bytes(row["body"]),
        headers=row["headers"],
        query={name: tuple(values) for name, values in row["query"]},
        received_at=row["received_at"],
    )
