"""The circuit breaker of journeys: where too much goes wrong at one step, its sends stop and somebody is told.

People stay where they are: their sends wait and go on when a person resumes. What failed before does not stop the step
again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from base.clock import Clock
from base.errors import NotFound
from base.feed import Feed, Notice
from base.ids import unique_key
from base.mongo import Document
from campaigns.bells import Ringer
from campaigns.policies.models import SendingPolicies
from campaigns.policies.store import StopStore
from inbox.models import Send
from inbox.store import SendStore

#: `source.code` of the task that tells of it.
STOPPED = "step_stopped"


class TaskMaker(Protocol):
    """Where work for people is put."""

    async def create_once(self, fields: Mapping[str, Any]) -> Document:
        """A task under a `key` of its own; the same key again returns the same task."""
        ...


class StepBreaker:
    """Counts after each failure, by the ledger alone."""

    def __init__(
        self, stops: StopStore, sends: SendStore, policies: Callable[[], Awaitable[SendingPolicies]], tasks: TaskMaker,
        feed: Feed, doorbell: Ringer, clock: Clock,
    ) -> None:  # fmt: skip
        self._stops = stops
        self._sends = sends
        self._policies = policies
        self._tasks = tasks
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def stopped(self, sends: Sequence[Send]) -> set[str]:
        """Ids of those whose step is stopped."""
        known = await self._stops.stopped(send.source.id or "" for send in sends)
        return {send.id for send in sends if (send.source.id, send.source.node_id) in known}

    async def heard(self, sends: Sequence[Send], names: Mapping[str, str]) -> None:
        """These came to a result. May be called twice. `names`: journey → what it is called."""
        failed = {(send.source.id, send.source.node_id) for send in sends if send.state == "failed"}
        for journey_id, node in sorted((j, n) for j, n in failed if j and n):
            await self._look(journey_id, node, names.get(journey_id, journey_id))

    async def resume(self, stop_id: str, by: str | None) -> Document:
        """Let the sends of a step go on. Raises `NotFound`."""
        row = await self._stops.resume(stop_id, self._clock(), by)
        if row is None:
            raise NotFound("The sends of this step are not stopped.")
        await self._sends.hurry_step(row["journey_id"], row["node"], "step_stopped", self._clock())
        await self._doorbell.ring("deliver")
        await self._feed.append([Notice("journey.updated", {"journey_id": row["journey_id"]})])
        return row

    async def all_stopped(self) -> list[Document]:
        """The newest first."""
        return await self._stops.all_stopped()

    async def _look(self, journey_id: str, node: str, name: str) -> None:
        rule, now = (await self._policies()).breaker, self._clock()
        known = await self._stops.get(journey_id, node)
        if known is not None and known["stopped"]:
            return
        since = now - rule.within
        if known is not None and known.get("counted_from"):
            since = max(since, known["counted_from"])
        failed, ended = await self._sends.people_of_step(journey_id, node, since)
        if not rule.trips(failed, ended):
            return
        row = await self._stops.stop(journey_id, node, failed, ended, now)
        if row is None:
            return
        sentence = f"{failed} of {ended} people could not be written to within {rule.minutes} minutes."
        await self._tasks.create_once(
            {
                "key": unique_key("step stopped", row["_id"], row["times"]),
                "text": f"The journey “{name}” sends nothing more at step “{node}”: {sentence} Everybody stays where "
                "they are. Look at the reasons, then resume it in Settings → Rules of sending.",
                "assignee_id": None, "due_at": now, "profile_id": None, "conversation_id": None, "order_id": None,
                "source": {"kind": "journey", "id": journey_id, "node_id": node, "code": STOPPED, "params": {
                    "name": name, "step": node, "failed": failed, "ended": ended, "minutes": rule.minutes,
                }},
            }
        )  # fmt: skip
        await self._feed.append([Notice("journey.updated", {"journey_id": journey_id})])
