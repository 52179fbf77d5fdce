"""Work does not stay with who is not there: it goes to the person's owner, else to whoever takes it. Of who is on leave
what falls due meanwhile.

And it ends where it has been done elsewhere: an assignment when its conversation is resolved, what several were told
when one of them has seen to it. Listens to the events that are acted upon, so all of it may happen twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from campaigns.assigning import Assigning
from campaigns.store import TaskStore
from campaigns.tasks import Tasks
from profiles.events import Event

#: Sources of work that somebody else can do as well; a mention speaks to one person alone.
PASSED_ON = ("journey", "person", "follow_up")


class HandingOver:
    """Closes what is done, and gives on what nobody does."""

    def __init__(self, tasks: Tasks, store: TaskStore, assigning: Assigning) -> None:
        self._tasks = tasks
        self._store = store
        self._assigning = assigning

    async def hear(self, events: Sequence[Event]) -> None:
        """See to what these events end."""
        for event in events:
            if event.name == "conversation.status_changed" and event.properties.get("to") in ("resolved", "spam"):
                await self._tasks.close_resolved(str(event.conversation_id))
            elif event.name == "task.done":
                await self._tasks.close_shared(str(event.properties.get("task_id")))

    async def pass_on(self) -> int:
        """Give on the open work of colleagues who are not there any more, and what is due of those on leave; how much.
        A chore, safe to be done by several at once."""
        held, away = await self._store.assignees(), await self._assigning.on_leave()
        gone = held - set(await self._assigning.active())
        passed = 0
        for user_id in sorted(held & (gone | away)):
            for task in await self._store.open_of(user_id, PASSED_ON, due=user_id not in gone):
                owner = await self._assigning.owner_of(task.get("profile_id"))
                to = None if owner in away else owner
                passed += await self._tasks.hand_over(task, to) is not None
        return passed
