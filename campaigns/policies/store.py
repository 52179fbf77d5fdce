"""The rules of the house, who has had what (`send_slots`), and steps of journeys whose sends are stopped.

`send_slots` is worked out from the ledger and only kept so that one write can look and take at once: a row may be
deleted at any time and is made anew from the ledger. Row: `{_id: profile, edition, slots: [{send, at, class, group,
channel_id, provider}]}`. `edition` is that of the rules it was made under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, DuplicateKeyError, Indexes, whole
from campaigns.policies.capping import CapLike, Slot, counts, span_of
from profiles.store.belongings import Belongings, Joining, Parting

INDEXES: Indexes = {
    "sending_policies": [],
    "send_slots": [],
    "stopped_steps": [IndexModel([("stopped", ASCENDING), ("at", DESCENDING)], name="by_state")],
}
_ONE = "sending"


class PolicyStore:
    """One row: `{_id, rev, edition, caps, quiet_hours, breaker, before, at, by}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("sending_policies")
        self._clock = clock

    async def get(self) -> Document:
        """As saved; revision 0 when nobody has."""
        return await self._rows.find_one({"_id": _ONE}) or {"_id": _ONE, "rev": 0, "edition": 0}

    async def save(self, before: Document, fields: Mapping[str, Any], by: str | None, *, counts_anew: bool) -> bool:
        """Replace what was read as `before`; False when somebody else was faster. `counts_anew`: slots made so far are
        made again, because other sends count now."""
        row = {
            **fields, "_id": _ONE, "rev": before["rev"] + 1, "edition": before["edition"] + (1 if counts_anew else 0),
            "at": self._clock(), "by": by,
        }  # fmt: skip
        if before["rev"]:
            return (await self._rows.replace_one({"_id": _ONE, "rev": before["rev"]}, row)).matched_count == 1
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True


class SlotStore:
    """Takes and gives back; each call is one write of one row."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("send_slots")
        self.belongings = SlotBelongings(database)

    async def of_people(self, profile_ids: Iterable[str], edition: int) -> dict[str, list[Slot]]:
        """Slots of those who have a row of this edition."""
        rows = await whole(self._rows.find({"_id": {"$in": list(profile_ids)}, "edition": edition}))
        return {row["_id"]: [_slot(each) for each in row["slots"]] for row in rows}

    async def take(
        self, profile_id: str, slot: Slot, caps: Sequence[CapLike], zone: ZoneInfo, edition: int, horizon: datetime
    ) -> bool:  # fmt: skip
        """Look and take in one write: True when all caps have room. A slot this send has already is replaced by one of
        now. False as well when there is no row of this edition."""
        room: list[Document] = []
        for cap in caps:
            span = span_of(cap.per)
            if span is None or not counts(cap, slot):
                continue
            cond = [_not_mine(slot), {"$gte": ["$$each.at", span.since(slot.at, zone)]}, *_told_by(cap)]
            rivals = {"$filter": {"input": "$slots", "as": "each", "cond": {"$and": cond}}}
            room.append({"$lt": [{"$size": rivals}, cap.most]})
        keep = {"$and": [_not_mine(slot), {"$gte": ["$$each.at", horizon]}]}
        kept = {"$filter": {"input": "$slots", "as": "each", "cond": keep}}
        change = [{"$set": {"slots": {"$concatArrays": [kept, [{"$literal": _row(slot)}]]}}}]
        where: Document = {"_id": profile_id, "edition": edition, "$expr": {"$and": room}}
        return (await self._rows.update_one(where, change)).matched_count == 1

    async def make(self, profile_id: str, slots: Sequence[Slot], edition: int) -> None:
        """Keep what the ledger told, where there is no row of this edition. May run twice, and beside `take`."""
        where = {"_id": profile_id, "edition": {"$lt": edition}}
        change = {"$set": {"edition": edition, "slots": [_row(each) for each in slots]}}
        try:
            await self._rows.update_one(where, change, upsert=True)
        except DuplicateKeyError:
            return  # somebody else was faster

    async def give_back(self, profile_id: str, slots: Sequence[Slot]) -> None:
        """These do not count after all. One that was taken again meanwhile stays."""
        lost = [{"send": each.send, "at": each.at} for each in slots]
        if lost:
            await self._rows.update_one({"_id": profile_id}, {"$pull": {"slots": {"$or": lost}}})


class SlotBelongings(Belongings):
    """When two are one, or two again, what each has had is worked out anew from the ledger, which moves with them."""

    def __init__(self, database: Database) -> None:
        super().__init__("send_slots", database.collection("send_slots"), "snd", by_identity="never")

    async def move(self, joining: Joining) -> int:
        """Forget both rows."""
        return await self._forget(joining.from_id, joining.to_id)

    async def bring_back(self, parting: Parting) -> int:
        """Forget both rows."""
        return await self._forget(parting.from_id, parting.to_id)

    async def _forget(self, *profile_ids: str) -> int:
        await self._rows.delete_many({"_id": {"$in": list(profile_ids)}})
        return 0


class StopStore:
    """Rows `{_id, journey_id, node, stopped, at, failed, ended, counted_from, times, resumed_at, resumed_by}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("stopped_steps")

    async def stopped(self, journey_ids: Iterable[str]) -> set[tuple[str, str]]:
        """(journey, step) of those whose sends are stopped."""
        rows = self._rows.find({"stopped": True, "journey_id": {"$in": list(set(journey_ids))}})
        return {(row["journey_id"], row["node"]) async for row in rows}

    async def all_stopped(self, limit: int = 200) -> list[Document]:
        """The newest first."""
        return await whole(self._rows.find({"stopped": True}).sort("at", DESCENDING).limit(limit))

    async def get(self, journey_id: str, node: str) -> Document | None:
        """What is known of a step; None: it never stopped."""
        return await self._rows.find_one({"_id": _stop_id(journey_id, node)})

    async def stop(self, journey_id: str, node: str, failed: int, ended: int, now: datetime) -> Document | None:
        """Stop it; None when it is stopped already. Of many who see it at once one does it."""
        fields = {"journey_id": journey_id, "node": node, "stopped": True, "at": now, "failed": failed, "ended": ended}
        where = {"_id": _stop_id(journey_id, node), "stopped": {"$ne": True}}
        try:
            row: Document | None = await self._rows.find_one_and_update(
                where, {"$set": fields, "$inc": {"times": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return None
        return row

    async def resume(self, stop_id: str, now: datetime, by: str | None) -> Document | None:
        """Go on; what failed until now does not stop it again. None when it is not stopped."""
        change = {"stopped": False, "counted_from": now, "resumed_at": now, "resumed_by": by}
        row: Document | None = await self._rows.find_one_and_update(
            {"_id": stop_id, "stopped": True}, {"$set": change}, return_document=ReturnDocument.AFTER
        )
        return row


def _stop_id(journey_id: str, node: str) -> str:
    return f"{journey_id}:{node}"


def _not_mine(slot: Slot) -> Document:
    return {"$ne": ["$$each.send", {"$literal": slot.send}]}


def _told_by(cap: CapLike) -> list[Document]:
    found: list[Document] = [{"$eq": ["$$each.class", cap.send_class]}]
    if cap.group is not None:
        found.append({"$eq": ["$$each.group", {"$literal": cap.group}]})
    if cap.channel is not None:
        ways = [{"$eq": [f"$$each.{name}", {"$literal": cap.channel}]} for name in ("channel_id", "provider")]
        found.append({"$or": ways})
    return found


def _row(slot: Slot) -> Document:
    return {
        "send": slot.send, "at": slot.at, "class": slot.send_class, "group": slot.group,
        "channel_id": slot.channel_id, "provider": slot.provider,
    }  # fmt: skip


def _slot(row: Mapping[str, Any]) -> Slot:
    return Slot(row["send"], row["at"], row["class"], row["group"], row["channel_id"], row["provider"])
