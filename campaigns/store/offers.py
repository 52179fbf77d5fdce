"""Offers and their codes: who has which is decided by a unique key, so nobody ever gets two and none goes to two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes, inserted_apart_from_duplicates
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.holdings import Traces
from profiles.store.belongings import Belongings, Joining, Parting, marked, unmarked
from profiles.store.holdings import Held

#: The slot of the code a person is given; what a merge brought beside it stands in a slot named after the merge.
OWN = ""
INDEXES: Indexes = {
    "offers": [IndexModel([("key", ASCENDING)], name="once", unique=True)],
    "coupon_codes": [
        IndexModel([("offer_id", ASCENDING), ("code", ASCENDING)], name="once", unique=True),
        IndexModel(
            [("offer_id", ASCENDING), ("profile_id", ASCENDING), ("slot", ASCENDING)],
            name="one_each",
            unique=True,
            partialFilterExpression={"profile_id": {"$exists": True}},
        ),
        IndexModel([("offer_id", ASCENDING)], name="free", partialFilterExpression={"free": True}),
        IndexModel(
            [("offer_id", ASCENDING), ("assigned_at", DESCENDING), ("_id", DESCENDING)],
            name="given",
            partialFilterExpression={"assigned_at": {"$exists": True}},
        ),
        IndexModel([("profile_id", ASCENDING)], name="by_profile", sparse=True),
    ],
}


class OfferStore:
    """Offers `{_id, key, name, source: list|generated, pattern, expires_at, when_none: skip|blank,
    warn_below, deleted_at, …}`;
    codes `{_id, offer_id, code, lot?, free?, profile_id?, slot?, send_id?, assigned_at?}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._offers = database.collection("offers")
        self._codes = database.collection("coupon_codes")
        self._clock = clock
        self.belongings = CouponBelongings(database)

    async def add(self, fields: Mapping[str, Any], by: str | None) -> Document:
        """A new offer. A taken key raises `DuplicateKeyError`."""
        now = self._clock()
        row = {"_id": new_id("ofr"), **fields, "deleted_at": None, "created_at": now, "updated_at": now, "by": by}
        await self._offers.insert_one(row)
        return row

    async def get(self, offer_id: str) -> Document | None:
        """One that is there."""
        return await self._offers.find_one({"_id": offer_id, "deleted_at": None})

    async def by_keys(self, keys: Sequence[str]) -> dict[str, Document]:
        """Those that are there, by key."""
        found = self._offers.find({"key": {"$in": list(keys)}, "deleted_at": None})
        return {row["key"]: row async for row in found}

    async def change(self, offer_id: str, fields: Mapping[str, Any]) -> Document | None:
        """Set fields."""
        return await self._offers.find_one_and_update(
            {"_id": offer_id, "deleted_at": None}, {"$set": {**fields, "updated_at": self._clock()}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def set_deleted(self, offer_id: str, *, deleted: bool) -> bool:
        """Take it out of the list, or put it back."""
        there: Document = {"deleted_at": None} if deleted else {"deleted_at": {"$ne": None}}
        change = {"$set": {"deleted_at": self._clock() if deleted else None}}
        return (await self._offers.update_one({"_id": offer_id, **there}, change)).modified_count == 1

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """By key."""
        wanted: Document = {"deleted_at": None}
        if cursor is not None:
            wanted["key"] = {"$gt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = await self._offers.find(wanted).sort("key", ASCENDING).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page(rows, write_cursor(rows[-1]["key"]) if more else None)

    async def add_codes(self, offer_id: str, codes: Sequence[str], lot: str) -> list[str]:
        """Lay these into the list; those that were there already."""
        rows = [{"_id": new_id("cpn"), "offer_id": offer_id, "code": code, "free": True, "lot": lot} for code in codes]
        return [codes[at] for at in sorted(await inserted_apart_from_duplicates(self._codes, rows))]

    async def take_out(self, offer_id: str, lot: str) -> int:
        """Those of this lot that nobody has are gone; how many."""
        wanted = {"offer_id": offer_id, "free": True, "lot": lot}
        return (await self._codes.delete_many(wanted, hint="free")).deleted_count

    async def tally(self, offer_id: str) -> tuple[int, int]:
        """How many codes are free and how many are given."""
        free = await self._codes.count_documents({"offer_id": offer_id, "free": True}, hint="free")
        taken = {"offer_id": offer_id, "assigned_at": {"$exists": True}}
        given = await self._codes.count_documents(taken, hint="given")
        return free, given

    async def held(self, offer_id: str, profile_id: str) -> str | None:
        """The code this person was given."""
        row = await self._codes.find_one({"offer_id": offer_id, "profile_id": profile_id, "slot": OWN}, {"code": 1})
        return row["code"] if row else None

    async def take(self, offer_id: str, profile_id: str, send_id: str | None) -> str | None:
        """A free code for this person; None when there is none. Raises `DuplicateKeyError` when they have one."""
        row = await self._codes.find_one_and_update(
            {"offer_id": offer_id, "free": True},
            {"$set": self._given(profile_id, send_id), "$unset": {"free": ""}},
            projection={"code": 1},
        )
        return row["code"] if row else None

    async def make(self, offer_id: str, code: str, profile_id: str, send_id: str | None) -> None:
        """This new code for this person. Raises `DuplicateKeyError` when the code is taken, or they have one."""
        row = {"_id": new_id("cpn"), "offer_id": offer_id, "code": code, **self._given(profile_id, send_id)}
        await self._codes.insert_one(row)

    def _given(self, profile_id: str, send_id: str | None) -> Document:
        return {"profile_id": profile_id, "slot": OWN, "send_id": send_id, "assigned_at": self._clock()}

    async def given(self, offer_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Who has which, newest first."""
        wanted: Document = {"offer_id": offer_id, "assigned_at": {"$exists": True}}
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, str)
            wanted["$or"] = [{"assigned_at": {"$lt": at}}, {"assigned_at": at, "_id": {"$lt": last}}]
        size = bounded(limit)
        order = [("assigned_at", DESCENDING), ("_id", DESCENDING)]
        found = await self._codes.find(wanted).sort(order).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page(rows, write_cursor(rows[-1]["assigned_at"], rows[-1]["_id"]) if more else None)


class CouponBelongings(Belongings):
    """Codes follow their person. Of two for one offer the survivor's own goes on being theirs."""

    def __init__(self, database: Database) -> None:
        super().__init__("coupon_codes", database.collection("coupon_codes"), "cpn", by_identity="never")

    async def move(self, joining: Joining) -> int:
        """Give all codes to the survivor; how many were not there yet."""
        moved = 0
        for row in await self._rows.find({"profile_id": joining.from_id}).sort("_id", ASCENDING).to_list(None):
            mark = marked(joining, slot=row["slot"])
            wanted = {"_id": row["_id"], "profile_id": joining.from_id}
            change = {"profile_id": joining.to_id, "moved": mark}
            try:
                moved += (await self._rows.update_one(wanted, [{"$set": change}])).modified_count
            except DuplicateKeyError:
                change["slot"] = joining.merge_id
                moved += (await self._rows.update_one(wanted, [{"$set": change}])).modified_count
        return moved

    async def bring_back(self, parting: Parting) -> int:
        """Give the codes back, in the slots they had."""
        back = 0
        wanted = {"profile_id": parting.from_id, "moved.by": parting.merge_id}
        for row in await self._rows.find(wanted).sort("_id", ASCENDING).to_list(None):
            slot = next(each["slot"] for each in row["moved"] if each["by"] == parting.merge_id)
            change = {"profile_id": parting.to_id, "slot": {"$literal": slot}, "moved": unmarked(parting.merge_id)}
            try:
                result = await self._rows.update_one({"_id": row["_id"], **wanted}, [{"$set": change}])
            except DuplicateKeyError:  # they were given another one meanwhile
                result = await self._rows.update_one(
                    {"_id": row["_id"], **wanted}, [{"$set": {**change, "slot": parting.merge_id}}]
                )
            back += result.modified_count
        return back


class CouponRoom(Held):
    """Who had a code is forgotten; the code itself stays used, so that nobody else gets it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "coupon_codes")

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        forgotten = dict.fromkeys(("profile_id", "slot", "send_id", "moved", "assigned_at"), "")
        wanted = {"profile_id": {"$in": list(traces.profile_ids)}}
        return (await self._rows.update_many(wanted, {"$unset": forgotten, "$set": {"spent": True}})).modified_count
