"""What the stream keeps beside the things it shows: what was done with its rows, who is hot or was not in touch for
long, and what the house wants to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, Indexes, UpdateOne, whole
from profiles.store.belongings import Belongings, Joining, Parting

#: What was done with a row is forgotten after so long, seconds.
KEPT_S = 730 * 24 * 3600
CHOSEN, PAST = "chosen", "past"
INDEXES: Indexes = {
    "stream_marks": [
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel(
            [("given_to", ASCENDING), ("at", DESCENDING)], name="given",
            partialFilterExpression={"given_to": {"$gt": ""}},
        ),
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_S),
    ],
    "stream_people": [
        IndexModel(
            [("hot", ASCENDING), ("owner_id", ASCENDING), ("hot_since", DESCENDING)], name="hot",
            partialFilterExpression={"hot": True},
        ),
        IndexModel(
            [("owner_id", ASCENDING), ("idle_at", DESCENDING)], name="idle",
            partialFilterExpression={"idle_at": {"$exists": True}},
        ),
    ],
}  # fmt: skip


class MarkStore:
    """`stream_marks` `{_id: the key of a row, profile_id, done?, done_by?, given_to?, given_by?, snoozed?: {person:
    until}, at}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("stream_marks")
        self.belongings = Belongings("stream_marks", self._rows, "act", by_identity="never")
        self._clock = clock

    async def of(self, keys: Iterable[str]) -> dict[str, Document]:
        """Those there are, by key."""
        wanted = {"_id": {"$in": sorted(set(keys))}}
        return {row["_id"]: row for row in await whole(self._rows.find(wanted).hint(BY_ID))}

    async def given(self, user_ids: Sequence[str], limit: int) -> list[Document]:
        """What was handed over to these people and is not done, the latest first."""
        wanted = {"given_to": {"$in": list(user_ids)}, "done": {"$ne": True}}
        return await whole(self._rows.find(wanted).sort("at", DESCENDING).limit(limit).hint("given"))

    async def put(self, key: str, profile_id: str | None, fields: Mapping[str, Any], gone: Sequence[str] = ()) -> None:
        """Note these, and take those away. May run twice."""
        change: Document = {"$set": {**fields, "profile_id": profile_id, "at": self._clock()}}
        if gone:
            change["$unset"] = dict.fromkeys(gone, "")
        await self._rows.update_one({"_id": key}, change, upsert=True)

    async def put_where(
        self, key: str, wanted: Mapping[str, Any], fields: Mapping[str, Any], gone: Sequence[str] = ()
    ) -> bool:
        """The same for one that still is as `wanted` says; whether it was."""
        change: Document = {"$set": {**fields, "at": self._clock()}}
        if gone:
            change["$unset"] = dict.fromkeys(gone, "")
        return (await self._rows.update_one({"_id": key, **wanted}, change)).matched_count == 1


class PersonStore:
    """`stream_people` `{_id: prf_, owner_id, score, hot_since?, hot?, ladder?, contact_at, rung_done?, idle_at?}`.

    `hot`: the score rose at `hot_since` and nobody was in touch since; `idle_at`: when the next rung of `ladder` is
    reached. A row may be lost: it is made anew when the person is looked at, from what is known of contacts.
    """

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("stream_people")
        self.belongings = PersonBelongings(database)

    async def many(self, profile_ids: Iterable[str]) -> dict[str, Document]:
        """Rows by person."""
        wanted = {"_id": {"$in": sorted(set(profile_ids))}}
        return {row["_id"]: row for row in await whole(self._rows.find(wanted).hint(BY_ID))}

    async def hot(self, owners: Sequence[str | None], limit: int) -> list[Document]:
        """Those whose score rose, the latest first, of these owners (None: nobody's)."""
        wanted = {"hot": True, "owner_id": {"$in": list(owners)}}
        return await whole(self._rows.find(wanted).sort("hot_since", DESCENDING).limit(limit).hint("hot"))

    async def idle(self, owners: Sequence[str | None], now: datetime, limit: int) -> list[Document]:
        """Those who have reached a rung, the latest first."""
        wanted = {"owner_id": {"$in": list(owners)}, "idle_at": {"$lte": now}}
        return await whole(self._rows.find(wanted).sort("idle_at", DESCENDING).limit(limit).hint("idle"))

    async def keep(self, changes: Sequence[tuple[str, Mapping[str, Any], Sequence[str]]]) -> None:
        """(person, what to set, what to take away). Makes rows that are not there."""
        writes = [
            UpdateOne({"_id": key}, {"$set": dict(fields), **({"$unset": dict.fromkeys(gone, "")} if gone else {})},
                      upsert=True)
            for key, fields, gone in changes
        ]  # fmt: skip
        if writes:
            await self._rows.bulk_write(writes, ordered=False)

    async def touched(self, contacts: Mapping[str, datetime], rungs: Mapping[str, int]) -> None:
        """Somebody was in touch with these people then; rows that are not there are not made. `rungs`: ladder → its
        first rung, days. May run twice and in any order."""
        writes = [UpdateOne({"_id": key, "contact_at": {"$lt": at}}, _touch(at, rungs)) for key, at in contacts.items()]
        if writes:
            await self._rows.bulk_write(writes, ordered=False)

    async def settle_hot(self, profile_id: str, since: datetime, *, done: bool) -> bool:
        """Nothing more is to be done because of this rise, or (not `done`) it is after all; whether it still stands."""
        change: Document = {"$unset": {"hot": ""}} if done else {"$set": {"hot": True}}
        found = await self._rows.update_one({"_id": profile_id, "hot_since": since}, change)
        return found.matched_count == 1

    async def settle_idle(
        self, profile_id: str, contact_at: datetime, rung_done: int, idle_at: datetime | None
    ) -> bool:  # fmt: skip
        """Nothing more is to be done up to this rung (0: after all it is); whether there was no contact meanwhile."""
        change: Document = {"$set": {"rung_done": rung_done, **({"idle_at": idle_at} if idle_at else {})}}
        if idle_at is None:
            change["$unset"] = {"idle_at": ""}
        found = await self._rows.update_one({"_id": profile_id, "contact_at": contact_at}, change)
        return found.matched_count == 1

    async def drop(self, profile_ids: Iterable[str]) -> None:
        """Nothing is to be known of these."""
        await self._rows.delete_many({"_id": {"$in": sorted(set(profile_ids))}}, hint=BY_ID)


def _touch(at: datetime, rungs: Mapping[str, int]) -> list[Document]:
    """A later contact: nobody is hot without one, and ladders begin anew."""
    days = {"$switch": {
        "branches": [{"case": {"$eq": ["$ladder", key]}, "then": first} for key, first in sorted(rungs.items())],
        "default": None,
    }} if rungs else None  # fmt: skip
    over = {"$lte": [{"$ifNull": ["$hot_since", at + timedelta(days=36500)]}, at]}
    begins = {"$dateAdd": {"startDate": at, "unit": "day", "amount": days}} if rungs else None
    return [
        {"$set": {
            "contact_at": at, "hot": {"$cond": [over, "$$REMOVE", "$hot"]}, "rung_done": "$$REMOVE",
            "idle_at": {"$ifNull": [begins, "$$REMOVE"]},
        }},
    ]  # fmt: skip


class PersonBelongings(Belongings):
    """When two are one, the later contact counts; what else is known of them is worked out anew."""

    def __init__(self, database: Database) -> None:
        super().__init__("stream_people", database.collection("stream_people"), "prf", by_identity="never")

    async def count(self, profile_id: str) -> int:
        """Nothing that anybody has to be told of."""
        return 0

    async def holders(self, profile_ids: Sequence[str]) -> set[str]:
        """Nothing here says that somebody is more than a name."""
        return set()

    async def move(self, joining: Joining) -> int:
        """The survivor was in touch when the other was; its row follows when it is looked at."""
        other = await self._rows.find_one({"_id": joining.from_id})
        if other is not None:
            await self._rows.update_one({"_id": joining.to_id}, {"$max": {"contact_at": other["contact_at"]}})
            await self._rows.delete_one({"_id": joining.from_id})
        return 0

    async def bring_back(self, parting: Parting) -> int:
        """Both rows are made anew."""
        await self._rows.delete_many({"_id": {"$in": [parting.from_id, parting.to_id]}}, hint=BY_ID)
        return 0


class StreamRuleStore:
    """`stream_rules`: `{_id: "chosen", …StreamRules, edition, by}`, and `{_id: "past", after, edition}`: how far
    everybody has been looked at since the rules changed, or since there is a stream."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("stream_rules")

    async def chosen(self) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._rows.find_one({"_id": CHOSEN}) or {}

    async def choose(self, fields: Mapping[str, Any], by: str) -> None:
        """From now on so."""
        change: Document = {"$set": {**fields, "by": by}, "$inc": {"edition": 1}}
        await self._rows.update_one({"_id": CHOSEN}, change, upsert=True)

    async def past(self) -> Document:
        """How far everybody was looked at: `after` None: to the end."""
        return await self._rows.find_one({"_id": PAST}) or {"_id": PAST, "after": "", "edition": -1}

    async def looked(self, after: str | None, edition: int) -> None:
        """As far as this. Who is slow sets others back a little, and some people are looked at twice."""
        await self._rows.update_one({"_id": PAST}, {"$set": {"after": after, "edition": edition}}, upsert=True)
