"""From the webhook to the message in the stream: how many a second, and how long one takes at half of that."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.figures import Figure, Goal, beside, percentile
from bench.world import World, stopwatch

GROUP = "webhook to visible message"
#: Messages per customer in one round.
EACH = 5


async def measure(world: World) -> list[Figure]:
    """Web and worker run; everybody is new at the beginning of a round, and writes five times."""
    count, rounds = world.rounds(1500, 5000), 3
    stream = {"stream": f"{world.web}/api/v1/stream", "token": world.token}
    await world.load(count=100, people=20, **stream)  # the first of its kind pays for what is opened and read once
    await world.at_rest()
    ones, sixteens, visible, acted, used, cuts = [], [], [], [], [], 0
    for _ in range(rounds):
        ones.append(await world.floor("chain", seconds=world.rounds(1, 3), people=100, at_once=1))
        sixteens.append(await world.floor("chain", seconds=world.rounds(1, 3), people=100, at_once=16))
        before = world.cpu_s("worker")
        run: Any = await world.load(count=count, people=count // EACH, **stream)
        await world.at_rest()
        used.append((world.cpu_s("worker") - before) / count * 1000)
        visible.append(count / run["visible_s"])
        acted.append(count / (stopwatch() - run["begun"]))
        cuts += run["cuts"]
    goal = Goal(least=6)
    return [
        beside(GROUP, "stored and in the stream", "messages/s", visible, ones, "chain, one by one", goal),
        beside(GROUP, "the same", "messages/s", visible, sixteens, "chain, 16 at once"),
        beside(GROUP, "and every event acted upon", "messages/s", acted, ones, "chain, one by one"),
        Figure(GROUP, "processor time of the worker", median(used), "ms each", rounds=tuple(used)),
        *await _at_half(world, median(visible) / 2, stream),
        Figure(GROUP, "streams cut because their reader was slow", cuts, "times"),
    ]


async def _at_half(world: World, rate: float, stream: dict[str, str]) -> list[Figure]:
    """Open loop at half of the sustained rate: from the moment a request is due until the stream tells of it."""
    count = int(rate * world.rounds(4, 15))
    run: Any = await world.load(count=count, people=count // EACH, rate=rate, **stream)
    await world.at_rest()
    events = {}
    wanted = {"_id": {"$in": list(run["seen"])}}
    async for row in world.runtime.db.collection("messages").find(wanted, {"provider_message_id": 1}):
        events[row["provider_message_id"]] = row["_id"]
    waits = [run["seen"][events[event]] - begun for event, begun in run["posted"].items() if event in events]
    return [
        Figure(GROUP, f"p50 at {rate:,.0f} messages/s", percentile(waits, 0.5), "s"),
        Figure(GROUP, f"p99 at {rate:,.0f} messages/s", percentile(waits, 0.99), "s", goal=Goal(most=1.0)),
        Figure(GROUP, "p99 of the answer to the webhook", percentile(run["latencies_ms"], 0.99), "ms"),
    ]
