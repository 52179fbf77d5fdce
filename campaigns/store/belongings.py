"""Runs follow their person when two turn out to be one: of two in one journey the further one goes on.

All runs go to the survivor, the ended ones too, so that "once" and "not more often than every 30 days" hold for the
one person. A run whose entry key is taken gets the next number of its lane, and its own back when the merge is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from base.clock import Clock
from base.mongo import Database, Document, DuplicateKeyError
from campaigns.run import LogLine
from campaigns.store.enrolments import LIVE, EnrolmentStore, is_live, line_row
from profiles.store.belongings import Belongings, Joining, Parting, marked, unmarked

#: How often a number is looked for again because somebody entered in the same moment.
ROUNDS = 10
#: What a run needs to go on where it stood.
_KEPT = ("due_at", "wake", "wait", "todo", "tail", "next", "written")


class RunBelongings(Belongings):
    """The runs of a person."""

    def __init__(self, database: Database, store: EnrolmentStore, clock: Clock) -> None:
        super().__init__("enrolments", database.collection("enrolments"), "enr", by_identity="never")
        self._store = store
        self._clock = clock

    async def move(self, joining: Joining) -> int:
        """Give them to the survivor; then of those that run side by side in one lane all but the furthest end."""
        moved = 0
        rows = self._rows.find({"profile_id": joining.from_id}, {"journey_id": 1, "entry_key": 1}).sort("_id", 1)
        for row in await rows.to_list(None):
            mark = marked(joining, entry_key=row["entry_key"])
            moved += await self._given(row, joining.from_id, joining.to_id, row["entry_key"], mark)
        for rivals in await self._lanes(joining):
            for row in beaten(rivals):
                await self._end(row, joining.merge_id)
        await self._stir([joining.to_id] if moved else [])
        return moved

    async def bring_back(self, parting: Parting) -> int:
        """Give them back under the entry keys they had; what the merge ended goes on where it stood, and so does what
        a later merge ended beside a run that is now elsewhere."""
        back = 0
        wanted = {"profile_id": parting.from_id, "moved.by": parting.merge_id}
        for row in await self._rows.find(wanted, {"journey_id": 1, "moved": 1}).sort("_id", 1).to_list(None):
            key = next(each["entry_key"] for each in row["moved"] if each["by"] == parting.merge_id)
            back += await self._given(row, parting.from_id, parting.to_id, key, unmarked(parting.merge_id))
        both = {"profile_id": {"$in": [parting.from_id, parting.to_id]}}
        ended = await self._rows.find({**both, "end.merge": {"$gte": parting.merge_id}}).to_list(None)
        for row in (row for row in ended if row["end"]["merge"] == parting.merge_id):
            await self._revive(row)
        for row in await self._without_rival([row for row in ended if row["end"]["merge"] > parting.merge_id]):
            await self._revive(row)
        await self._stir([parting.from_id, parting.to_id] if back else [])
        return back

    async def _stir(self, profile_ids: Sequence[str]) -> None:
        """Runs that wait for something to happen look again: to whom they belong now it may have happened."""
        if profile_ids:
            waiting = {
                "profile_id": {"$in": list(profile_ids)},
                "wake": {"$exists": True},
                "state": {"$in": list(LIVE)},
            }
            change = {"$min": {"due_at": self._clock()}, "$unset": {"lease": ""}}
            await self._rows.update_many(waiting, change)

    async def _given(self, row: Document, from_id: str, to_id: str, entry_key: str, mark: Document) -> int:
        wanted = {"_id": row["_id"], "profile_id": from_id}
        for _ in range(ROUNDS):
            change = {"profile_id": to_id, "entry_key": {"$literal": entry_key}, "moved": mark}
            try:
                return (await self._rows.update_one(wanted, [{"$set": change}])).modified_count
            except DuplicateKeyError:
                entry_key = await self._free_key(row["journey_id"], to_id, entry_key)
        raise DuplicateKeyError("this journey is entered too often just now", 11000)

    async def _free_key(self, journey_id: str, profile_id: str, entry_key: str) -> str:
        lane = lane_of(entry_key)
        taken = self._rows.find({"journey_id": journey_id, "profile_id": profile_id}, {"entry_key": 1})
        numbers = [_number_of(row["entry_key"]) async for row in taken if lane_of(row["entry_key"]) == lane]
        return f"{max(numbers, default=-1) + 1}|{lane}"

    async def _lanes(self, joining: Joining) -> list[list[Document]]:
        """The survivor's live runs by journey and lane, where this merge brought one of several."""
        lanes: dict[tuple[str, str], list[Document]] = {}
        live = {"profile_id": joining.to_id, "state": {"$in": list(LIVE)}}
        async for row in self._rows.find(live):
            if is_live(row):
                lanes.setdefault((row["journey_id"], lane_of(row["entry_key"])), []).append(row)
        return [rows for rows in lanes.values() if len(rows) > 1 and any(_brought(row, joining) for row in rows)]

    async def _without_rival(self, ended: Sequence[Document]) -> list[Document]:
        """Of each person's lane the furthest, where none runs any more."""
        best: dict[tuple[str, str, str], Document] = {}
        for row in sorted(ended, key=_rank, reverse=True):
            best[_lane_at(row)] = row
        live = {"profile_id": {"$in": [each for each, _, _ in best]}, "state": {"$in": list(LIVE)}}
        taken = {_lane_at(row) async for row in self._rows.find(live) if is_live(row)} if best else set()
        return [row for lane, row in best.items() if lane not in taken]

    async def _end(self, row: Document, merge_id: str) -> None:
        now = self._clock()
        was = {name: f"${name}" for name in _KEPT}  # a field that is not there stays away
        lines = {"$concatArrays": [{"$ifNull": ["$tail", []]}, {"$ifNull": ["$todo.lines", []]}]}
        end = {"reason": "merged", "at": now, "by": None, "replaced_by": None, "merge": merge_id, "lines": lines,
               "was": was}  # fmt: skip
        change: list[Mapping[str, Any]] = [
            {"$set": {"end": end}},
            {"$set": {"state": "ended", "rev": {"$add": ["$rev", 1]}, "wait": None, "updated_at": now}},
            {"$unset": ["lease", *(name for name in _KEPT if name != "wait")]},
        ]
        wanted = {"_id": row["_id"], "state": {"$in": list(LIVE)}, "next.end": None, "rev": row["rev"]}
        if (await self._rows.update_one(wanted, change)).modified_count:
            line = LogLine(row["node"], row["visit"], "end.merged", {})
            kept = [*(row.get("tail") or []), *((row.get("todo") or {}).get("lines") or [])]
            await self._store.keep_lines([*kept, line_row(row, row["rev"] + 1, line, now)])
            await self._store.wake_queued([row["_id"]], now)

    async def _revive(self, row: Document) -> None:
        now = self._clock()
        change: list[Mapping[str, Any]] = [
            {
                "$set": {
                    **{name: f"$end.was.{name}" for name in _KEPT if name in row["end"]["was"]},
                    "state": "waiting", "rev": row["rev"] + 1, "attempts": 0, "updated_at": now,
                }
            },
            {"$set": {"end": None}},
        ]  # fmt: skip
        if (await self._rows.update_one({"_id": row["_id"], "rev": row["rev"]}, change)).modified_count:
            line = LogLine(row["node"], row["visit"], "merge.undone", {})
            await self._store.keep_lines([line_row(row, row["rev"] + 1, line, now)])


def beaten(rows: Sequence[Document]) -> list[Document]:
    """Those of one lane that end: all but the one that has come furthest, and one that stands behind it. Pure."""
    best = min(rows, key=_rank)
    rest = sorted((row for row in rows if row is not best), key=lambda row: row["_id"])
    behind = next((row for row in rest if row.get("behind") == best["_id"]), None)
    return [row for row in rest if row is not behind]


def lane_of(entry_key: str) -> str:
    """Runs of one lane follow each other."""
    return entry_key.partition("|")[2]


def _lane_at(row: Document) -> tuple[str, str, str]:
    return row["profile_id"], row["journey_id"], lane_of(row["entry_key"])


def _number_of(entry_key: str) -> int:
    return int(entry_key.partition("|")[0])


def _rank(row: Document) -> tuple[Any, ...]:
    queued = (row.get("wait") or {}).get("kind") == "queue"
    return queued, -sum((row.get("visits") or {}).values()), row["started_at"], row["_id"]


def _brought(row: Document, joining: Joining) -> bool:
    return any(each["by"] == joining.merge_id for each in row.get("moved") or ())
