"""Counts in the ledger for results: how far sends came, and who was reached or held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from base.ids import id_before
from base.mongo import LOOK_MS, Database, Document, in_time

#: People of each group whose purchases are looked at.
GROUP_MAX = 20_000
_SLOW = "There is too much to count at once. Choose a shorter time, or try again in a while."
_REACHED: Mapping[str, tuple[str, ...]] = {
    "accepted": ("accepted", "delivered", "read"), "delivered": ("delivered", "read"), "read": ("read",),
    "failed": ("failed",), "skipped": ("skipped",),
}  # fmt: skip
_SEEN: Mapping[str, str] = {
    "opened": "opened_at", "clicked": "clicked_at", "machine_opened": "machine_opened_at",
    "machine_clicked": "machine_clicked_at", "unsubscribed": "left_at",
}  # fmt: skip


#: What is shown day by day → when it happened.
DATED: Mapping[str, str] = {"sent": "accepted_at", "opened": "opened_at", "clicked": "clicked_at"}
#: Sends that count: no tests, which name the same broadcast, and no attempts that were followed by another.
_COUNTING: Document = {"source.kind": {"$in": ["journey", "broadcast"]}, "again": {"$ne": True}}


@dataclass(frozen=True)
class Groups:
    """Profile id → since when their purchases count, of those who were to get it and those held out by chance. `cut`:
    there are more people than were read."""

    treated: Mapping[str, datetime]
    held_out: Mapping[str, datetime]
    cut: bool


class FigureStore:
    """Reads `sends` and `enrolments`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sends = database.collection("sends")
        self._runs = database.collection("enrolments")
        self._broadcasts = database.collection("broadcasts")

    async def counts(self, source_id: str, zone: str) -> list[Document]:
        """`{node_id, sent_on, opened_on, clicked_on, accepted, …}`: the counts of those of one step or arm that were
        sent, opened and clicked on these days of that time zone. Tests and attempts that were followed by
        another do not count."""
        days = {f"{name}_on": _day(f"${at}", zone) for name, at in DATED.items()}
        steps: list[Mapping[str, Any]] = [
            {"$match": {"source.id": source_id, **_COUNTING}},
            {"$group": {"_id": {"node_id": "$source.node_id", **days}, **_sums()}},
        ]
        with in_time(_SLOW):
            rows = await self._database.aggregate(self._sends, steps, hint="by_source", time_ms=LOOK_MS)
        return [{**dict.fromkeys(("node_id", *days)), **row, **row["_id"]} for row in rows]

    async def counts_by_time(self, since: datetime, until: datetime, zone: str) -> list[Document]:
        """`{kind, id, channel, day, accepted, …}` of sends that were planned in that time."""
        wanted = {
            "_id": {"$gte": id_before("snd", since), "$lt": id_before("snd", until)},
            **_COUNTING,
        }
        day = _day("$planned_at", zone)
        key = {"kind": "$source.kind", "id": "$source.id", "channel": "$channel_id", "day": day}
        steps: list[Mapping[str, Any]] = [{"$match": wanted}, {"$group": {"_id": key, **_sums()}}]
        with in_time(_SLOW):
            rows = await self._database.aggregate(self._sends, steps, time_ms=LOOK_MS)
        return [{**row, **row["_id"]} for row in rows]

    async def groups(self, kind: Literal["journey", "broadcast"], source_id: str) -> Groups:
        """Whom it reached or was to reach, and whom it was kept from by chance."""
        return await (self._of_journey(source_id) if kind == "journey" else self._of_broadcast(source_id))

    async def _of_journey(self, journey_id: str) -> Groups:
        """Since they began, of those for whom chance has decided: who left before the holdout step is in neither."""
        fields = {"profile_id": 1, "started_at": 1}
        found = []
        for held in (False, True):
            wanted = {"journey_id": journey_id, "holdout": held, "drawn": {"$ne": False}}
            rows = self._runs.find(wanted, fields).sort("_id", 1).limit(GROUP_MAX + 1)
            found.append(await rows.to_list(None))
        treated, held_out = (_first((row["profile_id"], row["started_at"]) for row in rows) for rows in found)
        treated = {each: at for each, at in treated.items() if each not in held_out}
        return Groups(treated, held_out, max(map(len, found)) > GROUP_MAX)

    async def _of_broadcast(self, broadcast_id: str) -> Groups:
        """Who was left out when they were put into the ledger could not have got it, and neither could those held out;
        who was left out later (a cap, a no meanwhile) stands beside people held out to whom the same would have
        happened, and counts (decision 46)."""
        head = await self._broadcasts.find_one({"_id": broadcast_id}, {"start_at": 1}) or {}
        fields = {"profile_id": 1, "planned_at": 1}
        own = {"source.kind": "broadcast", "source.id": broadcast_id}
        through = {"state": {"$in": ["handed", "accepted", "delivered", "read", "failed", "unknown"]}}
        left_out_later = {"state": "skipped", "history.0": {"$exists": True}}
        kinds: Sequence[Document] = (
            {**own, "$or": [through, left_out_later]},
            {**own, "state": "skipped", "reason.code": "holdout"},
        )
        found = []
        for wanted in kinds:
            rows = self._sends.find(wanted, fields).hint("by_broadcast").limit(GROUP_MAX + 1)
            found.append(await rows.to_list(None))
        begun = head.get("start_at")
        treated, held_out = (_first((row["profile_id"], begun or row["planned_at"]) for row in rows) for rows in found)
        return Groups(treated, held_out, max(map(len, found)) > GROUP_MAX)


def _sums() -> Document:
    states = {name: {"$sum": {"$cond": [{"$in": ["$state", list(of)]}, 1, 0]}} for name, of in _REACHED.items()}
    seen = {name: {"$sum": {"$cond": [{"$gt": [f"${at}", None]}, 1, 0]}} for name, at in _SEEN.items()}
    complained = {"$in": ["complained", {"$ifNull": ["$history.status", []]}]}
    return states | seen | {"complained": {"$sum": {"$cond": [complained, 1, 0]}}}


def _day(at: str, zone: str) -> Document:
    return {"$dateToString": {"date": at, "format": "%Y-%m-%d", "timezone": zone}}


def _first(pairs: Any) -> dict[str, datetime]:
    """Of several times of one person the first, at most so many people."""
    found: dict[str, datetime] = {}
    for profile_id, at in pairs:
        found[profile_id] = min(at, found.get(profile_id, at))
    return dict(list(found.items())[:GROUP_MAX])
