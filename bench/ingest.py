"""Durable ingest: signed webhooks, each answered after its row is on disk, beside one insert per request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.child import Child
from bench.figures import Figure, Goal, beside, percentile
from bench.world import World, cpu_s

GROUP = "durable ingest"
FLOOR = "one insert each"


async def measure(world: World) -> list[Figure]:
    """64 connections that never rest. No worker runs meanwhile, on either side."""
    seconds, rounds = world.rounds(1, 4), 3
    floor = await Child.start("bench.floor", floor="keep", mongo=world.mongo_url)
    bare = f"http://127.0.0.1:{(await floor.answer())['port']}/"
    ours, bares = [], []
    try:
        for _ in range(rounds):
            bares.append(await _round(world, floor.pid, seconds, url=bare))
            ours.append(await _round(world, world.processes["web"].pid, seconds))
    finally:
        await floor.stop()
    # What was measured here is that it is kept; working it off is another figure, and starts from nothing.
    await world.runtime.db.collection("deliveries").delete_many({})

    def row(what: str, unit: str, of: Callable[[Any], float], goal: Goal | None = None) -> Figure:
        return beside(GROUP, what, unit, [of(run) for run in ours], [of(run) for run in bares], FLOOR, goal)

    return [
        row("webhooks verified and kept", "requests/s", lambda run: run["kept"] / run["took_s"], Goal(least=2.5)),
        row("p50 at 64 connections", "ms", lambda run: percentile(run["latencies_ms"], 0.5)),
        row("p99 at 64 connections", "ms", lambda run: percentile(run["latencies_ms"], 0.99)),
        row("processor time of the web process", "ms each", lambda run: run["cpu_s"] / run["kept"] * 1000),
        Figure(GROUP, "refused", sum(run["refused"] for run in ours), "requests"),
    ]


async def _round(world: World, pid: int, seconds: int, **task: str) -> Any:
    used = cpu_s(pid)
    run = await world.load(count=seconds * 6000, people=500, seconds=seconds, **task)
    return {**run, "cpu_s": cpu_s(pid) - used}
