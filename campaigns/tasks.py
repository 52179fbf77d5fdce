"""Work for people: created once per key, taken, done. A run that waits for a task goes on when it is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from base.clock import Clock
from base.errors import Conflict, NotFound
from base.feed import Feed, Notice
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.pages import Page
from campaigns.bells import Ringer
from campaigns.store.tasks import CLOSED, OPEN, TaskStore
from channels.vocabulary import Instant
from inbox.store import ConversationStore
from profiles.events import EventStore, NewEvent

State = Literal["open", "done", "cancelled"]
#: How often a change is tried again because somebody else wrote the same task.
ROUNDS = 5


class TaskInput(BaseModel):
    """What a caller gives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
    assignee_id: Annotated[str, StringConstraints(max_length=60)] | None = None
    due_at: Instant | None = None
    profile_id: Annotated[str, StringConstraints(max_length=60)] | None = None
    conversation_id: Annotated[str, StringConstraints(max_length=60)] | None = None
    order_id: Annotated[str, StringConstraints(max_length=60)] | None = None


class TaskPatch(BaseModel):
    """What may be changed; fields left out stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)] | None = None
    assignee_id: Annotated[str, StringConstraints(max_length=60)] | None = None
    due_at: Instant | None = None
    state: State | None = None
    result: Annotated[str, StringConstraints(max_length=500)] | None = None


class Tasks:
    """The use cases. Rows are `{_id, state, text, assignee_id, due_at, profile_id, conversation_id, order_id, source,
    key?, created_at, done_at, done_by, result, on_time?, handed_from?}`. `on_time`: closed by its due time."""

    def __init__(
        self, database: Database, store: TaskStore, events: EventStore, conversations: ConversationStore,
        doorbell: Ringer, clock: Clock, feed: Feed | None = None,
    ) -> None:  # fmt: skip
        self._feed = feed
        self._conversations = conversations
        self._database = database
        self._store = store
        self._events = events
        self._doorbell = doorbell
        self._clock = clock

    async def create(self, task: TaskInput, by: str | None) -> Document:
        """A task of a person's own making."""
        return await self._created({**task.model_dump(), "source": {"kind": "person", "id": by}})

    async def create_once(self, fields: Mapping[str, Any]) -> Document:
        """A task under a `key` of its own; the same key again returns the same task."""
        known = await self.by_keys([fields["key"]])
        if not known:
            try:
                return await self._created(fields)
            except DuplicateKeyError:
                known = await self.by_keys([fields["key"]])
        return known[fields["key"]]

    async def by_keys(self, keys: Sequence[str]) -> dict[str, Document]:
        """Tasks by key."""
        return await self._store.by_keys(keys)

    async def patch(self, task_id: str, patch: TaskPatch, by: str | None) -> Document:
        """Change what is given. Closing it wakes the run that waits. Raises `NotFound`, `Conflict`."""
        given = {name: getattr(patch, name) for name in patch.model_fields_set}
        for _ in range(ROUNDS):
            task = await self._store.get(task_id)
            if task is None:
                raise NotFound("There is no such task.")
            changed = await self._changed(task, given, by)
            if changed is not None:
                await self._doorbell.ring("react")
                await self._show("task.updated", changed)
                return changed
        raise Conflict("This task is being changed too often just now.", code="contended")

    async def done(self, task_id: str, by: str | None, result: str | None = None) -> Document:
        """Close it as done. Done twice is done once."""
        return await self.patch(task_id, TaskPatch(state="done", result=result), by)

    async def close_resolved(self, conversation_id: str) -> int:
        """Close what was to be done until this conversation is resolved, if it is; how many. May run twice."""
        talk = await self._conversations.row(conversation_id)
        if talk is not None and talk["status"] not in ("resolved", "spam"):
            return 0
        tasks = await self._store.closing_with(conversation_id)
        for task in tasks:
            await self.done(task["_id"], (talk or {}).get("assignee_id") or task.get("assignee_id"))
        return len(tasks)

    async def close_shared(self, task_id: str) -> int:
        """One of several who were told has seen to it: the others need not any more; how many. May run twice."""
        task = await self._store.get(task_id)
        if task is None or task["state"] == OPEN or "shared_key" not in task:
            return 0
        others = [each for each in await self._store.shared(task["shared_key"]) if each["state"] == OPEN]
        for each in others:
            await self.patch(each["_id"], TaskPatch(state="cancelled"), task.get("done_by"))
        return len(others)

    async def hand_over(self, task: Document, to: str | None) -> Document | None:
        """Give an open task of somebody who is not there any more to another one, or (None) to whoever takes it."""
        fields = {"assignee_id": to, "handed_from": task.get("assignee_id")}
        changed = await self._store.change(task["_id"], task["rev"], fields)
        if changed is not None:
            await self._show("task.updated", changed)
        return changed

    async def get(self, task_id: str) -> Document:
        """One task. Raises `NotFound`."""
        task = await self._store.get(task_id)
        if task is None:
            raise NotFound("There is no such task.")
        return task

    async def page(
        self, *, state: str | None = None, assignee_id: str | None = None, profile_id: str | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Tasks, newest first; `assignee_id` `-` asks for those nobody has taken."""
        return await self._store.page(
            state=state, assignee_id=assignee_id, profile_id=profile_id, limit=limit, cursor=cursor
        )

    async def due(self, assignee_id: str, until: datetime, limit: int = 100) -> list[Document]:
        """What a person has to do by `until`: their own open tasks and those nobody has taken."""
        return await self._store.due(assignee_id, until, limit)

    async def _created(self, fields: Mapping[str, Any]) -> Document:
        channel_id = await self._channel_of(fields)

        async def work(session: Session) -> Document:
            task = await self._store.add(fields, session)
            by = (task.get("source") or {}).get("by") or _maker(task)
            await self._events.record([_event("task.created", task, channel_id, self._clock(), by)], session)
            return task

        task: Document = await self._database.in_transaction(work)
        await self._doorbell.ring("react")
        await self._show("task.created", task)
        return task

    async def _channel_of(self, task: Mapping[str, Any]) -> str | None:
        """The channel of the conversation it is about: who does not see that one is not told what there is to do."""
        talk = await self._conversations.row(task["conversation_id"]) if task.get("conversation_id") else None
        return talk["channel_id"] if talk else None

    async def _show(self, kind: str, task: Document) -> None:
        """Open pages look again."""
        if self._feed is not None:
            data = {"task_id": task["_id"], "assignee_id": task.get("assignee_id")}
            data |= {"profile_id": task["profile_id"]} if task.get("profile_id") else {}
            await self._feed.append([Notice(kind, data)])

    async def _changed(self, task: Document, given: Mapping[str, Any], by: str | None) -> Document | None:
        now = self._clock()
        state = given.get("state", task["state"])
        closes = task["state"] == OPEN and state in CLOSED
        fields = {name: value for name, value in given.items() if name != "state" or value is not None}
        if closes:
            due = fields.get("due_at", task.get("due_at"))
            fields |= {"done_at": now, "done_by": by, "on_time": None if due is None else now <= due}
        elif task["state"] in CLOSED and state in CLOSED:
            return task  # closed before: who did it first stays
        elif state == OPEN and task["state"] in CLOSED:
            fields |= {"done_at": None, "done_by": None, "result": None, "on_time": None}
        channel_id = await self._channel_of(task) if closes else None

        async def work(session: Session) -> Document | None:
            changed = await self._store.change(task["_id"], task["rev"], fields, session)
            if changed is not None and closes:
                await self._events.record([_event("task.done", changed, channel_id, now, by)], session)
            return changed

        found: Document | None = await self._database.in_transaction(work)
        return found


def _maker(task: Document) -> str | None:
    """The person or program that made it, or the journey."""
    source = task.get("source") or {}
    if source.get("kind") == "journey":
        return f"journey:{source['id']}"
    return source.get("id") if source.get("kind") == "person" else None


def _event(name: str, task: Document, channel_id: str | None, at: datetime, by: str | None) -> NewEvent:
    source = task.get("source") or {}
    return NewEvent(
        name=name,
        dedupe=f"{name}:{task['_id']}:{task['rev']}",
        occurred_at=at,
        profile_id=task.get("profile_id"),
        channel_id=channel_id,
        conversation_id=task.get("conversation_id"),
        properties={
            "task_id": task["_id"], "text": task["text"], "assignee_id": task.get("assignee_id"),
            "state": task["state"], "result": task.get("result"), "enrolment_id": source.get("enrolment_id"),
            "on_time": task.get("on_time"), "by": by,
        },
    )  # fmt: skip
