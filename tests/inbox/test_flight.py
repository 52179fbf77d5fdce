"""How many calls are under way: few at a slow account, more at one that answers, and none after the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from channels.vocabulary import Address, OutboundMessage, SendReceipt
from inbox.flight import MOST_TIMES, SOON_S, Flight, Ready, Result


def _ready(number: int = 0) -> Ready:
    to = Address(channel_id="chn_1", external_id="anna")
    return Ready({"_id": f"snd_{number}"}, OutboundMessage(key=f"k{number}", to=to, text="Hello"))


async def _answered() -> Result:
    return SendReceipt(message_ids=("1",))


async def _never() -> Result:
    await asyncio.Event().wait()
    return None


async def test_a_silent_account_has_no_more_under_way_than_any_other() -> None:
    flight = Flight(4)
    for number in range(await flight.room(100)):
        flight.begin(_ready(number), _never())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flight.room(100), 0.05)
    flight.cancel()


async def test_room_is_given_when_it_is_worth_a_write() -> None:
    flight, gates = Flight(4), [asyncio.Event() for _ in range(4)]

    async def call(gate: asyncio.Event) -> Result:
        await gate.wait()
        return None

    for gate in gates:
        flight.begin(_ready(), call(gate))
    waiting = asyncio.create_task(flight.room(100))
    gates[0].set()
    assert len(await flight.landed()) == 1 and not waiting.done()
    gates[1].set()
    assert await asyncio.wait_for(waiting, 1) == 2
    flight.cancel()


async def test_a_quick_account_has_as_many_as_it_takes_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: at)
    monkeypatch.setattr("inbox.flight.time", clock)
    flight, at = Flight(2), 100.0
    for number in range(10):
        flight.begin(_ready(number), _answered())
    await asyncio.sleep(0.01)
    assert len(await flight.landed()) == 10
    at = 101.0
    assert await flight.room(100) == int(10 / 1.0 * SOON_S) == 5
    for number in range(90):
        flight.begin(_ready(number), _answered())
    await asyncio.sleep(0.01)
    assert await flight.room(100) == 2 * MOST_TIMES


async def test_it_is_over_when_all_has_landed_and_nothing_more_begins() -> None:
    flight = Flight(2)
    flight.begin(_ready(), _answered())
    flight.complete()
    assert [result for _, result in await flight.landed()] == [SendReceipt(message_ids=("1",))]
    assert await flight.landed() == []
