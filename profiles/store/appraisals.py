"""Which profiles are to be looked at again, and since when or from when on.

`appraise_at` on a profile is when; `appraise_by` the token of who is looking. Whatever changes what a profile says sets
the first to now and takes the second away in the same write (`due_now`), so that a look which began before cannot
write back what it made of the profile as it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, Session, UpdateOne, whole
from profiles.store.tallies import TallyStore, memberships

#: For so long nobody else looks at a profile that was claimed.
LEASE_S = 30
#: Profiles made due in one write.
BATCH = 5000


def due_now(at: datetime, change: Mapping[str, Any] | None = None) -> Document:
    """`change` (of operators), which also makes the profile due."""
    result: Document = {**(change or {}), "$min": {"appraise_at": at}}
    return {**result, "$unset": {**result.get("$unset", {}), "appraise_by": ""}}


def due_row(row: Mapping[str, Any], at: datetime) -> Document:
    """The whole document, due; a tombstone never is."""
    bare = {name: value for name, value in row.items() if name not in ("appraise_at", "appraise_by")}
    return bare if bare.get("merged_into") else {**bare, "appraise_at": at}


@dataclass(frozen=True)
class Appraised:
    """What is to be written back for a claimed row. `fields`: paths and values, those that changed. `changed`: counts
    the revision up, for there is something to write or to tell."""

    row: Document
    again_at: datetime | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    changed: bool = False

    def update(self) -> UpdateOne:
        """Takes effect where nobody has changed the profile since the claim."""
        wanted = {"_id": self.row["_id"], "appraise_by": self.row["appraise_by"], "rev": self.row.get("rev")}
        later: Document = {} if self.again_at is None else {"appraise_at": self.again_at}
        gone = {"appraise_by": ""} if later else {"appraise_by": "", "appraise_at": ""}
        change: Document = {"$unset": gone}
        if later or self.fields:
            change["$set"] = {**self.fields, **later}
        if self.changed:
            change["$inc"] = {"rev": 1}
        return UpdateOne(wanted, change)


class AppraisalBook:
    """Claims due profiles and writes back what was found."""

    def __init__(self, database: Database, clock: Clock, tallies: TallyStore, *, lease_s: float = LEASE_S) -> None:
        self._rows = database.collection("profiles")
        self._tallies = tallies
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)

    async def claim(self, limit: int) -> list[Document]:
        """Up to `limit` profiles that are due; nobody else gets them for a while.

        One half are those longest due, the other those due last: who was changed just now does not wait behind a
        crowd that time made due, and the crowd goes on being looked at.
        """
        now = self._clock()
        due = self._rows.find({"appraise_at": {"$lte": now}}, {"_id": 1})
        longest = await whole(due.clone().sort("appraise_at", ASCENDING).limit(limit))
        latest = await whole(due.sort("appraise_at", DESCENDING).limit(limit // 2)) if len(longest) == limit else []
        ids = list(dict.fromkeys(row["_id"] for row in (*latest, *longest)))[:limit]
        if not ids:
            return []
        token = secrets.token_hex(8)
        still = {"_id": {"$in": ids}, "appraise_at": {"$lte": now}}
        change = {"$set": {"appraise_at": now + self._lease, "appraise_by": token}}
        await self._rows.update_many(still, change, hint=BY_ID)
        return await whole(self._rows.find({"_id": {"$in": ids}, "appraise_by": token}).hint(BY_ID))

    async def held(self, rows: Sequence[Document], session: Session) -> set[str]:
        """Of these claimed rows those that nobody has changed since. Read in the transaction that writes them."""
        by_token = {"_id": {"$in": [row["_id"] for row in rows]}, "appraise_by": {"$in": _tokens(rows)}}
        found = await whole(self._rows.find(by_token, {"appraise_by": 1, "rev": 1}, session=session).hint(BY_ID))
        now = {row["_id"]: (row["appraise_by"], row.get("rev")) for row in found}
        return {row["_id"] for row in rows if now.get(row["_id"]) == (row["appraise_by"], row.get("rev"))}

    async def write(self, appraised: Sequence[Appraised], session: Session | None = None, lane: int = 0) -> int:
        """The looks are over; how many of these profiles were as they had been read. The others are due again.
        `lane`: of the tallies, none of which two transactions can write at the same time."""
        if not appraised:
            return 0
        done = await self._rows.bulk_write([each.update() for each in appraised], ordered=False, session=session)
        moved = [(memberships(each.row), each.fields["segments"]) for each in appraised if "segments" in each.fields]
        if moved and session is not None:
            await self._tallies.shift(moved, session, lane)
        return done.matched_count

    async def put_off(self, rows: Sequence[Document], until: datetime) -> None:
        """Look at these claimed rows then; at once where somebody has changed or changes them."""
        wanted = {"_id": {"$in": [row["_id"] for row in rows]}, "appraise_by": {"$in": _tokens(rows)}}
        if rows:
            change = {"$set": {"appraise_at": until}, "$unset": {"appraise_by": ""}}
            await self._rows.update_many(wanted, change, hint=BY_ID)

    async def forget(self, rows: Sequence[Document]) -> None:
        """These are nobody's profiles (any more): they are never due."""
        wanted = {"_id": {"$in": [row["_id"] for row in rows]}, "merged_into": {"$ne": None}}
        if rows:
            await self._rows.update_many(wanted, {"$unset": {"appraise_by": "", "appraise_at": ""}}, hint=BY_ID)

    async def due(self, profile_ids: Iterable[str]) -> int:
        """Look at these people again, now; how many there are. Ids of today (`ProfileStore.current`)."""
        wanted = {"_id": {"$in": sorted(set(profile_ids))}, "merged_into": None}
        return (await self._rows.update_many(wanted, due_now(self._clock()), hint=BY_ID)).matched_count

    async def due_where(self, wanted: Mapping[str, Any], after: str = "", *, limit: int | None = BATCH) -> str | None:
        """The same for the next `limit` people after this id whom a filter finds; the id to go on with, None at the
        end. For a change of what everybody is measured by."""
        rest = {"$and": [{"_id": {"$gt": after}, "merged_into": None}, wanted]}
        if limit is None:
            await self._rows.update_many(rest, due_now(self._clock()))
            return None
        ids = [row["_id"] for row in await whole(self._rows.find(rest, {"_id": 1}).sort("_id", ASCENDING).limit(limit))]
        if ids:
            there = {"_id": {"$in": ids}, "merged_into": None}
            await self._rows.update_many(there, due_now(self._clock()), hint=BY_ID)
        return ids[-1] if len(ids) == limit else None

    async def oldest(self) -> datetime | None:
        """Since when the one longest due has been; in the future when nobody is."""
        row = await self._rows.find_one({"appraise_at": {"$exists": True}}, sort=[("appraise_at", ASCENDING)])
        return row["appraise_at"] if row else None


def _tokens(rows: Sequence[Document]) -> list[str]:
    return sorted({row["appraise_by"] for row in rows})
