"""What tracking keeps: the choice of the workspace, the targets of links, hits that wait to be judged, credits.

| collection | rows |
|---|---|
| `tracking` | `{_id: "settings", chosen, rev}` and `{_id: "orders", at}`: up to when changes of orders were looked at |
| `tracked_links` | `{_id: link id, url, source_id, profile_id, made_at, used_at}`; `used_at`: the last day |
| `hits` | one per send, link, visit and kind of caller: a duty until judged, then kept an hour for its neighbours |
| `credits` | one per order: whose work it was, and every correction |
| `takings` | per journey or broadcast, step and currency: orders and money, kept up with `credits` in one transaction |
| `campaign_figures` | see `outcomes` |
| `late_reminders` | one per reminder that was accepted after the purchase |

A link's target of one person is theirs. `used_at` is the day it was last put into a message, by which retention goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import unique_key
from base.mongo import (
    BY_ID,
    Database,
    Document,
    DuplicateKeyError,
    Indexes,
    Session,
    UpdateOne,
    inserted_apart_from_duplicates,
    whole,
)
from campaigns.tracking.store.outcomes import INDEXES as OUTCOMES
from profiles.store.belongings import Belongings

#: Judged hits are needed no longer than their visit lasts.
HIT_KEPT_S = 3600
#: That a link is in use is noted so often.
USED_AGAIN = timedelta(days=1)
SETTINGS, ORDERS = "settings", "orders"
INDEXES: Indexes = {
    "tracking": [],
    "tracked_links": [IndexModel([("profile_id", ASCENDING)], name="by_profile",
                                 partialFilterExpression={"profile_id": {"$type": "string"}}),
                      IndexModel([("used_at", ASCENDING)], name="by_use")],
    "hits": [
        due_index(),
        IndexModel([("send_id", ASCENDING), ("at", ASCENDING)], name="by_send"),
        IndexModel([("judged_at", ASCENDING)], name="expiry", expireAfterSeconds=HIT_KEPT_S),
    ],
    "credits": [
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("touch.source_id", ASCENDING)], name="by_source",
                   partialFilterExpression={"touch.source_id": {"$type": "string"}}),
        IndexModel([("ordered_at", ASCENDING)], name="by_time"),
        IndexModel([("again_at", ASCENDING)], name="again", partialFilterExpression={"again_at": {"$type": "date"}}),
    ],
    **OUTCOMES,
    "takings": [IndexModel([("source_id", ASCENDING)], name="by_source")],
    "late_reminders": [
        IndexModel([("source_id", ASCENDING), ("sent_at", ASCENDING)], name="by_source"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
    ],
}  # fmt: skip


class TrackingStore:
    """Settings, links and hits."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("tracking")
        self._links = database.collection("tracked_links")
        self._hits = database.collection("hits")
        self._heads = {"journey": database.collection("journeys"), "broadcast": database.collection("broadcasts")}
        self._sends = database.collection("sends")
        self._messages = database.collection("messages")
        self._clock = clock
        self.belongings = Belongings("tracked_links", self._links, "lnk", by_identity="never")
        self.duties = DutyBook(self._hits, lease_s=30)

    async def settings(self) -> Document | None:
        """`{chosen, rev}`; None before anything was chosen."""
        return await self._rows.find_one({"_id": SETTINGS})

    async def choose(self, chosen: Document, rev: int, by: str) -> bool:
        """Keep the choice; False when somebody else has chosen since `rev`. All orders are looked at anew."""
        change = {"$set": {"chosen": chosen, "by": by, "at": self._clock()}, "$inc": {"rev": 1}}
        try:
            result = await self._rows.update_one(
                {"_id": SETTINGS, "rev": rev or {"$exists": False}}, change, upsert=rev == 0
            )
        except DuplicateKeyError:
            return False
        if not (result.matched_count or result.upserted_id):
            return False
        await self._rows.delete_one({"_id": ORDERS})
        return True

    async def names(self, kind: str, ids: Iterable[str]) -> dict[str, str]:
        """What journeys or broadcasts are called."""
        return {each: name for each, (name, _) in (await self.heads(kind, ids)).items()}

    async def heads(self, kind: str, ids: Iterable[str]) -> dict[str, tuple[str, Document | None]]:
        """Journey or broadcast → (what it is called, what a broadcast itself adds to links)."""
        found = self._heads[kind].find({"_id": {"$in": sorted(set(ids))}}, {"name": 1, "body.utm": 1})
        return {row["_id"]: (row.get("name") or "", (row.get("body") or {}).get("utm")) async for row in found}

    # -- links -------------------------------------------------------------------------------------------------

    async def know(self, links: Mapping[str, tuple[str, str, Sequence[str]]]) -> set[str]:
        """Keep targets: link id → (address, source, people who get it). The ids that stand for just this address.

        A target that a second person gets belongs to nobody any more.
        """
        held = {row["_id"]: row async for row in self._links.find({"_id": {"$in": list(links)}})}
        changes, now = [], self._clock()
        for link_id, (url, source_id, people) in links.items():
            row, owner = held.get(link_id), people[0] if len(set(people)) == 1 else None
            if row is None:
                fresh = {"url": url, "source_id": source_id, "profile_id": owner, "made_at": now}
                changes.append(
                    UpdateOne({"_id": link_id}, {"$setOnInsert": fresh, "$max": {"used_at": now}}, upsert=True)
                )
            elif row.get("used_at") is None or row["used_at"] < now - USED_AGAIN:
                changes.append(UpdateOne({"_id": link_id}, {"$max": {"used_at": now}}))
            if row is None or (row["profile_id"] is not None and row["profile_id"] != owner):
                others = {"_id": link_id, "url": url, "profile_id": {"$nin": [owner] if owner else []}}
                changes.append(UpdateOne(others, {"$set": {"profile_id": None}}))
        if changes:
            await self._links.bulk_write(changes, ordered=True)
            held = {row["_id"]: row async for row in self._links.find({"_id": {"$in": list(links)}})}
        return {link_id for link_id, (url, _, _) in links.items() if held.get(link_id, {}).get("url") == url}

    async def target(self, link_id: str) -> str | None:
        """Where a link leads."""
        row = await self._links.find_one({"_id": link_id}, {"url": 1})
        return str(row["url"]) if row else None

    async def targets(self, link_ids: Iterable[str]) -> dict[str, str]:
        """The same for many."""
        return {row["_id"]: row["url"] async for row in self._links.find({"_id": {"$in": sorted(set(link_ids))}})}

    async def carry(self, counts: Mapping[str, int]) -> None:
        """Send id → to how many places its message leads: whoever follows all of them at once is seen by that."""
        if counts:
            changes = [UpdateOne({"_id": send_id}, {"$set": {"links": count}}) for send_id, count in counts.items()]
            await self._sends.bulk_write(changes, ordered=False)

    # -- hits --------------------------------------------------------------------------------------------------

    async def keep_hits(self, rows: Sequence[Document]) -> int:
        """Keep those that are not there; how many were new."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._hits, rows))

    async def claim(self, now: datetime, limit: int) -> list[Document]:
        """Lease hits whose visit is over."""
        return await self.duties.claim(["waiting"], now, limit=limit)

    async def hits_of(self, send_ids: Iterable[str]) -> dict[str, list[Document]]:
        """All hits of these sends within the hour."""
        found: dict[str, list[Document]] = {}
        for row in await whole(self._hits.find({"send_id": {"$in": sorted(set(send_ids))}})):
            found.setdefault(row["send_id"], []).append(row)
        return found

    async def seen(self, marks: Sequence[tuple[str, str, str, datetime]]) -> None:
        """(send id, message id, field, when): on the send and on its line stands since when; the first time stays."""
        if not marks:
            return
        await self._sends.bulk_write(
            [UpdateOne({"_id": send}, {"$min": {name: at}}) for send, _, name, at in marks], ordered=False
        )
        lines = [
            UpdateOne({"_id": line}, {"$min": {name: at}})
            for _, line, name, at in marks
            if name in ("opened_at", "clicked_at")
        ]
        if lines:
            await self._messages.bulk_write(lines, ordered=False)

    async def sends(self, ids: Iterable[str]) -> dict[str, Document]:
        """Rows of the ledger by id."""
        return {row["_id"]: row for row in await whole(self._sends.find({"_id": {"$in": sorted(set(ids))}}))}


class CreditStore:
    """Whose work an order was, and what that comes to."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._marks = database.collection("tracking")
        self._credits = database.collection("credits")
        self._takings = database.collection("takings")
        self._late = database.collection("late_reminders")
        self._sends = database.collection("sends")
        self._clock = clock
        self.belongings = Belongings("credits", self._credits, "ord")
        self.late_belongings = Belongings("late_reminders", self._late, "snd")

    async def of_people(self, profile_ids: Sequence[str]) -> dict[str, Document]:
        """Credits of these people's orders, by order id."""
        found = self._credits.find({"profile_id": {"$in": list(profile_ids)}})
        return {row["_id"]: row for row in await whole(found)}

    async def many(self, order_ids: Sequence[str]) -> dict[str, Document]:
        """The same by order."""
        return {row["_id"]: row for row in await whole(self._credits.find({"_id": {"$in": list(order_ids)}}))}

    async def write(self, before: Document | None, after: Document) -> bool:
        """Put `after` in place of `before`, and the difference into the takings, in one transaction; False when the row
        has changed meanwhile."""

        async def work(session: Session) -> bool:
            if before is None:
                await self._credits.insert_one(after, session=session)
            else:
                where = {"_id": before["_id"], "rev": before["rev"]}
                result = await self._credits.replace_one(where, after, session=session)
                if not result.matched_count:
                    return False
            for change in _differences(before, after):
                await self._takings.bulk_write([change], session=session)
            return True

        try:
            return bool(await self._database.in_transaction(work))
        except DuplicateKeyError:
            return False

    async def takings(self, source_ids: Sequence[str]) -> list[Document]:
        """Kept sums `{source_kind, source_id, node_id, currency, orders, minor}` of these sources."""
        rows = await whole(self._takings.find({"source_id": {"$in": list(source_ids)}, "orders": {"$gt": 0}}))
        return sorted(rows, key=lambda row: str(row["_id"]))

    async def recount(self, source_id: str | None = None) -> int:
        """Set the sums to what the credits come to, as people who were erased take theirs along; how many were wrong.

        A sum that changes meanwhile is left to the next time.
        """
        wanted = {"source_id": source_id} if source_id else {}
        kept = {row["_id"]: row for row in await whole(self._takings.find(wanted))}
        right = {row["_id"]: row for row in await self.counted(source_id)}
        mended = 0
        for key in sorted(kept.keys() | right.keys()):
            own = right.get(key) or {**kept[key], "orders": 0, "minor": 0}
            row = kept.get(key)
            if row is None or (row["orders"], row["minor"]) == (own["orders"], own["minor"]):
                continue
            where = {"_id": key, "rev": row["rev"]}
            change = {"$set": {"orders": own["orders"], "minor": own["minor"]}, "$inc": {"rev": 1}}
            mended += (await self._takings.update_one(where, change)).modified_count
        return mended

    async def counted(self, source_id: str | None = None) -> list[Document]:
        """The sums, made anew from all credits."""
        wanted: Document = {"counts": True, "touch.source_id": source_id or {"$type": "string"}}
        key = {
            "kind": "$touch.source_kind", "id": "$touch.source_id", "node": "$touch.node_id", "currency": "$currency",
        }  # fmt: skip
        steps: list[Mapping[str, Any]] = [
            {"$match": wanted}, {"$group": {"_id": key, "orders": {"$sum": 1}, "minor": {"$sum": "$minor"}}},
        ]  # fmt: skip
        rows = []
        for row in await self._database.aggregate(self._credits, steps):
            own = row["_id"]
            touch = {"source_kind": own["kind"], "source_id": own["id"], "node_id": own.get("node")}
            rows.append({**_sum_row(touch, own["currency"]), "orders": row["orders"], "minor": row["minor"]})
        return rows

    async def by_day(self, source_id: str, zone: str) -> list[Document]:
        """`{day, currency, orders, minor}`: what orders of this source come to, by the day they were paid on."""
        day = {"$dateToString": {"date": "$ordered_at", "format": "%Y-%m-%d", "timezone": zone}}
        steps: list[Mapping[str, Any]] = [
            {"$match": {"touch.source_id": source_id, "counts": True}},
            {"$group": {
                "_id": {"day": day, "currency": "$currency"}, "orders": {"$sum": 1}, "minor": {"$sum": "$minor"},
            }},
        ]  # fmt: skip
        rows = await self._database.aggregate(self._credits, steps, hint="by_source")
        return [{**row["_id"], "orders": row["orders"], "minor": row["minor"]} for row in rows]

    async def by_time(self, since: datetime, until: datetime, zone: str) -> list[Document]:
        """What credited orders of that time come to, per day of that zone, source and currency."""
        day = {"$dateToString": {"date": "$ordered_at", "format": "%Y-%m-%d", "timezone": zone}}
        key = {
            "day": day, "kind": "$touch.source_kind", "id": "$touch.source_id", "channel": "$touch.channel_id",
            "currency": "$currency",
        }  # fmt: skip
        wanted = {
            "ordered_at": {"$gte": since, "$lt": until}, "counts": True, "touch.source_id": {"$type": "string"},
        }  # fmt: skip
        steps: list[Mapping[str, Any]] = [
            {"$match": wanted}, {"$group": {"_id": key, "orders": {"$sum": 1}, "minor": {"$sum": "$minor"}}},
        ]  # fmt: skip
        rows = await self._database.aggregate(self._credits, steps)
        return [{**row["_id"], "orders": row["orders"], "minor": row["minor"]} for row in rows]

    # -- sent after the purchase -------------------------------------------------------------------------------

    async def reminders_after(self, profile_id: str, at: datetime) -> list[Document]:
        """Sends of journeys and broadcasts to this person that were accepted after that time."""
        wanted = {
            "profile_id": profile_id, "source.kind": {"$in": ["journey", "broadcast"]}, "accepted_at": {"$gt": at},
        }  # fmt: skip
        return await whole(self._sends.find(wanted).sort("_id", ASCENDING).limit(500))

    async def reached(self, profile_ids: Sequence[str], since: datetime) -> dict[str, list[Document]]:
        """Marketing that providers took for these people since then."""
        wanted = {
            "profile_id": {"$in": list(profile_ids)}, "class": "marketing", "accepted_at": {"$gte": since},
            "state": {"$in": ["accepted", "delivered", "read"]},
        }  # fmt: skip
        found: dict[str, list[Document]] = {}
        for row in await whole(self._sends.find(wanted).sort("_id", DESCENDING).limit(20_000)):
            found.setdefault(row["profile_id"], []).append(row)
        return found

    async def note_late(self, rows: Sequence[Document]) -> int:
        """Keep that they were late, each once; how many are new."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._late, rows))

    async def late(self, source_ids: Sequence[str]) -> dict[str, int]:
        """How many reminders of each source came after the purchase."""
        steps: list[Mapping[str, Any]] = [
            {"$match": {"source_id": {"$in": list(source_ids)}}}, {"$group": {"_id": "$source_id", "n": {"$sum": 1}}},
        ]  # fmt: skip
        return {row["_id"]: row["n"] for row in await self._database.aggregate(self._late, steps)}

    # -- how far orders were looked at -------------------------------------------------------------------------

    async def mark(self) -> datetime | None:
        """Up to which change of orders all were looked at."""
        row = await self._marks.find_one({"_id": ORDERS})
        return row["at"] if row else None

    async def set_mark(self, before: datetime | None, at: datetime) -> None:
        """It stands there now, unless somebody has moved it."""
        try:
            await self._marks.update_one({"_id": ORDERS, "at": before}, {"$set": {"at": at}}, upsert=before is None)
        except DuplicateKeyError:
            return

    async def due_again(self, now: datetime, limit: int) -> list[Document]:
        """Credits that were to be looked at once more by now."""
        found = self._credits.find({"again_at": {"$lte": now}}, {"profile_id": 1}).sort("again_at", ASCENDING)
        return await found.limit(limit).to_list(None)

    async def looked_again(self, order_ids: Sequence[str], now: datetime) -> None:
        """It was."""
        where = {"_id": {"$in": list(order_ids)}, "again_at": {"$lte": now}}
        await self._credits.update_many(where, {"$unset": {"again_at": ""}}, hint=BY_ID)


def _sum_row(touch: Mapping[str, Any], currency: str) -> Document:
    key = unique_key("takings", touch["source_kind"], touch["source_id"], touch.get("node_id") or "", currency)
    return {
        "_id": key, "source_kind": touch["source_kind"], "source_id": touch["source_id"],
        "node_id": touch.get("node_id"), "currency": currency,
    }  # fmt: skip


def _differences(before: Document | None, after: Document) -> list[UpdateOne]:
    """What changes in the sums when one credit takes the place of another."""
    change: dict[str, Document] = {}
    for row, sign in ((before, -1), (after, 1)):
        if row is None or not row["counts"] or row["touch"] is None:
            continue
        own = _sum_row(row["touch"], row["currency"])
        held = change.setdefault(own["_id"], {**own, "orders": 0, "minor": 0})
        held["orders"] += sign
        held["minor"] += sign * row["minor"]
    return [
        UpdateOne(
            {"_id": key},
            {"$inc": {"orders": own["orders"], "minor": own["minor"], "rev": 1},
             "$setOnInsert": {k: v for k, v in own.items() if k not in ("_id", "orders", "minor")}},
            upsert=True,
        )
        for key, own in sorted(change.items())
        if own["orders"] or own["minor"]
    ]  # fmt: skip


def hit_row(send_id: str, link_id: str, at: datetime, bot: str | None, patience: timedelta) -> Document:
    """A hit as it is kept: once per send, link, visit and kind of caller. (Events are told once an hour; a person who
    comes in the same hour as a scanner with the face of a browser is another visit.)"""
    visit = int(at.timestamp()) // 2
    return {
        "_id": unique_key("hit", send_id, link_id, visit, "machine" if bot else "person"), "send_id": send_id,
        "link_id": link_id, "at": at, "bot": bot, "state": "waiting", "due_at": at + patience, "attempts": 0,
        "fence": 0,
    }  # fmt: skip
