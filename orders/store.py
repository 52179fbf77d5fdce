"""The rows of orders."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pymongo import DESCENDING, IndexModel

from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import Database, Document, Indexes, Session
from orders.models import CALLED_OFF, Order, as_order
from profiles.holdings import Traces
from profiles.store.belongings import Belongings

#: News of an order that never comes is forgotten after this long.
EARLY_KEPT_S = 90 * 24 * 3600
INDEXES: Indexes = {
    "orders": [
        IndexModel([("source", 1), ("external_id", 1)], name="once", unique=True),
        IndexModel(
            [("source", 1), ("checkout_id", 1)], name="one_checkout", unique=True,
            partialFilterExpression={"checkout_id": {"$type": "string"}},
        ),
        IndexModel([("profile_id", 1), ("placed_at", DESCENDING)], name="by_profile"),
        IndexModel([("placed_at", DESCENDING), ("_id", DESCENDING)], name="by_time"),
        IndexModel([("status", 1), ("placed_at", DESCENDING), ("_id", DESCENDING)], name="by_status"),
        IndexModel([("updated_at", 1)], name="by_change"),
        IndexModel([("external_id", 1)], name="by_external_id"),
        IndexModel([("number", 1)], name="by_number", partialFilterExpression={"number": {"$type": "string"}}),
        IndexModel([("lines.sku", 1), ("placed_at", DESCENDING)], name="by_sku"),
    ],
    "early_orders": [
        IndexModel([("source", 1), ("external_id", 1)], name="by_order"),
        IndexModel([("recorded_at", 1)], name="expiry", expireAfterSeconds=EARLY_KEPT_S),
    ],
}  # fmt: skip
#: Orders of one person read at once.
MOST = 2000
#: Orders from which it is learned how often a product is bought.
LEARNED_FROM = 1000


class OrderStore:
    """Reads and writes orders."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("orders")
        self._early = database.collection("early_orders")
        self.belongings = Belongings("orders", self._rows, "ord")

    async def get(self, order_id: str) -> Order | None:
        """One order by our id."""
        row = await self._rows.find_one({"_id": order_id}) if is_id(order_id, "ord") else None
        return as_order(row) if row else None

    async def find(self, source: str, external_id: str) -> Order | None:
        """One order by the shop's id."""
        row = await self._rows.find_one({"source": source, "external_id": external_id})
        return as_order(row) if row else None

    async def of_profile(self, profile_id: str, *, limit: int = MOST) -> list[Order]:
        """All orders of a person, the newest first."""
        return (await self.of_profiles([profile_id], limit=limit))[profile_id]

    async def of_profiles(self, profile_ids: Iterable[str], *, limit: int = 20_000) -> dict[str, list[Order]]:
        """The same for many people in one read."""
        found: dict[str, list[Order]] = {profile_id: [] for profile_id in profile_ids}
        rows = self._rows.find({"profile_id": {"$in": list(found)}}).sort("placed_at", DESCENDING).limit(limit)
        async for row in rows:
            found[row["profile_id"]].append(as_order(row))
        return found

    async def numbered(self, q: str, limit: int) -> list[Order]:
        """Orders with exactly this number, the shop's or their own, the newest first."""
        plain = q.strip().lstrip("#").strip()
        forms = sorted({form for each in (plain, plain.upper(), plain.lower()) for form in (each, f"#{each}")})
        either = [{"external_id": {"$in": forms}}, {"number": {"$in": forms}}]
        found = self._rows.find({"$or": either}).sort("placed_at", DESCENDING).limit(limit)
        return [as_order(row) for row in await found.to_list(limit)] if plain else []

    async def purchases(self, sku: str, limit: int = LEARNED_FROM) -> list[tuple[str, datetime]]:
        """(person, when) of the latest orders of a product that stand."""
        wanted = {"lines.sku": sku, "status": {"$nin": ["checkout", *CALLED_OFF]}}
        fields = {"profile_id": 1, "placed_at": 1, "test": 1, "removed": 1}
        rows = await self._rows.find(wanted, fields).sort("placed_at", DESCENDING).limit(limit).to_list(None)
        return [(row["profile_id"], row["placed_at"]) for row in rows if not row.get("test") and not row.get("removed")]

    async def page(
        self, *, status: str | None = None, profile_id: str | None = None, since: datetime | None = None,
        cursor: str | None = None, limit: int = 50,
    ) -> tuple[list[Order], str | None]:  # fmt: skip
        """The newest first, stable under inserts. Raises `WrongInput` for a cursor that is none of ours."""
        wanted: Document = {}
        if status is not None:
            wanted["status"] = status
        if profile_id is not None:
            wanted["profile_id"] = profile_id
        if since is not None:
            wanted["placed_at"] = {"$gte": since}
        if cursor is not None:
            wanted = {"$and": [wanted, _beyond(cursor)]}
        found = self._rows.find(wanted).sort([("placed_at", DESCENDING), ("_id", DESCENDING)]).limit(limit + 1)
        rows = await found.to_list(limit + 1)
        following = _cursor(rows[limit - 1]) if len(rows) > limit else None
        return [as_order(row) for row in rows[:limit]], following

    async def placed(self, status: str, since: datetime, limit: int) -> list[Order]:
        """Orders of a status placed since then, the newest first."""
        found = self._rows.find({"status": status, "placed_at": {"$gte": since}}).hint("by_status")
        order = [("placed_at", DESCENDING), ("_id", DESCENDING)]
        return [as_order(row) for row in await found.sort(order).limit(limit).to_list(None)]

    async def changed(self, since: datetime, limit: int) -> list[Order]:
        """Those that changed at or after a time, in the order of their changes; all of the last moment."""
        found = await self._rows.find({"updated_at": {"$gte": since}}).sort("updated_at", 1).limit(limit).to_list(None)
        if len(found) == limit:
            last = found[-1]["updated_at"]
            same = await self._rows.find({"updated_at": last}).to_list(None)
            found = [row for row in found if row["updated_at"] != last] + same
        return [as_order(row) for row in found]

    async def counts(self) -> dict[str, int]:
        """Orders per status, for the board. One index scan per status that exists."""
        return {status: await self._rows.count_documents({"status": status}) for status in await self._statuses()}

    async def _statuses(self) -> list[str]:
        return sorted(await self._rows.distinct("status"))

    # -- for OrderBook ---------------------------------------------------------------------------------------------

    async def row(self, source: str, external_id: str, session: Session) -> Document | None:
        """The stored row inside a transaction."""
        return await self._rows.find_one({"source": source, "external_id": external_id}, session=session)

    async def row_of_checkout(self, source: str, checkout_id: str, session: Session) -> Document | None:
        """The order or checkout of that checkout, inside a transaction."""
        return await self._rows.find_one({"source": source, "checkout_id": checkout_id}, session=session)

    async def remove(self, order_id: str, session: Session) -> None:
        """Take away a checkout whose order is kept under another row."""
        await self._rows.delete_one({"_id": order_id}, session=session)

    async def keep_early(self, source: str, external_id: str, key: str, news: Document, at: datetime) -> None:
        """Keep news of an order nobody has told of yet, once per `key`."""
        row = {"source": source, "external_id": external_id, "news": news, "recorded_at": at}
        await self._early.update_one({"_id": key}, {"$setOnInsert": row}, upsert=True)

    async def early(self, source: str, external_id: str) -> list[Document]:
        """What was kept early of an order."""
        return await self._early.find({"source": source, "external_id": external_id}).to_list(None)

    async def forget_early(self, keys: Sequence[str]) -> None:
        """It has been applied."""
        await self._early.delete_many({"_id": {"$in": list(keys)}})

    async def early_of(self, traces: Traces) -> Document:
        """The condition for a person's news that came before their order: by the order, or by who is named."""
        orders = self._rows.find({"profile_id": {"$in": list(traces.profile_ids)}}, {"source": 1, "external_id": 1})
        known = [{"source": row["source"], "external_id": row["external_id"]} async for row in orders]
        words = {"$in": list(traces.words)}
        until = {"recorded_at": {"$lte": traces.until}} if traces.until else {}
        return {"$or": [{"news.identity.value": words}, {"news.identities.value": words}, *known], **until}

    async def row_by_id(self, order_id: str) -> Document | None:
        """The stored row."""
        return await self._rows.find_one({"_id": order_id}) if is_id(order_id, "ord") else None

    async def insert(self, row: Document, session: Session) -> None:
        """A new order. A second one of the same key raises `DuplicateKeyError` and ends the transaction."""
        await self._rows.insert_one(row, session=session)

    async def write(self, order_id: str, fields: Mapping[str, Any], session: Session) -> None:
        """Change fields."""
        await self._rows.update_one({"_id": order_id}, {"$set": dict(fields)}, session=session)

    async def rows_of(self, profile_id: str, session: Session) -> list[Document]:
        """What the counters of a person are made from."""
        names = ("status", "status_history", "total", "placed_at", "test", "removed", "refunds")
        fields = dict.fromkeys(names, 1)
        return await self._rows.find({"profile_id": profile_id}, fields, session=session).to_list(None)


def _cursor(row: Document) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([row["placed_at"].isoformat(), row["_id"]])).decode()


def _beyond(cursor: str) -> Document:
    try:
        placed, order_id = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        at = datetime.fromisoformat(placed)
        if at.tzinfo is None or not is_id(order_id, "ord"):
            raise ValueError(cursor)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise WrongInput("This cursor is not one of ours.", [FieldError("cursor", "is not valid")]) from None
    return {"$or": [{"placed_at": {"$lt": at}}, {"placed_at": at, "_id": {"$lt": order_id}}]}
