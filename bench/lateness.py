"""How late a journey step is when very many runs wait and some of them fall due all the time."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

from pymongo.read_concern import ReadConcern

from base.clock import now
from bench.figures import Figure, Goal, percentile
from bench.people import chatting, enrolled, journey
from bench.world import World

GROUP = "lateness"
WAITED = timedelta(hours=720)
STEPS = [{"id": "wait", "type": "wait", "for": "PT720H", "next": "end"}, {"id": "end", "type": "exit"}]
#: Runs that fall due each second.
PER_S = 200


async def measure(world: World) -> list[Figure]:
    """Late is what lies between a run's due time and the moment the log line of its step is durable."""
    waiting, seconds = world.rounds(20_000, 100_000), world.rounds(8, 20)
    people = await chatting(world, 2000 if not world.quick else 500)
    await world.at_rest()
    made = await journey(world, "Long waits", STEPS)
    later, chance = now() + timedelta(hours=1), random.Random(7)
    far = [later + timedelta(seconds=chance.random() * 3600) for _ in range(waiting)]
    await enrolled(world, made, people, far, waited=WAITED)
    ended = asyncio.Queue[tuple[str, datetime]]()
    watching = asyncio.create_task(_watch(world, ended))
    soon = now() + timedelta(seconds=3)
    spread = [soon + timedelta(seconds=chance.random() * seconds) for _ in range(PER_S * seconds)]
    late = await _lateness(await enrolled(world, made, people, spread, waited=WAITED), ended)
    watching.cancel()
    return [
        Figure(GROUP, f"p50, {waiting:,} waiting, {PER_S} due a second", percentile(late, 0.5), "s"),
        Figure(GROUP, "p95", percentile(late, 0.95), "s", goal=Goal(most=2.0)),
        Figure(GROUP, "p99", percentile(late, 0.99), "s"),
    ]


async def _lateness(due: dict[str, datetime], ended: asyncio.Queue[tuple[str, datetime]]) -> list[float]:
    """Seconds, one for each run."""
    left, late = dict(due), []
    async with asyncio.timeout(90):
        while left:
            run_id, at = await ended.get()
            if run_id in left:
                late.append((at - left.pop(run_id)).total_seconds())
    return late


async def _watch(world: World, ended: asyncio.Queue[tuple[str, datetime]]) -> None:
    """Every wait that is over, as a change stream on the log tells of it once it is durable."""
    rows: Any = world.runtime.db.collection("enrolment_log").with_options(read_concern=ReadConcern("majority"))
    over = [{"$match": {"operationType": "insert", "fullDocument.code": "wait.over"}}]
    async with rows.watch(over) as stream:
        async for change in stream:
            ended.put_nowait((change["fullDocument"]["enrolment_id"], now()))
