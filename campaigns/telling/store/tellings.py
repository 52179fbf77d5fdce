"""How a notification goes out: one duty for each way, due when it may, asked once more before it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, settled
from base.ids import new_id
from base.mongo import BY_ID, Database, Document, Indexes, inserted_apart_from_duplicates, whole
from base.side_by_side import ByHost

PLANNED, DONE, FAILED, SKIPPED, JOINED = "planned", "done", "failed", "skipped", "joined"
#: Longer than the longest way takes.
LEASE_S = 60
KEPT_S = 30 * 24 * 3600
#: For so long one waits for an earlier one of the same person, which takes it along.
WAITS_FOR_EARLIER = timedelta(seconds=5)
#: Notifications of one letter.
LETTER_MAX = 50

INDEXES: Indexes = {
    "tellings": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("state", ASCENDING), ("host", ASCENDING), ("due_at", ASCENDING)], name="due"),
        IndexModel([("user_id", ASCENDING), ("way", ASCENDING), ("state", ASCENDING)], name="by_user"),
        IndexModel([("lead", ASCENDING)], name="by_lead", partialFilterExpression={"lead": {"$exists": True}}),
        IndexModel([("settled_at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_S),
    ]
}


class TellingStore:
    """Rows `{_id: tel_, key, notification_id, user_id, way: mail|push|hook, host, state: planned|joined|done|failed|
    skipped, due_at, failures, gathered?, lead?, reached?, said?, settled_at?, created_at}`.

    `host`: where it goes, so that one that is slow holds up no other; `lead`: the one whose letter tells of it, too;
    `reached`: browsers that have it already.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("tellings")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)
        self.by_host = ByHost(self.duties, clock)

    async def plan(self, wanted: Sequence[Mapping[str, Any]]) -> int:
        """Keep these duties, each once for a notification and way; how many were new."""
        now = self._clock()
        rows = [
            {
                "_id": new_id("tel"), "key": f"{each['notification_id']}:{each['way']}", "state": PLANNED,
                "failures": 0, "attempts": 0, "fence": 0, "lease": None, "created_at": now, **each,
            }
            for each in wanted
        ]  # fmt: skip
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def gather(self, lead: Document) -> list[Document] | None:
        """What else waits to be told to this person this way goes with this one; all of them, itself first. None: an
        earlier one gathers, or has gathered it.

        Once it is written down nothing more joins: a letter that is sent again says the same.
        """
        if not lead.get("gathered"):
            waiting: Document = {"user_id": lead["user_id"], "way": lead["way"], "state": PLANNED}
            earlier = {**waiting, "_id": {"$lt": lead["_id"]}}
            if await self._rows.find_one(earlier, {"_id": 1}, hint="by_user") is not None:
                await self.put_off(lead, self._clock() + WAITS_FOR_EARLIER)
                return None
            if not await self.duties.settle([settled(lead, {"$set": {"gathered": True}})]):
                return None
            found = self._rows.find({**waiting, "_id": {"$gt": lead["_id"]}}, {"_id": 1}).limit(LETTER_MAX - 1)
            ids = [row["_id"] for row in await whole(found.hint("by_user"))]
            join = {"$set": {"state": JOINED, "lead": lead["_id"]}, "$unset": {"due_at": "", "lease": ""}}
            still = {"_id": {"$in": ids}, "state": PLANNED, "gathered": {"$exists": False}}
            await self._rows.update_many(still, join, hint=BY_ID)
        return [lead, *await whole(self._rows.find({"lead": lead["_id"]}))]

    async def put_off(self, row: Document, until: datetime, said: str | None = None, reached: Sequence[str] = ()
                      ) -> bool:  # fmt: skip
        """It is told later. With `said` because it could not be now."""
        change: Document = {"$set": {"due_at": until, "attempts": 0}, "$unset": {"lease": ""}}
        if said is not None:
            change["$inc"] = {"failures": 1}
            change["$set"]["said"] = said
        if reached:
            change["$addToSet"] = {"reached": {"$each": list(reached)}}
        return await self.duties.settle([settled(row, change)]) == 1

    async def settle(self, row: Document, state: str, said: str | None = None) -> bool:
        """The end of it, and of what went with it before: who dies in between comes back to all of them. False when
        it is no longer ours."""
        fields = {"state": state, "settled_at": self._clock(), **({"said": said} if said else {})}
        if row["way"] == "mail":
            await self._rows.update_many({"lead": row["_id"], "state": JOINED}, {"$set": fields})
        change = {"$set": fields, "$unset": {"lease": "", "due_at": ""}}
        return await self.duties.settle([settled(row, change)]) == 1
