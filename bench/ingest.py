"""Durable ingest: signed webhooks, each answered after its row is on disk, beside one insert per request."""

from __future__ import annotations

from bench.child import Child
from bench.figures import Figure, Goal, beside, percentile
from bench.world import World

GROUP = "durable ingest"


async def measure(world: World) -> list[Figure]:
    """64 connections that never rest. No worker runs meanwhile, on either side."""
    seconds, rounds = world.rounds(1, 4), 3
    floor = await Child.start("bench.floor", floor="keep", mongo=world.mongo_url)
    bare = f"http://127.0.0.1:{(await floor.answer())['port']}/"
    ours, bares = [], []
    try:
        for _ in range(rounds):
            common = {"count": seconds * 9000, "people": 500, "seconds": seconds}
            bares.append(await world.load(**common, url=bare))
            ours.append(await world.load(**common))
    finally:
        await floor.stop()
    # What was measured here is that it is kept; working it off is another figure, and starts from nothing.
    await world.runtime.db.collection("deliveries").delete_many({})
    return [
        beside(
            GROUP, "webhooks verified and kept", "requests/s", [_rate(r) for r in ours], [_rate(r) for r in bares],
            "one insert each", Goal(least=2.5),
        ),
        *(
            beside(
                GROUP, f"p{share:.0%}".rstrip("%") + " at 64 connections", "ms",
                [percentile(r["latencies_ms"], share) for r in ours],
                [percentile(r["latencies_ms"], share) for r in bares], "one insert each",
            )
            for share in (0.5, 0.99)
        ),
        Figure(GROUP, "refused", sum(r["refused"] for r in ours), "requests"),
    ]  # fmt: skip


def _rate(run: dict) -> float:
    return run["kept"] / run["took_s"]
