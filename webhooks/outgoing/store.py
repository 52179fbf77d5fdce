"""Endpoints that are told what happens, and the posts to them: one per endpoint and event, duties until they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, settled
from base.ids import new_id
from base.mongo import (
    Database,
    Document,
    DuplicateKeyError,
    Indexes,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, newest_first
from base.side_by_side import ByHost
from profiles.store.belongings import Belongings

PLANNED, DONE, FAILED, SKIPPED = "planned", "done", "failed", "skipped"
#: Longer than the longest post takes.
LEASE_S = 60
#: What went, or went for good, is known for so long.
KEPT = timedelta(days=30)
#: Tries that a post shows.
TRIES_SHOWN = 20

INDEXES: Indexes = {
    "webhook_endpoints": [
        IndexModel([("state", ASCENDING)], name="by_state"),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=int(KEPT.total_seconds())),
    ],
    "webhook_posts": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("state", ASCENDING), ("host", ASCENDING), ("due_at", ASCENDING)], name="due"),
        IndexModel([("endpoint_id", ASCENDING), ("_id", DESCENDING)], name="log"),
        IndexModel([("endpoint_id", ASCENDING), ("state", ASCENDING), ("_id", DESCENDING)], name="log_by_state"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("settled_at", ASCENDING)], name="expiry", expireAfterSeconds=int(KEPT.total_seconds())),
    ],
}


class EndpointStore:
    """Rows `{_id: whk_, url, host, events, channels, description, state: on|off|disabled, secret, former?,
    exchanged_at?, failing_since, last_failed_at, disabled_at?, disabled_why?, untold?, scoped_at?, removed_at?, rev,
    created_at, created_by, updated_at}`. Secrets are sealed. `scoped_at`: when its channels were last changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("webhook_endpoints")
        self._clock = clock

    async def add(self, endpoint_id: str, fields: Mapping[str, Any]) -> Document | None:
        """A new one; None when there is one with this id."""
        now = self._clock()
        row = {
            "_id": endpoint_id, "state": "on", "failing_since": None, "last_failed_at": None, "rev": 1,
            "created_at": now, "updated_at": now, **fields,
        }  # fmt: skip
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            return None
        return row

    async def get(self, endpoint_id: str) -> Document | None:
        """One that was not removed."""
        return await self._rows.find_one({"_id": endpoint_id, "removed_at": {"$exists": False}})

    async def known(self, endpoint_id: str) -> Document | None:
        """One, also if it was removed."""
        return await self._rows.find_one({"_id": endpoint_id})

    async def all(self) -> list[Document]:
        """The newest first."""
        return await whole(self._rows.find({"removed_at": {"$exists": False}}).sort("_id", DESCENDING))

    async def listening(self) -> list[Document]:
        """What is to be known of those that are told: id, host, events, channels."""
        wanted = {"state": "on", "removed_at": {"$exists": False}}
        return await whole(self._rows.find(wanted, {"host": 1, "events": 1, "channels": 1}))

    async def change(
        self, endpoint_id: str, fields: Mapping[str, Any], *, rev: int | None = None, gone: Sequence[str] = ()
    ) -> Document | None:
        """Set these fields, and take some away; None when it is not there, or (`rev`) was changed meanwhile."""
        wanted: Document = {"_id": endpoint_id, "removed_at": {"$exists": False}}
        if rev is not None:
            wanted["rev"] = rev
        change: Document = {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}}
        if gone:
            change["$unset"] = dict.fromkeys(gone, "")
        return await self._rows.find_one_and_update(wanted, change, return_document=ReturnDocument.AFTER)

    async def remove(self, endpoint_id: str) -> bool:
        """Take it away; for `KEPT` it can be put back."""
        wanted = {"_id": endpoint_id, "removed_at": {"$exists": False}}
        change = {"$set": {"removed_at": self._clock()}, "$inc": {"rev": 1}}
        return (await self._rows.update_one(wanted, change)).modified_count == 1

    async def restore(self, endpoint_id: str) -> bool:
        """Put it back."""
        wanted = {"_id": endpoint_id, "removed_at": {"$exists": True}}
        change: Document = {"$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        return (await self._rows.update_one(wanted, change)).modified_count == 1

    async def works(self, endpoint_id: str) -> None:
        """It has taken something: what went wrong before is forgotten."""
        wanted = {"_id": endpoint_id, "failing_since": {"$ne": None}}
        await self._rows.update_one(wanted, {"$set": {"failing_since": None, "last_failed_at": None}})

    async def fails(self, endpoint_id: str, known: Document, since: datetime, now: datetime) -> None:
        """It has failed again, and does so since then; for who has read it as `known`."""
        wanted = {"_id": endpoint_id, "failing_since": known["failing_since"]}
        await self._rows.update_one(wanted, {"$set": {"failing_since": since}, "$max": {"last_failed_at": now}})

    async def disable(self, endpoint_id: str, why: str, since: datetime | None) -> Document | None:
        """Switch it off by itself, if it is on and (`since`) fails since then; None when somebody else has."""
        wanted: Document = {"_id": endpoint_id, "state": "on"}
        if since is not None:
            wanted["failing_since"] = since
        change = {"state": "disabled", "disabled_at": self._clock(), "disabled_why": why, "untold": True}
        return await self._rows.find_one_and_update(
            wanted, {"$set": change, "$inc": {"rev": 1}}, return_document=ReturnDocument.AFTER
        )

    async def untold(self) -> list[Document]:
        """Those that were switched off by themselves, of which nobody has been told yet."""
        return await whole(self._rows.find({"state": "disabled", "untold": True}))

    async def told(self, row: Document) -> None:
        """Administrators know."""
        await self._rows.update_one({"_id": row["_id"], "disabled_at": row["disabled_at"]}, {"$unset": {"untold": ""}})


class PostStore:
    """Rows `{_id: whd_, key, endpoint_id, event_id, event, profile_id, channel_id, host, test?, body?, state:
    planned|done|failed|skipped, due_at, failures, tries: [{at, ms, status?, error?, detail?, answer?}], said?,
    settled_at?, created_at}`. `failures` counts since it was planned or sent again; a body is written before the
    first try and stays the same."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("webhook_posts")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)
        self.by_host = ByHost(self.duties, clock)
        self.belongings = Belongings("webhook_posts", self._rows, "whd", by_identity="never")

    async def plan(self, posts: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Keep these, each once by its `key`; the rows that were new."""
        now = self._clock()
        rows = [
            {
                "_id": new_id("whd"), "state": PLANNED, "due_at": now, "failures": 0, "attempts": 0, "fence": 0,
                "lease": None, "tries": [], "created_at": now, **post,
            }
            for post in posts
        ]  # fmt: skip
        known = await inserted_apart_from_duplicates(self._rows, rows)
        return [row for place, row in enumerate(rows) if place not in known]

    async def oldest_due(self) -> datetime | None:
        """When the post that waits longest is due; None when none waits."""
        hosts = await self._rows.distinct("host", {"state": PLANNED})
        heads = [
            await self._rows.find_one({"state": PLANNED, "host": host}, {"due_at": 1}, sort=[("due_at", ASCENDING)])
            for host in hosts
        ]
        return min((row["due_at"] for row in heads if row is not None), default=None)

    async def write(self, row: Document, body: str) -> bool:
        """What every try will say; False when the post is no longer ours."""
        return await self.duties.settle([settled(row, {"$set": {"body": body}})]) == 1

    async def put_off(self, row: Document, until: datetime, said: Mapping[str, Any]) -> bool:
        """It failed and is tried again then; False when it is no longer ours."""
        change = {
            "$set": {"due_at": until, "attempts": 0}, "$inc": {"failures": 1}, "$unset": {"lease": ""},
            "$push": _tried(said),
        }  # fmt: skip
        return await self.duties.settle([settled(row, change)]) == 1

    async def settle(self, row: Document, state: str, said: Mapping[str, Any], *, tried: bool = True) -> bool:
        """The end of it; `tried`: `said` is what came of a try. False when it is no longer ours."""
        change: Document = {
            "$set": {"state": state, "settled_at": self._clock(), "said": dict(said), "attempts": 0},
            "$unset": {"lease": "", "due_at": ""},
        }
        if tried:
            change["$push"] = _tried(said)
        return await self.duties.settle([settled(row, change)]) == 1

    async def get(self, endpoint_id: str, post_id: str) -> Document | None:
        """One post of this endpoint."""
        return await self._rows.find_one({"_id": post_id, "endpoint_id": endpoint_id})

    async def page(
        self, endpoint_id: str, *, since: datetime | None = None, state: str | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Without those that were not for it; the newest first. Raises `WrongInput` for a foreign cursor."""
        wanted: Document = {"endpoint_id": endpoint_id, "state": state or {"$in": [PLANNED, DONE, FAILED]}}
        if since is not None:
            wanted["created_at"] = {"$gte": since}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def again(self, endpoint_id: str, post_id: str, *, anew: bool) -> Document | None:
        """Due at once, with all retries before it; `anew`: in new words. None when it is not there."""
        wanted = {"_id": post_id, "endpoint_id": endpoint_id, "state": {"$in": [PLANNED, DONE, FAILED]}}
        change = self._due_anew(anew)
        return await self._rows.find_one_and_update(wanted, change, return_document=ReturnDocument.AFTER)

    async def all_again(self, endpoint_id: str, since: datetime | None, scoped_at: datetime | None) -> int:
        """The same for every post that failed, tests left out (`since`: was planned then or later), in new words for
        those planned before `scoped_at`; how many."""
        wanted: Document = {"endpoint_id": endpoint_id, "state": FAILED, "test": {"$exists": False}}
        at: Document = {"$gte": since} if since is not None else {}
        parts: list[tuple[Document, bool]] = [(at, False)]
        if scoped_at is not None:
            parts = [({**at, "$lt": scoped_at}, True), ({"$gte": max(since, scoped_at) if since else scoped_at}, False)]
        count = 0
        for part, anew in parts:
            those = {**wanted, "created_at": part} if part else wanted
            count += (await self._rows.update_many(those, self._due_anew(anew), hint="log_by_state")).modified_count
        return count

    async def write_anew(self, endpoint_id: str) -> None:
        """What is still to go there is written once more: it may say what is not for it any more."""
        wanted = {"endpoint_id": endpoint_id, "state": PLANNED}
        await self._rows.update_many(wanted, {"$unset": {"body": ""}}, hint="log_by_state")

    async def move(self, endpoint_id: str, host: str) -> None:
        """What is still to go there goes to another host now."""
        wanted = {"endpoint_id": endpoint_id, "state": PLANNED}
        await self._rows.update_many(wanted, {"$set": {"host": host}}, hint="log_by_state")

    async def failed(self, endpoint_id: str) -> int:
        """How many posts failed for good, tests left out; counted up to 10,000."""
        wanted = {"endpoint_id": endpoint_id, "state": FAILED, "test": {"$exists": False}}
        return await self._rows.count_documents(wanted, limit=10_000)

    def _due_anew(self, anew: bool) -> Document:
        gone = ("settled_at", "said", "lease", *(("body",) if anew else ()))
        return {
            "$set": {"state": PLANNED, "due_at": self._clock(), "failures": 0, "attempts": 0},
            "$unset": dict.fromkeys(gone, ""),
        }


def _tried(said: Mapping[str, Any]) -> Document:
    return {"tries": {"$each": [dict(said)], "$slice": -TRIES_SHOWN}}
