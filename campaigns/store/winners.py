"""Which arm of a split has won: one row per split, written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from base.mongo import BY_ID, Database, Document, DuplicateKeyError, Indexes

INDEXES: Indexes = {"split_winners": []}


class WinnerStore:
    """Reads and writes decisions. Rows: `{_id, journey_id, node, arm: name | None, why, measured, decided_at}`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("split_winners")
        self._log = database.collection("enrolment_log")
        self._runs = database.collection("enrolments")

    async def decided(self, ids: Iterable[str]) -> dict[str, Document]:
        """Decisions by id."""
        return {row["_id"]: row async for row in self._rows.find({"_id": {"$in": list(set(ids))}})}

    async def decide(self, row: Mapping[str, Any]) -> bool:
        """Keep a decision; False when there is one."""
        try:
            await self._rows.insert_one(dict(row))
        except DuplicateKeyError:
            return False
        return True

    async def arms(self, journey_id: str, node: str) -> list[Document]:
        """`{arm, n, first_at}` of every arm somebody was shared out to, of any version."""
        steps: list[Mapping[str, Any]] = [
            {"$match": await self._shared_out(journey_id, node)},
            {"$group": {"_id": "$params.arm", "n": {"$sum": 1}, "first_at": {"$min": "$at"}}},
        ]
        found = await self._database.aggregate(self._log, steps, hint="outcomes")
        return [{"arm": row["_id"], "n": row["n"], "first_at": row["first_at"]} for row in found]

    async def takers(self, journey_id: str, node: str, after: str, limit: int) -> list[Document]:
        """Log rows `{_id, arm, enrolment_id, profile_id, at}` of those shared out, in the order of their ids."""
        wanted = {**await self._shared_out(journey_id, node), "_id": {"$gt": after}}
        fields = {"params.arm": 1, "enrolment_id": 1, "profile_id": 1, "at": 1}
        rows = await self._log.find(wanted, fields).sort("_id", 1).limit(limit).to_list(None)
        return [{**row, "arm": row["params"]["arm"]} for row in rows]

    async def reached_goal(self, run_ids: Sequence[str]) -> set[str]:
        """Those of these runs that met their goal."""
        wanted = {"_id": {"$in": list(run_ids)}, "$or": [{"goal_met": True}, {"end.reason": "goal"}]}
        return {row["_id"] async for row in self._runs.find(wanted, {"_id": 1}).hint(BY_ID)}

    async def _shared_out(self, journey_id: str, node: str) -> Document:
        versions = await self._log.distinct("version", {"journey_id": journey_id, "outcome": {"$exists": True}})
        return {
            "journey_id": journey_id, "version": {"$in": versions}, "node": node, "outcome": "passed",
            "code": "split.arm",
        }  # fmt: skip


def decision(
    decision_id: str, journey_id: str, node: str, arm: str | None, why: str, measured: Sequence[Mapping[str, Any]],
    at: datetime,
) -> Document:  # fmt: skip
    """A row of it."""
    return {
        "_id": decision_id, "journey_id": journey_id, "node": node, "arm": arm, "why": why,
        "measured": [dict(each) for each in measured], "decided_at": at,
    }  # fmt: skip
