"""Runs of rules as rows: one per event (or time that has come), a duty until all rules were asked; then the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index, settled
from base.ids import id_before, new_id
from base.mongo import Database, Document, Indexes, Session, inserted_apart_from_duplicates
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.store.belongings import Belongings

#: How long a run is kept in which nothing fitted, and one in which something was done.
IDLE_KEPT, KEPT = timedelta(days=7), timedelta(days=60)
LEASE_S = 30

INDEXES: Indexes = {
    "rule_runs": [
        due_index(),
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("lane", ASCENDING), ("_id", ASCENDING)], name="lane",
                   partialFilterExpression={"state": "due"}),
        IndexModel([("results.rule_id", ASCENDING), ("_id", DESCENDING)], name="by_rule"),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel([("expires_at", ASCENDING)], name="expires", expireAfterSeconds=0),
    ]
}  # fmt: skip


class RunStore:
    """Rows are `{_id: arr_, key, state: due|done|dead, due_at, lease?, fence, attempts, event, event_id?, rule_id?,
    conversation_id?, profile_id, channel_id?, lane, chain, at, results, expires_at}`. `lane`: what is worked at one
    after the other; `rule_id`: only this one is asked; `chain`: the rules of each run that led to it; `results`:
    `[{rule_id, rev, name, outcome, at, verdicts?, steps: [{type, why, sentence, about}]}]`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("rule_runs")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)
        self.belongings = Belongings("rule_runs", self._rows, "arr", by_identity="never")

    async def plan(self, runs: Sequence[Mapping[str, Any]]) -> int:
        """Keep those whose `key` is new; how many."""
        now = self._clock()
        rows = [
            {
                "_id": new_id("arr"), "state": "due", "due_at": now, "attempts": 0, "fence": 0, "at": now, "chain": [],
                "results": [], "expires_at": now + IDLE_KEPT, **run,
            }
            for run in runs
        ]  # fmt: skip
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def is_first(self, row: Document) -> bool:
        """Whether nothing that came before it in its lane is still to be done."""
        before = {"lane": row["lane"], "state": "due", "_id": {"$lt": row["_id"]}}
        return await self._rows.find_one(before, {"_id": 1}, hint="lane") is None

    async def put_off(self, row: Document, until: datetime) -> bool:
        """Its turn comes later; False when it is no longer ours."""
        change = {"$set": {"due_at": until, "attempts": 0}, "$unset": {"lease": ""}}
        return await self.duties.settle([settled(row, change)]) == 1

    async def note(self, row: Document, change: Mapping[str, Any], session: Session | None = None) -> bool:
        """Write down how far it is; False when it is no longer ours."""
        wanted = {"_id": row["_id"], "lease": row["lease"], "state": "due"}
        return (await self._rows.update_one(wanted, dict(change), session=session)).matched_count == 1

    async def close(self, row: Document, state: str, *, did: bool) -> bool:
        """All rules were asked, or (`dead`) nobody could ask them."""
        kept = row["at"] + (KEPT if did else IDLE_KEPT)
        change = {"$set": {"state": state, "expires_at": kept}, "$unset": {"lease": "", "due_at": ""}}
        return await self.note(row, change)

    async def latest_of(self, rule_id: str, profile_id: str) -> Document | None:
        """The last run in which this rule did something about this person."""
        acted = {"rule_id": rule_id, "outcome": {"$in": ["acting", "fitted"]}}
        wanted = {"profile_id": profile_id, "results": {"$elemMatch": acted}}
        fields = {"chain": 1, "results.rule_id": 1, "results.outcome": 1}
        return await self._rows.find_one(wanted, fields, sort=[("_id", DESCENDING)], hint="by_profile")

    async def answers_since(self, rule_id: str, row: Document, since: datetime) -> int:
        """How often this rule has answered in the lane of a run since then."""
        step = {"steps": {"$elemMatch": {"type": "reply", "why": ""}}}
        wanted = {
            "profile_id": row["profile_id"], "_id": {"$gt": id_before("arr", since)}, "lane": row["lane"],
            "results": {"$elemMatch": {"rule_id": rule_id, **step}},
        }  # fmt: skip
        return await self._rows.count_documents(wanted, hint="by_profile", limit=100)

    async def page(
        self, rule_id: str, *, channels: Sequence[str] | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Runs in which a rule was asked, the latest first. `channels`: what the asking person may see."""
        wanted: Document = {"results.rule_id": rule_id}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        if cursor is not None:
            wanted["_id"] = {"$lt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = self._rows.find(wanted).sort("_id", DESCENDING).limit(size + 1).hint("by_rule")
        rows, more = cut(await found.to_list(None), size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)

    async def get(self, run_id: str) -> Document | None:
        """One of them."""
        return await self._rows.find_one({"_id": run_id})

    async def oldest_due(self) -> datetime | None:
        """Since when the oldest duty waits."""
        return await self.duties.next_due(["due"])
