"""Broadcasts as people see and change them, their waves of planning (duties), and the pace they keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes, whole
from base.pages import Page, newest_first

#: A planner that does not come back is followed by another after so long, seconds.
LEASE_S = 20
#: Between two looks at a broadcast, and as many times as long as its figures take to count, milliseconds.
LOOK_MS, TALLY_SHARE = 900, 20

INDEXES: Indexes = {
    "broadcasts": [
        IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="by_status"),
        IndexModel([("active", ASCENDING)], name="active", partialFilterExpression={"active": True}),
    ],
    "broadcast_waves": [
        due_index(),
        IndexModel([("broadcast_id", ASCENDING), ("number", ASCENDING)], name="of_broadcast"),
        IndexModel([("profile_ids", ASCENDING)], name="by_person", sparse=True),
    ],
    "broadcast_paces": [],
    "test_addresses": [],
}


class BroadcastStore:
    """Rows `{_id, name, status, body, rev, channel_ids, active, touched, counts, …}`. What the author wrote is kept as
    JSON text: its keys are their author's. `active`: the clockwork looks after it. `touched`: how often something
    happened to its sends since they were counted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rows = database.collection("broadcasts")
        self._clock = clock

    async def add(self, body: Mapping[str, Any], by: str | None) -> Document:
        """A new draft."""
        now = self._clock()
        row = {
            "_id": new_id("brd"), "status": "draft", "rev": 1, "active": False, "touched": 0, "counts": {},
            "pinned": None, "start_at": None, "started_at": None, "paused_at": None, "paused_by": None,
            "ended_at": None, "winner": None, "decide_at": None, "moving": None, "release": None, "ring": [],
            "waves": 0, "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, **_written(body),
        }  # fmt: skip
        await self._rows.insert_one(row)
        return _opened(row)

    async def get(self, broadcast_id: str) -> Document | None:
        """One."""
        row = await self._rows.find_one({"_id": broadcast_id})
        return _opened(row) if row else None

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Those of these that are there, by id."""
        rows = await whole(self._rows.find({"_id": {"$in": list(set(ids))}}, {"counts": 0, "ring": 0}))
        return {row["_id"]: _opened(row) for row in rows}

    async def change(self, row: Document, fields: Mapping[str, Any]) -> Document | None:
        """Set fields if nobody wrote since the row was read; None when somebody did."""
        fields = dict(fields)
        body = fields.pop("body", None)
        if body is not None:
            fields |= _written(body)
        change = {"$set": {**fields, "updated_at": self._clock(), "looked_at": None}, "$inc": {"rev": 1}}
        where = {"_id": row["_id"], "rev": row["rev"]}
        after = await self._rows.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
        return _opened(after) if after else None

    async def page(
        self, *, status: str | None = None, channels: Iterable[str] | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Newest first. `channels`: only those that use one of them."""
        wanted: Document = {"status": status} if status else {}
        if channels is not None:
            wanted["channel_ids"] = {"$in": list(channels)}
        return (await newest_first(self._rows, wanted, limit, cursor)).each(_opened)

    async def not_over(self) -> list[Document]:
        """All that are written, wait, run or are paused."""
        wanted = {"status": {"$in": ["draft", "scheduled", "running", "paused"]}}
        rows = await whole(self._rows.find(wanted, {"counts": 0, "ring": 0}).sort("_id", ASCENDING))
        return [_opened(row) for row in rows]

    async def to_look_after(self) -> list[Document]:
        """Those whose turn for a look it is. Each is looked at by one worker at a time, about once a second, and less
        often the longer its figures take to count."""
        pause_ms = {"$max": [LOOK_MS, {"$multiply": [{"$ifNull": ["$tally_ms", 0]}, TALLY_SHARE]}]}
        next_at = {"$add": [{"$ifNull": ["$looked_at", datetime(1970, 1, 1, tzinfo=UTC)]}, pause_ms]}
        due = {"active": True, "$expr": {"$lte": [next_at, "$$NOW"]}}
        found = []
        for row in await whole(self._rows.find(due, {"_id": 1}).sort("_id", ASCENDING).limit(1000)):
            mine = await self._rows.find_one_and_update(
                {"_id": row["_id"], **due}, [{"$set": {"looked_at": "$$NOW"}}], return_document=ReturnDocument.AFTER
            )
            if mine is not None:
                found.append(_opened(mine))
        return found

    async def touch(self, ids: Iterable[str]) -> None:
        """Something happened to their sends: they are counted anew."""
        wanted = {"_id": {"$in": list(set(ids))}}
        await self._rows.update_many(wanted, {"$inc": {"touched": 1}, "$set": {"active": True}})

    async def counted(self, row: Document, counts: Mapping[str, Any], ring: list[Document], took_ms: int) -> None:
        """Keep these figures, counted when it had been touched so often. What came since is counted again."""
        touched = {"$max": [0, {"$subtract": ["$touched", row["touched"]]}]}
        fields: Document = {"counts": {"$literal": dict(counts)}, "ring": {"$literal": ring}, "touched": touched}
        fields["tally_ms"] = took_ms
        await self._rows.update_one({"_id": row["_id"]}, [{"$set": fields}])

    async def rest(self, row: Document) -> None:
        """Nothing more is to be done for it, unless something happened meanwhile."""
        where = {"_id": row["_id"], "rev": row["rev"], "touched": 0, "moving": None}
        await self._rows.update_one(where, {"$set": {"active": False}})

    async def moved(self, row: Document) -> None:
        """What its last change of status asked for is done, unless another has come since."""
        where = {"_id": row["_id"], "moving.at": row["moving"]["at"], "moving.do": row["moving"]["do"]}
        await self._rows.update_one(where, {"$set": {"moving": None}})


