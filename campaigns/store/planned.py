"""Who will perhaps enter a journey later: on a date that we know of them, or when its entry filter lets them in.

Rows `{_id, journey_id, profile_id, slot, kind, state, due_at, version, key, …}` are duties. One `date` row stands for
one person in one journey: the next coming of the date. An `event` row stands for one event that the entry filter has
turned away, until it is tried for the last time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index, settled
from base.ids import new_id
from base.mongo import Database, Document, Indexes, UpdateOne, inserted_apart_from_duplicates, whole
from profiles.store.belongings import Belongings, Joining

DATE, EVENT = "date", "event"
#: Events of one person that wait for the filter of one journey, at most.
WAITING_MAX = 20
LEASE_S = 30

INDEXES: Indexes = {
    "planned_entries": [
        due_index(),
        IndexModel(
            [("journey_id", ASCENDING), ("profile_id", ASCENDING), ("slot", ASCENDING)], name="once", unique=True
        ),
        IndexModel([("profile_id", ASCENDING), ("kind", ASCENDING)], name="by_profile"),
        IndexModel([("journey_id", ASCENDING), ("kind", ASCENDING), ("due_at", ASCENDING)], name="by_journey"),
    ],
}


class PlannedStore:
    """Reads and writes planned entries."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = LEASE_S) -> None:
        self._rows = database.collection("planned_entries")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=lease_s)
        self.belongings = PlannedBelongings("planned_entries", self._rows, "enr", by_identity="never")

    # -- dates -------------------------------------------------------------------------------------------------

    async def dates_of(self, profile_ids: Sequence[str], journey_ids: Iterable[str]) -> dict[tuple[str, str], Document]:
        """(journey, profile) → the date row."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "kind": DATE, "journey_id": {"$in": list(journey_ids)}}
        return {(row["journey_id"], row["profile_id"]): row for row in await whole(self._rows.find(wanted))}

    async def plan(self, new: Sequence[Document], changed: Sequence[tuple[Document, Document]]) -> None:
        """Insert date rows (`date_row`), and give others (row, fields) another date. Whoever is working on one of
        those loses it."""
        await inserted_apart_from_duplicates(self._rows, new)
        updates = [
            UpdateOne({"_id": row["_id"]}, {"$set": {**fields, "attempts": 0}, "$unset": {"lease": ""}})
            for row, fields in changed
        ]
        if updates:
            await self._rows.bulk_write(updates, ordered=False)

    async def drop(self, rows: Sequence[Document]) -> None:
        """These are over, whoever works on them."""
        if rows:
            await self._rows.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})

    async def outdated(self, journey_id: str, version: int, limit: int) -> list[Document]:
        """Date rows of a journey by an older version."""
        wanted = {"journey_id": journey_id, "kind": DATE, "version": {"$lt": version}}
        return await whole(self._rows.find(wanted).limit(limit))

    # -- events ------------------------------------------------------------------------------------------------

    async def wait(self, rows: Sequence[Document]) -> int:
        """Keep `event` rows, those of one person in one journey up to a limit; how many were kept."""
        if not rows:
            return 0
        wanted = {"profile_id": {"$in": sorted({row["profile_id"] for row in rows})}, "kind": EVENT}
        counts: dict[tuple[str, str], int] = {}
        async for row in self._rows.find(wanted, {"_id": 0, "journey_id": 1, "profile_id": 1}):
            place = (row["journey_id"], row["profile_id"])
            counts[place] = counts.get(place, 0) + 1
        kept = []
        for row in rows:
            place = (row["journey_id"], row["profile_id"])
            counts[place] = counts.get(place, 0) + 1
            if counts[place] <= WAITING_MAX:
                kept.append(row)
        return len(kept) - len(await inserted_apart_from_duplicates(self._rows, kept))

    async def wake(self, profile_ids: Iterable[str]) -> int:
        """Something about these people changed: those events of theirs are tried again now."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "kind": EVENT}
        change = {"$min": {"due_at": self._clock()}, "$unset": {"lease": ""}}
        return (await self._rows.update_many(wanted, change)).matched_count

    # -- working off -------------------------------------------------------------------------------------------

    async def claim(self, limit: int) -> list[Document]:
        """Lease due rows, the most overdue first."""
        return await self.duties.claim(["waiting"], self._clock(), limit=limit)

    async def move_on(self, moved: Sequence[tuple[Document, Document]], over: Sequence[Document]) -> None:
        """Of claimed rows: (row, fields) are due again as `fields` say, `over` go. Where they are still ours."""
        changes = [settled(row, {"$set": {**fields, "attempts": 0}, "$unset": {"lease": ""}}) for row, fields in moved]
        await self.duties.settle(changes)
        by_lease: dict[str, list[str]] = {}
        for row in over:
            by_lease.setdefault(row["lease"], []).append(row["_id"])
        for lease, ids in by_lease.items():
            await self._rows.delete_many({"_id": {"$in": ids}, "lease": lease})

    async def clear(self, journey_id: str, kind: str | None, limit: int) -> int:
        """Forget the next rows of a journey that takes nobody in any more (of one kind, or all); how many."""
        wanted = {"journey_id": journey_id, **({"kind": kind} if kind else {})}
        ids = [row["_id"] for row in await whole(self._rows.find(wanted, {"_id": 1}).limit(limit))]
        if ids:
            await self._rows.delete_many({"_id": {"$in": ids}})
        return len(ids)

    # -- looking -----------------------------------------------------------------------------------------------

    async def journeys(self) -> list[str]:
        """Journeys that have any row, by skipping through the index."""
        return [str(each) for each in await self._rows.distinct("journey_id")]

    async def outlook(self, journey_id: str, cap: int) -> tuple[int, datetime | None]:
        """How many people have a date in this journey, counted no further than `cap`, and when the next one comes."""
        wanted = {"journey_id": journey_id, "kind": DATE}
        first = await self._rows.find_one(wanted, {"due_at": 1}, sort=[("due_at", ASCENDING)])
        return await self._rows.count_documents(wanted, limit=cap), first["due_at"] if first else None


def date_row(journey_id: str, profile_id: str, fields: Mapping[str, Any], now: datetime) -> Document:
    """As inserted. `fields`: due_at, key, version, unknown_zone."""
    return {**_row(journey_id, profile_id, DATE, now), "slot": DATE, **fields}


def event_row(
    journey_id: str, profile_id: str, event_id: str, now: datetime, *, due_at: datetime, until: datetime
) -> Document:
    """As inserted. `until`: when it is tried for the last time."""
    return {**_row(journey_id, profile_id, EVENT, now), "slot": event_id, "due_at": due_at, "until": until, "looks": 1}


def _row(journey_id: str, profile_id: str, kind: str, now: datetime) -> Document:
    return {
        "_id": new_id("enr"), "journey_id": journey_id, "profile_id": profile_id, "kind": kind, "state": "waiting",
        "lease": None, "fence": 0, "attempts": 0, "at": now,
    }  # fmt: skip


class PlannedBelongings(Belongings):
    """Events that wait go with their person. Dates are planned anew from what the survivor is, and, when the merge is
    undone, from what the two are: both are looked at again (`profiles.appraisal`)."""

    async def move(self, joining: Joining) -> int:
        """Give the events to the survivor; how many."""
        await self._rows.delete_many({"profile_id": joining.from_id, "kind": DATE})
        return await super().move(joining)
