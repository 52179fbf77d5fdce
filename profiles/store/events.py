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
from profiles.models import Event, NewEvent, storable
from profiles.store.belongings import Belongings

INDEXES: Indexes = {
    "events": [
        due_index(),
        IndexModel([("dedupe", ASCENDING)], name="once", unique=True),
        IndexModel([("profile_id", ASCENDING), ("occurred_at", DESCENDING), ("_id", DESCENDING)], name="timeline"),
        IndexModel([("profile_id", ASCENDING), ("name", ASCENDING), ("occurred_at", DESCENDING)], name="by_name"),
    ]
}
Position = tuple[datetime, str]
#: What rules can ask of an event.
_FACT = {
    "profile_id": 1, "name": 1, "occurred_at": 1, "channel_id": 1, "conversation_id": 1, "identity_id": 1,
    "properties": 1,
}  # fmt: skip


class EventStore:
    """Keeps each event once. A kept event is `pending` until `campaigns.triggers` has acted on it."""

    def __init__(self, database: Database, clock: Clock) -> None:
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
        names: Sequence[str] = (),
    ) -> list[Event]:  # fmt: skip
        """Newest first. `before` and `after` are (occurred_at, id) of a row already shown; `after` gives the rows
        nearest to it. `names` may end in `.*`."""
        wanted: Document = {"profile_id": profile_id, **_named(names), **_beside(before, after)}
        order = ASCENDING if after is not None else DESCENDING
        found = self._rows.find(wanted).sort([("occurred_at", order), ("_id", order)]).limit(limit)
        rows = [Event.model_validate(row) async for row in found]
        return rows[::-1] if after is not None else rows

    async def find(
        self, profile_id: str, names: Iterable[str], since: datetime | None = None, until: datetime | None = None,
        *, limit: int = 1000,
    ) -> list[Event]:  # fmt: skip
        """Newest first, `since <= occurred_at <= until`."""
        wanted = {"profile_id": profile_id, "name": {"$in": list(names)}, **_between(since, until)}
        found = self._rows.find(wanted).sort("occurred_at", DESCENDING).limit(limit)
        return [Event.model_validate(row) async for row in found]

    async def find_many(
        self, profile_ids: Sequence[str], names: Iterable[str], since: datetime | None = None
    ) -> dict[str, list[Event]]:
        """The same for many people in one read, newest first each, at most 20,000 in all."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "name": {"$in": list(names)}, **_between(since, None)}
        result: dict[str, list[Event]] = {profile_id: [] for profile_id in profile_ids}
        for row in await whole(self._rows.find(wanted).sort("occurred_at", DESCENDING).limit(20_000)):
            result[row["profile_id"]].append(Event.model_validate(row))
        return result

    async def facts(
        self, profile_ids: Sequence[str], names: Iterable[str], most: int | None = None
    ) -> dict[str, list[Document]] | None:
        """What `segments.ListedEvents` needs of these people, all of it; None when it is more than `most` rows."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "name": {"$in": list(names)}}
        found = self._rows.find(wanted, _FACT)
        rows = await whole(found if most is None else found.limit(most + 1))
        if most is not None and len(rows) > most:
            return None
        result: dict[str, list[Document]] = {profile_id: [] for profile_id in profile_ids}
        for row in rows:
            result[row["profile_id"]].append(row)
        return result

    async def kept(self, dedupes: Iterable[str]) -> set[str]:
        """Which of these `dedupe` keys are there."""
        return set(await self._rows.distinct("dedupe", {"dedupe": {"$in": list(dedupes)}}))

    async def exists(
        self, profile_id: str, names: Iterable[str], since: datetime, until: datetime | None = None
    ) -> bool:
        """Whether one of these happened to the person in that time."""
        wanted = {"profile_id": profile_id, "name": {"$in": list(names)}, **_between(since, until)}
        return await self._rows.find_one(wanted, {"_id": 1}) is not None

    async def count(self, profile_id: str, name: str, since: datetime | None = None) -> int:
        """How often it happened."""
        return await self._rows.count_documents({"profile_id": profile_id, "name": name, **_between(since, None)})

    async def get(self, event_id: str) -> Event | None:
        """One event."""
        row = await self._rows.find_one({"_id": event_id})
        return Event.model_validate(row) if row else None

    async def delete_of(self, profile_ids: Sequence[str]) -> int:
        """Erase the events of these people."""
        return (await self._rows.delete_many({"profile_id": {"$in": list(profile_ids)}})).deleted_count

    async def _insert(self, rows: Sequence[Document], session: Session) -> None:
        try:
            await self._rows.insert_many(rows, session=session)
        except BulkWriteError as error:
            duplicates_only(error)
            raise DuplicateKeyError("an event of this transaction is kept already", 11000, error.details) from error

    def _row(self, event: NewEvent) -> Document:
        now = self._clock()
        return {
            "_id": new_id("evt"), "name": event.name, "dedupe": event.dedupe, "profile_id": event.profile_id,
            "identity_id": event.identity_id, "channel_id": event.channel_id,
            "conversation_id": event.conversation_id, "occurred_at": to_millisecond(event.occurred_at),
            "received_at": now, "properties": storable(event.properties), "state": "pending", "due_at": now,
            "lease": None, "fence": 0, "attempts": 0,
        }  # fmt: skip


def _named(names: Sequence[str]) -> Document:
    if not names:
        return {}
    exact = [name for name in names if not name.endswith(".*")]
    families = [name.removesuffix("*") for name in names if name.endswith(".*")]
    choices: list[Mapping[str, Any]] = [{"name": {"$in": exact}}] if exact else []
    choices += [{"name": {"$gte": family, "$lt": family + "\uffff"}} for family in families]
    return {"$or": choices}


def _beside(before: Position | None, after: Position | None) -> Document:
    if before is not None:
        at, event_id = before
        return {"$and": [{"$or": [{"occurred_at": {"$lt": at}}, {"occurred_at": at, "_id": {"$lt": event_id}}]}]}
    if after is not None:
        at, event_id = after
        return {"$and": [{"$or": [{"occurred_at": {"$gt": at}}, {"occurred_at": at, "_id": {"$gt": event_id}}]}]}
    return {}


def _between(since: datetime | None, until: datetime | None) -> Document:
    limits = {"$gte": since, "$lte": until}
    given = {operator: at for operator, at in limits.items() if at is not None}
    return {"occurred_at": given} if given else {}
