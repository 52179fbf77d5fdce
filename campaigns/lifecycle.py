"""What follows from events for a customer's own record: stages that move by themselves, an owner who is told.

Listens to the events that are acted upon (`campaigns.triggers`), so it may be told twice: every move and every task
stands under a unique key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from base.feed import Feed, Notice
from base.mongo import Document
from campaigns.tasks import Tasks
from profiles.edit import ProfileEditor, ProfilePatch
from profiles.events import Event
from profiles.store import ProfileStore
from profiles.terms import Agreed, Stage, Terms

#: `source.kind` of the task by which a former owner is told.
HANDED_OVER = "owner_changed"
#: Moves that pages are told of one by one; of more at once they are told together.
SHOWN_MAX = 20


def due_stage(profile: Mapping[str, object], orders: int, agreed: Agreed) -> Stage | None:
    """The furthest stage to which so many orders move somebody, when it is not where they are. Pure.

    Forward only; from a later stage just where the stage says so.
    """
    here = agreed.place(str(profile.get("stage")))
    reached = [each for each in agreed.stages if each.orders is not None and orders >= each.orders]
    best = max(reached, key=lambda each: (each.orders or 0, agreed.place(each.key)), default=None)
    return best if best is not None and may_move(here, best, agreed) else None


def may_move(here: int, to: Stage, agreed: Agreed) -> bool:
    """Whether somebody moves by themselves from that place on the way."""
    there = agreed.place(to.key)
    return there > here or (there < here and to.back)


class Lifecycle:
    """Moves people by the rules of their stages, tells the owner whose customer was merged away, and open boards."""

    def __init__(
        self, terms: Terms, editor: ProfileEditor, profiles: ProfileStore, tasks: Tasks, feed: Feed | None = None
    ) -> None:
        self._feed = feed
        self._terms = terms
        self._editor = editor
        self._profiles = profiles
        self._tasks = tasks

    async def hear(self, events: Sequence[Event]) -> None:
        """Do what follows from these. May be told twice."""
        agreed = await self._terms.now()
        await self._by_orders(events, agreed)
        await self._by_segments(events, agreed)
        await self._show(events)
        for event in events:
            if event.name == "profile.merged" and event.profile_id:
                await self._tell_owners(event)

    async def _by_orders(self, events: Sequence[Event], agreed: Agreed) -> None:
        if not any(each.orders for each in agreed.stages):
            return
        ids = {each.profile_id for each in events if each.name.startswith("order.") and each.profile_id}
        people = await self._profiles.documents(ids) if ids else {}
        for row in {row["_id"]: row for row in people.values()}.values():
            count = (row.get("orders") or {}).get("count", 0)
            stage = due_stage(row, count, agreed)
            if stage is not None:
                # once per person, stage and number of orders: who is moved back by hand stays there until the next one
                await self._move(row["_id"], stage, agreed, f"stage:{row['_id']}:{stage.key}:{count}", "order")

    async def _by_segments(self, events: Sequence[Event], agreed: Agreed) -> None:
        wanted = {each.segment_id: each for each in agreed.stages if each.segment_id}
        if not wanted:
            return
        for event in events:
            stage = wanted.get(str(event.properties.get("segment_id"))) if event.name == "segment.entered" else None
            if stage is not None and event.profile_id:
                await self._move(event.profile_id, stage, agreed, f"stage:{event.id}", "segment")

    async def _show(self, events: Sequence[Event]) -> None:
        moved = {each.profile_id for each in events if each.name == "profile.stage_changed" and each.profile_id}
        if self._feed is None or not moved:
            return
        named = [{"profile_id": each} for each in sorted(moved)] if len(moved) <= SHOWN_MAX else [{}]
        await self._feed.append([Notice("profile.stage_changed", data) for data in named])

    async def _move(self, profile_id: str, stage: Stage, agreed: Agreed, key: str, rule: str) -> None:
        def forward(row: Document) -> bool:
            return may_move(agreed.place(row["stage"]), stage, agreed)

        patch = ProfilePatch(stage=stage.key)
        await self._editor.patch(
            profile_id, patch, source="api", by=f"rule:{rule}", key=key, strict=False, moves_only=forward
        )

    async def _tell_owners(self, event: Event) -> None:
        survivor = await self._profiles.get(str(event.profile_id))
        former = set(event.properties.get("owner_ids") or ()) - {event.properties.get("by")}
        if survivor is None or survivor.owner_id is None:
            return
        for user_id in sorted(former - {survivor.owner_id}):
            await self._tasks.create_once(
                {
                    "key": f"{HANDED_OVER}:{event.properties.get('merge_id')}:{user_id}",
                    "text": f"{survivor.display_name} was merged with another profile and has another owner now.",
                    "assignee_id": user_id, "due_at": event.occurred_at, "profile_id": survivor.id,
                    "conversation_id": None, "order_id": None,
                    "source": {"kind": HANDED_OVER, "id": event.properties.get("merge_id"),
                               "owner_id": survivor.owner_id},
                },
            )  # fmt: skip
