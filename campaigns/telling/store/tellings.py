"""How a notification goes out: one duty for each way, due when it may, asked once more before it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, settled
from base.ids import new_id
from base.mongo import BY_ID, Database, Document, DuplicateKeyError, Indexes, inserted_apart_from_duplicates, whole
from base.side_by_side import ByHost

PLANNED, DONE, FAILED, SKIPPED, JOINED = "planned", "done", "failed", "skipped", "joined"
#: Longer than the longest way takes.
LEASE_S = 60
KEPT_S = 30 * 24 * 3600
#: For so long one waits for an earlier one of the same person, which takes it along.
WAITS_FOR_EARLIER = timedelta(seconds=5)
#: Notifications of one letter.
LETTER_MAX = 50
#: After one of a crowd has gone out the next of the same person wait for so long, and go as one. Longer than a lease:
#: whose turn it was is over or dead by then.
CROWD_WAITS = timedelta(seconds=90)
#: Notifications of one push.
CROWD_MAX = 500

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
    skipped, due_at, failures, crowd?, follows?, gathered?, lead?, reached?, said?, settled_at?, created_at}`.

    `host`: where it goes, so that one that is slow holds up no other; `lead`: the one whose letter or push tells of it,
    too; `reached`: browsers that have it already; `crowd`: with what it may go as one; `follows`: the one of
    the crowd because of whose turn it was held.

    Turns `{_id: person:way:crowd, lead: tel_, until}`: which of a crowd goes out, and until when the others wait.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("tellings")
        self._turns = database.collection("telling_turns")
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
            if not await self._join(lead, {**waiting, "_id": {"$gt": lead["_id"]}}, LETTER_MAX):
                return None
        return [lead, *await whole(self._rows.find({"lead": lead["_id"]}))]

    async def gather_crowd(self, lead: Document) -> list[Document] | None:
        """The same for one of a crowd: all of it that waits goes with this one, if it is its turn. None: another has
        just gone out, and this one waits, or is gathered by yet another.

        What has been gathered and is tried again waits for no turn, and nothing waits for it.
        """
        if not lead.get("gathered"):
            if (first := await self._other_first(lead)) is not None:
                fields = {"due_at": first["until"], "attempts": 0, "follows": first["lead"]}
                change = {"$set": fields, "$unset": {"lease": ""}}
                await self.duties.settle([settled(lead, change)])
                return None
            others = {"user_id": lead["user_id"], "way": lead["way"], "state": PLANNED, "crowd": lead["crowd"],
                      "gathered": {"$exists": False}, "_id": {"$ne": lead["_id"]}}  # fmt: skip
            if not await self._join(lead, others, CROWD_MAX):
                return None
        return [lead, *await whole(self._rows.find({"lead": lead["_id"]}))]

    async def _other_first(self, row: Document) -> Document | None:
        """The turn of another; None: it is this one's, also if it took it before and died."""
        now, key = self._clock(), f"{row['user_id']}:{row['way']}:{row['crowd']}"
        free = {"_id": key, "$or": [{"until": {"$lte": now}}, {"lead": row["_id"]}]}
        taken = {"$set": {"lead": row["_id"], "until": now + CROWD_WAITS}}
        try:
            await self._turns.update_one(free, taken, upsert=True)
        except DuplicateKeyError:
            return await self._turns.find_one({"_id": key})  # none is ever taken away
        return None

    async def _join(self, lead: Document, others: Document, most: int) -> bool:
        """Write down that these go with this one; False when it is no longer ours."""
        if not await self.duties.settle([settled(lead, {"$set": {"gathered": True}})]):
            return False
        found = self._rows.find(others, {"_id": 1}).limit(most - 1)
        ids = [row["_id"] for row in await whole(found.hint("by_user"))]
        join = {"$set": {"state": JOINED, "lead": lead["_id"]}, "$unset": {"due_at": "", "lease": ""}}
        still = {"_id": {"$in": ids}, "state": PLANNED, "gathered": {"$exists": False}}
        await self._rows.update_many(still, join, hint=BY_ID)
        return True

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
        if row["way"] == "mail" or "crowd" in row:
            await self._rows.update_many({"lead": row["_id"], "state": JOINED}, {"$set": fields})
        change = {"$set": fields, "$unset": {"lease": "", "due_at": ""}}
        return await self.duties.settle([settled(row, change)]) == 1
