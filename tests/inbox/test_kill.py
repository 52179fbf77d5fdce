"""A worker that dies at any await of a delivery: what the provider accepted, per key, is what the class promises."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from inbox.models import ReplyInput
from tests.inbox.conftest import AGENT, House


class Tripwire:
    """Counts calls of stores and provider; at the n-th step the process is dead: nothing it begins is carried out."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.dead = False
        self.where = ""

    def step(self, name: str) -> None:
        self.left -= 1
        if self.left <= 0 and not self.dead:
            self.dead, self.where = True, name
        if self.dead:
            raise asyncio.CancelledError(name)

    def guarded(self, name: str, call: Any) -> Any:
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            self.step(f"before {name}")
            result = await call(*args, **kwargs)
            self.step(f"after {name}")
            return result

        return guarded


@contextmanager
def tripped(house: House, wire: Tripwire) -> Iterator[None]:
    """Every store method that does I/O, and the provider itself, runs over the wire."""
    delivery = house.inbox.delivery
    early = house.inbox.receipts._early
    things = [
        house.inbox.sends, house.inbox.sends.by_lane, house.inbox.sends.duties, house.inbox.messages,
        house.inbox.conversations, house.channels, house.profiles, house.consent, house.events, house.feed, early,
        house.planner,
    ]  # fmt: skip
    things += [house.registry.get(name) for name in ("scripted", "keyed", "echoing")]
    changed = []
    for thing in things:
        for name, method in inspect.getmembers(thing, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in ("media", "check", "close"):
                thing.__dict__[name] = wire.guarded(f"{type(thing).__name__}.{name}", method)
                changed.append((thing, name))
    try:
        yield
    finally:
        for thing, name in changed:
            del thing.__dict__[name]
        delivery._serving.clear()


async def die_and_recover(house: House, other: House, at: int) -> str | None:
    """Run until the wire trips, let the leases run out, let another worker finish; where it died, None: it lived."""
    wire = Tripwire(at)
    with tripped(house, wire):
        try:
            await house.inbox.delivery.deliver(100)
        except asyncio.CancelledError:
            pass
    for _ in range(6):
        await house.expire_leases()
        await house.all_due()
        await other.deliver_all()
        house.clock.ahead += timedelta(minutes=2)  # an echo is waited for
    house.clock.ahead = timedelta(0)
    return wire.where if wire.dead else None


CASES = [
    ("scripted", "marketing", 1), ("scripted", "service", 1), ("keyed", "marketing", 2), ("keyed", "service", 2),
    ("echoing", "marketing", 3), ("echoing", "transactional", 3),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "send_class", "stride"), CASES)
async def test_killed_at_every_await(
    house: House, second_house: House, provider: str, send_class: str, stride: int
) -> None:
    channel_id = await house.channel(provider)
    people = await house.people(channel_id, 3, provider)
    adapter, points, repeats, unknown = house.adapter(provider), 0, 0, 0
    at = 1
    while True:
        key = f"{provider}-{send_class}-{at}-{{}}"
        await house.plan(channel_id, people, send_class, key=key)
        where = await die_and_recover(house, second_house, at)
        for n in range(3):
            (row,) = await house.inbox.sends.raw({"send_key": key.format(n)})
            accepts = adapter.accepted[row["send_key"]]
            told = f"{where}: {row['state']}, {accepts} accepted"
            if send_class == "marketing" and provider != "keyed":
                assert accepts <= 1, told
                assert row["state"] == "accepted" or (row["state"] == "unknown" and row["tries"] == 1), told
            else:
                assert accepts >= 1 and row["state"] == "accepted", told
            if row["state"] == "accepted":
                assert accepts >= 1, told
            if provider == "keyed":
                assert accepts == 1, told
            repeats += accepts > 1
            unknown += row["state"] == "unknown"
            assert "unsettled" not in row and "due_at" not in row, told
            assert (row["send_key"], row["state"]) in house.planner.settled_with, told
            sent = await house.database.collection("events").count_documents({"dedupe": f"message.sent:{row['_id']}"})
            assert sent == (row["state"] == "accepted"), told
            (line,) = await house.inbox.messages.raw({"send_id": row["_id"]})
            assert line["status"] == ("sent" if row["state"] == "accepted" else "unknown"), told
        if where is None:
            break
        points += 1
        at += stride
    told = f"{provider} {send_class}: killed at {points} points, {unknown} unknown, {repeats} accepted twice"
    print(told)  # noqa: T201 - the figures of the proof
    assert points > 10


@pytest.mark.slow
async def test_a_reply_killed_at_every_await(house: House, second_house: House) -> None:
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    at = 1
    while True:
        message = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text=f"{at}"), f"k{at}")
        where = await die_and_recover(house, second_house, at)
        (row,) = await house.inbox.sends.raw({"message_id": message.id})
        assert row["state"] == "accepted" and house.adapter().accepted[row["send_key"]] >= 1, where
        fresh = await house.inbox.messages.get(message.id)
        assert fresh is not None and fresh.status == "sent", where
        if where is None:
            break
        at += 3
