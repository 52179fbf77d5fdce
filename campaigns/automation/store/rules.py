"""Rules as rows. No two that stand have one name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import Database, Document, Indexes, Session, UpdateOne, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "automation_rules": [
        IndexModel([("folded", ASCENDING)], name="one_name", unique=True, partialFilterExpression={"stands": True}),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}


class RuleStore:
    """Rows are `{_id: arl_, place, name, folded, on, when, channel_ids, actions, stop, active, active_since, made_by,
    reach, ran, ran_at, loops, paused_why?, begins_after?, hours_rev?, stands, removed_at?, rev, created_at,
    updated_at}`. `place`: the lowest is asked first; `reach`: the channels whoever saved it last could see, null: all;
    `ran`, `loops`: counted, not part of a revision; `begins_after`: up to which identity a timed rule has looked at
    what was there when it began; `hours_rev`: by which revision of its business hours it has reckoned, null: there
    were none; not there since it began to hold: not compared yet."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("automation_rules")
        self._clock = clock

    async def add(self, rule_id: str, fields: Mapping[str, Any]) -> Document:
        """A new one, below all others. Raises `DuplicateKeyError` when the name is taken."""
        now, last = self._clock(), await self._rows.find_one({"stands": True}, sort=[("place", -1)])
        row = {
            "_id": rule_id, "place": last["place"] + 1 if last else 0, **fields, "folded": fold(fields["name"]),
            "ran": 0, "ran_at": None, "loops": 0, "active_since": now, "begins_after": "", "stands": True, "rev": 1,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return row

    async def all(self) -> list[Document]:
        """Those that stand, in their order. There are some dozens."""
        return await whole(self._rows.find({"stands": True}).sort([("place", ASCENDING), ("_id", ASCENDING)]))

    async def get(self, rule_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": rule_id, "stands": True})

    async def known(self, rule_ids: Sequence[str]) -> dict[str, Document]:
        """By id, those that were taken away among them."""
        found = self._rows.find({"_id": {"$in": sorted(set(rule_ids))}})
        return {row["_id"]: row async for row in found}

    async def change(
        self, rule_id: str, rev: int, fields: Mapping[str, Any], *, anew: bool
    ) -> Document | None:  # fmt: skip
        """Replace it where it still has this revision; `anew`: it begins to hold. Raises `DuplicateKeyError`."""
        now = self._clock()
        change = {**fields, "folded": fold(fields["name"]), "updated_at": now}
        change |= {"active_since": now, "loops": 0, "begins_after": ""} if anew else {}
        gone = {"paused_why": "", **({"hours_rev": ""} if anew else {})}
        return await self._rows.find_one_and_update(
            {"_id": rule_id, "rev": rev, "stands": True},
            {"$set": change, "$inc": {"rev": 1}, "$unset": gone}, return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def order(self, ids: Sequence[str]) -> None:
        """Ask them in this order."""
        changes = [UpdateOne({"_id": each, "stands": True}, {"$set": {"place": at}}) for at, each in enumerate(ids)]
        if changes:
            await self._rows.bulk_write(changes)

    async def remove(self, rule_id: str) -> bool:
        """Take it away; for `KEPT_S` it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": rule_id, "stands": True}, change)).modified_count == 1

    async def restore(self, rule_id: str) -> bool:
        """Put it back. Raises `DuplicateKeyError` when the name was given away meanwhile."""
        fresh = {"stands": True, "active_since": self._clock(), "begins_after": ""}
        change: Document = {"$set": fresh, "$unset": {"removed_at": "", "hours_rev": ""}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": rule_id, "stands": False}, change)).modified_count == 1

    async def beginning(self) -> Document | None:
        """A timed rule that has begun to hold, and has not looked at all conversations that are there."""
        wanted = {"begins_after": {"$exists": True}, "on.type": "timed", "stands": True, "active": True}
        return await self._rows.find_one(wanted)

    async def begun(self, rule: Document, last: str | None) -> None:
        """It has looked at those up to `last`, or (None) at all."""
        here = {"_id": rule["_id"], "begins_after": rule["begins_after"]}
        change: Document = {"$unset": {"begins_after": ""}} if last is None else {"$set": {"begins_after": last}}
        await self._rows.update_one(here, change)

    async def begin_anew(self, rule: Document, hours_rev: int | None) -> None:
        """Its business hours are others than those it has reckoned by: all that is there is looked at again."""
        here = {"_id": rule["_id"], "on": rule["on"], "hours_rev": rule.get("hours_rev", {"$exists": False})}
        await self._rows.update_one(here, {"$set": {"hours_rev": hours_rev, "begins_after": ""}})

    async def count(self, rule_id: str, name: str, session: Session | None = None) -> int:
        """One more of `ran` or `loops`; how many there are."""
        change: Document = {"$inc": {name: 1}, **({"$max": {"ran_at": self._clock()}} if name == "ran" else {})}
        row = await self._rows.find_one_and_update(
            {"_id": rule_id}, change, projection={name: 1}, return_document=ReturnDocument.AFTER, session=session
        )
        return row[name] if row else 0

    async def pause(self, rule_id: str, why: str) -> Document | None:
        """Switch it off for a reason; None when it was off."""
        change: Document = {"$set": {"active": False, "paused_why": why}, "$inc": {"rev": 1}}
        return await self._rows.find_one_and_update(
            {"_id": rule_id, "active": True}, change, return_document=ReturnDocument.AFTER
        )


def fold(text: str) -> str:
    """What makes two names the same."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