class WaveStore:
    """Duties that go through people: the first planning, newcomers, another attempt for who was not reached, and the
    review that only counts. Rows `{_id, broadcast_id, number, kind, state, after, …}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("broadcast_waves")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)

    async def add(self, broadcast_id: str, number: int, kind: str, **more: Any) -> Document:
        """A wave under its number, once."""
        now = self._clock()
        row = {
            "_id": f"{broadcast_id}:{number}", "broadcast_id": broadcast_id, "number": number, "kind": kind,
            "state": "pending", "due_at": now, "lease": None, "fence": 0, "attempts": 0, "at": now, "after": "",
            "seen": 0, "total": 0, "placed": [], **more,
        }  # fmt: skip
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            known: Document | None = await self._rows.find_one({"_id": row["_id"]})
            return known or row
        return row

    async def renew_review(self, broadcast_id: str, rev: int) -> Document:
        """The review, begun anew for this revision."""
        now = self._clock()
        row = {
            "broadcast_id": broadcast_id, "number": 0, "kind": "review", "state": "pending", "due_at": now,
            "lease": None, "fence": 0, "attempts": 0, "at": now, "after": "", "seen": 0, "total": 0, "placed": [],
            "rev": rev, "found": {}, "profile_ids": [],
        }  # fmt: skip
        await self._rows.replace_one({"_id": f"{broadcast_id}:0"}, row, upsert=True)
        return {"_id": f"{broadcast_id}:0", **row}

    async def review(self, broadcast_id: str) -> Document | None:
        """How far it is, or what it found."""
        return await self._rows.find_one({"_id": f"{broadcast_id}:0"})

    async def of(self, broadcast_id: str) -> list[Document]:
        """All of a broadcast but its review, the first first."""
        wanted = {"broadcast_id": broadcast_id, "number": {"$gt": 0}}
        return await whole(self._rows.find(wanted).sort("number", ASCENDING))

    async def all_done(self, broadcast_id: str) -> bool:
        """Whether nobody has to be planned any more."""
        wanted = {"broadcast_id": broadcast_id, "number": {"$gt": 0}, "state": "pending"}
        return await self._rows.find_one(wanted, {"_id": 1}) is None

    async def claim(self) -> Document | None:
        """The one longest due."""
        return await self.duties.claim_one(["pending"], self._clock())

    async def close(self, row: Document, fields: Mapping[str, Any]) -> bool:
        """It is through; False when it is no longer ours."""
        wanted = {"_id": row["_id"], "lease": row["lease"], "state": "pending"}
        change = {"$set": {**fields, "state": "done", "done_at": self._clock()}, "$unset": {"due_at": "", "lease": ""}}
        return (await self._rows.update_one(wanted, change)).matched_count == 1

    async def put_off(self, row: Document, until: datetime) -> None:
        """Somebody may go on from then."""
        change = {"$set": {"due_at": until, "lease": None, "attempts": 0}}
        await self._rows.update_one({"_id": row["_id"], "lease": row["lease"]}, change)


class TesterStore:
    """Addresses outside the house at which messages may be tried out, beside those of all colleagues."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("test_addresses")
        self._clock = clock

    async def all(self) -> list[str]:
        """By the alphabet: mail addresses and ids of people."""
        return [str(row["_id"]) async for row in self._rows.find({}, {"_id": 1}).sort("_id", ASCENDING)]

    async def replace(self, values: Iterable[str], by: str | None) -> None:
        """These and no others."""
        wanted = sorted(set(values))
        await self._rows.delete_many({"_id": {"$nin": wanted}})
        for value in wanted:
            await self.add(value, by)

    async def add(self, value: str, by: str | None) -> None:
        """This one too."""
        fresh = {"$setOnInsert": {"by": by, "at": self._clock()}}
        try:
            await self._rows.update_one({"_id": value}, fresh, upsert=True)
        except DuplicateKeyError:
            pass  # somebody else added it in the same moment

    async def remove(self, value: str) -> bool:
        """This one no more; False when it was not there."""
        return (await self._rows.delete_one({"_id": value})).deleted_count == 1


