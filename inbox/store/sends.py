"""The outbox, which is also the ledger: one row per send under its unique key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook
from base.ids import id_before
from base.mongo import (
    BY_ID,
    Database,
    Document,
    Indexes,
    Session,
    UpdateMany,
    UpdateOne,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, newest_first
from inbox.models import RESULTS, WAITING, Send, SendClass, send_of
from inbox.store.inserting import insert_all
from profiles.store.belongings import Belongings

#: A claim is given up when it was not renewed for so long.
LEASE_S = 30
#: So long before it went a send may have been asked for, as far as anybody looks for it by time.
ASKED_BEFORE = timedelta(days=30)
#: Messages that are looked at for when people were last written to.
WRITTEN_MAX = 5000
#: Agents first, then order notices, then mailings: a broadcast never makes a person at the desk wait.
URGENCY: Mapping[str, int] = {"service": 0, "transactional": 1, "marketing": 2}
#: Only rows that still have something to come are in the indexes that are searched all the time.
_DUE = {"due_at": {"$exists": True}}
_HANDED = {"handed_at": {"$exists": True}}
_WITH_RESULT = {"standing_at": {"$exists": True}}
_OF_A_BROADCAST = {"source.kind": "broadcast"}
#: Nobody has begun to hand it over, so it may still be changed.
_UNCLAIMED: Document = {"state": {"$in": ["planned", "deferred"]}, "tries": 0}

INDEXES: Indexes = {
    "sends": [
        IndexModel([("send_key", ASCENDING)], name="once", unique=True),
        IndexModel(
            [("state", ASCENDING), ("due_at", ASCENDING)],
            name="due",
            partialFilterExpression={**_DUE, **_HANDED},
        ),
        IndexModel(
            [("state", ASCENDING), ("lane", ASCENDING), ("due_at", ASCENDING)],
            name="by_lane",
            partialFilterExpression=_DUE,
        ),
        IndexModel(
            [("unsettled", ASCENDING), ("updated_at", ASCENDING)],
            name="unsettled",
            partialFilterExpression={"unsettled": True},
        ),
        IndexModel(
            [("channel_id", ASCENDING), ("provider_message_ids", ASCENDING)],
            name="by_provider_id",
            partialFilterExpression={"provider_message_ids": {"$exists": True}},
        ),
        IndexModel([("identity_id", ASCENDING), ("handed_at", DESCENDING)], name="by_identity"),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel([("source.id", ASCENDING), ("_id", DESCENDING)], name="by_source"),
        IndexModel(
            [("conversation_id", ASCENDING), ("_id", DESCENDING)],
            name="by_conversation",
            partialFilterExpression={"conversation_id": {"$exists": True}},
        ),
        IndexModel(
            [("conversation_id", ASCENDING), ("due_at", ASCENDING)],
            name="later",
            partialFilterExpression={"scheduled": True, **_DUE},
        ),
        IndexModel([("state", ASCENDING), ("_id", DESCENDING)], name="by_state", partialFilterExpression=_WITH_RESULT),
        # what became of the sends of a step lately: the circuit breaker counts in it
        IndexModel(
            [("source.id", ASCENDING), ("source.node_id", ASCENDING), ("standing_at", ASCENDING)],
            name="of_step",
            partialFilterExpression={"source.kind": "journey", **_WITH_RESULT},
        ),
        # the people of a broadcast by state; all its figures are counted in this index alone (`inbox.store.mailings`)
        IndexModel(
            [
                ("source.kind", ASCENDING),
                ("source.id", ASCENDING),
                ("state", ASCENDING),
                ("_id", DESCENDING),
                ("reason.code", ASCENDING),
                ("source.node_id", ASCENDING),
                ("again", ASCENDING),
                ("opened_at", ASCENDING),
                ("clicked_at", ASCENDING),
                ("left_at", ASCENDING),
            ],
            name="by_broadcast",
            partialFilterExpression=_OF_A_BROADCAST,
        ),
    ]
}


@dataclass(frozen=True)
class Lane:
    """Sends of one class on one account: they are claimed together and paced together."""

    name: str
    channel_id: str
    urgency: int

    @property
    def more_urgent(self) -> list[str]:
        """The lanes of the same account that go first."""
        return [f"{self.channel_id}|{urgency}" for urgency in range(self.urgency)]

    @property
    def less_urgent(self) -> list[str]:
        """The lanes of the same account that wait for this one."""
        return [f"{self.channel_id}|{urgency}" for urgency in range(self.urgency + 1, len(URGENCY))]


def lane_name(channel_id: str, send_class: SendClass) -> str:
    """As it stands in the row."""
    return f"{channel_id}|{URGENCY[send_class]}"


class SendStore:
    """Reads and writes sends. Whoever claimed a row names its lease in every later write."""

    def __init__(self, database: Database, clock: Clock, *, lease_s: int = LEASE_S) -> None:
        self._database = database
        self._rows = database.collection("sends")
        self.belongings = Belongings("sends", self._rows, "snd", by_identity="always")
        self._clock = clock
        self.lease_s = lease_s
        self.by_lane = DutyBook(self._rows, lease_s=lease_s, index="by_lane")
        self.duties = DutyBook(self._rows, lease_s=lease_s)

    # -- asking ------------------------------------------------------------------------------------------------

    async def add(self, rows: Sequence[Document], session: Session | None = None) -> set[int]:
        """Insert; the positions of those whose key was there. With a session a taken key aborts the transaction."""
        if session is None:
            return await inserted_apart_from_duplicates(self._rows, rows)
        await insert_all(self._rows, rows, session)
        return set()

    async def by_keys(self, keys: Sequence[str], session: Session | None = None) -> dict[str, Document]:
        """Rows by send key."""
        found = self._rows.find({"send_key": {"$in": list(keys)}}, session=session)
        return {row["send_key"]: row for row in await whole(found)}

    async def progress(self, keys: Sequence[str]) -> dict[str, Document]:
        """How far these have come, by send key: `state`, `due_at`, `reason.code`."""
        shown = {"send_key": 1, "state": 1, "due_at": 1, "reason.code": 1}
        return {row["send_key"]: row for row in await whole(self._rows.find({"send_key": {"$in": list(keys)}}, shown))}

    async def get(self, send_id: str) -> Send | None:
        """One send."""
        row = await self._rows.find_one({"_id": send_id})
        return send_of(row) if row else None

    async def many(self, ids: Iterable[str]) -> list[Document]:
        """Rows by id, in no order."""
        return await whole(self._rows.find({"_id": {"$in": list(ids)}}))

    async def page(
        self, *, profile_id: str | None = None, source_kind: str | None = None, source_id: str | None = None,
        conversation_id: str | None = None, state: str | None = None, reason: str | None = None,
        arm: str | None = None, since: datetime | None = None,
        channels: Sequence[str] | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> Page[Send]:  # fmt: skip
        """The ledger, newest first. `channels` limits what the asking person may see."""
        wanted: Document = {
            "profile_id": profile_id, "source.kind": source_kind, "source.id": source_id,
            "conversation_id": conversation_id, "state": state, "reason.code": reason, "source.node_id": arm,
        }  # fmt: skip
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if state in RESULTS:
            wanted |= _WITH_RESULT
        if since is not None:
            wanted["planned_at"] = {"$gte": since}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        return (await newest_first(self._rows, wanted, limit, cursor)).each(send_of)

    async def latest_failed(self, after_id: str, limit: int) -> list[Document]:
        """Rows of failed sends that were asked for after this id was made, the newest first."""
        wanted: Document = {"state": "failed", "_id": {"$gt": after_id}, **_WITH_RESULT}
        return await whole(self._rows.find(wanted).sort("_id", DESCENDING).limit(limit).hint("by_state"))

    async def last_written(
        self, profile_ids: Iterable[str], since: datetime
    ) -> dict[str, tuple[datetime | None, datetime | None]]:
        """Person → when they last got anything but advertising, and anything but a broadcast, of what was asked for
        since then and went out; of many thousands of messages only some are looked at."""
        wanted = {"profile_id": {"$in": sorted(profile_ids)}, "_id": {"$gt": id_before("snd", since)}}
        at = {"$ifNull": ["$accepted_at", "$updated_at"]}
        steps: list[Document] = [
            {"$match": wanted}, {"$limit": WRITTEN_MAX},
            {"$match": {"state": {"$in": ["accepted", "delivered", "read"]}}},
            {"$group": {
                "_id": "$profile_id",
                "noticed": {"$max": {"$cond": [{"$ne": ["$class", "marketing"]}, at, None]}},
                "written": {"$max": {"$cond": [{"$ne": ["$source.kind", "broadcast"]}, at, None]}},
            }},
        ]  # fmt: skip
        found = await self._database.aggregate(self._rows, steps, hint="by_profile")
        return {row["_id"]: (row["noticed"], row["written"]) for row in found}

    async def count(self, wanted: Mapping[str, str]) -> dict[str, int]:
        """Sends per state for a source (`{"source.id": …}`) or a conversation; one pass over its index."""
        fields = {name: str(value) for name, value in wanted.items() if name in ("source.id", "conversation_id")}
        steps: list[Document] = [{"$match": fields}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
        return {row["_id"]: row["n"] for row in await self._database.aggregate(self._rows, steps)}

    async def cancel(self, send_id: str, reason: Document, session: Session) -> Document | None:
        """Take back a send that nobody has claimed yet; the row as it was, None when it is too late."""
        before: Document | None = await self._rows.find_one_and_update(
            {"_id": send_id, **_UNCLAIMED},
            {"$set": {"state": "skipped", "reason": reason, "updated_at": self._clock()}, "$unset": {"due_at": ""}},
            session=session,
        )
        return before

    async def rehome(self, send_ids: Sequence[str], conversation_id: str, session: Session) -> None:
        """The lines of these stand in another conversation now."""
        wanted, change = {"_id": {"$in": list(send_ids)}}, {"$set": {"conversation_id": conversation_id}}
        await self._rows.update_many(wanted, change, session=session, hint=BY_ID)

    async def move(self, send_id: str, due_at: datetime, session: Session) -> bool:
        """Send it then; False when it was claimed already, or was not to be sent later at all."""
        change = {"state": "planned", "due_at": due_at, "updated_at": self._clock()}
        wanted = {"_id": send_id, "scheduled": True, **_UNCLAIMED}
        return (await self._rows.update_one(wanted, {"$set": change}, session=session)).modified_count == 1

    async def later(self, threads: Sequence[str], limit: int = 50) -> list[Document]:
        """Replies in these conversations that are to be sent later, the next one first."""
        wanted = {"conversation_id": {"$in": list(threads)}, "scheduled": True, **_DUE, **_UNCLAIMED}
        return await whole(self._rows.find(wanted).sort("due_at", ASCENDING).limit(limit))

    # -- delivering --------------------------------------------------------------------------------------------

    async def due_lanes(self, now: datetime) -> list[Lane]:
        """Lanes with something due, the most urgent first.

        Jumps from lane to lane in the index (`DISTINCT_SCAN`; the condition on `due_at` is what makes that possible),
        so it costs a few index entries however many sends are planned.
        """
        names = await self._rows.distinct("lane", {"state": {"$in": list(WAITING)}, "due_at": {"$lte": now}})
        return sorted((_lane(name) for name in names), key=lambda lane: lane.urgency)

    async def count_due(self, lanes: Sequence[str], now: datetime, at_most: int) -> int:
        """How many sends of these lanes are due, counted no further than `at_most`."""
        wanted = {"state": {"$in": list(WAITING)}, "lane": {"$in": list(lanes)}, "due_at": {"$lte": now}}
        return await self._rows.count_documents(wanted, limit=at_most, hint="by_lane")

    async def claim(self, lane: str, now: datetime, limit: int) -> list[Document]:
        """Lease due rows of a lane, those whose worker died among them."""
        return await self.by_lane.claim(WAITING, now, limit=limit, into="claimed", where={"lane": lane})

    async def claim_broken(self, now: datetime, limit: int) -> list[Document]:
        """Lease rows that were handed over and never recorded. They stay `handed`: somebody has to judge them."""
        return await self.duties.claim(("handed",), now, limit=limit, where=_HANDED)

    async def hand_over(self, rows: Sequence[Document], now: datetime) -> set[str]:
        """Write `handed`, before the provider is called; the ids that were still ours."""
        lease = rows[0]["lease"]
        ours = {"_id": {"$in": [row["_id"] for row in rows]}, "lease": lease, "state": "claimed"}
        change = {
            "state": "handed", "handed_at": now, "first_handed_at": {"$ifNull": ["$first_handed_at", now]},
            "tries": {"$add": ["$tries", 1]}, "attempts": 0, "updated_at": now,
            "due_at": {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": self.lease_s}},
        }  # fmt: skip
        result = await self._rows.update_many(ours, [{"$set": change}], hint=BY_ID)
        if result.modified_count == len(rows):
            return {row["_id"] for row in rows}
        kept = self._rows.find({**ours, "state": "handed"}, {"_id": 1}).hint(BY_ID)
        return {row["_id"] async for row in kept}

    async def renew(self, ids: Sequence[str], lease: str) -> int:
        """Lengthen the lease of rows still under way; how many those are."""
        still = {"_id": {"$in": list(ids)}, "lease": lease, "state": {"$in": ["claimed", "handed"]}}
        end = {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": self.lease_s}}
        result = await self._rows.update_many(still, [{"$set": {"due_at": end}}], hint=BY_ID)
        return result.matched_count

    async def settle(self, changes: Sequence[UpdateOne]) -> int:
        """Carry out the changes in one unordered write; how many rows matched."""
        return await self.duties.settle(changes)

    async def unsettled(self, before: datetime, limit: int) -> list[Document]:
        """Rows with a result whose consequences were not drawn, because a worker died in between."""
        found = self._rows.find({"unsettled": True, "updated_at": {"$lte": before}}).sort("updated_at", ASCENDING)
        return await found.limit(limit).to_list(None)

    async def put_off(self, send_id: str) -> None:
        """Its consequences could not be drawn: it stands behind all others that wait for theirs."""
        waits = {"_id": send_id, "unsettled": True}
        await self._rows.update_one(waits, {"$set": {"updated_at": self._clock()}})

    async def close_books(self, found: Mapping[str, Document]) -> None:
        """All consequences of these results are drawn. Id → fields learned on the way (message, conversation)."""
        plain = [key for key, fields in found.items() if not fields]
        changes: list[UpdateOne | UpdateMany] = [
            UpdateOne({"_id": key, "unsettled": True}, {"$set": fields, "$unset": {"unsettled": ""}})
            for key, fields in found.items()
            if fields
        ]
        if plain:
            changes.append(
                UpdateMany({"_id": {"$in": plain}, "unsettled": True}, {"$unset": {"unsettled": ""}}, hint=BY_ID)
            )
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    # -- receipts ----------------------------------------------------------------------------------------------

    async def by_provider_ids(self, pairs: Iterable[tuple[str, str]]) -> list[Document]:
        """Sends to which these (channel id, provider message id) belong."""
        per_channel: dict[str, list[str]] = {}
        for channel_id, message_id in pairs:
            per_channel.setdefault(channel_id, []).append(message_id)
        found: list[Document] = []
        for channel_id, ids in per_channel.items():
            rows = self._rows.find({"channel_id": channel_id, "provider_message_ids": {"$in": ids}})
            found += await rows.to_list(None)
        return found

    async def handed_to(self, profile_ids: Iterable[str], since: datetime) -> list[Document]:
        """What went to these people since then, in the order in which it was asked for; what an answer may be to."""
        fields = {"profile_id": 1, "channel_id": 1, "conversation_id": 1, "send_key": 1, "source": 1, "handed_at": 1,
                  "provider_message_ids": 1}  # fmt: skip
        wanted = {
            "profile_id": {"$in": list(profile_ids)}, "_id": {"$gt": id_before("snd", since - ASKED_BEFORE)},
            "handed_at": {"$gte": since}, "state": {"$in": ["handed", "accepted", "delivered", "read", "unknown"]},
        }  # fmt: skip
        return await whole(self._rows.find(wanted, fields).sort("_id", ASCENDING))

    async def reached(self, identity_id: str, channel_id: str, until: datetime, *, below: int) -> list[Document]:
        """Accepted sends to an identity, handed over by `until` and not yet as far as rank `below`; newest first."""
        wanted = {
            "identity_id": identity_id, "channel_id": channel_id, "state": {"$in": ["accepted", "delivered"]},
            "handed_at": {"$lte": until, "$gte": until - timedelta(days=30)}, "rank": {"$lt": below},
        }  # fmt: skip
        return await self._rows.find(wanted).sort("handed_at", DESCENDING).limit(500).to_list(None)

    async def count_since(self, since: Mapping[str, datetime]) -> dict[str, int]:
        """Messages handed to each identity since a moment: what a window's quota is counted by."""
        counts = {}
        for identity_id, at in since.items():
            gone = {"$in": ["handed", "accepted", "delivered", "read", "unknown"]}
            wanted = {"identity_id": identity_id, "handed_at": {"$gte": at}, "state": gone}
            counts[identity_id] = await self._rows.count_documents(wanted, limit=100)
        return counts

    async def gone_to(self, profile_ids: Sequence[str], classes: Iterable[str], since: datetime) -> list[Document]:
        """What was handed over to a person since then and may have arrived, the newest 3,000: `handed_at`, `class`,
        `channel_id`, `content.purpose`, `state`."""
        wanted = {
            "profile_id": {"$in": list(profile_ids)}, "class": {"$in": sorted(classes)}, "handed_at": {"$gte": since},
            "state": {"$nin": ["failed", "skipped"]},
        }  # fmt: skip
        shown = {"handed_at": 1, "class": 1, "content.purpose": 1, "channel_id": 1, "state": 1}
        found = self._rows.find(wanted, shown).hint("by_profile").sort("_id", DESCENDING).limit(3000)
        return await whole(found)

    async def standing(self, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Id → state, and how many calls were made for it."""
        rows = await whole(self._rows.find({"_id": {"$in": list(ids)}}, {"state": 1, "tries": 1}))
        return {row["_id"]: (row["state"], row.get("tries", 0)) for row in rows}

    async def people_of_step(self, source_id: str, node: str, since: datetime) -> tuple[int, int]:
        """(people whose last result failed, people with a result) of one step since then. Each counts once, however
        often they were tried."""
        steps: list[Document] = [
            {"$match": {"source.kind": "journey", "source.id": source_id, "source.node_id": node,
                        "standing_at": {"$gte": since}}},
            {"$match": {"state": {"$in": ["accepted", "delivered", "read", "failed", "unknown"]}}},
            {"$sort": {"standing_at": 1}},
            {"$group": {"_id": "$profile_id", "state": {"$last": "$state"}}},
            {"$group": {"_id": None, "ended": {"$sum": 1},
                        "failed": {"$sum": {"$cond": [{"$eq": ["$state", "failed"]}, 1, 0]}}}},
        ]  # fmt: skip
        rows = await self._database.aggregate(self._rows, steps, hint="of_step")
        return (rows[0]["failed"], rows[0]["ended"]) if rows else (0, 0)

    async def hurry_step(self, source_id: str, node: str, code: str, now: datetime) -> None:
        """Those of a step of a journey that wait for this reason are due now. May run twice."""
        wanted = {"source.id": source_id, "source.node_id": node, "state": "deferred", "reason.code": code}
        await self._rows.update_many(wanted, {"$set": {"due_at": now, "updated_at": now}})

    async def write(self, changes: Sequence[UpdateOne]) -> None:
        """Carry out changes that need no lease: each has its own condition."""
        if changes:
            await self._rows.bulk_write(list(changes), ordered=False)

    async def oldest_due(self, now: datetime) -> datetime | None:
        """Since when the most overdue send waits; for alarms."""
        steps: list[Document] = [
            {"$match": {"state": {"$in": list(WAITING)}, "due_at": {"$lte": now}}},
            {"$sort": {"state": 1, "lane": 1, "due_at": 1}},
            {"$group": {"_id": {"state": "$state", "lane": "$lane"}, "due_at": {"$first": "$due_at"}}},
        ]
        rows = await self._database.aggregate(self._rows, steps, hint="by_lane")
        return min((row["due_at"] for row in rows), default=None)

    async def raw(self, wanted: Mapping[str, Any]) -> list[Document]:
        """Rows by an exact condition of ours. For tests and reports, never with input from outside."""
        return await self._rows.find(dict(wanted)).sort("_id", ASCENDING).to_list(None)


def _lane(name: str) -> Lane:
    channel_id, _, urgency = name.rpartition("|")
    return Lane(name, channel_id, int(urgency))
