"""Which conversation a timed rule looks at when, and which conversations are to be reckoned anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import Database, DeleteOne, Document, Indexes, UpdateOne, whole

#: Conversations that are made due in one write.
STRETCH = 500
INDEXES: Indexes = {
    "rule_looks": [due_index()],
    "rule_timers": [
        due_index(),
        IndexModel([("conversation_id", ASCENDING)], name="by_conversation"),
        IndexModel([("rule_id", ASCENDING)], name="by_rule"),
    ],
}


class TimerStore:
    """`rule_looks` `{_id: cnv_, state: "due", due_at, lease?, fence, attempts}`: something has happened there.
    `rule_timers` `{_id: "<rule>:<conversation>", rule_id, conversation_id, since, state: due|done, due_at, lease?,
    fence, attempts}`: since when what the rule waits for stands there, and when it has stood long enough; `done`: the
    rule was asked about it, or it was over before the rule began to hold."""

    def __init__(self, database: Database) -> None:
        self._looks = database.collection("rule_looks")
        self._timers = database.collection("rule_timers")
        self.looks = DutyBook(self._looks)
        self.timers = DutyBook(self._timers)

    async def look(self, conversation_ids: Iterable[str], at: datetime) -> None:
        """Reckon these anew."""
        fresh: Document = {"$set": {"state": "due", "due_at": at, "attempts": 0}, "$unset": {"lease": ""}}
        changes = [UpdateOne({"_id": each}, fresh, upsert=True) for each in sorted(set(conversation_ids))]
        if changes:
            await self._looks.bulk_write(changes, ordered=False)

    async def look_again(self, rule_id: str, at: datetime) -> None:
        """Reckon all anew in which this rule waits."""
        waiting = self._timers.find({"rule_id": rule_id, "state": "due"}, {"conversation_id": 1}).hint("by_rule")
        found: list[str] = []
        async for row in waiting:
            found.append(row["conversation_id"])
            if len(found) == STRETCH:
                await self.look(found, at)
                found = []
        await self.look(found, at)

    async def looked(self, rows: Sequence[Document]) -> None:
        """They are reckoned; what has happened meanwhile is another look."""
        changes = [DeleteOne({"_id": row["_id"], "lease": row["lease"]}) for row in rows]
        if changes:
            await self._looks.bulk_write(changes, ordered=False)

    async def of(self, conversation_ids: Sequence[str]) -> dict[str, Document]:
        """Timers of these conversations, by id."""
        found = await whole(self._timers.find({"conversation_id": {"$in": list(conversation_ids)}}))
        return {row["_id"]: row for row in found}

    async def set(self, timers: Sequence[Mapping[str, Any]], gone: Iterable[str]) -> None:
        """Wait for these from now on, and for those no more."""
        changes: list[UpdateOne | DeleteOne] = [DeleteOne({"_id": each}) for each in gone]
        changes += [
            UpdateOne({"_id": each["_id"]}, {"$set": {**each, "attempts": 0}, "$unset": {"lease": ""}}, upsert=True)
            for each in timers
        ]
        if changes:
            await self._timers.bulk_write(changes, ordered=False)

    async def settle(self, row: Document, state: str, due_at: datetime | None = None) -> bool:
        """The rule was asked (`done`), or its time comes later; False when it is no longer ours."""
        change: Document = {"$set": {"state": state, "attempts": 0}, "$unset": {"lease": ""}}
        if due_at is not None:
            change["$set"]["due_at"] = due_at
        return await self.timers.settle([settled(row, change)]) == 1

    async def drop(self, row: Document) -> None:
        """There is nothing to wait for, unless somebody has set it anew."""
        await self._timers.delete_one({"_id": row["_id"], "lease": row["lease"]})

    async def forget(self, rule_id: str) -> None:
        """A rule is gone."""
        await self._timers.delete_many({"rule_id": rule_id})
