"""Segments as people define them, and the builds by which their members are found.

A segment's members are kept on the profiles under a key (`segments`), one key for each version of the rule. `live` is
the version that is served, `draft` the one that is being built beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import id_before
from base.mongo import BY_ID, Database, Document, DuplicateKeyError, Indexes, Session, whole
from base.pages import Page, newest_first
from profiles.store.events import named

#: For so long a segment that was taken away can be put back, seconds.
REMOVED_S = 24 * 3600
INDEXES: Indexes = {
    "segments": [
        IndexModel([("uses", ASCENDING)], name="used_by"),
        IndexModel([("live.key", ASCENDING)], name="by_key"),
    ],
    "segment_edition": [],
    "segment_tallies": [],
    "segments_removed": [IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=REMOVED_S)],
    "segment_builds": [due_index(), IndexModel([("parts.segment_id", ASCENDING)], name="by_segment")],
}
#: Segments of one deployment.
SEGMENTS_MAX = 1000
_EDITION = "edition"


class SegmentStore:
    """Rows `{_id, name, description, rule, uses, version, live: {key, version, rule, at}, draft, state, reason, rev,
    created_by, created_at, updated_at}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("segments")
        self._removed = database.collection("segments_removed")
        self._editions = database.collection("segment_edition")
        self._clock = clock
        self.builds = BuildStore(database, clock)

    async def begin(self) -> None:
        """Make the row that transactions count up: two that made it at once would get in each other's way."""
        with suppress(DuplicateKeyError):  # somebody else did
            await self._editions.update_one({"_id": _EDITION}, {"$setOnInsert": {"number": 0}}, upsert=True)

    async def edition(self) -> int:
        """Counts up with every change of any definition."""
        row = await self._editions.find_one({"_id": _EDITION})
        return row["number"] if row else 0

    async def all(self, session: Session | None = None) -> list[Document]:
        """Every definition."""
        return await whole(self._rows.find({}, session=session).sort("_id", ASCENDING))

    async def next_edition(self, session: Session) -> None:
        """Definitions change in this transaction. Two that do follow each other."""
        await self._editions.update_one({"_id": _EDITION}, {"$inc": {"number": 1}}, upsert=True, session=session)

    async def insert(self, row: Document, session: Session) -> None:
        """A new one."""
        await self._rows.insert_one(row, session=session)

    async def change(self, segment_id: str, change: Mapping[str, Any], session: Session) -> None:
        """Carry out these operators and count the revision up."""
        await self._rows.update_one({"_id": segment_id}, {**change, "$inc": {"rev": 1}}, session=session)

    async def delete(self, segment_id: str, session: Session) -> None:
        """Take it away, and keep it for a day in case it is put back."""
        row = await self._rows.find_one_and_delete({"_id": segment_id}, session=session)
        if row is not None:
            kept = {"row": row, "at": self._clock()}
            await self._removed.replace_one({"_id": segment_id}, kept, upsert=True, session=session)

    async def removed(self, segment_id: str, session: Session | None = None) -> Document | None:
        """One that was taken away within the last day, as it stood."""
        kept = await self._removed.find_one({"_id": segment_id}, session=session)
        return kept["row"] if kept else None

    async def put_back(self, row: Document, session: Session) -> None:
        """Make it one of the others again."""
        await self._removed.delete_one({"_id": row["_id"]}, session=session)
        await self._rows.insert_one(row, session=session)

    async def get(self, segment_id: str) -> Document | None:
        """One."""
        return await self._rows.find_one({"_id": segment_id})

    async def many(self, segment_ids: Iterable[str]) -> list[Document]:
        """Those of these that are there."""
        return await whole(self._rows.find({"_id": {"$in": list(segment_ids)}}))

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first."""
        return await newest_first(self._rows, {}, limit, cursor)

    async def live_keys(self, segment_ids: Collection[str] | None = None) -> dict[str, str]:
        """Segment → the key under which its members are kept now; nothing for those never built."""
        wanted: Document = {"live": {"$ne": None}}
        if segment_ids is not None:
            wanted["_id"] = {"$in": list(segment_ids)}
        return {row["_id"]: row["live"]["key"] async for row in self._rows.find(wanted, {"live.key": 1})}


class BuildStore:
    """Builds: duties `{_id, state, parts: [{segment_id, key}], retired: [key], swapped, after, seen, total}`."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = 20) -> None:
        self._rows = database.collection("segment_builds")
        self._profiles = database.collection("profiles")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    async def add(self, build_id: str, parts: Sequence[Document], retired: Sequence[str], session: Session) -> None:
        """A new one, due at once."""
        now = self._clock()
        row = {
            "_id": build_id, "state": "pending", "due_at": now, "lease": None, "fence": 0, "attempts": 0, "at": now,
            "parts": list(parts), "retired": list(retired), "after": "", "seen": 0, "total": 0, "swapped": not parts,
        }  # fmt: skip
        await self._rows.insert_one(row, session=session)

    async def open(self, session: Session | None = None) -> list[Document]:
        """Those not done."""
        return await whole(self._rows.find({"state": "pending"}, session=session))

    async def drop(self, build_ids: Sequence[str], session: Session) -> None:
        """Others take their place."""
        await self._rows.delete_many({"_id": {"$in": list(build_ids)}}, session=session)

    async def claim(self) -> Document | None:
        """The one longest due."""
        return await self.duties.claim_one(["pending"], self._clock())

    async def close(self, row: Document) -> None:
        """It is done."""
        await self._rows.delete_one({"_id": row["_id"], "lease": row["lease"]})

    async def released(self, row: Document, until: datetime) -> None:
        """Somebody else may go on from then."""
        change = {"$set": {"due_at": until, "lease": None}}
        await self._rows.update_one({"_id": row["_id"], "lease": row["lease"]}, change)

    async def progress(self, segment_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Segment → how many people were looked at, and of how many about."""
        found = self._rows.find({"parts.segment_id": {"$in": list(segment_ids)}, "swapped": False})
        return {part["segment_id"]: (row["seen"], row["total"]) async for row in found for part in row["parts"]}


class MemberStore:
    """What is written on and read of many profiles at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("profiles")
        self._events = database.collection("events")

    async def total(self) -> int:
        """About how many people there are."""
        return await self._rows.estimated_document_count()

    async def stretch(self, after: str, size: int) -> tuple[str, int] | None:
        """The last of the next `size` ids after this one, and how many they are; None at the end."""
        ids = self._rows.find({"_id": {"$gt": after}}, {"_id": 1}).sort("_id", ASCENDING)
        found = await ids.clone().skip(size - 1).limit(1).to_list(1)
        if found:
            return found[0]["_id"], size
        rest = await whole(ids.limit(size))
        return (rest[-1]["_id"], len(rest)) if rest else None

    async def members(self, key: str, after: str, size: int) -> list[str]:
        """The next members under a key after this id."""
        wanted = {"segments": key, "_id": {"$gt": after}, "merged_into": None}
        return [row["_id"] for row in await whole(self._rows.find(wanted, {"_id": 1}).sort("_id", 1).limit(size))]

    async def put(self, between: tuple[str, str], key: str, wanted: Mapping[str, Any]) -> None:
        """Those of this stretch of ids whom the filter finds become members, all others none. May run twice.

        No transaction: with thousands of changes one takes ten times as long. Each profile is right by what it says
        at that moment, and its revision counts up, so that no look that began before overwrites it.
        """
        #: No index may be chosen for it: the one of segments holds all members of all of them.
        absent = {"$expr": {"$not": [{"$in": [key, {"$ifNull": ["$segments", []]}]}]}}
        inside = {"_id": _within(between), "segments": key, "$nor": [{"$and": [{"merged_into": None}, wanted]}]}
        await self._rows.update_many(inside, {"$pull": {"segments": key}, "$inc": {"rev": 1}})
        outside = {"$and": [{"_id": _within(between), "merged_into": None}, wanted, absent]}
        await self._rows.update_many(outside, {"$addToSet": {"segments": key}, "$inc": {"rev": 1}})

    async def due_by(self, between: tuple[str, str], at: Sequence[Any], wanted: Mapping[str, Any]) -> None:
        """The earliest of these times (expressions over the profile; null is none) makes people due whom the filter
        finds. Whoever is looking at them looks once more."""
        people = {"$and": [{"_id": _within(between), "merged_into": None}, wanted]}
        earliest = {"$ifNull": [{"$min": ["$appraise_at", *at]}, "$$REMOVE"]}
        steps: list[Document] = [{"$set": {"appraise_at": earliest}}, {"$unset": "appraise_by"}]
        await self._rows.update_many(people, steps, hint=BY_ID)

    async def lately(self, names: Collection[str], since: datetime) -> list[str]:
        """To whom one of these happened since then, by the time at which it was recorded."""
        recent = {"_id": {"$gt": id_before("evt", since)}, "name": {"$in": sorted(names)}}
        found: list[str] = await self._events.distinct("profile_id", recent)
        return [each for each in found if each]

    async def count(self, keys: Iterable[str], session: Session) -> dict[str, int]:
        """Members under these keys, counted in the index, in one snapshot."""
        result = {}
        for key in keys:
            steps: list[Document] = [{"$match": {"segments": key}}, {"$count": "members"}]
            rows = await self._database.aggregate(self._rows, steps, session=session)
            result[key] = rows[0]["members"] if rows else 0
        return result

    async def clear(self, key: str, size: int) -> int:
        """Take the next members of a key that nobody serves any more away; how many."""
        ids = [row["_id"] for row in await whole(self._rows.find({"segments": key}, {"_id": 1}).limit(size))]
        if ids:
            change = {"$pull": {"segments": key}, "$inc": {"rev": 1}}
            await self._rows.update_many({"_id": {"$in": ids}, "segments": key}, change, hint=BY_ID)
        return len(ids)

    async def happened(
        self, between: tuple[str, str], name: str, session: Session | None = None, *, time_ms: int | None = None,
        most: int | None = None,
    ) -> list[Document]:  # fmt: skip
        """Events of that name of this stretch of people, whole, at most so many. Raises `ExecutionTimeout` after that
        time."""
        found = self._events.find({"profile_id": _within(between), **named([name])}, session=session)
        found = found if time_ms is None else found.max_time_ms(time_ms)
        return await whole(found if most is None else found.limit(most))

    async def counted(
        self, between: tuple[str, str], name: str, since: datetime | None, now: datetime,
        session: Session | None = None, *, time_ms: int | None = None,
    ) -> list[Document]:  # fmt: skip
        """`{_id: profile, count, first, last, ahead}` of the people of this stretch to whom it ever happened: counted
        since then and up to now (or ever), the first of those, the last of all, and the first after now (or None);
        read in the index alone. Raises `ExecutionTimeout` after that time."""
        at = "$occurred_at"
        recent = {"$and": [{"$lte": [at, now]}, {"$gte": [at, since]}] if since is not None else [True]}
        steps: list[Document] = [
            {"$match": {"profile_id": _within(between), **named([name])}},
            {"$project": {"_id": 0, "profile_id": 1, "occurred_at": 1}},
            {
                "$group": {
                    "_id": "$profile_id",
                    "count": {"$sum": {"$cond": [recent, 1, 0]}},
                    "first": {"$min": {"$cond": [recent, at, None]}},
                    "last": {"$max": at},
                    "ahead": {"$min": {"$cond": [{"$gt": [at, now]}, at, None]}},
                }
            },
        ]
        return await self._database.aggregate(self._events, steps, time_ms=time_ms, session=session)

    async def having(self, between: tuple[str, str], path: str, session: Session | None = None) -> list[Document]:
        """People of this stretch who have something at that path, and nothing else of them."""
        wanted = {"_id": _within(between), "merged_into": None, path: {"$ne": None}}
        return await whole(self._rows.find(wanted, {path: 1}, session=session))

    async def quick_count(self, wanted: Mapping[str, Any], *, limit: int | None = None, time_ms: int) -> int:
        """How many profiles a filter finds. Raises `ExecutionTimeout` after that time."""
        more = {} if limit is None else {"limit": limit}
        command = {"count": "profiles", "query": dict(wanted), "maxTimeMS": time_ms, **more}
        return int((await self._database.handle.command(command))["n"])

    async def people(
        self, between: tuple[str, str], wanted: Mapping[str, Any], fields: Sequence[str]
    ) -> list[Document]:
        """These fields of those of this stretch whom the filter finds, by their ids. Nobody who was merged away."""
        inside = {"$and": [{"_id": _within(between), "merged_into": None}, wanted]}
        return await whole(self._rows.find(inside, dict.fromkeys(fields, 1)).sort("_id", ASCENDING))

    async def first(self, wanted: Mapping[str, Any], limit: int, *, time_ms: int) -> list[Document]:
        """Some of them. Raises `ExecutionTimeout` after that time."""
        return await self._rows.find(dict(wanted)).limit(limit).max_time_ms(time_ms).to_list(limit)


def _within(between: tuple[str, str]) -> Document:
    after, last = between
    return {"$gt": after, "$lte": last}
