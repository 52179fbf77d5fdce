"""What is done with a row of the stream, and how it is taken back.

Conversations, tasks and follow-ups are changed themselves, so that everybody sees it everywhere; of the others a mark
is kept. Each act answers with what takes it back, and that leaves what others have changed since.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.mongo import Document
from campaigns.store.tasks import OPEN
from campaigns.stream.items import Item, Key, key_of
from campaigns.stream.ladders import comes_at
from campaigns.stream.reading import since_of
from campaigns.stream.store import MarkStore, PersonStore
from campaigns.stream.watching import Watching
from campaigns.tasks import TaskPatch, Tasks
from channels.vocabulary import Instant
from inbox.acts import Change
from inbox.bulk import Assignee, Bulk, Order
from inbox.models import Actor
from profiles.follow_up import FollowUps
from profiles.store import ProfileStore

What = Literal["done", "snooze", "hand_over"]
UserId = Annotated[str, StringConstraints(pattern="^usr_[0-9a-z]{26}$")]
#: Letters of the longest key.
KEY_MAX = 120


class Undo(BaseModel):
    """What takes an act back. It names what was changed, so that nothing is set back that others changed since."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[str, StringConstraints(max_length=KEY_MAX)]
    what: What
    #: Of a conversation: the act.
    act_id: Annotated[str, StringConstraints(pattern="^act_[0-9a-z]{26}$")] | None = None
    #: Whose it was and whom it was given to.
    was: UserId | None = None
    given: UserId | None = None
    #: When it was due, and until when it was put off.
    was_at: Instant | None = None
    until: Instant | None = None


