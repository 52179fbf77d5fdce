"""Bells and sweeps on a real Redis: nothing rung is lost, nothing lost with Redis stays undone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from base.queue import Doorbell
from worker.clockwork import Chore, Clockwork
from worker.drains import Drains
from worker.settings import listen


class Work:
    """Duties as a number; a drain takes them away."""

    def __init__(self) -> None:
        self.due = 0
        self.done = 0
        self.at_once = 0
        self.most_at_once = 0

    async def drain(self, limit: int) -> int:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        taken = min(limit, self.due)
        await asyncio.sleep(0.02)
        self.due -= taken
        self.done += taken
        self.at_once -= 1
        return taken


@pytest.fixture
async def doorbell(redis_url: str, redis_prefix: str) -> AsyncIterator[Doorbell]:
    bell = Doorbell(redis_url, prefix=redis_prefix)
    yield bell
    await bell.close()


async def until(holds: object, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.02)


async def test_a_ring_wakes_a_worker_at_once(doorbell: Doorbell, redis_url: str, redis_prefix: str) -> None:
    work = Work()
    drains = Drains({"ingest": work.drain}, doorbell, batch=10)
    listening = asyncio.create_task(listen(redis_url, redis_prefix, drains))
    work.due = 25
    doorbell.soon("ingest")
    await until(lambda: work.done == 25)
    work.due = 1
    doorbell.soon("ingest")
    await until(lambda: work.done == 26)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_ring_during_a_drain_is_not_lost(doorbell: Doorbell) -> None:
    work = Work()
    drains = Drains({"ingest": work.drain}, doorbell, batch=10)
    work.due = 5
    first = asyncio.create_task(drains.answer("ingest"))
    await asyncio.sleep(0.03)
    work.due += 5
    assert await drains.answer("ingest") == 0
    await first
    assert work.done == 10 and work.most_at_once == 1


async def test_a_ring_after_one_during_a_drain_wakes_the_worker_at_once(
    doorbell: Doorbell, redis_url: str, redis_prefix: str
) -> None:
    work = Work()
    drains = Drains({"ingest": work.drain}, doorbell, batch=10)
    listening = asyncio.create_task(listen(redis_url, redis_prefix, drains))
    work.due = 100  # ten batches: while they are worked, it rings again
    await doorbell.ring("ingest")
    await until(lambda: work.done > 0)
    await doorbell.ring("ingest")
    await until(lambda: work.done == 100)
    await asyncio.sleep(0.1)
    work.due = 1
    await doorbell.ring("ingest")
    await until(lambda: work.done == 101, within_s=0.8)  # a bell that nobody answers counts as rung for two seconds
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_without_redis_the_sweep_finds_the_work() -> None:
    work, lonely = Work(), Doorbell("redis://127.0.0.1:9/0")
    drains = Drains({"advance": work.drain}, lonely, batch=10)
    clockwork = Clockwork(drains, [])
    clockwork.start()
    work.due = 3
    lonely.soon("advance")
    await until(lambda: work.done == 3, 10)
    await clockwork.stop()
    await lonely.close()


async def test_a_failing_drain_or_chore_stops_nobody_else(doorbell: Doorbell) -> None:
    work, calls = Work(), 0

    async def broken(_: int) -> int:
        raise RuntimeError("bug")

    async def broken_chore() -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("bug")

    clockwork = Clockwork(
        Drains({"react": broken, "deliver": work.drain}, doorbell, batch=5), [Chore("c", 0.05, broken_chore)]
    )
    clockwork.start()
    work.due = 7
    await until(lambda: work.done == 7 and calls > 2)
    await clockwork.stop()


async def test_many_rings_are_one_job(doorbell: Doorbell, redis_url: str, redis_prefix: str) -> None:
    for _ in range(50):
        await doorbell.ring("deliver")
    redis = Redis.from_url(redis_url)
    assert await redis.zcard(f"{redis_prefix}:arq") == 1
    await redis.aclose()
