"""What steps have done outside: people are given work, told and noted down, addresses called, journeys started.

Each errand is carried out once per visit of its step, however often it is tried: what it leaves behind stands under a
key of the visit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Document
from campaigns.assigning import Assigning
from campaigns.bells import Ringer
from campaigns.causes import chain_of
from campaigns.entering import Entrance, Entrant
from campaigns.facts import Ask, FactReader
from campaigns.filling import filled, has_names
from campaigns.live import LiveJourneys
from campaigns.models import AssignStep, Definition, HumanStep, NoteStep, NotifyStep, StartJourneyStep, WebhookStep
from campaigns.namespaces import context_of
from campaigns.store.calls import CallStore
from campaigns.store.enrolments import run_of
from campaigns.tasks import Tasks
from inbox.conversations import ConversationActions
from inbox.models import Actor, Conversation
from inbox.store import ConversationStore
from profiles.edit import ProfileEditor, ProfilePatch
from profiles.models import storable
from profiles.notes import NoteInput, Notes

#: States of a conversation in which there is somebody to answer.
_OPEN = frozenset({"open", "pending", "snoozed"})


def errand_key(do: str, run_id: str, node: str, visit: int) -> str:
    """Unique for ever: one errand of a kind per run, step and visit. Human steps share their kind with tasks."""
    return unique_key("task" if do in ("assign", "notify") else do, run_id, node, visit)


class Errands:
    """Carries them out."""

    def __init__(
        self, tasks: Tasks, assigning: Assigning, notes: Notes, editor: ProfileEditor, conversations: ConversationStore,
        actions: ConversationActions, calls: CallStore, entrance: Entrance, live: LiveJourneys, facts: FactReader,
        doorbell: Ringer, clock: Clock,
    ) -> None:  # fmt: skip
        self._tasks = tasks
        self._assigning = assigning
        self._notes = notes
        self._editor = editor
        self._conversations = conversations
        self._actions = actions
        self._calls = calls
        self._entrance = entrance
        self._live = live
        self._facts = facts
        self._doorbell = doorbell
        self._clock = clock
        self._by_name: Mapping[str, Callable[[Document, Mapping[str, Any], Definition, str], Awaitable[None]]] = {
            "task": self._task, "notify": self._notify, "assign": self._assign, "note": self._note, "call": self._call,
            "start": self._start,
        }  # fmt: skip

    async def do(self, row: Document, todo: Mapping[str, Any], definition: Definition) -> None:
        """See to one of them. Raises what hinders it; may be done again."""
        key = errand_key(todo["do"], row["_id"], todo["node"], todo["visit"])
        await self._by_name[todo["do"]](row, todo, definition, key)

    # -- people ------------------------------------------------------------------------------------------------

    async def _task(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        step = definition.by_id.get(todo["node"])
        if not isinstance(step, HumanStep) or key in await self._tasks.by_keys([key]):
            return
        whom = await self._assigning.choose(step.assignee, row["profile_id"], key=key, pool=_pool(row, step))
        await self._tasks.create_once(await self._work(row, definition, step, key, todo["due_at"], whom))

    async def _notify(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        """One task for each who is told. Where the run waits, the first to close theirs closes it for all."""
        step = definition.by_id.get(todo["node"])
        if not isinstance(step, NotifyStep):
            return
        wanted = step.assignee or ""
        whom: list[str | None] = []
        if wanted.startswith("role:"):
            whom += await self._assigning.of_role(wanted.removeprefix("role:"))
        else:
            whom.append(await self._assigning.choose(wanted, row["profile_id"], key=key, pool=_pool(row, step)))
        shared = {"shared_key": key} if step.wait_done else {}
        for user_id in whom or [None]:
            work = await self._work(row, definition, step, f"{key}:{user_id or ''}", todo["due_at"], user_id)
            await self._tasks.create_once({**work, **shared})

    async def _assign(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        step = definition.by_id.get(todo["node"])
        if not isinstance(step, AssignStep):
            return
        talk = await self._conversation(row)
        whom = await self._assigning.choose(
            step.assignee, row["profile_id"], key=f"{key}:turn", pool=_pool(row, step), among=step.among,
            channel_id=talk.channel_id if talk else None,
        )  # fmt: skip
        by = Actor(f"journey:{row['journey_id']}", definition.name, "campaign")
        if talk is not None and "conversation" in step.what:
            if whom is not None:
                await self._actions.assign(talk.id, whom, by)
            if step.team_id is not None:
                await self._actions.assign_team(talk.id, step.team_id, by)
        if whom is not None and "owner" in step.what:
            patch = ProfilePatch(owner_id=whom)
            await self._editor.patch(row["profile_id"], patch, source="api", by=by.id, key=key, strict=False)
        if step.wait_done:
            work = await self._work(row, definition, step, key, todo["due_at"], whom)
            closes = {"conversation_id": talk.id, "closes_with": "conversation"} if talk else {}
            await self._tasks.create_once({**work, **closes})
            if talk is not None:  # resolved while this was written: nobody will be told of it again
                await self._tasks.close_resolved(talk.id)

    async def _note(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        step = definition.by_id.get(todo["node"])
        if not isinstance(step, NoteStep):
            return
        whom = await self._assigning.choose(step.assignee, row["profile_id"], key=key, pool=_pool(row, step))
        text = await self._text(step.text, row, definition)
        by = f"journey:{row['journey_id']}"
        await self._notes.add(row["profile_id"], NoteInput(text=text), by, mentions=[whom] if whom else [], key=key)

    async def _work(
        self, row: Document, definition: Definition, step: HumanStep, key: str, due_at: datetime | None,
        assignee_id: str | None,
    ) -> Document:  # fmt: skip
        event = row["data"].get("event") or {}
        return {
            "key": key, "text": await self._text(step.text, row, definition), "due_at": due_at,
            "profile_id": row["profile_id"], "assignee_id": assignee_id,
            "conversation_id": event.get("conversation_id"),
            "order_id": (event.get("properties") or {}).get("order_id"),
            "source": {"kind": "journey", "id": row["journey_id"], "enrolment_id": row["_id"], "node_id": step.id,
                       "step": step.type},
        }  # fmt: skip

    async def _conversation(self, row: Document) -> Conversation | None:
        """The one it is about, else the person's latest open one."""
        named = (row["data"].get("event") or {}).get("conversation_id")
        talk = await self._conversations.get(named) if isinstance(named, str) else None
        if talk is not None and talk.status in _OPEN:
            return talk
        known = await self._conversations.of_profile(row["profile_id"])
        return next((each for each in known if each.status in _OPEN), None)

    # -- programs and journeys ---------------------------------------------------------------------------------

    async def _call(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        step = definition.by_id.get(todo["node"])
        if isinstance(step, WebhookStep):
            call = {
                "key": key, "enrolment_id": row["_id"], "journey_id": row["journey_id"], "version": row["version"],
                "node": todo["node"], "visit": todo["visit"], "profile_id": row["profile_id"], "url": step.url,
                "host": urlsplit(step.url).netloc.lower(),
            }  # fmt: skip
            await self._calls.plan([call])
            await self._doorbell.ring("call")

    async def _start(self, row: Document, todo: Mapping[str, Any], definition: Definition, key: str) -> None:
        step = definition.by_id.get(todo["node"])
        if not isinstance(step, StartJourneyStep):
            return
        journey = (await self._live.now()).journeys.get(step.journey_id)
        if journey is None or journey.status == "draining":
            _say(row, todo, "start_journey.refused", {"why": "not_running"})
            return
        cause = f"journey:{row['_id']}:{todo['node']}:{todo['visit']}"
        data = storable(filled(step.data, await self._names(row, definition))) if has_names(step.data) else step.data
        now = self._clock()
        event = {
            "id": cause, "name": "journey.started", "occurred_at": now,
            "conversation_id": (row["data"].get("event") or {}).get("conversation_id"),
            "properties": {**data, "from_journey_id": row["journey_id"], "from_enrolment_id": row["_id"]},
        }  # fmt: skip
        led = chain_of(row["journey_id"], row)
        entrant = Entrant(journey, row["profile_id"], cause, now, cause, {**data, "event": event}, led)
        (admission,) = await self._entrance.admit([entrant])
        if admission.created or admission.reason == "already_entered":
            _say(row, todo, "start_journey.started", {"run": admission.run_id})
        else:
            _say(row, todo, "start_journey.refused", {"why": admission.reason, "run": admission.run_id})

    # -- words -------------------------------------------------------------------------------------------------

    async def _text(self, text: str, row: Document, definition: Definition) -> str:
        if not has_names(text):
            return text
        return str(filled(text, await self._names(row, definition)) or "").strip() or text

    async def _names(self, row: Document, definition: Definition) -> dict[str, Any]:
        run = run_of(row)
        facts = (await self._facts.read([Ask(run, definition, frozenset({"profile", "order"}))]))[run.id]
        return context_of(facts, run, definition, {})


def _pool(row: Document, step: Any) -> str:
    """All who take turns at this step."""
    return f"{row['journey_id']}:{step.id}"


def _say(row: Document, todo: Mapping[str, Any], code: str, params: Mapping[str, Any]) -> None:
    """What became of it, in the line that is about to be added to the log."""
    for line in row["todo"]["lines"]:
        if line["node"] == todo["node"] and line["visit"] == todo["visit"] and line["code"] == "start_journey.asked":
            line["code"], line["params"] = code, {**line["params"], **params}