class StreamActs:
    """The use cases. Whether the caller may see the row is asked by the door."""

    def __init__(
        self, tasks: Tasks, follow_ups: FollowUps, profiles: ProfileStore, bulk: Bulk, people: PersonStore,
        marks: MarkStore, watching: Watching, clock: Clock,
    ) -> None:  # fmt: skip
        self._tasks = tasks
        self._follow_ups = follow_ups
        self._profiles = profiles
        self._bulk = bulk
        self._people = people
        self._marks = marks
        self._watching = watching
        self._clock = clock

    async def done(self, item: Item, by: Actor) -> Undo:
        """It is done: a conversation is resolved, a task and a follow-up closed, of the others nothing is shown until
        their cause comes anew."""
        undo = Undo(key=item.key, what="done")
        if item.kind == "conversation":
            return undo.model_copy(update={"act_id": await self._change(item, Change(status="resolved"), by, None)})
        if item.kind == "task":
            await self._tasks.done(item.id, by.id)
        elif item.kind == "follow_up":
            await self._follow_ups.done(item.id, _part(item.key), _who(by))
        elif item.kind == "hot":
            await self._people.settle_hot(item.id, item.at, done=True)
        elif item.kind == "idle":
            rules, rung = await self._watching.rules(), int(item.facts["rung"])
            following = comes_at(rules.idle.get(item.facts["tier"], ()), item.at, rung)
            await self._people.settle_idle(item.id, item.at, rung, following)
        else:
            await self._marks.put(item.key, item.profile_id, {"done": True, "done_by": by.id})
        return undo

    async def snooze(self, item: Item, until: datetime, by: Actor) -> Undo:
        """Later: a conversation sleeps for everybody, a follow-up is put off; the others are not shown to this person
        until then. Raises `WrongInput` for a time that is over."""
        if until <= self._clock():
            raise WrongInput("Choose a time to come.", [FieldError("until", "is over")])
        undo = Undo(key=item.key, what="snooze", until=until)
        if item.kind == "conversation":
            change = Change(status="snoozed", snoozed_until=until)
            return undo.model_copy(update={"act_id": await self._change(item, change, by, None)})
        if item.kind == "follow_up":
            await self._follow_ups.snooze(item.id, _part(item.key), until, _who(by))
            return undo.model_copy(update={"was_at": item.at})
        await self._marks.put(item.key, item.profile_id, {f"snoozed.{by.id}": until})
        return undo

    async def hand_over(self, item: Item, to: Assignee, by: Actor) -> Undo:
        """Somebody else sees to it."""
        undo = Undo(key=item.key, what="hand_over", was=item.assignee_id, given=to.id)
        if item.kind == "conversation":
            return undo.model_copy(update={"act_id": await self._change(item, Change(assignee_id=to.id), by, to)})
        if item.kind == "task":
            await self._tasks.patch(item.id, TaskPatch(assignee_id=to.id), by.id)
        elif item.kind == "follow_up":
            await self._follow_ups.hand_over(item.id, _part(item.key), to.id, _who(by))
        else:
            before = (await self._marks.of([item.key])).get(item.key, {})
            await self._marks.put(item.key, item.profile_id, {"given_to": to.id, "given_by": by.id})
            return undo.model_copy(update={"was": before.get("given_to")})
        return undo

    async def undo(self, undo: Undo, by: Actor) -> None:
        """Take an act back; what others have changed since is left. The same again changes nothing. Raises
        `NotFound` for what is not there, `Conflict` for what has been changed since."""
        key = key_of(undo.key)
        if key is None:
            raise NotFound("There is no such row.")
        if key.kind == "conversation":
            if (await self._bulk.undo(str(undo.act_id), by))["left"]:
                raise _changed()
        elif key.kind == "task":
            await self._undo_task(key, undo, by)
        elif key.kind == "follow_up":
            await self._undo_follow_up(key, undo, by)
        elif undo.what == "done" and key.kind in ("hot", "idle"):
            await self._undo_settled(key)
        elif undo.what == "done":
            await self._marks.put_where(undo.key, {"done": True}, {}, ["done", "done_by"])
        elif undo.what == "snooze":
            await self._marks.put_where(undo.key, {f"snoozed.{by.id}": undo.until}, {}, [f"snoozed.{by.id}"])
        else:
            back = {"given_to": undo.was} if undo.was else {}
            await self._marks.put_where(undo.key, {"given_to": undo.given}, back, [] if undo.was else ["given_to"])

    async def _undo_task(self, key: Key, undo: Undo, by: Actor) -> None:
        if undo.what == "snooze":
            await self._marks.put_where(undo.key, {f"snoozed.{by.id}": undo.until}, {}, [f"snoozed.{by.id}"])
            return
        task = await self._tasks.get(key.id)
        if undo.what == "done":
            if task["state"] != OPEN:
                await self._tasks.patch(key.id, TaskPatch(state="open"), by.id)
        elif task.get("assignee_id") == undo.given:
            await self._tasks.patch(key.id, TaskPatch(assignee_id=undo.was), by.id)
        elif task.get("assignee_id") != undo.was:
            raise _changed()

    async def _undo_follow_up(self, key: Key, undo: Undo, by: Actor) -> None:
        part = key.rest[0] if key.rest else ""
        if undo.what == "done":
            await self._follow_ups.restore(key.id, part, _who(by))
            return
        profile = await self._profiles.get(key.id)
        it = profile.next_follow_up if profile else None
        if it is None or it.id != part:
            raise _changed()
        if undo.what == "snooze" and undo.was_at is not None and it.at == undo.until:
            await self._follow_ups.snooze(key.id, part, undo.was_at, _who(by))
        elif undo.what == "hand_over" and it.assignee_id == undo.given:
            await self._follow_ups.hand_over(key.id, part, undo.was, _who(by))
        elif (it.at, it.assignee_id)[undo.what == "hand_over"] != (undo.was_at, undo.was)[undo.what == "hand_over"]:
            raise _changed()

    async def _undo_settled(self, key: Key) -> None:
        since = since_of(key)
        if since is None:
            raise NotFound("There is no such row.")
        if key.kind == "hot":
            stands = await self._people.settle_hot(key.id, since, done=False)
        else:
            row = (await self._people.many([key.id])).get(key.id, {})
            rungs = (await self._watching.rules()).idle.get(row.get("ladder") or "", ())
            stands = await self._people.settle_idle(key.id, since, 0, comes_at(rungs, since))
        if not stands:
            raise _changed()

    async def _change(self, item: Item, change: Change, by: Actor, to: Assignee | None) -> str:
        """One conversation, as an act that can be taken back. Raises `Conflict`, `WrongInput`."""
        act: Document = await self._bulk.begin(Order(change, by, [item.id], assignee=to))
        for left in act["left_out"]:
            if left["why"] == "not_their_channel":
                raise WrongInput("This colleague does not answer on this channel.")
            raise Conflict("This conversation could not be changed just now. Try again.", code=str(left["why"]))
        return str(act["_id"])


def _who(by: Actor) -> str:
    return by.id or ""


def _part(key: str) -> str:
    """What stands second in a key."""
    return key.split(":")[2]


def _changed() -> Conflict:
    return Conflict("This has been changed since; nothing is taken back.", code="changed_since")

