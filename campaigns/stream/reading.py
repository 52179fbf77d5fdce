"""Reads all that waits for a hand, each source by an index and no further than a bound.

What is longer than its bound is shown in part: of conversations those that wait longest, of orders and failed messages
the latest. So the page costs the same whether a hundred or a million people are known (decision 51).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from base.clock import Clock
from base.ids import id_before
from base.mongo import Document
from campaigns.store.tasks import OPEN, TaskStore
from campaigns.stream.items import (
    AHEAD,
    NAMES,
    Item,
    Key,
    failed_item,
    follow_up_item,
    hot_item,
    idle_item,
    key_of,
    moment,
    order_item,
    pair_item,
    talk_item,
    task_item,
)
from campaigns.stream.ladders import StreamRules, rung
from campaigns.stream.needs import ARRIVED, NOTHING, REVIEWS, SHIPPED, UNPAID, WITHIN, Heard, need_of
from campaigns.stream.order import Mark, Viewer, stands_in, stream
from campaigns.stream.store import MarkStore, PersonStore
from campaigns.stream.watching import Watching
from inbox.models import Send, send_of
from inbox.routing.teams import Team
from inbox.store import ConversationStore, SendStore
from orders.models import Order
from orders.store import OrderStore
from profiles.events import EventStore
from profiles.store import ProfileStore
from profiles.store.profiles import as_profile
from profiles.suggestions import Suggestions

#: Rows read of each source.
TALKS, QUEUE, TASKS, FOLLOW_UPS, ORDERS, FAILED, PEOPLE, PAIRS, GIVEN = 200, 50, 200, 100, 100, 200, 50, 5, 50
FAILED_WITHIN = timedelta(days=7)
T = TypeVar("T")
#: Which of these people the caller may see.
Sees = Callable[[Iterable[str]], Awaitable[set[str]]]


class Away(Protocol):
    """Knows who is not there, and who stands in for whom."""

    async def absent(self) -> frozenset[str]:
        """Those who are away for a day or longer, or do not work here any more."""
        ...

    async def deputies(self) -> dict[str, str]:
        """Person → whom they have named."""
        ...


class Crews(Protocol):
    """Knows the teams."""

    async def all(self) -> list[Team]:
        """Those that stand."""
        ...


class Stream:
    """What somebody has to do today."""

    def __init__(
        self, conversations: ConversationStore, tasks: TaskStore, profiles: ProfileStore, orders: OrderStore,
        sends: SendStore, events: EventStore, people: PersonStore, marks: MarkStore, watching: Watching, away: Away,
        teams: Crews, clock: Clock,
    ) -> None:  # fmt: skip
        self._conversations = conversations
        self._tasks = tasks
        self._profiles = profiles
        self._orders = orders
        self._sends = sends
        self._events = events
        self._people = people
        self._marks = marks
        self._watching = watching
        self._away = away
        self._teams = teams
        self._suggestions = Suggestions(profiles, clock)
        self._clock = clock

    async def of(self, user_id: str, channels: frozenset[str] | None, sees: Sees) -> list[Item]:
        """All of it, the most urgent first. `channels` None: all; `sees`: which people the caller may see."""
        teams = await self._teams.all()
        viewer = await self.viewer(user_id, channels, teams)
        queues = [each.id for each in teams if user_id in each.workers]
        return await self.seen_by(viewer, await self._gathered(viewer, queues), sees)

    async def seen_by(self, viewer: Viewer, items: Sequence[Item], sees: Sees) -> list[Item]:
        """Those of these rows that are on the list of `viewer`, in their order."""
        people = await sees({each for item in items for each in item.people})
        shown = [
            item for item in items
            if people.issuperset(item.people)
            and (viewer.channels is None or item.channel_id is None or item.channel_id in viewer.channels)
        ]  # fmt: skip
        marks = await self._marks.of(item.key for item in shown)
        return stream(shown, {key: mark_of(row) for key, row in marks.items()}, viewer, self._clock())

    async def viewer(
        self, user_id: str, channels: frozenset[str] | None, teams: Sequence[Team] | None = None
    ) -> Viewer:  # fmt: skip
        """Somebody with those they stand in for."""
        away = await self._away.absent()
        if not away:
            return Viewer(user_id, frozenset(), channels)
        crews = [each.workers for each in (await self._teams.all() if teams is None else teams)]
        return Viewer(user_id, stands_in(user_id, away, crews, await self._away.deputies()), channels)

    async def find(self, text: str) -> Item | None:
        """The row of this key, if what it is about still is so; whoever it belongs to."""
        key = key_of(text)
        if key is None:
            return None
        return (await self._found([key])).get(text)

    # -- sources ---------------------------------------------------------------------------------------------------

    async def _gathered(self, viewer: Viewer, queues: Sequence[str]) -> list[Item]:
        now, rules = self._clock(), await self._watching.rules()
        found = await asyncio.gather(
            self._talks(viewer, queues, now), self._work(viewer, now), self._follow_ups(viewer, now),
            self._order_items(rules, now), self._failed(now), self._warm(viewer, rules, now), self._pairs(),
            self._given(viewer),
        )  # fmt: skip
        return [item for part in found for item in part]

    async def _talks(self, viewer: Viewer, queues: Sequence[str], now: datetime) -> list[Item]:
        """One's own, the queues of one's teams, and of what waits anywhere the longest."""
        store, whose = self._conversations, [each for each in viewer.owners if each is not None]
        parts = await asyncio.gather(
            store.open_of_people(whose, TALKS), store.waiting_longest(TALKS), store.unassigned_oldest(TALKS),
            *(store.queue(each, QUEUE) for each in queues),
        )  # fmt: skip
        rows = {row["_id"]: row for part in parts for row in part}
        return _some(talk_item(row, now) for row in rows.values())

    async def _work(self, viewer: Viewer, now: datetime) -> list[Item]:
        return await self._as_tasks(await self._tasks.on_list(viewer.owners, now + AHEAD, TASKS), now)

    async def _as_tasks(self, rows: Sequence[Document], now: datetime) -> list[Item]:
        """With the channels of the conversations they are about: who does not see those does not see them."""
        talks = await self._conversations.rows(row["conversation_id"] for row in rows if row.get("conversation_id"))
        places = {key: talk["channel_id"] for key, talk in talks.items()}
        return [task_item(row, now, places.get(row.get("conversation_id") or "")) for row in rows]

    async def _follow_ups(self, viewer: Viewer, now: datetime) -> list[Item]:
        rows = await self._profiles.to_follow_up(viewer.owners, now + AHEAD, FOLLOW_UPS)
        return _some(follow_up_item(as_profile(row), now) for row in rows)

    async def _order_items(self, rules: StreamRules, now: datetime) -> list[Item]:
        spans = [(UNPAID, rules.unpaid_after_h), (SHIPPED, rules.unnoticed_after_h),
                 (ARRIVED, rules.unreviewed_after_days)]  # fmt: skip
        statuses = [status for group, after in spans if after for status in group]
        parts = await asyncio.gather(*(self._orders.placed(each, now - WITHIN, ORDERS) for each in statuses))
        return await self._needing([order for part in parts for order in part], rules, now)

    async def _needing(self, orders: Sequence[Order], rules: StreamRules, now: datetime) -> list[Item]:
        """Orders that need something, whoever has been told nothing at first sight."""
        suspects = [each for each in orders if need_of(each, NOTHING, rules, now)]
        if not suspects:
            return []
        people = {each.profile_id for each in suspects}
        heard, owners = await asyncio.gather(self._heard(people, now), self._profiles.many(people))
        found = []
        for order in suspects:
            need = need_of(order, heard.get(order.profile_id, NOTHING), rules, now)
            person = owners.get(order.profile_id)
            if need is not None and person is not None:
                found.append(order_item(order, *need, person.owner_id))
        return found

    async def _heard(self, people: set[str], now: datetime) -> dict[str, Heard]:
        since = now - WITHIN
        written, said = await asyncio.gather(
            self._sends.last_written(people, since), self._events.find_many(sorted(people), REVIEWS, since)
        )
        return {
            each: Heard(*written.get(each, (None, None)), said[each][0].occurred_at if said.get(each) else None)
            for each in people
        }

    async def _failed(self, now: datetime) -> list[Item]:
        rows = await self._sends.latest_failed(id_before("snd", now - FAILED_WITHIN), FAILED)
        return await self._as_failed([send_of(row) for row in rows])

    async def _as_failed(self, sends: Sequence[Send]) -> list[Item]:
        """What broadcasts could not send is on their own pages; nothing is missing where we have answered since."""
        sends = [each for each in sends if each.source.kind != "broadcast"]
        talks = await self._conversations.rows(each.conversation_id for each in sends if each.conversation_id)
        people = await self._profiles.many({each.profile_id for each in sends})
        found = []
        for send in sends:
            talk, person = talks.get(send.conversation_id or "", {}), people.get(send.profile_id)
            item = failed_item(send, talk.get("assignee_id") or (person.owner_id if person else None))
            answered_at = talk.get("last_reply_at")
            if person is not None and not (answered_at and answered_at > item.at):
                found.append(item)
        return found

    async def _warm(self, viewer: Viewer, rules: StreamRules, now: datetime) -> list[Item]:
        hot, idle = await asyncio.gather(
            self._people.hot(viewer.owners, PEOPLE), self._people.idle(viewer.owners, now, PEOPLE)
        )
        today = await self._profiles.current([row["_id"] for row in (*hot, *idle)])
        items = [*map(hot_item, hot), *(_idle(row, rules, now) for row in idle)]
        return [each for each in _some(items) if today[each.id] == each.id]

    async def _pairs(self) -> list[Item]:
        return [pair_item(each) for each in (await self._suggestions.page(limit=PAIRS)).data]

    async def _given(self, viewer: Viewer) -> list[Item]:
        """What was handed over to one and would not be read otherwise."""
        rows = await self._marks.given([each for each in viewer.owners if each is not None], GIVEN)
        keys = _some(key_of(row["_id"]) for row in rows)
        return list((await self._found(keys)).values())

    # -- one by one ------------------------------------------------------------------------------------------------

    async def _found(self, keys: Sequence[Key]) -> dict[str, Item]:
        """The rows of these keys that still stand."""
        now, rules = self._clock(), await self._watching.rules()
        found = [item for key in keys for item in await self._one(key, rules, now)]
        asked = {":".join((key.kind, key.id, *key.rest)) for key in keys}
        return {item.key: item for item in found if item.key in asked}

    async def _one(self, key: Key, rules: StreamRules, now: datetime) -> list[Item]:
        if key.kind == "conversation":
            row = await self._conversations.row(key.id)
            open_row = row if row is not None and row["status"] == "open" else None
            return _some([talk_item(open_row, now) if open_row else None])
        if key.kind == "task":
            task = await self._tasks.get(key.id)
            return await self._as_tasks([task], now) if task is not None and task["state"] == OPEN else []
        if key.kind == "follow_up":
            profile = await self._profiles.get(key.id)
            return _some([follow_up_item(profile, now) if profile else None])
        if key.kind == "order":
            order = await self._orders.get(key.id)
            return await self._needing([order], rules, now) if order else []
        if key.kind == "failed":
            send = await self._sends.get(key.id)
            return await self._as_failed([send]) if send is not None and send.state == "failed" else []
        if key.kind == "pair":
            return [pair_item(each) for each in await self._suggestions.standing([key.id])]
        row = (await self._people.many([key.id])).get(key.id)
        if row is None:
            return []
        return _some([hot_item(row) if key.kind == "hot" else _idle(row, rules, now)])


def mark_of(row: Document) -> Mark:
    """A mark as it is stored."""
    return Mark(bool(row.get("done")), row.get("given_to"), row.get("snoozed") or {})


def since_of(key: Key) -> datetime | None:
    """The moment in the key of somebody hot or idle."""
    return moment(key.rest[0]) if key.rest and NAMES[key.kind] == "prf" else None


def _idle(row: Document, rules: StreamRules, now: datetime) -> Item | None:
    due = row.get("idle_at")
    reached = rung(rules.idle.get(row.get("ladder") or "", ()), row["contact_at"], now)
    return idle_item(row, reached, now) if reached is not None and due is not None and due <= now else None


def _some(items: Iterable[T | None]) -> list[T]:
    return [each for each in items if each is not None]