class PaceStore:
    """How many a broadcast may still hand over now. It stands in MongoDB and goes by the server's clock, so that all
    workers together keep the rate and nothing is forgotten with Redis."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("broadcast_paces")

    async def level(self, key: str, depth: float, per_s: float) -> int:
        """Tokens that are there, none taken."""
        row = await self._rows.find_one({"_id": key})
        if row is None:
            return math.floor(depth)
        rows = await self._rows.aggregate(
            [{"$match": {"_id": key}}, {"$project": {"tokens": _filled(depth, per_s)}}]
        ).to_list(1)
        return math.floor(max(0.0, rows[0]["tokens"])) if rows else math.floor(depth)

    async def take(self, key: str, wanted: int, depth: float, per_s: float) -> int:
        """Up to `wanted` tokens of a bucket of this depth that fills at this rate; how many."""
        steps: list[Document] = [
            {"$set": {"tokens": _filled(depth, per_s), "at": "$$NOW"}},
            {"$set": {"granted": {"$min": [wanted, {"$floor": {"$max": ["$tokens", 0]}}]}}},
            {"$set": {"tokens": {"$subtract": ["$tokens", "$granted"]}}},
        ]
        row = await self._upserted(key, steps)
        return int(row["granted"])

    async def left_of_day(self, key: str, day: str, sizes: tuple[int, ...]) -> int:
        """How many this day still allows; nothing is taken."""
        row = await self._rows.find_one({"_id": key})
        if row is None:
            return sizes[0]
        same = row["day"] == day
        size = sizes[min(row["number"] + (0 if same else 1), len(sizes) - 1)]
        return int(size - row["used"]) if same else size

    async def take_of_day(self, key: str, wanted: int, day: str, sizes: tuple[int, ...]) -> int:
        """Up to `wanted` of what this day allows. The next size counts from the next day on which something goes."""
        same = {"$eq": ["$day", day]}
        number = {"$cond": [same, {"$ifNull": ["$number", 0]}, {"$add": [{"$ifNull": ["$number", -1]}, 1]}]}
        size = {"$arrayElemAt": [{"$literal": list(sizes)}, {"$min": ["$number", len(sizes) - 1]}]}
        steps: list[Document] = [
            {"$set": {"number": number, "used": {"$cond": [same, {"$ifNull": ["$used", 0]}, 0]}}},
            {"$set": {"day": day, "granted": {"$max": [0, {"$min": [wanted, {"$subtract": [size, "$used"]}]}]}}},
            {"$set": {"used": {"$add": ["$used", "$granted"]}}},
        ]
        row = await self._upserted(key, steps)
        return int(row["granted"])

    async def _upserted(self, key: str, steps: list[Document]) -> Document:
        while True:
            try:
                row = await self._rows.find_one_and_update(
                    {"_id": key}, steps, upsert=True, return_document=ReturnDocument.AFTER
                )
                return dict(row)
            except DuplicateKeyError:
                continue  # somebody else made it in the same moment


def _filled(depth: float, per_s: float) -> Document:
    passed_s = {"$divide": [{"$subtract": ["$$NOW", {"$ifNull": ["$at", "$$NOW"]}]}, 1000]}
    return {"$min": [depth, {"$add": [{"$ifNull": ["$tokens", depth]}, {"$multiply": [passed_s, per_s]}]}]}


def _written(body: Mapping[str, Any]) -> Document:
    """The author's text, and what lists are narrowed by."""
    channels = [each for each in body.get("channel_ids") or () if isinstance(each, str)]
    return {"body": orjson.dumps(dict(body)).decode(), "name": str(body.get("name") or ""), "channel_ids": channels}


def _opened(row: Document) -> Document:
    pinned = row.get("pinned")
    return {**row, "body": orjson.loads(row["body"]), "pinned": orjson.loads(pinned) if pinned else None}
