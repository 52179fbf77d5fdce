"""Approved templates are fetched by one worker at a time, replaced as a whole, and again when the platform says so."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from base.mongo import Database
from base.secret_box import SecretBox
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery
from channels.approved.fetching import Fetching
from channels.approved.store import ApprovedStore
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import AnyEvent, ApprovedTemplate


class Plain(Adapter):
    """A platform without templates."""

    card: ClassVar[Card] = Card("plain", "Plain", "chat", "For tests.", AccountSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=100)

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None: ...

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return []


class Strict(Plain):
    """One that approves them."""

    card: ClassVar[Card] = Card("strict", "Strict", "chat", "For tests.", AccountSettings)
    kept: ClassVar[list[ApprovedTemplate]] = []
    fault: ClassVar[list[Exception]] = []

    async def templates(self, account: Account) -> tuple[ApprovedTemplate, ...]:
        if self.fault:
            raise self.fault[0]
        return tuple(self.kept)


@dataclass
class World:
    fetching: Fetching
    approved: ApprovedStore
    channels: ChannelStore
    at: datetime = datetime(2030, 1, 1, tzinfo=UTC)

    def clock(self) -> datetime:
        return self.at


@pytest.fixture
async def world(mongo_url: str, fresh_shaped_database: str) -> AsyncIterator[World]:
    database = Database(mongo_url, fresh_shaped_database)
    Strict.kept.clear()
    Strict.fault.clear()
    registry = Registry(SimpleNamespace(), {"plain": Plain, "strict": Strict})  # type: ignore[arg-type]
    made = World.__new__(World)
    made.at = datetime.now(UTC) - timedelta(hours=12)  # the server's own clock must not be behind ours
    made.channels = ChannelStore(database, SecretBox([SecretBox.new_key()]), registry, made.clock, "http://r.test")
    made.approved = ApprovedStore(database, made.clock)
    made.fetching = Fetching(made.approved, made.channels, registry, made.clock)
    yield made
    database.close()


def template(name: str, status: str = "approved") -> ApprovedTemplate:
    return ApprovedTemplate(name=name, language="en", status=status, body="Hi {{1}}", body_values=1)  # type: ignore[arg-type]


async def names(world: World, channel_id: str, *, usable: bool = False) -> list[str]:
    return [each.name for each in await world.approved.of(channel_id, usable=usable)]


async def test_they_are_fetched_kept_and_replaced(world: World) -> None:
    strict = await world.channels.add("strict", "Strict", {})
    await world.channels.add("plain", "Plain", {})
    Strict.kept += [template("b"), template("a", "paused")]
    for _ in range(2):
        await world.fetching.enlist()
    assert await world.fetching.drain() == 1 and await world.fetching.drain() == 0
    assert await names(world, strict.id) == ["a", "b"] and await names(world, strict.id, usable=True) == ["b"]
    Strict.kept[:] = [template("c")]
    world.at += timedelta(hours=5)
    assert await world.fetching.drain() == 0, "not yet"
    await world.approved.want_now(strict.id)
    assert await world.fetching.drain() == 1
    assert await names(world, strict.id) == ["c"]
    Strict.kept.clear()
    await world.approved.want_now(strict.id)
    await world.fetching.drain()
    assert await names(world, strict.id) == []


async def test_a_fault_keeps_what_was_known_and_is_shown(world: World) -> None:
    strict = await world.channels.add("strict", "Strict", {})
    Strict.kept.append(template("a"))
    await world.fetching.enlist()
    await world.fetching.drain()
    Strict.fault.append(SendFailed(Failure.ACCOUNT_PROBLEM, "The token is gone."))
    await world.approved.want_now(strict.id)
    await world.fetching.drain()
    seen = await world.channels.get(strict.id)
    assert await names(world, strict.id) == ["a"] and seen is not None
    assert seen.last_error is not None and seen.last_error["text"] == "Templates: The token is gone."
    Strict.fault[:] = [KeyError("x")]
    await world.approved.want_now(strict.id)
    assert await world.fetching.drain() == 1 and await names(world, strict.id) == ["a"]


async def test_of_an_account_that_is_gone_nothing_stays(world: World) -> None:
    strict = await world.channels.add("strict", "Strict", {})
    Strict.kept.append(template("a"))
    await world.fetching.enlist()
    await world.fetching.drain()
    await world.channels.remove(strict.id)
    await world.approved.want_now(strict.id)
    await world.fetching.drain()
    assert await names(world, strict.id) == [] and await world.fetching.drain() == 0


async def test_an_account_whose_secrets_are_lost_holds_up_no_other(world: World) -> None:
    bad, good = await world.channels.add("strict", "Bad", {}), await world.channels.add("strict", "Good", {})
    Strict.kept.append(template("a"))
    lost = {"$set": {"secrets": {"word": "v1.00000000.AAAA"}}}
    await world.channels._rows.update_one({"_id": bad.id}, lost)
    await world.approved.want([bad.id])
    world.at += timedelta(seconds=1)
    await world.approved.want([good.id])
    await world.fetching.drain()
    assert await names(world, good.id) == ["a"]


async def test_two_who_replace_at_once_leave_a_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is held up between writing and taking away, until the second has done both."""
    rows = world.approved._rows
    delete_many = type(rows).delete_many

    async def late(self: Any, *args: Any, **more: Any) -> Any:
        monkeypatch.setattr(type(rows), "delete_many", delete_many)
        await world.approved.replace("chn_x", [template("a"), template("b")])
        return await delete_many(self, *args, **more)

    monkeypatch.setattr(type(rows), "delete_many", late)
    await world.approved.replace("chn_x", [template("a"), template("c")])
    assert await names(world, "chn_x") == ["a", "b"]
