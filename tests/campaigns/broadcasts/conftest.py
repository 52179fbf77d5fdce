"""Broadcasts on the world of campaigns: the same providers, people and delivery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.feed import Feed
from base.ids import new_id
from base.mongo import Document
from campaigns.broadcasts.book import Broadcasts
from campaigns.broadcasts.hearing import Hearing
from campaigns.broadcasts.minding import Minder
from campaigns.broadcasts.pacing import Pacer
from campaigns.broadcasts.places import Places
from campaigns.broadcasts.planning import Planner
from campaigns.broadcasts.source import BroadcastSource
from campaigns.broadcasts.store import BroadcastStore, PaceStore, WaveStore
from campaigns.store import TemplateStore
from campaigns.writing import MessageWriter, PersonalLinks
from channels.vocabulary import Address, Person
from inbox.store import MailingStore
from profiles.resolve import Sighting
from profiles.store import ConsentStore
from profiles.store.segments import MemberStore, SegmentStore
from profiles.terms import Terms
from tests.campaigns.conftest import LINKS, SilentBell, World, world

__all__ = ["world"]
EVERYBODY = {"rule": {"all": []}}


@dataclass
class Post:
    """The broadcasts of a world."""

    world: World
    broadcasts: Broadcasts
    planner: Planner
    minder: Minder
    source: BroadcastSource
    hearing: Hearing
    store: BroadcastStore
    waves: WaveStore
    mailings: MailingStore
    paces: PaceStore

    async def people(self, count: int, channel: str = "chat", zone: str | None = None, begin: int = 0) -> list[str]:
        at = now() - timedelta(minutes=1)
        sightings = [
            Sighting(
                Address(channel_id=self.world.ids[channel], external_id=f"{channel}{begin + i}"), channel, at,
                Person(name=f"P {begin + i}"), True,
            )
            for i in range(count)
        ]  # fmt: skip
        ids = [known.profile_id for known in await self.world.resolver.resolve(sightings)]
        if zone:
            await self.world.db.collection("profiles").update_many({"_id": {"$in": ids}}, {"$set": {"time_zone": zone}})
        return ids

    async def draft(self, **more: Any) -> Document:
        body = {
            "name": "News", "channel_ids": [self.world.ids["chat"]], "content": {"text": "Hi {{ profile.name }}"},
            "audience": EVERYBODY, "class": "marketing",
        }  # fmt: skip
        return await self.broadcasts.create({k: v for k, v in {**body, **more}.items() if v is not None})

    async def started(self, **more: Any) -> str:
        """Planned and running, nothing delivered yet."""
        head = await self.draft(**more)
        await self.broadcasts.set_status(head["_id"], "running")
        await self.plan()
        return str(head["_id"])

    async def plan(self) -> None:
        while await self.planner.drain():
            pass

    async def look(self) -> None:
        await self.world.db.collection("broadcasts").update_many({}, {"$set": {"looked_at": None}})
        await self.minder.look()

    async def deliver(self, limit: int = 500) -> int:
        return await self.world.inbox.delivery.deliver(limit)

    async def settle(self) -> None:
        for _ in range(40):
            done = await self.planner.drain() + await self.deliver(500) + await self.world.react()
            await self.look()
            if not done:
                return
        raise AssertionError("work never ends")

    async def rows(self, broadcast_id: str) -> list[Document]:
        return await self.world.inbox.sends.raw({"source.id": broadcast_id})

    async def states(self, broadcast_id: str) -> dict[str, int]:
        return dict(Counter(row["state"] for row in await self.rows(broadcast_id)))

    async def counts(self, broadcast_id: str) -> dict[str, Any]:
        return dict((await self.broadcasts.figures(broadcast_id)).counts)

    async def status(self, broadcast_id: str) -> str:
        return str((await self.broadcasts.get(broadcast_id))["status"])

    async def expired(self) -> None:
        """Every lease has run out."""
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        for name in ("sends", "broadcast_waves"):
            where = {"lease": {"$type": "string"}, "due_at": {"$exists": True}}
            await self.world.db.collection(name).update_many(where, past)
        await self.world.db.collection("broadcast_waves").update_many({"state": "pending"}, past)

    async def due(self, broadcast_id: str) -> None:
        """Everybody's time has come."""
        past = {"$set": {"due_at": now() - timedelta(seconds=1), "wanted_at": now() - timedelta(seconds=1)}}
        where = {"source.id": broadcast_id, "due_at": {"$exists": True}}
        await self.world.db.collection("sends").update_many(where, past)


@pytest.fixture
async def post(world: World) -> Post:
    return opened(world)


def opened(world: World, *, stretch: int = 40) -> Post:
    """The share of one process."""
    bell: Any = SilentBell()
    db = world.db
    feed = Feed(db, bell, now)
    store, waves, mailings, paces = BroadcastStore(db, now), WaveStore(db, now), MailingStore(db), PaceStore(db)
    segment_rows = SegmentStore(db, now)
    places = Places(
        MemberStore(db), segment_rows, world.profiles, world.consent, world.channels, world.registry, Terms(db, now),
        now, project_zone="Europe/Berlin",
    )  # fmt: skip
    minder = Minder(store, waves, mailings, world.tasks, feed, bell, now, world.worker.rules.policies)
    writer = MessageWriter(world.renderer, world.channels, world.registry, PersonalLinks(LINKS), uses=world.uses)
    templates = TemplateStore(db, now)
    source = BroadcastSource(
        store,
        mailings,
        world.facts,
        templates,
        world.profiles,
        places,
        Pacer(paces, now),
        writer,
        now,
        world.worker.rules,
    )
    world.inbox.delivery.register("broadcast", source)
    broadcasts = Broadcasts(
        store, waves, mailings, world.inbox.sends, places, minder, templates, segment_rows, feed, now
    )
    planner = Planner(store, waves, places, mailings, feed, bell, now, stretch=stretch)
    hearing = Hearing(store, mailings, ConsentStore(db))
    return Post(world, broadcasts, planner, minder, source, hearing, store, waves, mailings, paces)


def key() -> str:
    return new_id("evt")
