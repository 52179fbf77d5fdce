"""How fast it goes, printed. The figures depend on the machine and on who else uses it: no limit is asserted but a
floor that only a mistake in the design would break. `./run bench` is where figures are compared."""

import time
from collections.abc import Awaitable, Callable

import pytest

from tests.inbox.conftest import House

COUNT = 600


async def timed(what: str, work: Callable[[], Awaitable[object]]) -> float:
    """Run it; things per second of wall time, and what one thing cost this process in CPU."""
    begun, cpu = time.perf_counter(), time.process_time()
    await work()
    took, cost = time.perf_counter() - begun, time.process_time() - cpu
    told = f"\n{what}: {COUNT / took:,.0f}/s by the clock, {1000 * cost / COUNT:.2f} ms CPU here each"
    print(told)  # noqa: T201 - the figures are the purpose
    return COUNT / took


@pytest.mark.slow
@pytest.mark.parametrize(("people", "batch"), [(300, 250), (300, 500), (COUNT, 500)])
async def test_receiving(house: House, people: int, batch: int) -> None:
    channel_id = await house.channel()
    arrivals = [house.arrival(channel_id, f"p{n % people}", f"m{n}", f"message {n}") for n in range(COUNT)]
    if people < COUNT:  # known people: their first messages are not part of the measure
        firsts = [house.arrival(channel_id, f"p{n}", f"f{n}") for n in range(people)]
        await house.inbox.receiver.receive(firsts)

    async def work() -> None:
        for begin in range(0, COUNT, batch):
            await house.inbox.receiver.receive(arrivals[begin : begin + batch])

    rate = await timed(f"receive, {people} people, batches of {batch}", work)
    assert len(await house.inbox.messages.raw({"dedupe": {"$regex": ":m"}})) == COUNT
    assert rate > 10


@pytest.mark.slow
@pytest.mark.parametrize("send_class", ["marketing", "service"])
async def test_delivering(house: House, send_class: str) -> None:
    channel_id = await house.channel()
    await house.plan(channel_id, await house.people(channel_id, COUNT), send_class)

    async def work() -> None:
        while await house.inbox.delivery.deliver(250):
            pass

    rate = await timed(f"deliver {send_class} into a provider that does nothing", work)
    assert await house.states() == {"accepted": COUNT}
    assert rate > 10
