"""Listens to what happens and looks for what is due, and writes down who is told. Writes rows, and nothing else: a
notification for each person and cause, and a duty for each way it goes out. All of it may run twice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from base.clock import Clock
from base.feed import Feed, Notice
from base.mongo import Document
from base.queue import Doorbell
from campaigns.store.tasks import TaskStore
from campaigns.telling.addressees import HEARD, Scene, follow_up_is_due, is_due, told_of
from campaigns.telling.choosing import Choices
from campaigns.telling.models import OF_PROMISES, Chosen, Notification, Reader, Readers, Way
from campaigns.telling.store import ChoiceStore, NotificationStore, TellingStore
from inbox.heads import is_part
from inbox.routing.teams import Teams
from inbox.store import ConversationStore
from profiles.events import Event
from profiles.store import ProfileStore

#: Seconds for which the list of colleagues is good enough.
FRESH_S = 2.0
#: Things due that are read at once.
STRETCH = 2000
#: What was due so long before the last look is looked at again: another process may have written it meanwhile.
OVERLAP = timedelta(minutes=2)
#: Who looks at a conversation has read a message by then, and is not called to it.
MESSAGE_AFTER = timedelta(seconds=6)
#: The crowd in which pushes of promises come.
PROMISES = "promises"


class Sight(Protocol):
    """Knows whom somebody who sees some channels only may see."""

    async def sees(self, user_id: str, profile_id: str) -> bool:
        """Whether they may see this customer."""
        ...


class Noticing:
    """A listener of `campaigns.triggers`, and a chore."""

    def __init__(
        self, store: NotificationStore, tellings: TellingStore, progress: ChoiceStore, choices: Choices,
        readers: Readers, sight: Sight, conversations: ConversationStore, teams: Teams, tasks: TaskStore,
        profiles: ProfileStore, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._tellings = tellings
        self._progress = progress
        self._choices = choices
        self._readers = readers
        self._sight = sight
        self._conversations = conversations
        self._teams = teams
        self._tasks = tasks
        self._profiles = profiles
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._people: dict[str, Reader] = {}
        self._until = 0.0

    async def hear(self, events: Sequence[Event]) -> None:
        """Write down who is told of these."""
        heard = [event for event in events if event.name in HEARD]
        if not heard:
            return
        scene = await self._scene(heard)
        await self._note([each for event in heard for each in told_of(event, scene)], scene)

    async def look(self) -> int:
        """Tell of tasks and follow-ups whose time has come since the last look; of how many. A chore."""
        now = self._clock()
        last = await self._progress.told_until()
        if last is None:  # the first look: what was due before is seen on Today
            await self._progress.has_told(now)
            return 0
        since, looked_at = last - OVERLAP, 0
        people = await self._colleagues()
        scene = Scene(people, await self._choices.of_all(list(people)))
        while True:
            tasks = await self._tasks.due_between(since, now, STRETCH)
            persons = await self._profiles.follow_ups_between(list(people), since, now, STRETCH)
            due = [*(each for row in tasks for each in is_due(row)),
                   *(each for row in persons for each in follow_up_is_due(row))]  # fmt: skip
            await self._note([each for each in due if _wants(each, scene)], scene)
            looked_at += len(due)
            until = _both_until(now, [row["due_at"] for row in tasks], [row["next_follow_up"]["at"] for row in persons])
            if due or until < now:  # where nothing is due nothing is written: the same stretch is read again
                await self._progress.has_told(until)
            if until >= now:
                return looked_at
            since = max(until, since + timedelta(milliseconds=1))

    # -- what is known ---------------------------------------------------------------------------------------------

    async def _scene(self, events: Sequence[Event]) -> Scene:
        people = await self._colleagues()
        talks = await self._talks({event.conversation_id for event in events if event.conversation_id})
        tasks = [str(event.properties.get("task_id")) for event in events if event.name == "task.created"]
        given = [row for row in await self._tasks.many(tasks) if (row.get("source") or {}).get("kind") == "person"]
        return Scene(
            people, await self._choices.of_all(list(people)), talks, await self._crews(talks),
            {row["_id"]: row for row in given},
        )  # fmt: skip

    async def _talks(self, ids: Iterable[str]) -> dict[str, Document]:
        """By the ids that were asked for: what was merged into another conversation is told of as that one."""
        rows = await self._conversations.rows(ids)
        heads = await self._conversations.rows(row["merged_into"] for row in rows.values() if is_part(row))
        return {key: heads.get(row.get("merged_into") or "", row) for key, row in rows.items()}

    async def _crews(self, talks: Mapping[str, Document]) -> dict[str, list[str]]:
        if not any(talk.get("team_id") and not talk.get("assignee_id") for talk in talks.values()):
            return {}
        return {team.id: team.workers for team in await self._teams.all()}

    async def _colleagues(self) -> dict[str, Reader]:
        if time.monotonic() >= self._until:
            self._people = {each.id: each for each in await self._readers.users()}
            self._until = time.monotonic() + FRESH_S
        return self._people

    # -- writing -----------------------------------------------------------------------------------------------

    async def _note(self, told: Sequence[Notification], scene: Scene) -> None:
        placed = await self._placed(told)
        seen = [each for each in placed if await self._may_see(each, scene)]
        if not seen:
            return
        kept, fresh = await self._store.add([(each, scene.chosen[each.user_id].ways(each.kind)) for each in seen])
        now = self._clock()
        duties = [duty for row in kept for duty in duties_of(row, scene.chosen[row["user_id"]], now)]
        await self._tellings.plan(duties)
        if any(duty["due_at"] <= now for duty in duties):
            self._doorbell.soon("tell")
        await self._feed.append([notice_of(row) for row in fresh if row["app"]])

    async def _placed(self, told: Sequence[Notification]) -> list[Notification]:
        """Tasks with the channel of the conversation they are about."""
        bare = {each.conversation_id for each in told if each.conversation_id and each.channel_id is None}
        talks = await self._conversations.rows(bare) if bare else {}
        places = {key: talk["channel_id"] for key, talk in talks.items()}
        return [replace(each, channel_id=each.channel_id or places.get(each.conversation_id or "")) for each in told]

    async def _may_see(self, told: Notification, scene: Scene) -> bool:
        """Who sees some channels only must see the one it is on; of what is on none, the person."""
        person = scene.people[told.user_id]
        if person.channels is None:
            return True
        if told.channel_id is not None or told.profile_id is None:
            return told.channel_id is None or told.channel_id in person.channels
        return await self._sight.sees(person.id, told.profile_id)


def duties_of(row: Document, chosen: Chosen, now: datetime) -> list[Document]:
    """One for each way a notification goes out. Pure."""
    return [
        {
            "notification_id": row["_id"], "user_id": row["user_id"], "way": way, "host": _host(way, chosen),
            "due_at": now + _after(way, row, chosen), **_crowd(way, row),
        }
        for way in row["ways"]
    ]  # fmt: skip


def notice_of(row: Document) -> Notice:
    """What the open pages of the one who is told hear of it."""
    about = {"notification_id": row["_id"], "conversation_id": row["conversation_id"]}
    return Notice("notification.created", about, user_ids=(row["user_id"],))


def _after(way: Way, row: Document, chosen: Chosen) -> timedelta:
    if way == "mail":
        return timedelta(minutes=chosen.choice.mail_after_min)
    return MESSAGE_AFTER if row["kind"] == "message" else timedelta()


def _crowd(way: Way, row: Document) -> Document:
    """A letter gathers all there is; a push what comes in the same crowd."""
    return {"crowd": PROMISES} if way == "push" and row["kind"] in OF_PROMISES else {}


def _host(way: Way, chosen: Chosen) -> str:
    return chosen.hook_host or way if way == "hook" else way


def _wants(told: Notification, scene: Scene) -> bool:
    person, chosen = scene.people.get(told.user_id), scene.chosen.get(told.user_id)
    return person is not None and person.active and bool(chosen and chosen.ways(told.kind))


def _both_until(now: datetime, *times: Sequence[datetime]) -> datetime:
    """Up to when all stretches reach: a full one only to its end."""
    return min([now, *(each[-1] for each in times if len(each) == STRETCH)])
