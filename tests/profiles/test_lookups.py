"""Platforms are asked who new people are, once, and their answers join channels."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from base.secret_box import SecretLost
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.vocabulary import Address, AnyEvent, Person
from profiles.lookups import Lookups
from profiles.resolve import Resolver, Sighting
from tests.profiles.conftest import People


class Silent(Adapter):
    """A platform that says nothing of its people."""

    card: ClassVar[Card] = Card("silent", "Silent", "chat", "For tests.", AccountSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=100)

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None: ...

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return []


class Telling(Silent):
    """One that answers from a book."""

    card: ClassVar[Card] = Card("telling", "Telling", "chat", "For tests.", AccountSettings)
    book: ClassVar[dict[str, Person | Exception]] = {}
    asked: ClassVar[list[str]] = []

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        self.asked.append(external_id)
        found = self.book.get(external_id)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Accounts:
    """Opens every account but those that are gone, and those whose secrets are lost."""

    gone: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    async def account(self, channel_id: str) -> Account | None:
        if channel_id in self.lost:
            raise SecretLost("Its key is gone.")
        return None if channel_id in self.gone else Account(channel_id, "telling", "x", AccountSettings())


@dataclass
class World:
    people: People
    resolver: Resolver
    lookups: Lookups
    accounts: Accounts

    async def seen(self, external_id: str, channel: str = "chn_a", provider: str = "telling", **person: Any) -> str:
        given = Person(**person) if person else None
        address = Address(channel_id=channel, external_id=external_id)
        sighting = Sighting(address, provider, self.people.clock(), given, inbound=True)
        return (await self.resolver.resolve([sighting]))[0].profile_id

    async def name_of(self, profile_id: str) -> str | None:
        profile = await self.people.profiles.get(profile_id)
        return profile.name if profile else None


@pytest.fixture
async def world(people: People) -> AsyncIterator[World]:
    Telling.book.clear()
    Telling.asked.clear()
    registry = Registry(SimpleNamespace(), {"silent": Silent, "telling": Telling})  # type: ignore[arg-type]
    resolver = Resolver(people.profiles, people.events, people.clock, looked_up=registry.looking_up())
    accounts = Accounts()
    lookups = Lookups(people.profiles.identity_rows, accounts, registry, resolver, people.clock)  # type: ignore[arg-type]
    yield World(people, resolver, lookups, accounts)


async def test_a_new_person_is_asked_for_once_and_gets_a_name(world: World) -> None:
    Telling.book["u1"] = Person(name="Anna", avatar_url="https://pics.example/anna.png")
    profile_id = await world.seen("u1")
    await world.seen("u1")
    world.people.clock.forward(seconds=1)
    assert await world.lookups.drain() == 1 and await world.lookups.drain() == 0
    assert Telling.asked == ["u1"] and await world.name_of(profile_id) == "Anna"
    (identity,) = await world.people.profiles.identities_of(profile_id)
    assert (identity.display_name, identity.avatar_url) == ("Anna", "https://pics.example/anna.png")


async def test_who_cannot_be_asked_is_not(world: World) -> None:
    await world.seen("u1", provider="silent")
    assert await world.lookups.drain() == 0
    world.accounts.gone.add("chn_b")
    await world.seen("u2", "chn_b")
    assert await world.lookups.drain() == 1 and await world.lookups.drain() == 0 and Telling.asked == []


async def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_not(world: World) -> None:
    Telling.book |= {"busy": SendFailed(Failure.TEMPORARY), "no": SendFailed(Failure.RECIPIENT_UNREACHABLE)}
    Telling.book["bug"] = KeyError("x")
    profile_id = await world.seen("busy")
    await world.seen("no")
    await world.seen("bug")
    assert await world.lookups.drain() == 3 and await world.lookups.drain() == 0
    Telling.book["busy"] = Person(name="Bo")
    world.people.clock.forward(seconds=61)
    assert await world.lookups.drain() == 1
    assert await world.name_of(profile_id) == "Bo"
    assert sorted(Telling.asked) == ["bug", "busy", "busy", "no"]


async def test_one_account_or_answer_costs_no_other_its_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.accounts.lost.add("chn_lost")
    Telling.book |= {"good": Person(name="Anna"), "odd": Person(name="Odd")}
    await world.seen("u", "chn_lost")
    await world.seen("odd")
    profile_id = await world.seen("good")
    resolve = world.resolver.resolve

    async def picky(sightings: Any) -> Any:
        if any(each.person and each.person.name == "Odd" for each in sightings):
            raise KeyError("odd")
        return await resolve(sightings)

    monkeypatch.setattr(world.resolver, "resolve", picky)
    world.people.clock.forward(seconds=1)
    await world.lookups.drain()
    assert await world.name_of(profile_id) == "Anna"
    assert await world.lookups.drain() == 0
    world.people.clock.forward(seconds=61)
    assert await world.lookups.drain() == 1, "the account is asked again; what cannot be kept is not"


async def test_a_worker_that_died_while_asking_is_followed_by_another(world: World) -> None:
    await world.seen("u1")
    now = world.people.clock()
    rows = await world.people.profiles.identity_rows.claim_lookups(now, now.replace(hour=10), 10)
    assert len(rows) == 1 and await world.lookups.drain() == 0
    world.people.clock.forward(hours=1)
    assert await world.lookups.drain() == 1
    await world.people.profiles.identity_rows.looked_up(rows[0])  # too late: the wish was somebody else's


async def test_a_platform_id_joins_a_channel_to_who_is_known_by_it(world: World) -> None:
    first = await world.seen("shop-1", "chn_a", platform_ids=("wechat:union-7",), name="Chen")
    second = await world.seen("staff-9", "chn_b", platform_ids=("wechat:union-7",))
    assert first == second
    assert {each.kind for each in await world.people.profiles.identities_of(first)} == {"channel", "platform"}
    profile = await world.people.profiles.get(first)
    assert profile is not None and profile.reachable_on == ["telling"], "a platform id is no way to reach anybody"


async def test_a_platform_id_learned_later_suggests_and_never_joins(world: World) -> None:
    first = await world.seen("shop-1", "chn_a", platform_ids=("wechat:union-8",))
    Telling.book["staff-9"] = Person(name="Chen", platform_ids=("wechat:union-8",))
    second = await world.seen("staff-9", "chn_b")
    await world.lookups.drain()
    assert first != second and await world.name_of(second) == "Chen"
    assert await world.people.db.collection("suggestions").count_documents({}) == 1
