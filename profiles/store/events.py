"""What happened: the timeline of a person, and at the same time the duties that journeys drain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock, to_millisecond
from base.duty import DutyBook, due_index
from base.ids import new_id
from base.mongo import (
    BulkWriteError,
    Database,
    Document,
    DuplicateKeyError,
    Indexes,
    Session,
    duplicates_only,
    inserted_apart_from_duplicates,
    whole,
)
from profiles.kinds import KINDS, OTHER, actor_of, kind_of
from profiles.models import Event, NewEvent, storable
from profiles.store.belongings import Belongings

INDEXES: Indexes = {
    "events": [
        due_index(),
        IndexModel([("dedupe", ASCENDING)], name="once", unique=True),
        IndexModel([("profile_id", ASCENDING), ("occurred_at", DESCENDING), ("_id", DESCENDING)], name="timeline"),
        IndexModel(
            [("profile_id", ASCENDING), ("kind", ASCENDING), ("occurred_at", DESCENDING), ("_id", DESCENDING)],
            name="by_kind",
        ),
        IndexModel(
            [("profile_id", ASCENDING), ("occurred_at", DESCENDING), ("_id", DESCENDING)],
            name="by_whom",
            partialFilterExpression={"by": {"$exists": True}},
        ),
        IndexModel([("profile_id", ASCENDING), ("name", ASCENDING), ("occurred_at", DESCENDING)], name="by_name"),
    ]
}
Position = tuple[datetime, str]
#: What rules can ask of an event.
_FACT = {
    "profile_id": 1, "name": 1, "occurred_at": 1, "channel_id": 1, "conversation_id": 1, "identity_id": 1,
    "properties": 1,
}  # fmt: skip


#: Of these some are a machine's (`properties.bot`): whoever counts what people do looks past them.
_BY_MACHINES_TOO = frozenset({"message.opened", "message.clicked"})


class EventStore:
    """Keeps each event once. A kept event is `pending` until `campaigns.triggers` has acted on it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rows = database.collection("events")
        self._clock = clock
        self.duties = DutyBook(self._rows, lease_s=30)
        self.belongings = Belongings("events", self._rows, "evt")

    async def record(self, events: Sequence[NewEvent], session: Session | None = None) -> int:
        """Keep them; the number that was new.

        Without a session those already kept are passed over. In a transaction a doubled `dedupe` raises
        `DuplicateKeyError` and has aborted it.
        """
        if not events:
            return 0
        rows = [self._row(event) for event in events]
        if session is not None:
            await self._insert(rows, session)
            return len(rows)
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def for_profile(
        self, profile_id: str, limit: int, before: Position | None = None, *, after: Position | None = None,
        kinds: Sequence[str] = (), since: datetime | None = None, until: datetime | None = None,
        by_somebody: bool = False,
    ) -> list[Event]:  # fmt: skip
        """Newest first. `before` and `after` are (occurred_at, id) of a row already shown; `after` gives the rows
        nearest to it. `kinds`: see `profiles.kinds`; `by_somebody`: only what one of us did, or a program of ours."""
        wanted: Document = {"profile_id": profile_id, **_beside(before, after, since, until)}
        if kinds:
            wanted["kind"] = {"$in": sorted(set(kinds))}
        if by_somebody:
            wanted["by"] = {"$exists": True}
        order = ASCENDING if after is not None else DESCENDING
        found = self._rows.find(wanted).sort([("occurred_at", order), ("_id", order)]).limit(limit)
        rows = [Event.model_validate(row) async for row in found]
        return rows[::-1] if after is not None else rows

    async def find(
        self, profile_id: str, names: Iterable[str], since: datetime | None = None, until: datetime | None = None,
        *, limit: int = 1000,
    ) -> list[Event]:  # fmt: skip
        """Newest first, `since <= occurred_at <= until`."""
        wanted = {"profile_id": profile_id, **named(names), **_between(since, until)}
        found = self._rows.find(wanted).sort("occurred_at", DESCENDING).limit(limit)
        return [Event.model_validate(row) async for row in found]

    async def find_many(
        self, profile_ids: Sequence[str], names: Iterable[str], since: datetime | None = None
    ) -> dict[str, list[Event]]:
        """The same for many people in one read, newest first each, at most 20,000 in all."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, **named(names), **_between(since, None)}
        result: dict[str, list[Event]] = {profile_id: [] for profile_id in profile_ids}
        for row in await whole(self._rows.find(wanted).sort("occurred_at", DESCENDING).limit(20_000)):
            result[row["profile_id"]].append(Event.model_validate(row))
        return result

    async def facts(
        self, profile_ids: Sequence[str], names: Iterable[str], most: int | None = None
    ) -> dict[str, list[Document]] | None:
        """What `segments.ListedEvents` needs of these people, all of it; None when it is more than `most` rows."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, **named(names)}
        found = self._rows.find(wanted, _FACT)
        rows = await whole(found if most is None else found.limit(most + 1))
        if most is not None and len(rows) > most:
            return None
        result: dict[str, list[Document]] = {profile_id: [] for profile_id in profile_ids}
        for row in rows:
            result[row["profile_id"]].append(row)
        return result

    async def latest(
        self, profile_id: str, needs: Mapping[str, int | None], now: datetime
    ) -> list[Document]:  # fmt: skip
        """The same for one person to whom much has happened: of each name as many of the latest as are needed up to
        `now` (None: all), those of the same moment as the last of them, and what is said to happen later. Each name is
        one stretch of the index, so the cost follows what is needed and not what there is."""
        rows: list[Document] = []
        for name, most in needs.items():
            wanted: Document = {"profile_id": profile_id, **named([name])}
            if most is None:
                rows += await whole(self._rows.find(wanted, _FACT))
                continue
            past = self._rows.find({**wanted, "occurred_at": {"$lte": now}}, _FACT).sort("occurred_at", DESCENDING)
            found = await whole(past.limit(most))
            if len(found) == most:
                edge = self._rows.find({**wanted, "occurred_at": found[-1]["occurred_at"]}, _FACT)
                found = [each for each in found if each["occurred_at"] > found[-1]["occurred_at"]] + await whole(edge)
            rows += [*found, *await whole(self._rows.find({**wanted, "occurred_at": {"$gt": now}}, _FACT))]
        return rows

    async def numbers(self, profile_ids: Sequence[str], names: Iterable[str]) -> dict[str, int]:
        """How many of these happened to each of them. Reads the index alone."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, **named(names)}
        steps: list[Mapping[str, Any]] = [
            {"$match": wanted}, {"$group": {"_id": "$profile_id", "count": {"$sum": 1}}},
        ]  # fmt: skip
        found = await self._database.aggregate(self._rows, steps, hint="by_name")
        return {row["_id"]: row["count"] for row in found}

    async def kept(self, dedupes: Iterable[str]) -> set[str]:
        """Which of these `dedupe` keys are there."""
        return set(await self._rows.distinct("dedupe", {"dedupe": {"$in": list(dedupes)}}))

    async def exists(
        self, profile_id: str, names: Iterable[str], since: datetime, until: datetime | None = None
    ) -> bool:
        """Whether one of these happened to the person in that time."""
        wanted = {"profile_id": profile_id, **named(names), **_between(since, until)}
        return await self._rows.find_one(wanted, {"_id": 1}) is not None

    async def acted(self, profile_ids: Sequence[str]) -> set[str]:
        """Those of these people with whom anything has happened but what an import, a segment or a change of the
        profile itself tells."""
        wanted: Document = {
            "profile_id": {"$in": list(profile_ids)}, "name": {"$not": {"$regex": r"^(profile|segment)\."}},
            "properties.source": {"$ne": "import"},
        }  # fmt: skip
        return set(await self._rows.distinct("profile_id", wanted))

    async def talked(self, identity_ids: Sequence[str], profile_ids: Sequence[str]) -> set[str]:
        """Those of these identities of these people by which anything was said."""
        wanted: Document = {
            "profile_id": {"$in": list(profile_ids)}, "identity_id": {"$in": list(identity_ids)},
            "name": {"$regex": r"^(message|conversation|contact)\."},
        }  # fmt: skip
        return set(await self._rows.distinct("identity_id", wanted))

    async def count(self, profile_id: str, name: str, since: datetime | None = None) -> int:
        """How often it happened."""
        return await self._rows.count_documents({"profile_id": profile_id, **named([name]), **_between(since, None)})

    async def get(self, event_id: str) -> Event | None:
        """One event."""
        row = await self._rows.find_one({"_id": event_id})
        return Event.model_validate(row) if row else None

    async def delete_of(self, profile_ids: Sequence[str], session: Session | None = None) -> int:
        """Erase the events of these people."""
        return (await self._rows.delete_many({"profile_id": {"$in": list(profile_ids)}}, session=session)).deleted_count

    async def many(self, event_ids: Iterable[str]) -> list[Event]:
        """Those of these that are there."""
        return [Event.model_validate(row) for row in await whole(self._rows.find({"_id": {"$in": list(event_ids)}}))]

    async def stretch(self, after: str, until: str, size: int) -> str | None:
        """The last of the next `size` ids after this one and before `until`; None at the end."""
        ids = self._rows.find({"_id": {"$gt": after, "$lt": until}}, {"_id": 1}).sort("_id", ASCENDING)
        found = await ids.clone().skip(size - 1).limit(1).to_list(1) or (await whole(ids.limit(size)))[-1:]
        return str(found[0]["_id"]) if found else None

    async def between(
        self, after: str, last: str, names: Iterable[str], since: datetime, *, limit: int | None = None
    ) -> list[Event]:  # fmt: skip
        """Somebody's events of these names, kept under ids after the one and up to the other, that happened since
        then, in the order in which they were kept; with a limit the last ones."""
        wanted = {
            "_id": {"$gt": after, "$lte": last}, "name": {"$in": sorted(names)}, "profile_id": {"$type": "string"},
            **_between(since, None),
        }  # fmt: skip
        found = self._rows.find(wanted).sort("_id", ASCENDING if limit is None else DESCENDING)
        rows = await whole(found if limit is None else found.limit(limit))
        return [Event.model_validate(row) for row in (rows if limit is None else rows[::-1])]

    async def file_old(self) -> int:
        """Write kind and doer on events of a version that did not; how many. Cheap where that was done."""
        oldest = await self._rows.find_one({}, {"kind": 1}, sort=[("_id", ASCENDING)])
        if oldest is None or "kind" in oldest:
            return 0
        changed = 0
        for kind, words in (*KINDS.items(), (OTHER, ())):
            named: Document = {"name": {"$regex": rf"^({'|'.join(words)})\."}} if words else {}
            result = await self._rows.update_many({"kind": {"$exists": False}, **named}, {"$set": {"kind": kind}})
            changed += result.modified_count
        told = {"by": {"$exists": False}, "properties.by": {"$type": "string", "$nin": ["", "customer", "system"]}}
        await self._rows.update_many(told, [{"$set": {"by": "$properties.by"}}])
        return changed

    async def _insert(self, rows: Sequence[Document], session: Session) -> None:
        try:
            await self._rows.insert_many(rows, session=session)
        except BulkWriteError as error:
            duplicates_only(error)
            raise DuplicateKeyError("an event of this transaction is kept already", 11000, error.details) from error

    def _row(self, event: NewEvent) -> Document:
        now, by = self._clock(), actor_of(event.properties)
        row = {
            "_id": new_id("evt"), "name": event.name, "kind": kind_of(event.name), "dedupe": event.dedupe,
            "profile_id": event.profile_id, "identity_id": event.identity_id, "channel_id": event.channel_id,
            "conversation_id": event.conversation_id, "occurred_at": to_millisecond(event.occurred_at),
            "received_at": now, "properties": storable(event.properties),
            "state": "done" if event.quiet else "pending", "due_at": now, "lease": None, "fence": 0, "attempts": 0,
        }  # fmt: skip
        return row if by is None else {**row, "by": by}


def named(names: Iterable[str]) -> Document:
    """Events of these names, without what machines did."""
    listed = list(names)
    wanted: Document = {"name": {"$in": listed} if len(listed) != 1 else listed[0]}
    return wanted | ({"properties.bot": {"$exists": False}} if not _BY_MACHINES_TOO.isdisjoint(listed) else {})


def _beside(
    before: Position | None, after: Position | None, since: datetime | None, until: datetime | None
) -> Document:
    """One range of the index, less the rows of the same moment that were shown."""
    at = {**({"$gte": since} if since else {}), **({"$lte": until} if until else {})}
    if before is not None:
        at["$lte"] = min(before[0], until) if until else before[0]
        shown: Document = {"$nor": [{"occurred_at": before[0], "_id": {"$gte": before[1]}}]}
    elif after is not None:
        at["$gte"] = max(after[0], since) if since else after[0]
        shown = {"$nor": [{"occurred_at": after[0], "_id": {"$lte": after[1]}}]}
    else:
        shown = {}
    return {**({"occurred_at": at} if at else {}), **shown}


def _between(since: datetime | None, until: datetime | None) -> Document:
    limits = {"$gte": since, "$lte": until}
    given = {operator: at for operator, at in limits.items() if at is not None}
    return {"occurred_at": given} if given else {}
