"""A router as a process of its own: `python -m tests.inbox.routing.router MONGO REDIS PREFIX DATABASE ids…`; it says
"ready", begins at a line, and drains until nothing moves."""

from __future__ import annotations

import asyncio
import sys

from base.bus import Bus
from base.clock import now
from base.feed import Feed
from base.http import AddressGuard, HttpClient
from base.mongo import Database
from base.queue import Doorbell
from base.secret_box import SecretBox
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.hours.book import BusinessHours
from inbox.room import open_inbox
from inbox.routing.agents import Agents
from inbox.routing.giving import Routing
from inbox.routing.teams import Teams
from inbox.store import AgentStore, HoursStore, PresenceRuleStore
from profiles.consent import Consent
from profiles.events import EventStore
from profiles.resolve import Resolver
from profiles.store import ConsentStore, ProfileStore
from tests.inbox.conftest import ADAPTERS
from tests.inbox.routing.conftest import Mate, Staffed


async def main(mongo_url: str, redis_url: str, prefix: str, name: str, *ids: str) -> None:
    """Three rounds, as a worker has that is rung three times."""
    database = Database(mongo_url, name)
    bus, doorbell = Bus(redis_url, prefix=prefix), Doorbell(redis_url, prefix=prefix)
    http = HttpClient(AddressGuard())
    registry = Registry(http, ADAPTERS)
    channels = ChannelStore(database, SecretBox([SecretBox.new_key()]), registry, now, "http://test")
    profiles, events, feed = ProfileStore(database), EventStore(database, now), Feed(database, bus, now)
    consent = Consent(profiles, ConsentStore(database), events, database, now)
    inbox = open_inbox(
        database, channels=channels, registry=registry, profiles=profiles, resolver=Resolver(profiles, events, now),
        consent=consent, events=events, feed=feed, doorbell=doorbell, clock=now,
    )  # fmt: skip
    staff, rows = Staffed({each: Mate(each, each) for each in ids}), AgentStore(database)
    hours = BusinessHours(HoursStore(database, now))
    teams = Teams(inbox.teams, staff, channels, hours, doorbell)
    agents = Agents(rows, PresenceRuleStore(database), staff, feed, doorbell, now)
    routing = Routing(teams, agents, rows, hours, inbox.conversations, inbox.actions, profiles, doorbell, now)
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for that
    await asyncio.to_thread(sys.stdin.readline)
    for _ in range(3):
        await routing.drain(250)
    for each in (doorbell, bus, http):
        await each.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
