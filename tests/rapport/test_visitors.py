"""Who was only a visitor and says who it is becomes one with the customer; everybody else is left to people."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from base.clock import now
from channels.vocabulary import Address, Person
from profiles.models import IdentityRef, NewEvent
from profiles.resolve import Known, Reference, Sighting
from tests.rapport.merging import Town, opened

COOKIE = IdentityRef(kind="anonymous", value="cookie-1")


@pytest.fixture(scope="module")
async def _town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        yield town


@pytest.fixture
async def town(_town: Town) -> AsyncIterator[Town]:
    yield _town
    await _town.empty()


async def named(town: Town, *refs: IdentityRef) -> Known:
    (known,) = await town.runtime.resolver.identify([Reference(refs)])
    assert known is not None
    return known


async def chats(town: Town, visitor: str, provider: str = "webchat", **person: Any) -> Known:
    address = Address(channel_id=town.channels[0], external_id=visitor)
    seen = Sighting(address, provider, now(), Person(**person), inbound=True)
    (known,) = await town.runtime.resolver.resolve([seen])
    return known


def customer(number: str) -> IdentityRef:
    return IdentityRef(kind="customer_id", value=number)


async def people(town: Town) -> int:
    return len(await town.rows("profiles", merged_into=None))


async def test_what_a_visitor_did_belongs_to_the_customer_who_signs_in(town: Town) -> None:
    visitor = await named(town, COOKIE)
    viewed = NewEvent("Product viewed", "seen-1", now(), visitor.profile_id, visitor.identity_id)
    await town.runtime.events.record([viewed])
    anna = await named(town, customer("1"))
    assert (await named(town, customer("1"), COOKIE)).profile_id == anna.profile_id
    assert await town.runtime.visitors.drain() == 1 and await town.runtime.visitors.drain() == 0
    assert await people(town) == 1
    assert [row["profile_id"] for row in await town.rows("events", name="Product viewed")] == [anna.profile_id]
    assert (await named(town, COOKIE)).profile_id == anna.profile_id
    assert (await town.runtime.profiles.suggestions.open()) == []


async def test_the_next_customer_at_the_same_browser_is_a_switch_and_no_merge(town: Town) -> None:
    await named(town, COOKIE)
    anna, ben = await named(town, customer("1")), await named(town, customer("2"))
    await named(town, customer("1"), COOKIE)
    await town.runtime.visitors.drain()
    assert (await named(town, customer("2"), COOKIE)).profile_id == ben.profile_id
    await town.runtime.visitors.drain()
    assert await people(town) == 2 and (await named(town, COOKIE)).profile_id == anna.profile_id


async def test_a_chat_joins_when_the_site_proves_who_it_is(town: Town) -> None:
    anna = await named(town, customer("1"))
    chatting = await chats(town, "v-1")
    assert (await chats(town, "v-1", customer_id="1")).profile_id == chatting.profile_id != anna.profile_id
    await town.runtime.visitors.drain()
    assert (await chats(town, "v-1")).profile_id == anna.profile_id and await people(town) == 1


@pytest.mark.parametrize("provider", ["telegram", "generic"])
async def test_a_person_of_a_platform_is_no_visitor(town: Town, provider: str) -> None:
    await named(town, customer("1"))
    await chats(town, "t-1", provider)
    await chats(town, "t-1", provider, customer_id="1")
    await town.runtime.visitors.drain()
    assert await people(town) == 2
    assert len(await town.runtime.profiles.suggestions.open()) == 1


async def test_a_typed_address_proves_nothing(town: Town) -> None:
    await named(town, IdentityRef(kind="email", value="anna@example.com"))
    await chats(town, "v-1", email="anna@example.com", verified=False)
    assert await town.runtime.visitors.drain() == 0 and await people(town) == 2


async def test_what_a_person_took_apart_stays_apart(town: Town) -> None:
    visitor, anna = await named(town, COOKIE), await named(town, customer("1"))
    await named(town, customer("1"), COOKIE)
    await town.runtime.visitors.drain()
    (merge,) = await town.rows("merges")
    await town.runtime.merger.unmerge(merge["_id"], by="usr_1")
    await town.done()
    await named(town, customer("1"), COOKIE)
    await town.runtime.visitors.drain()
    assert await people(town) == 2
    assert (await town.runtime.profiles.current([visitor.profile_id])) == {visitor.profile_id: visitor.profile_id}
    (pair,) = await town.runtime.profiles.suggestions.open()
    assert set(pair["profile_ids"]) == {visitor.profile_id, anna.profile_id}


async def test_a_death_at_any_point_is_made_good(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    await named(town, COOKIE)
    anna = await named(town, customer("1"))
    await named(town, customer("1"), COOKIE)
    works = town.runtime.merger.merge

    async def dies_after(*args: Any, **more: Any) -> None:
        await works(*args, **more)
        raise RuntimeError("the process died")

    monkeypatch.setattr(town.runtime.merger, "merge", dies_after)
    with pytest.raises(RuntimeError):
        await town.runtime.visitors.drain()
    monkeypatch.undo()
    assert await town.runtime.visitors.drain() == 0
    assert await people(town) == 1 and (await named(town, COOKIE)).profile_id == anna.profile_id
    assert len(await town.rows("merges")) == 1
