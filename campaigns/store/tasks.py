"""Work for people: one row per task, created once per key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.errors import FieldError, WrongInput
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes, Session, whole
from base.pages import Page, bounded, cut, newest_first, read_cursor, write_cursor
from profiles.store.belongings import Belongings

OPEN = "open"
CLOSED = ("done", "cancelled")
#: Stands in a cursor for no due time.
NEVER = "never"
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)

INDEXES: Indexes = {
    "tasks": [
        IndexModel([("key", ASCENDING)], name="once", unique=True, partialFilterExpression={"key": {"$exists": True}}),
        IndexModel(
            [("assignee_id", ASCENDING), ("state", ASCENDING), ("due_at", ASCENDING), ("_id", ASCENDING)],
            name="of_assignee",
        ),
        IndexModel([("state", ASCENDING), ("due_at", ASCENDING), ("_id", ASCENDING)], name="of_state"),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel(
            [("shared_key", ASCENDING)], name="shared", partialFilterExpression={"shared_key": {"$exists": True}}
        ),
        IndexModel(
            [("conversation_id", ASCENDING)],
            name="closes",
            partialFilterExpression={"closes_with": {"$exists": True}},
        ),
    ]
}


class TaskStore:
    """Reads and writes tasks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("tasks")
        self._clock = clock
        self.belongings = Belongings("tasks", self._rows, "tsk", counted=True, by_identity="never")

    async def add(self, fields: Mapping[str, Any], session: Session | None = None) -> Document:
        """A new task. In a transaction a taken `key` raises `DuplicateKeyError` and has aborted it."""
        now = self._clock()
        row = {
            "_id": new_id("tsk"), "state": OPEN, "rev": 1, "created_at": now, "updated_at": now, "done_at": None,
            "done_by": None, "result": None, **fields,
        }  # fmt: skip
        await self._rows.insert_one(row, session=session)
        return row

    async def by_keys(self, keys: Iterable[str]) -> dict[str, Document]:
        """Tasks by key."""
        found = self._rows.find({"key": {"$in": list(set(keys))}})
        return {row["key"]: row async for row in found}

    async def shared(self, key: str) -> list[Document]:
        """The tasks of all who were told the same."""
        return await self._rows.find({"shared_key": key}).to_list(None)

    async def of_visits(self, keys: Iterable[str]) -> dict[str, list[Document]]:
        """Key of a visit → the tasks it led to: its own, or one for each who was told."""
        wanted = list(set(keys))
        found: dict[str, list[Document]] = {}
        async for row in self._rows.find({"key": {"$in": wanted}}):
            found.setdefault(row["key"], []).append(row)
        async for row in self._rows.find({"shared_key": {"$in": wanted}}):
            found.setdefault(row["shared_key"], []).append(row)
        return found

    async def closing_with(self, conversation_id: str) -> list[Document]:
        """Open tasks that are done when this conversation is resolved."""
        wanted = {"conversation_id": conversation_id, "closes_with": "conversation", "state": OPEN}
        return await self._rows.find(wanted).to_list(None)

    async def assignees(self) -> set[str]:
        """Everybody who has something open."""
        return {each for each in await self._rows.distinct("assignee_id", {"state": OPEN}) if each is not None}

    async def open_of(
        self, assignee_id: str, kinds: Iterable[str], limit: int = 200, *, due: bool = False
    ) -> list[Document]:
        """Open tasks of one colleague that came from such sources; `due`: those whose time has come."""
        wanted: Document = {"assignee_id": assignee_id, "state": OPEN, "source.kind": {"$in": list(kinds)}}
        if due:
            wanted["due_at"] = {"$lte": self._clock()}
        return await self._rows.find(wanted).limit(limit).to_list(None)

    async def due_between(self, since: datetime, until: datetime, limit: int) -> list[Document]:
        """Open tasks that somebody has and whose time came then, in the order in which it did."""
        wanted = {"state": OPEN, "due_at": {"$gte": since, "$lte": until}, "assignee_id": {"$type": "string"}}
        return await self._rows.find(wanted).sort("due_at", ASCENDING).limit(limit).hint("of_state").to_list(None)

    async def many(self, task_ids: Iterable[str]) -> list[Document]:
        """Those of these that are there."""
        wanted = sorted(set(task_ids))
        return await self._rows.find({"_id": {"$in": wanted}}).to_list(None) if wanted else []

    async def get(self, task_id: str) -> Document | None:
        """One task."""
        return await self._rows.find_one({"_id": task_id})

    async def change(
        self, task_id: str, rev: int, fields: Mapping[str, Any], session: Session | None = None
    ) -> Document | None:
        """Set fields if nobody wrote since `rev`; None when somebody did."""
        row: Document | None = await self._rows.find_one_and_update(
            {"_id": task_id, "rev": rev},
            {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return row

    async def page(
        self, *, state: str | None = None, assignee_id: str | None = None, profile_id: str | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Tasks, newest first. `assignee_id` `-` asks for those nobody has taken."""
        wanted: Document = {"state": state, "assignee_id": assignee_id, "profile_id": profile_id}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if assignee_id == "-":
            wanted["assignee_id"] = None
        return await newest_first(self._rows, wanted, limit, cursor)

    async def due(self, assignee_id: str, until: datetime, limit: int = 100) -> list[Document]:
        """A person's open tasks and those nobody has taken, due by `until` or without a due time; urgent ones first."""
        wanted = {
            "assignee_id": {"$in": [assignee_id, None]},
            "state": OPEN,
            "$or": [{"due_at": None}, {"due_at": {"$lte": until}}],
        }
        rows = await self._rows.find(wanted).sort("due_at", ASCENDING).limit(limit).to_list(None)
        return sorted(rows, key=lambda row: (row.get("due_at") is None, row.get("due_at") or row["created_at"]))

    async def by_due(
        self, assignees: Sequence[str | None] | None, state: str, *, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Tasks of these people (None: nobody's; no list: everybody's), those due first first, those without a due time
        last. Raises `WrongInput`."""
        size, wanted = bounded(limit), {"state": state}
        index = "of_state" if assignees is None else "of_assignee"
        whose: Document = {} if assignees is None else {"assignee_id": {"$in": list(assignees)}}
        at, last = read_cursor(cursor, str, str) if cursor else ("", "")
        rows: list[Document] = []
        for due in _after_task(at, last):
            found = self._rows.find({**whose, **wanted, **due}).sort([("due_at", ASCENDING), ("_id", ASCENDING)])
            rows += await whole(found.limit(size + 1 - len(rows)).hint(index)) if len(rows) <= size else []
        shown, more = cut(rows, size)
        return Page(shown, _task_cursor(shown[-1]) if more else None)

    async def on_list(self, assignees: Sequence[str | None], until: datetime, limit: int) -> list[Document]:
        """Open tasks of these people (None: nobody's) that are due by `until`, the longest due first, and as many at
        most that have no due time."""
        wanted = {"assignee_id": {"$in": list(assignees)}, "state": OPEN}
        due = self._rows.find({**wanted, "due_at": {"$lte": until}}).sort("due_at", ASCENDING)
        undated = self._rows.find({**wanted, "due_at": None})
        return [row for each in (due, undated) for row in await whole(each.limit(limit).hint("of_assignee"))]


def _task_cursor(row: Document) -> str:
    due = row.get("due_at")
    return write_cursor(due.isoformat() if due else NEVER, row["_id"])


def _after_task(at: str, last: str) -> list[Document]:
    """What follows a row: the rest of those with a due time, then those without."""
    undated: Document = {"due_at": None}
    if at == NEVER:
        return [{**undated, "_id": {"$gt": last}}]
    if not at:
        return [{"due_at": {"$gt": _LONG_AGO}}, undated]
    since = _moment(at)
    return [{"due_at": since, "_id": {"$gt": last}}, {"due_at": {"$gt": since}}, undated]


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise WrongInput("This cursor is not one of ours.", [FieldError("cursor", "is not valid")]) from None


__all__ = ["CLOSED", "INDEXES", "OPEN", "DuplicateKeyError", "TaskStore"]
