"""Tracking on the world of campaigns: real stores, a provider that keeps what it was given, callers by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from base.clock import now
from base.ids import new_id
from base.mongo import Document
from campaigns.broadcasts.store import BroadcastStore
from campaigns.results import Results
from campaigns.tracking.crediting import Crediting
from campaigns.tracking.hits import HitBook
from campaigns.tracking.machines import Caller
from campaigns.tracking.settings import TrackingSettings
from campaigns.tracking.store import INDEXES, CreditStore, TrackingStore
from campaigns.tracking.store.figures import FigureStore
from campaigns.tracking.store.outcomes import OutcomeStore
from orders.models import Order, OrderInput
from orders.store import OrderStore
from tests.campaigns.conftest import TRACKED, SilentBell, World, world

__all__ = ["world"]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
PERSON = Caller("GET", FIREFOX, "203.0.113.9")
BODY = (
    '<p>Hi</p><a href="https://shop.example/a?x=1&amp;y=2#top">A</a> <a href="https://shop.example/b">B</a>'
    '<a href="{{ unsubscribe_url }}">out</a> <a href="mailto:x@shop.example">mail</a>'
)


@dataclass
class Post:
    """What tracking is made of, and what a test asks of it."""

    world: World
    rows: TrackingStore
    credits: CreditStore
    hits: HitBook
    crediting: Crediting
    results: Results

    async def choose(self, **chosen: Any) -> None:
        held = await self.rows.settings()
        settings = TrackingSettings.model_validate(chosen)
        assert await self.rows.choose(settings.model_dump(), held["rev"] if held else 0, "usr_x")

    async def mailed(self, person: str | None = None, **step: Any) -> tuple[str, Document]:
        """Somebody gets a mail of a journey; the journey and the row of the ledger."""
        person = person or await self.world.person(channel="mail")
        content = {"subject": "News", "body": BODY}
        send = {"id": "m", "type": "send", "channels": [self.world.ids["mail"]], "content": content, **step}
        journey = await self.world.journey(send, **{"class": "marketing"})
        await self.world.worker.journeys.enrol(journey, person)
        await self.world.settle()
        row = await self.world.db.collection("sends").find_one({"profile_id": person, "source.id": journey})
        assert row is not None
        return journey, row

    def html(self) -> str:
        mail = self.world.provider("mail").sent[-1].mail
        assert mail is not None
        return mail.html or ""

    def tokens(self, way: str = "c") -> list[str]:
        return re.findall(rf"https://crm\.example/{way}/([\w-]+)", self.html())

    async def ago(self, row: Document, **span: float) -> None:
        """It was handed over so long ago."""
        at = now() - timedelta(**span)
        fields = {"handed_at": at, "first_handed_at": at, "accepted_at": at, "planned_at": at}
        await self.world.db.collection("sends").update_one({"_id": row["_id"]}, {"$set": fields})

    async def call(self, token: str, caller: Caller = PERSON) -> str | None:
        """The door: where it leads."""
        link = self.hits.read(token)
        if link is None:
            return None
        target = await self.hits.target(link)
        await self.hits.note(link, caller)
        return target

    async def judge(self) -> int:
        """The visit is over."""
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        await self.world.db.collection("hits").update_many({"state": "waiting"}, past)
        return await self.hits.drain()

    async def events(self, name: str = "message.clicked") -> list[Document]:
        return await self.world.db.collection("events").find({"name": name}).sort("_id", 1).to_list(None)

    async def buys(self, person: str, at: datetime, minor: int = 1000, number: str = "", **more: Any) -> Order:
        """A paid order of that time."""
        number = number or new_id("ord")
        known = await self.world.profiles.identities_of(person)
        identity = next(each for each in known if each.channel_id is not None)
        ref = {"kind": "channel", "channel_id": identity.channel_id, "value": identity.external_id}
        news = {
            "external_id": number, "identity": ref, "status": "paid", "occurred_at": at,
            "total": {"amount_minor": minor, "currency": "EUR"}, **more,
        }  # fmt: skip
        return (await self.world.orders.record(OrderInput.model_validate(news)))[0]

    async def kept(self, source_id: str) -> dict[str, tuple[int, int]]:
        rows = await self.credits.takings([source_id])
        return {row["currency"]: (row["orders"], row["minor"]) for row in rows}

    async def assert_exact(self) -> None:
        """The kept sums are what the credits come to."""

        def sums(rows: list[Document]) -> dict[str, tuple[int, int]]:
            return {row["_id"]: (row["orders"], row["minor"]) for row in rows if row["orders"] or row["minor"]}

        kept = await self.world.db.collection("takings").find({}).to_list(None)
        assert sums(kept) == sums(await self.credits.counted())


@pytest.fixture
async def post(world: World) -> Post:
    await world.db.ensure_indexes(INDEXES)
    bell: Any = SilentBell()
    rows, credits, orders = TrackingStore(world.db, now), CreditStore(world.db, now), OrderStore(world.db)
    crediting = Crediting(
        credits, rows, orders, world.events, world.channels, world.registry, world.runs, world.worker.live,
        BroadcastStore(world.db, now), now,
    )  # fmt: skip
    results = Results(FigureStore(world.db), credits, rows, orders, OutcomeStore(world.db), world.uses, now)
    hits = HitBook(rows, TRACKED, world.events, world.channels, world.registry, bell, now)
    return Post(world, rows, credits, hits, crediting, results)
