"""The runs: where each person is in each journey, and the log of how they got there.

A run is a duty (`base.duty`): whoever claimed it names the lease in every later write. A step without effects is one
fenced write; its log lines ride along as `tail` and are added to the log after it, by the next claim if need be (of a
run that is over they then stay in the row, and who reads the log reads them too). A step with effects is written in
three moves, and a crash between any two of them repeats only what is harmless:

1. `write`: the new place, the log lines and the effects still to be carried out (`todo`), in one fenced write;
2. the effects are carried out and the lines kept, each under a unique key;
3. `finish`: `todo` is cleared, and the run is given its due time, or its end.

Until 3 the run stays leased, so it is due again within the lease; a claim that finds `todo` starts at 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.duty import DutyBook, settled
from base.mongo import (
    BY_ID,
    Database,
    Document,
    Indexes,
    UpdateOne,
    changed_in_parts,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, newest_first
from campaigns.conditions import ANY_EVENT
from campaigns.gates import RunBrief
from campaigns.run import LogLine, RunState, Wait
from campaigns.wallclock import LAST_INSTANT

#: States of a run that is not over. `held`: its journey is paused.
LIVE = ("waiting", "held")
LEASE_S = 30
_DUE = {"due_at": {"$exists": True}}

INDEXES: Indexes = {
    "enrolments": [
        IndexModel([("state", ASCENDING), ("due_at", ASCENDING)], name="due", partialFilterExpression=_DUE),
        IndexModel(
            [("journey_id", ASCENDING), ("profile_id", ASCENDING), ("entry_key", ASCENDING)], name="once", unique=True
        ),
        IndexModel(
            [("profile_id", ASCENDING), ("wake", ASCENDING)],
            name="wakes",
            partialFilterExpression={"wake": {"$exists": True}},
        ),
        IndexModel(
            [("journey_id", ASCENDING), ("state", ASCENDING), ("version", ASCENDING), ("node", ASCENDING)], name="place"
        ),
        IndexModel([("journey_id", ASCENDING), ("_id", DESCENDING)], name="by_journey"),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel(
            [("migrated.id", ASCENDING)], name="migrated", partialFilterExpression={"migrated.id": {"$exists": True}}
        ),
        IndexModel([("behind", ASCENDING)], name="queued", partialFilterExpression={"behind": {"$exists": True}}),
    ],
    "enrolment_log": [
        IndexModel(
            [("journey_id", ASCENDING), ("version", ASCENDING), ("node", ASCENDING), ("outcome", ASCENDING)],
            name="outcomes",
            partialFilterExpression={"outcome": {"$exists": True}},
        ),
    ],
    "journey_counts": [IndexModel([("journey_id", ASCENDING), ("version", ASCENDING)], name="by_journey")],
}


class EnrolmentStore:
    """Reads and writes runs."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = LEASE_S) -> None:
        self._database = database
        self._rows = database.collection("enrolments")
        self._log = database.collection("enrolment_log")
        self._counts = database.collection("journey_counts")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    # -- entering ----------------------------------------------------------------------------------------------

    async def add(self, rows: Sequence[Document]) -> set[int]:
        """Insert new runs; the positions of those whose entry key was taken."""
        return await inserted_apart_from_duplicates(self._rows, rows)

    async def briefs(self, journey_id: str, profile_ids: Iterable[str]) -> dict[str, list[RunBrief]]:
        """Profile → its runs in this journey, all that entry decisions look at."""
        wanted = {"journey_id": journey_id, "profile_id": {"$in": list(profile_ids)}}
        fields = {"profile_id": 1, "entry_key": 1, "cause": 1, "state": 1, "next.end": 1, "started_at": 1,
                  "end.replaced_by": 1, "end.reason": 1}  # fmt: skip
        found: dict[str, list[RunBrief]] = {}
        async for row in self._rows.find(wanted, fields):
            end = row.get("end") or {}
            brief = RunBrief(row["_id"], row["entry_key"], row["cause"], is_live(row), row["started_at"],
                             end.get("replaced_by"), end.get("reason") == "loop")  # fmt: skip
            found.setdefault(row["profile_id"], []).append(brief)
        return found

    async def latest_chains(self, journey_id: str, profile_ids: Iterable[str]) -> dict[str, Document]:
        """Profile → `{chain?}` of its last run in this journey that did anything."""
        wanted = {"journey_id": journey_id, "profile_id": {"$in": list(profile_ids)}, "end.reason": {"$ne": "loop"}}
        found = self._rows.find(wanted, {"profile_id": 1, "chain": 1}, hint="once").sort("_id", ASCENDING)
        return {row["profile_id"]: row for row in await whole(found)}

    # -- walking -----------------------------------------------------------------------------------------------

    async def claim(self, limit: int) -> list[Document]:
        """Lease due runs, the most overdue first."""
        return await self.duties.claim(("waiting",), self._clock(), limit=limit)

    async def write(self, changes: Sequence[UpdateOne], rows: Sequence[Document]) -> set[str]:
        """Carry out fenced changes of claimed `rows` (one each); the ids that were still ours."""
        if not changes:
            return set()
        if await self.duties.settle(changes) == len(changes):
            return {row["_id"] for row in rows}
        kept = {"_id": {"$in": [row["_id"] for row in rows]}, "written": rows[0]["lease"]}
        return {row["_id"] async for row in self._rows.find(kept, {"_id": 1}).hint(BY_ID)}

    async def finish(self, ids: Sequence[str], lease: str) -> None:
        """Nothing is left to do for these runs: give them the due time or the end that `next` holds."""
        if not ids:
            return
        over = {"$ne": [{"$ifNull": ["$next.end", None]}, None]}
        steps: list[Mapping[str, Any]] = [
            {
                "$set": {
                    "state": {"$cond": [over, "$next.state", "$state"]},
                    "end": {"$cond": [over, "$next.end", "$$REMOVE"]},
                    "due_at": {"$cond": [over, "$$REMOVE", "$next.due_at"]},
                    "wake": {"$cond": [over, "$$REMOVE", {"$ifNull": ["$wake", "$$REMOVE"]}]},
                    "wait": {"$cond": [over, None, "$wait"]},
                    "attempts": 0,
                }
            },
            {"$unset": ["todo", "next", "lease", "written"]},
        ]
        ours = {"_id": {"$in": list(ids)}, "lease": lease, "next": {"$exists": True}}
        await self._rows.update_many(ours, steps, hint=BY_ID)

    async def keep_lines(self, rows: Sequence[Document]) -> list[Document]:
        """Add log rows; those that were new. A row's id is (run, rev), so none stands there twice."""
        taken = await inserted_apart_from_duplicates(self._log, rows)
        return [row for place, row in enumerate(rows) if place not in taken]

    async def keep_tails(self, rows: Sequence[Document]) -> list[Document]:
        """Add the lines of claimed rows whose last writer died before it came to that; those that were new."""
        lasts = {row["tail"][-1]["_id"]: row for row in rows if row.get("tail")}
        if not lasts:
            return []
        kept = {line["_id"] async for line in self._log.find({"_id": {"$in": list(lasts)}}, {"_id": 1})}
        missing = [line for line_id, row in lasts.items() if line_id not in kept for line in row["tail"]]
        return await self.keep_lines(missing) if missing else []

    async def poke(self, changes: Sequence[tuple[Document, datetime]]) -> int:
        """(condition of ours, when): make live runs due. Their lease ends, so that nobody writes from older facts."""
        if not changes:
            return 0
        updates = [
            UpdateOne({"state": {"$in": list(LIVE)}, **wanted}, {"$min": {"due_at": at}, "$unset": {"lease": ""}})
            for wanted, at in changes
        ]
        return (await self._rows.bulk_write(updates, ordered=False)).matched_count

    async def wake(self, by_name: Mapping[str, Iterable[str]], at: datetime) -> int:
        """Event name → profiles: make due every run of theirs that such an event concerns; how many."""
        woken = 0
        for name, profile_ids in by_name.items():
            wanted = {
                "profile_id": {"$in": list(profile_ids)},
                "wake": {"$in": [name, ANY_EVENT]},
                "state": {"$in": list(LIVE)},
            }
            change = {"$min": {"due_at": at}, "$unset": {"lease": ""}}
            woken += (await self._rows.update_many(wanted, change, hint="wakes")).matched_count
        return woken

    async def wake_queued(self, ended: Sequence[str], at: datetime) -> None:
        """Runs that stood behind these may begin."""
        if ended:
            wanted = {"behind": {"$in": list(ended)}, "state": {"$in": list(LIVE)}}
            await self._rows.update_many(wanted, {"$min": {"due_at": at}, "$unset": {"lease": ""}})

    async def hold(self, rows: Sequence[Document]) -> None:
        """Their journey turned out to be paused: wait. They were due when they were claimed, and stay so."""
        now = self._clock()
        changes = [
            settled(row, {"$set": {"state": "held", "due_at": now, "attempts": 0}, "$unset": {"lease": ""}})
            for row in rows
        ]
        await self.duties.settle(changes)

    # -- pausing -----------------------------------------------------------------------------------------------

    async def hold_all(self, journey_id: str) -> int:
        """Hold every waiting run of a journey; due times stay. May run twice."""
        wanted = {"journey_id": journey_id, "state": "waiting"}
        return await changed_in_parts(self._rows, wanted, {"$set": {"state": "held"}}, hint="place")

    async def release(
        self, journey_id: str, now: datetime, *, at: datetime, shift_ms: int = 0, stale_before: datetime | None = None
    ) -> int:
        """Let held runs go on; `at`: when the pause ended. `shift_ms`, its length, moves the wait of each run by as
        much of it as the run has stood there; runs due before `stale_before` pass over their next send.

        May run twice: a run is changed in the same write that lets it go.
        """
        change: Document = {"state": "waiting"}
        if shift_ms:
            stood = {"$max": [0, {"$dateDiff": {"startDate": "$entered_at", "endDate": at, "unit": "millisecond"}}]}
            shift = {"$min": [shift_ms, stood]}
            moved = {"$dateAdd": {"startDate": "$due_at", "unit": "millisecond", "amount": shift}}
            # Due before its wait is over: it has just come in, or something happened that it has to look at.
            called = {"$lt": ["$due_at", {"$ifNull": ["$wait.until", LAST_INSTANT]}]}
            change["due_at"] = {"$cond": [called, now, moved]}
            change["shift_ms"] = {"$add": [{"$ifNull": ["$shift_ms", 0]}, shift]}
        if stale_before is not None:
            # Who is called before the wait is over is not late, however long ago that was.
            called = {"$lt": ["$due_at", {"$ifNull": ["$wait.until", "$due_at"]}]}
            late = {"$and": [{"$lt": ["$due_at", stale_before]}, {"$not": [called]}]}
            change["skip_next"] = {"$or": [{"$ifNull": ["$skip_next", False]}, late]}
        wanted = {"journey_id": journey_id, "state": "held"}
        return await changed_in_parts(self._rows, wanted, [{"$set": change}], hint="place")

    async def hurry(self, journey_id: str, now: datetime) -> int:
        """Make every live run of a journey due: it has been archived, and each of them ends."""
        wanted = {"journey_id": journey_id, "state": {"$in": list(LIVE)}}
        change = {"$set": {"state": "waiting"}, "$min": {"due_at": now}, "$unset": {"lease": ""}}
        return await changed_in_parts(self._rows, wanted, change, hint="place")

    async def overdue(self, journey_id: str, now: datetime, *, cap: int = 10_000) -> int:
        """Held runs whose time has come, counted no further than `cap`."""
        wanted = {"journey_id": journey_id, "state": "held", "due_at": {"$lte": now}}
        return await self._rows.count_documents(wanted, limit=cap)

    # -- ending from outside -----------------------------------------------------------------------------------

    async def end_now(
        self, run_id: str, reason: str, now: datetime, *, replaced_by: str | None = None, by: str | None = None
    ) -> Document | None:
        """End a live run in one write, whoever works on it; the row as it is now, None when it was over.

        `replaced_by`: the cause that begins it anew; `by`: the person who ended it.
        """
        change: list[Mapping[str, Any]] = [
            {
                "$set": {
                    "state": "ended",
                    "end": {
                        "reason": reason,
                        "at": now,
                        "by": by,
                        "replaced_by": replaced_by,
                        "lines": {"$concatArrays": [{"$ifNull": ["$tail", []]}, {"$ifNull": ["$todo.lines", []]}]},
                    },
                    "rev": {"$add": ["$rev", 1]},
                    "wait": None,
                    "updated_at": now,
                }
            },
            {"$unset": ["lease", "due_at", "wake", "todo", "tail", "next", "written"]},
        ]
        row: Document | None = await self._rows.find_one_and_update(
            {"_id": run_id, "state": {"$in": list(LIVE)}, "next.end": None},
            change,
            return_document=ReturnDocument.AFTER,
        )
        if row is not None:
            line = LogLine(row["node"], row["visit"], f"end.{reason}", {"by": by} if by else {})
            await self.keep_lines([*row["end"]["lines"], line_row(row, row["rev"], line, now)])
            await self.wake_queued([run_id], now)
        return row

    async def revive(self, run_id: str, now: datetime) -> bool:
        """Try a run again that was set aside as poison."""
        back = {"$set": {"state": "waiting", "due_at": now, "attempts": 0}, "$unset": {"end": ""}}
        return (await self._rows.update_one({"_id": run_id, "state": "dead"}, back)).modified_count == 1

    # -- reading -----------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Document | None:
        """One run."""
        return await self._rows.find_one({"_id": run_id})

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Runs by id."""
        return {row["_id"]: row for row in await whole(self._rows.find({"_id": {"$in": list(set(ids))}}))}

    async def live_ids(self, ids: Iterable[str]) -> set[str]:
        """Those that are not over."""
        found = self._rows.find({"_id": {"$in": list(set(ids))}}, {"state": 1, "next.end": 1})
        return {row["_id"] async for row in found if is_live(row)}

    async def page(
        self, *, journey_id: str | None = None, profile_id: str | None = None, state: str | None = None,
        node: str | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Runs, newest first."""
        wanted: Document = {"journey_id": journey_id, "profile_id": profile_id, "state": state, "node": node}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def left(
        self, journey_id: str, node: str, outcome: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Log rows of runs that left a step with this outcome, of any version, newest first."""
        versions = await self._log.distinct("version", {"journey_id": journey_id, "outcome": {"$exists": True}})
        wanted: Document = {
            "journey_id": journey_id, "version": {"$in": versions}, "node": node, "outcome": outcome,
        }  # fmt: skip
        return await newest_first(self._log, wanted, limit, cursor)

    async def log_of(self, run_id: str, limit: int = 500) -> list[Document]:
        """The log of a run, in order. The id of a line begins with that of its run."""
        wanted = {"_id": {"$gt": f"{run_id}:", "$lt": f"{run_id};"}}
        return await self._log.find(wanted).sort("_id", ASCENDING).limit(limit).to_list(None)

    # -- counting ----------------------------------------------------------------------------------------------

    async def places(self, journey_id: str) -> list[Document]:
        """`{version, state, node, n}` of every place where somebody is or ended, at one moment. The index alone."""
        steps: list[Mapping[str, Any]] = [
            {"$match": {"journey_id": journey_id}},
            {"$group": {"_id": {"version": "$version", "state": "$state", "node": "$node"}, "n": {"$sum": 1}}},
        ]
        rows = await self._database.aggregate(self._rows, steps, hint="place", at_one_moment=True)
        return [{**row["_id"], "n": row["n"]} for row in rows]

    async def count_up(self, lines: Sequence[Document]) -> None:
        """Count new log rows with an outcome. Lost by a crash at this very moment; `recount` mends it."""
        sums: dict[tuple[str, int, str, str], int] = {}
        for line in lines:
            if line.get("outcome"):
                key = (line["journey_id"], line["version"], line["node"], line["outcome"])
                sums[key] = sums.get(key, 0) + 1
        updates = [
            UpdateOne(
                {"_id": f"{journey_id}:{version}:{node}"},
                {
                    "$inc": {outcome: count},
                    "$setOnInsert": {"journey_id": journey_id, "version": version, "node": node},
                },
                upsert=True,
            )
            for (journey_id, version, node, outcome), count in sums.items()
        ]
        if updates:
            await self._counts.bulk_write(updates, ordered=False)

    async def counts(self, journey_id: str) -> list[Document]:
        """`{version, node, passed, skipped, failed}` of every step somebody has left."""
        return await self._counts.find({"journey_id": journey_id}).to_list(None)

    async def recount(self, journey_id: str) -> None:
        """Write the counters anew from the log. Reads the index alone."""
        steps: list[Mapping[str, Any]] = [
            {"$match": {"journey_id": journey_id, "outcome": {"$exists": True}}},
            {
                "$group": {
                    "_id": {"version": "$version", "node": "$node", "outcome": "$outcome"},
                    "n": {"$sum": 1},
                }
            },
        ]
        sums: dict[tuple[int, str], Document] = {}
        for row in await self._database.aggregate(self._log, steps, hint="outcomes"):
            place = row["_id"]
            sums.setdefault((place["version"], place["node"]), {})[place["outcome"]] = row["n"]
        updates = [
            UpdateOne(
                {"_id": f"{journey_id}:{version}:{node}"},
                {"$set": {"journey_id": journey_id, "version": version, "node": node, **found}},
                upsert=True,
            )
            for (version, node), found in sums.items()
        ]
        if updates:
            await self._counts.bulk_write(updates, ordered=False)

    async def oldest_due(self, now: datetime) -> datetime | None:
        """Since when the most overdue run waits; for alarms."""
        return await self.duties.next_due(("waiting",))


def is_live(row: Mapping[str, Any]) -> bool:
    """Not over, and not about to be."""
    return row["state"] in LIVE and not (row.get("next") or {}).get("end")


def new_row(run: RunState, **more: Any) -> Document:
    """A run as inserted. `more`: version, entry_key, cause, wake, started_at …"""
    row = {
        "_id": run.id, "journey_id": run.journey_id, "profile_id": run.profile_id, "state": "waiting", "rev": 0,
        "lease": None, "fence": 0, "attempts": 0, "since": run.since, "end": None, **place_of(run), **more,
    }  # fmt: skip
    return {name: value for name, value in row.items() if not (name == "wake" and not value)}


def stopped_row(run: RunState, reason: str, params: Mapping[str, Any], now: datetime, **more: Any) -> Document:
    """A run that is over before its first step, kept so that somebody can see why."""
    apart = ("due_at", "wake", "behind")
    row = new_row(replace(run, wait=None), **{name: value for name, value in more.items() if name not in apart})
    line = line_row(row, 1, LogLine(run.node, run.visit, f"end.{reason}", params), now)
    return {**row, "state": "ended", "rev": 1, "end": {"reason": reason, "at": now, **params}, "tail": [line]}


def place_of(run: RunState) -> Document:
    """The part of a row that walking changes."""
    return {
        "node": run.node, "visit": run.visit, "visits": run.visits, "entered_at": run.entered_at,
        "wait": _wait_document(run.wait), "data": run.data, "drawn": run.drawn, "holdout": run.holdout,
        "goal_met": run.goal_met, "skip_next": run.skip_next, "shift_ms": int(run.shift / timedelta(milliseconds=1)),
    }  # fmt: skip


def moved(before: RunState, after: RunState) -> Document:
    """The fields that differ: what a step has to write."""
    if before is after:
        return {}
    old = place_of(before)
    return {name: value for name, value in place_of(after).items() if value is not old[name] and value != old[name]}


def _wait_document(wait: Wait | None) -> Document | None:
    if wait is None:
        return None
    return {
        "kind": wait.kind, "until": wait.until, "tried": list(wait.tried), "ref": wait.ref, "about": dict(wait.about),
    }  # fmt: skip


def run_of(row: Mapping[str, Any]) -> RunState:
    """The row as the engine sees it."""
    wait = row.get("wait")
    return RunState(
        id=row["_id"],
        journey_id=row["journey_id"],
        profile_id=row["profile_id"],
        node=row["node"],
        visit=row["visit"],
        entered_at=row["entered_at"],
        since=row["since"],
        visits=row["visits"],
        wait=Wait(wait["kind"], wait["until"], tuple(wait["tried"]), wait["ref"], wait.get("about") or {})
        if wait
        else None,
        data=row["data"],
        drawn=row.get("drawn", True),  # runs of before are counted as they were
        holdout=row["holdout"],
        goal_met=row["goal_met"],
        skip_next=row["skip_next"],
        shift=timedelta(milliseconds=row["shift_ms"]),
    )


def _wait_of(kept: Mapping[str, Any]) -> Wait:
    return Wait(kept["kind"], kept["until"], tuple(kept["tried"]), kept["ref"], kept.get("about") or {})


def line_row(row: Mapping[str, Any], rev: int, line: LogLine, at: datetime) -> Document:
    """A log row. Rows without an outcome are not in the index of outcomes."""
    kept = {
        "_id": f"{row['_id']}:{rev:06d}", "enrolment_id": row["_id"], "journey_id": row["journey_id"],
        "version": row["version"], "profile_id": row["profile_id"], "rev": rev, "node": line.node,
        "visit": line.visit, "code": line.code, "params": dict(line.params), "at": at,
    }  # fmt: skip
    return {**kept, "outcome": line.outcome} if line.outcome else kept
