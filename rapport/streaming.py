"""What somebody has to do today, put together."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.stream.acting import StreamActs
from campaigns.stream.reading import Stream
from campaigns.stream.store import MarkStore, PersonStore, StreamRuleStore
from campaigns.stream.watching import Watching
from inbox.room import Inbox
from orders.store import OrderStore
from rapport.campaigning import Campaigns
from rapport.people import People
from rapport.plumbing import Plumbing
from rapport.routing import Routes


@dataclass(frozen=True)
class Watch:
    """What it keeps."""

    watching: Watching
    people: PersonStore
    marks: MarkStore


@dataclass(frozen=True)
class Day:
    """What the doors use."""

    stream: Stream
    acts: StreamActs


def open_watch(plumbing: Plumbing, people: People, inbox: Inbox) -> Watch:
    """Who is hot or was not in touch for long is noted from now on."""
    rows, marks = PersonStore(plumbing.db), MarkStore(plumbing.db, plumbing.clock)

    async def hot() -> int:
        return int((await people.valuing.score()).settings.hot)

    watching = Watching(
        rows, StreamRuleStore(plumbing.db), people.profiles, inbox.conversations, hot, plumbing.clock
    )  # fmt: skip
    people.appraisal.join(watching)
    return Watch(watching, rows, marks)


def open_day(
    plumbing: Plumbing, people: People, orders: OrderStore, inbox: Inbox, campaigns: Campaigns, routes: Routes,
    watch: Watch,
) -> Day:  # fmt: skip
    """The list, and what is done with it."""
    clock = plumbing.clock
    return Day(
        Stream(
            inbox.conversations, campaigns.task_rows, people.profiles, orders, inbox.sends, people.events, watch.people,
            watch.marks, watch.watching, routes.agents, routes.teams, clock,
        ),
        StreamActs(
            campaigns.tasks, people.follow_ups, people.profiles, inbox.bulk, watch.people, watch.marks, watch.watching,
            clock,
        ),
    )  # fmt: skip
