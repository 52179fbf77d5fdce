"""How customers are valued: rules of the score, tiers, what was learned, and how far a new look at everybody is.

One row each, by name. A row of settings keeps what was saved before it, for one step back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pymongo import ReturnDocument

from base.mongo import LOOK_MS, Database, Document, DuplicateKeyError, in_time

Name = Literal["score", "tiers"]
SWEEP, RHYTHM = "sweep", "rhythm"
#: For so long one worker owns the next part of a sweep.
LEASE = timedelta(seconds=30)


class ValueSettingsStore:
    """`{_id, rev, settings, before, at, by}` for settings; the others say what they are where they are written."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("value_settings")
        self._people = database.collection("profiles")
        self._database = database

    async def all(self) -> dict[str, Document]:
        """Every row by its name, in one read."""
        return {row["_id"]: row async for row in self._rows.find({})}

    async def get(self, name: str) -> Document | None:
        """One row."""
        return await self._rows.find_one({"_id": name})

    async def save(
        self, name: Name, rev: int, settings: Document, before: Document | None, at: datetime, by: str | None
    ) -> bool:
        """Put settings in the place of those of this revision (0: none yet), and everybody is to be looked at again,
        both or neither. False: somebody saved meanwhile."""

        async def work(session: Any) -> bool:
            fields = {"settings": settings, "before": before, "at": at, "by": by}
            if rev == 0:
                await self._rows.insert_one({"_id": name, "rev": 1, **fields}, session=session)
            else:
                change = {"$set": fields, "$inc": {"rev": 1}}
                found = await self._rows.update_one({"_id": name, "rev": rev}, change, session=session)
                if found.matched_count == 0:
                    return False
            await self._begin_sweep(at, session)
            return True

        try:
            return bool(await self._database.in_transaction(work))
        except DuplicateKeyError:
            return False

    # -- looking at everybody again ---------------------------------------------------------------------------------

    async def _begin_sweep(self, at: datetime, session: Any) -> None:
        """Everybody is to be looked at again, from the first on, also where a sweep is under way."""
        fresh = {"after": "", "marked": 0, "done": False, "started_at": at, "due_at": at, "finished_at": None}
        change = {"$set": fresh, "$inc": {"turn": 1}}
        await self._rows.update_one({"_id": SWEEP}, change, upsert=True, session=session)

    async def claim_sweep(self, now: datetime) -> Document | None:
        """The sweep, when there is more of it and nobody else is at it."""
        wanted = {"_id": SWEEP, "done": False, "due_at": {"$lte": now}}
        return await self._rows.find_one_and_update(
            wanted, {"$set": {"due_at": now + LEASE}}, return_document=ReturnDocument.AFTER
        )

    async def advance_sweep(self, row: Document, after: str | None, marked: int, now: datetime) -> None:
        """The part after `row["after"]` is marked; None: it was the last. Without effect when another sweep began."""
        same = {"_id": SWEEP, "turn": row["turn"], "after": row["after"], "done": False}
        step: Document = {"due_at": now}
        step |= {"done": True, "finished_at": now} if after is None else {"after": after}
        await self._rows.update_one(same, {"$set": step, "$inc": {"marked": marked}})

    # -- what is learned --------------------------------------------------------------------------------------------

    async def keep_rhythm(self, median_days: float | None, people: int, at: datetime, *, news: bool) -> None:
        """What the deployment has learned. `news`: everybody is to be looked at again, in the same transaction."""
        fields = {"median_days": median_days, "people": people, "at": at}

        async def work(session: Any) -> None:
            await self._rows.update_one({"_id": RHYTHM}, {"$set": fields}, upsert=True, session=session)
            if news:
                await self._begin_sweep(at, session)

        await self._database.in_transaction(work)

    # -- looks at people ----------------------------------------------------------------------------------------------

    async def sample(self, wanted: Mapping[str, Any], size: int) -> list[Document]:
        """Some people, by chance, as stored. Raises `TooSlow`."""
        steps = [{"$match": {"merged_into": None, **wanted}}, {"$sample": {"size": size}}]
        with in_time("There are too many people to look at now. Try again in a while."):
            return await self._database.aggregate(self._people, steps, time_ms=LOOK_MS)

    async def rows(self, profile_ids: list[str]) -> list[Document]:
        """These people as they are now."""
        return await self._people.find({"_id": {"$in": profile_ids}, "merged_into": None}).to_list(None)

    async def people(self) -> int:
        """About how many there are."""
        return int(await self._people.estimated_document_count())

    async def waiting(self, now: datetime, cap: int) -> int:
        """How many are to be looked at by now, counted no further than `cap`."""
        return int(await self._people.count_documents({"appraise_at": {"$lte": now}}, limit=cap, maxTimeMS=LOOK_MS))
