"""Rows of the team: second factors, and what holds for everybody who works here.

Secrets of factors are sealed by who hands them in; of recovery codes only the fingerprint is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.ids import id_before
from base.mongo import ASCENDING, DESCENDING, WAIT_MS, Database, Document, Indexes, IndexModel
from base.pages import Page, newest_first
from profiles.holdings import Traces, shown
from webhooks.journal import GroupCommit

INDEXES: Indexes = {
    "audit": [
        IndexModel([("by", ASCENDING), ("_id", DESCENDING)], name="by"),
        IndexModel([("about", ASCENDING), ("_id", DESCENDING)], name="about"),
        IndexModel([("kind", ASCENDING), ("_id", DESCENDING)], name="kind"),
        IndexModel([("profile_ids", ASCENDING)], name="people", sparse=True),
    ]
}
RULES = "team"


@dataclass(frozen=True)
class Factor:
    """What is kept of somebody's second factor. `secret` None: not confirmed yet."""

    user_id: str
    secret: str | None
    #: Sealed; shown until it is confirmed.
    next_secret: str | None
    last_step: int
    codes_left: int
    since: datetime | None


class FactorStore:
    """One row for each person who has a second factor or is about to."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("factors")
        self._clock = clock

    async def of(self, user_id: str) -> Factor | None:
        """The factor of a person; None without a row."""
        row = await self._rows.find_one({"_id": user_id})
        if row is None:
            return None
        return Factor(
            row["_id"], row.get("secret"), row.get("next_secret"), row.get("last_step", 0), len(row.get("codes", ())),
            row.get("since"),
        )  # fmt: skip

    async def holders(self) -> frozenset[str]:
        """Everybody who has a confirmed one."""
        return frozenset([row["_id"] async for row in self._rows.find({"secret": {"$ne": None}}, {"_id": 1})])

    async def propose(self, user_id: str, sealed: str) -> None:
        """Keep a secret that is yet to be confirmed, beside the one that holds; the first of several stays."""
        held = {"$ifNull": ["$next_secret", sealed]}
        await self._rows.update_one({"_id": user_id}, [{"$set": {"next_secret": held}}], upsert=True)

    async def drop_proposal(self, user_id: str) -> None:
        """Forget it. Who has no other one has no row any more."""
        await self._rows.delete_one({"_id": user_id, "secret": None})
        await self._rows.update_one({"_id": user_id}, {"$unset": {"next_secret": ""}})

    async def confirm(self, user_id: str, sealed: str, step: int, prints: Sequence[str]) -> bool:
        """The proposed secret holds from now on; False when it is another one or already does."""
        change: Document = {
            "$set": {"secret": sealed, "last_step": step, "codes": list(prints), "since": self._clock()},
            "$unset": {"next_secret": ""},
        }
        result = await self._rows.update_one({"_id": user_id, "next_secret": sealed}, change)
        return bool(result.modified_count)

    async def spend_step(self, user_id: str, step: int) -> bool:
        """Use up all steps up to this one; False when it was: of two who come at once only one gets True."""
        wanted = {"_id": user_id, "last_step": {"$lt": step}}
        return bool((await self._rows.update_one(wanted, {"$set": {"last_step": step}})).modified_count)

    async def spend_code(self, user_id: str, code_print: str) -> bool:
        """Use up a recovery code; False when there is no such one."""
        wanted = {"_id": user_id, "codes": code_print}
        return bool((await self._rows.update_one(wanted, {"$pull": {"codes": code_print}})).modified_count)

    async def replace_codes(self, user_id: str, prints: Sequence[str]) -> None:
        """New recovery codes; the former ones are void."""
        await self._rows.update_one({"_id": user_id}, {"$set": {"codes": list(prints)}})

    async def remove(self, user_id: str) -> bool:
        """Forget the factor; False without one."""
        return bool((await self._rows.delete_one({"_id": user_id})).deleted_count)


class RuleStore:
    """The one row of what holds for all colleagues."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("team_rules")

    async def rules(self) -> Document:
        """What was chosen; empty before anybody chose."""
        return await self._rows.find_one({"_id": RULES}) or {}

    async def choose(self, change: Mapping[str, Any]) -> None:
        """Replace these parts."""
        await self._rows.update_one({"_id": RULES}, {"$set": dict(change)}, upsert=True)


class AuditStore:
    """Rows that are only added. Many requests at once share one write."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("audit")
        self._group = GroupCommit(self._rows)

    async def add(self, row: Document) -> None:
        """Keep a row; returning means that a majority has it."""
        await self._group.insert(row)

    async def page(
        self, wanted: Mapping[str, Any], *, since: datetime | None, until: datetime | None, limit: int | None,
        cursor: str | None,
    ) -> Page[Document]:  # fmt: skip
        """Newest first. Ids sort by time, so a time is a place among them."""
        times = {"$gte": id_before("aud", since) if since else None, "$lt": id_before("aud", until) if until else None}
        bounds = [{"_id": {sign: value}} for sign, value in times.items() if value is not None]
        return await newest_first(self._rows, {**wanted, **({"$and": bounds} if bounds else {})}, limit, cursor)


class AuditRoom:
    """What was done and seen about a person, as `profiles.holdings.Room`. The rows stay: they are about colleagues,
    and forget the customer."""

    name = "audit"
    read_whole = False

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("audit")

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """When something was done or looked at, and what; not by whom."""
        told = {"at": 1, "kind": 1, "what": 1}
        async for row in self._rows.find(_of(traces), told).sort("_id", ASCENDING):
            yield shown(row)

    async def count(self, traces: Traces) -> int:
        """How many rows."""
        return await self._rows.count_documents(_of(traces), maxTimeMS=WAIT_MS)

    async def erase(self, traces: Traces) -> int:
        """Take the person's ids out."""
        ids = [*traces.profile_ids, *traces.identity_ids]
        change = {"$pullAll": {"profile_ids": ids, "about": ids}}
        return int((await self._rows.update_many(_of(traces), change)).modified_count)


def _of(traces: Traces) -> Document:
    return {"profile_ids": {"$in": list(traces.profile_ids)}}
