"""The sends of one broadcast as a whole: put into the ledger by the thousand, counted, held, let go, ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ASCENDING

from base.mongo import Database, Document, changed_in_parts, inserted_apart_from_duplicates, whole
from inbox.models import SKIPPED_RANK, SendClass
from inbox.store.sends import lane_name

KIND = "broadcast"
#: States in which something is still to come.
OPEN = ("planned", "deferred", "claimed", "handed")
#: Of these nobody has a row under a lease, so that they can be changed together.
_IDLE = ("planned", "deferred")
#: Where a send stands that waits for a person's word: nobody claims it.
FAR = timedelta(days=3650)
_INDEX = "by_broadcast"


@dataclass(frozen=True)
class Tally:
    """So many rows of one state, reason and arm, and what people did with them. `again`: a later attempt took over."""

    state: str
    reason: str | None
    arm: str | None
    again: bool
    count: int
    opened: int = 0
    clicked: int = 0
    left: int = 0


class MailingStore:
    """Reads and writes rows of `sends` that belong to broadcasts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("sends")

    async def add(self, rows: Sequence[Document]) -> int:
        """Put them into the ledger; how many were not there. Those whose key is taken stay as they are."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows)) if rows else 0

    # -- counting ----------------------------------------------------------------------------------------------

    async def tally(self, broadcast_id: str) -> list[Tally]:
        """All of it, read from the index alone, as it stood at one moment: nobody is counted twice or left out while
        their row goes from one state to the next."""

        def did(name: str) -> Document:
            return {"$sum": {"$cond": [{"$gt": [f"${name}", None]}, 1, 0]}}

        key = {"state": "$state", "reason": "$reason.code", "arm": "$source.node_id", "again": "$again"}
        steps: list[Document] = [
            {"$match": _of(broadcast_id)},
            {"$group": {"_id": key, "n": {"$sum": 1}, "opened": did("opened_at"), "clicked": did("clicked_at"),
                        "left": did("left_at")}},
        ]  # fmt: skip
        rows = await self._database.aggregate(self._rows, steps, hint=_INDEX, at_one_moment=True)
        return [
            Tally(
                row["_id"]["state"], row["_id"].get("reason"), row["_id"].get("arm"), bool(row["_id"].get("again")),
                row["n"], row["opened"], row["clicked"], row["left"],
            )
            for row in rows
        ]  # fmt: skip

    async def is_open(self, broadcast_id: str) -> bool:
        """Whether anything is still to come."""
        wanted = _of(broadcast_id, state={"$in": list(OPEN)})
        return await self._rows.find_one(wanted, {"_id": 1}, hint=_INDEX) is not None

    async def waits_for(self, broadcast_id: str, code: str) -> bool:
        """Whether anybody waits for this reason."""
        wanted = _of(broadcast_id, state="deferred", **{"reason.code": code})
        return await self._rows.find_one(wanted, {"_id": 1}, hint=_INDEX) is not None

    # -- all at once -------------------------------------------------------------------------------------------

    async def hold(self, broadcast_id: str, code: str, sentence: str, now: datetime) -> int:
        """Nobody claims them until `release`; how many. Their own times stay in `wanted_at`. May run twice."""
        wanted = _of(broadcast_id, state={"$in": list(_IDLE)}, **{"reason.code": {"$ne": code}})
        reason = {"code": code, "sentence": sentence, "detail": None}
        change = {"state": "deferred", "reason": reason, "due_at": now + FAR, "updated_at": now}
        return await self._changed(wanted, {"$set": change})

    async def release(self, broadcast_id: str, code: str, now: datetime, *, next_day: bool = False) -> int:
        """Those held for this reason are due at their own times again; how many. May run twice.

        `next_day`: for whom that time is past it is the same clock time of the next day that is still to come there.
        """
        wanted = _of(broadcast_id, state="deferred", **{"reason.code": code})
        own = {"$ifNull": ["$wanted_at", now]}
        due: object = _next_day(own, now) if next_day else own
        steps = [{"$set": {"wanted_at": due, "due_at": due, "reason": None, "attempts": 0, "updated_at": now}}]
        return await self._changed(wanted, steps)

    async def end_overdue(self, broadcast_id: str, code: str, reason: Document, now: datetime) -> int:
        """Of those held for this reason: whose own time is past is skipped; how many. May run twice."""
        wanted = _of(broadcast_id, state="deferred", **{"reason.code": code}, wanted_at={"$lt": now})
        return await self._end(wanted, reason, now)

    async def end_open(self, broadcast_id: str, reason: Document, now: datetime) -> int:
        """What was not handed over is skipped; how many. May run twice."""
        return await self._end(_of(broadcast_id, state={"$in": list(_IDLE)}), reason, now)

    async def hurry(self, broadcast_id: str, arm: str, now: datetime) -> int:
        """Those of this arm that would wait longer are due now."""
        wanted = _of(broadcast_id, state={"$in": list(_IDLE)}, **{"source.node_id": arm}, due_at={"$gt": now})
        change = {"due_at": now, "wanted_at": now, "reason": None, "updated_at": now}
        return await self._changed(wanted, {"$set": change})

    async def _end(self, wanted: Document, reason: Document, now: datetime) -> int:
        """Of what may have gone out already nobody knows what became; all else was never made."""
        unsure = await self._ended({**wanted, "uncertain": True}, "unknown", 10, reason, now)
        return unsure + await self._ended({**wanted, "uncertain": {"$ne": True}}, "skipped", SKIPPED_RANK, reason, now)

    async def _ended(self, wanted: Document, state: str, rank: int, reason: Document, now: datetime) -> int:
        change = {"state": state, "rank": rank, "standing_at": now, "reason": reason, "updated_at": now}
        entry = {"status": state, "at": now, "key": f"{state}:{now.timestamp():.3f}", "reason": reason}
        update = {"$set": change, "$unset": {"due_at": "", "lease": ""}, "$push": {"history": entry}}
        return await self._changed(wanted, update)

    async def _changed(self, wanted: Document, change: Document | list[Document]) -> int:
        return await changed_in_parts(self._rows, wanted, change, hint=_INDEX)

    # -- some of them ------------------------------------------------------------------------------------------

    async def known(self, broadcast_id: str, profile_ids: Sequence[str]) -> set[str]:
        """Those of these people who have a row, whatever became of it."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, **_of(broadcast_id)}
        return {row["profile_id"] async for row in self._rows.find(wanted, {"profile_id": 1}).hint("by_profile")}

    async def of_people(self, broadcast_id: str, profile_ids: Sequence[str]) -> list[Document]:
        """All rows of these people, the first planned first."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, **_of(broadcast_id)}
        return await whole(self._rows.find(wanted).hint("by_profile").sort("_id", ASCENDING))

    async def ended_badly(self, broadcast_id: str, states: Sequence[str], after: str, limit: int) -> list[Document]:
        """Rows of these states whose last attempt it was, from the one with this id on."""
        found: list[Document] = []
        for state in states:
            wanted = _of(broadcast_id, state=state, again=None)
            wanted["_id"] = {"$gt": after}
            rows = self._rows.find(wanted).sort("_id", ASCENDING).limit(limit)
            found += await whole(rows.hint(_INDEX))
        return sorted(found, key=lambda row: str(row["_id"]))[:limit]

    async def taken_over(self, send_ids: Sequence[str]) -> None:
        """A later attempt speaks for these people from now on."""
        if send_ids:
            await self._rows.update_many({"_id": {"$in": list(send_ids)}}, {"$set": {"again": True}})

    async def left_by(self, marks: Mapping[str, datetime]) -> set[str]:
        """Send id → when the person unsubscribed by it, of journeys too; the broadcasts concerned."""
        concerned = set()
        for send_id, at in marks.items():
            before = await self._rows.find_one_and_update({"_id": send_id}, {"$min": {"left_at": at}}, {"source": 1})
            if before is not None and before["source"]["kind"] == KIND:
                concerned.add(str(before["source"]["id"]))
        return concerned

    async def reroute(self, send_id: str, from_channel: str, to: tuple[str, str], send_class: SendClass) -> bool:
        """A claimed send that was never called goes to another address (channel, identity); False: it has moved on."""
        channel_id, identity_id = to
        where = {"_id": send_id, "state": "claimed", "channel_id": from_channel, "tries": 0}
        change = {"channel_id": channel_id, "identity_id": identity_id, "lane": lane_name(channel_id, send_class)}
        return (await self._rows.update_one(where, {"$set": change})).matched_count == 1


def _of(broadcast_id: str, **more: object) -> Document:
    return {"source.kind": KIND, "source.id": broadcast_id, **more}


def _next_day(own: Document, now: datetime) -> Document:
    """So many days later by the clocks of the person's zone that it is still to come."""
    days = {"$ceil": {"$divide": [{"$subtract": [now, own]}, 86_400_000]}}

    def later(more: int) -> Document:
        zone = {"$ifNull": ["$zone", "UTC"]}
        amount = {"$toLong": {"$add": [days, more]}}
        return {"$dateAdd": {"startDate": own, "unit": "day", "amount": amount, "timezone": zone}}

    to_come = {"$cond": [{"$gte": [later(0), now]}, later(0), later(1)]}  # a clock change may take an hour
    return {"$cond": [{"$lt": [own, now]}, to_come, own]}
