"""Tasks that follow from what happened: a colleague is mentioned in a note, a merge leaves a second follow-up over."""

from __future__ import annotations

from collections.abc import Sequence

from base.ids import is_id, unique_key
from base.mongo import Document
from campaigns.store.tasks import OPEN
from campaigns.tasks import TaskPatch, Tasks
from profiles.events import Event
from profiles.joining import left_over
from profiles.store import MergeStore
from profiles.store.merges import STANDING

#: What such a task says; the note itself is shown beside it, so that its words stand in one place alone.
MENTIONED = "You are mentioned in a note."
#: `source.kind` of these tasks.
MENTION, FOLLOW_UP, ERASURE = "mention", "follow_up", "erasure"
#: What such a task says; the places stand in the log of the erasure.
STILL_NAMED = "Somebody was erased; some of our own texts may still name them. Please look at them."
#: Events of notes that may call colleagues.
MENTIONING = frozenset({"note.added", "note.changed", "call.logged", "meeting.logged", "visit.logged"})


def mention_key(note_id: str, user_id: str) -> str:
    """One task for a colleague and a note, however often it is edited."""
    return unique_key("mention", note_id, user_id)


def merge_key(merge_id: str) -> str:
    """One task for a merge."""
    return unique_key("follow-up of merge", merge_id)


class Reminders:
    """Listens to domain events; what it does has unique keys and may be done twice."""

    def __init__(self, tasks: Tasks, merges: MergeStore) -> None:
        self._tasks = tasks
        self._merges = merges

    async def tell(self, events: Sequence[Event]) -> None:
        """See to what these events ask for."""
        for event in events:
            if event.name in MENTIONING:
                await self._mentioned(event)
            elif event.name == "note.deleted":
                await self._deleted(event)
            elif event.name == "profile.merged":
                await self._merged(event)
            elif event.name == "profile.unmerged":
                await self._cancel([merge_key(str(event.properties.get("merge_id")))], event)

    async def erased(self, erasure: Document) -> None:
        """Whoever asked for an erasure sees to the places that still name the person; anybody where a program asked."""
        by = str(erasure["asked_by"])
        await self._tasks.create_once({
            "key": unique_key("places of erasure", erasure["_id"]), "text": STILL_NAMED, "due_at": None,
            "assignee_id": by if is_id(by, "usr") else None, "profile_id": None, "conversation_id": None,
            "order_id": None, "source": {"kind": ERASURE, "id": erasure["_id"]},
        })  # fmt: skip

    async def _mentioned(self, event: Event) -> None:
        note_id, by = str(event.properties.get("note_id")), event.properties.get("by")
        for user_id in event.properties.get("mentions") or ():
            if user_id == by:
                continue
            await self._tasks.create_once(
                {
                    "key": mention_key(note_id, user_id), "text": MENTIONED, "assignee_id": user_id, "due_at": None,
                    "profile_id": event.profile_id, "conversation_id": None, "order_id": None,
                    "source": {"kind": MENTION, "id": note_id, "by": by},
                }
            )  # fmt: skip

    async def _deleted(self, event: Event) -> None:
        note_id = str(event.properties.get("note_id"))
        await self._cancel([mention_key(note_id, each) for each in event.properties.get("mentions") or ()], event)

    async def _merged(self, event: Event) -> None:
        merge_id = str(event.properties.get("merge_id"))
        row = await self._merges.get(merge_id)
        if row is None or row["state"] not in STANDING:
            return  # undone meanwhile: each has its own again
        before: Document = row["before"]
        second = left_over(before["survivor"].get("next_follow_up"), before["other"].get("next_follow_up"))
        if second is None:
            return
        await self._tasks.create_once(
            {
                "key": merge_key(merge_id), "text": second["text"], "assignee_id": second.get("assignee_id"),
                "due_at": second["at"], "profile_id": row["survivor_id"], "conversation_id": None, "order_id": None,
                "source": {"kind": FOLLOW_UP, "id": second["id"], "merge_id": merge_id, "by": second.get("by")},
            }
        )  # fmt: skip

    async def _cancel(self, keys: Sequence[str], event: Event) -> None:
        by = event.properties.get("by")
        for task in (await self._tasks.by_keys(keys)).values():
            if task["state"] == OPEN:
                await self._tasks.patch(task["_id"], TaskPatch(state="cancelled"), by)
