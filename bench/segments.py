"""Segments over a crowd: a preview beside the bare count, a first build beside the bare update, people looked at again.

The worker builds and looks; everything is asked of the database that holds the crowd. The goals are those for a million
people on two cores (`--people 1000000`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from base.mongo import Document, UpdateOne
from bench.crowd import RARE, gather
from bench.figures import Figure, Goal, beside
from bench.world import World, stopwatch
from profiles.membership import SegmentInput
from profiles.segments.span import LATEST

GROUP = "segments"
#: So many are changed at once.
CHANGED = 1000
#: From here on the database gets 4 GB of cache: that many people do not fit into the half of one it starts with.
ROOMY = 200_000
INDEXED = {"field": "tags", "op": "eq", "value": RARE}
RULES: Mapping[str, tuple[dict[str, Any], Document]] = {
    "a tag": (INDEXED, {"tags": RARE}),
    "one of three plans": ({"field": "attributes.plan", "op": "eq", "value": "pro"}, {"attributes.plan": "pro"}),
    "known for less than 90 days": ({"field": "created_at", "op": "within_last", "value": "P90D"}, {}),
    "paid twice in a year": ({"event": "order.paid", "count": {"gte": 2}, "within": "P365D"}, {}),
}  # fmt: skip


async def measure(world: World) -> list[Figure]:
    """A crowd is put into the database first, at the size that was asked for."""
    if world.people > ROOMY:  # the private server is made for small deployments
        room = {"setParameter": 1, "wiredTigerEngineRuntimeConfig": "cache_size=4GB"}
        await world.runtime.db.client.admin.command(room)
    begun = stopwatch()
    ids = await gather(world.runtime.db, world.people)
    load = os.getloadavg()[0]
    print(f"{len(ids):,} people in {stopwatch() - begun:.0f} s, load average {load:.1f}", file=sys.stderr, flush=True)
    await _crowd_left_alone(world, [])
    await _nobody_due(world)
    figures = [_told(await _preview(world, "preview of a tag", INDEXED, RULES["a tag"][1]))]
    for name, (rule, raw) in RULES.items():
        figures.append(_told(await _build(world, name, rule, raw)))
    return [*figures, await _second_look(world, ids[:CHANGED])]


def _told(figure: Figure) -> Figure:
    """Said at once: at a million people the next takes minutes."""
    print(f"{figure.what}: {figure.value:.4g} {figure.unit}", file=sys.stderr, flush=True)
    return figure


async def _preview(world: World, what: str, rule: Mapping[str, Any], raw: Document) -> Figure:
    async def count() -> None:
        await world.runtime.db.handle.command({"count": "profiles", "query": raw})

    ours, floors = [], []
    for _ in range(5):
        floors.append(await _ms(count))
        ours.append(await _ms(lambda: world.runtime.segments.preview(rule)))
    return beside(GROUP, what, "ms", ours, floors, "bare count", Goal(most=300))


async def _build(world: World, name: str, rule: dict[str, Any], raw: Document) -> Figure:
    """From the call until all are served, by the worker. The floor marks as many people by one bare update."""
    segments = world.runtime.segments
    begun = stopwatch()
    row = await segments.create(SegmentInput(name=name, rule=rule))
    while row["state"] == "building":
        await asyncio.sleep(0.05)
        row = await segments.get(row["_id"])
    took_s = stopwatch() - begun
    if row["state"] != "live":
        raise RuntimeError(f"{name}: {row['reason']}")
    floors = (await _marked(world, raw or {"segments": row["live"]["key"]}),)
    what = f"first build: {name} ({row['members']:,})"
    return beside(GROUP, what, "s", (took_s,), floors, "bare update", Goal(most=60))


async def _marked(world: World, raw: Document) -> float:
    rows = world.runtime.db.collection("profiles")
    begun = stopwatch()
    await rows.update_many(raw, {"$push": {"bench": "mark"}})
    took_s = stopwatch() - begun
    await rows.update_many({"bench": "mark"}, {"$unset": {"bench": ""}})
    return took_s


async def _second_look(world: World, ids: list[str]) -> Figure:
    """All of them were changed: half enter a segment, half leave it. Until none of them is due any more."""
    rows, ours, floors = world.runtime.db.collection("profiles"), [], []
    await world.runtime.db.client.admin.command({"fsync": 1})  # what the builds wrote is not on its way any more
    for turn in range(3):
        plan = ("pro", "free")[turn % 2]
        await _nobody_due(world)
        floors.append(await _ms(lambda: _bare_look(world, ids)) / 1000)
        await rows.update_many({"_id": {"$in": ids}}, {"$set": {"attributes.plan": plan}})
        begun = stopwatch()
        await world.runtime.profiles.appraisals.due(ids)
        await world.runtime.doorbell.ring("appraise")
        await _all_looked_at(world, ids)
        ours.append(stopwatch() - begun)
    what = f"{len(ids):,} changed people looked at again"
    return beside(GROUP, what, "s", ours, floors, "read + bulk", Goal(most=1))


async def _crowd_left_alone(world: World, ids: list[str]) -> None:
    """Everybody else was put into the database a moment ago, and is due for a first look: at a million that is half an
    hour of work beside what is measured here, so it is put off by a month."""
    now = world.runtime.clock()
    due = {"_id": {"$nin": ids}, "appraise_at": {"$lte": now + timedelta(hours=1)}}
    later = {"$set": {"appraise_at": now + timedelta(days=30)}, "$unset": {"appraise_by": ""}}
    rows = world.runtime.db.collection("profiles")
    while crowd := [row["_id"] async for row in rows.find(due, {"_id": 1}).limit(20_000)]:
        await rows.update_many({"_id": {"$in": crowd}}, later)


async def _bare_look(world: World, ids: list[str]) -> None:
    rows = world.runtime.db.collection("profiles")
    found = await rows.find({"_id": {"$in": ids}}).to_list(None)
    await rows.bulk_write([UpdateOne({"_id": row["_id"]}, {"$inc": {"rev": 1}}) for row in found], ordered=False)


async def _nobody_due(world: World) -> None:
    """The crowd itself has come to rest, and what follows from it."""
    async with asyncio.timeout(600):
        while (await world.runtime.profiles.appraisals.oldest() or LATEST) <= world.runtime.clock():
            await asyncio.sleep(0.5)
    await world.at_rest()


async def _all_looked_at(world: World, ids: list[str]) -> None:
    rows = world.runtime.db.collection("profiles")
    under_way = [{"appraise_by": {"$exists": True}}, {"appraise_at": {"$lte": world.runtime.clock()}}]
    async with asyncio.timeout(300):
        while await rows.find_one({"_id": {"$in": ids}, "$or": under_way}, {"_id": 1}) is not None:
            await asyncio.sleep(0.1)  # looking costs the database something, too


async def _ms(work: Callable[[], Awaitable[object]]) -> float:
    begun = stopwatch()
    await work()
    return (stopwatch() - begun) * 1000
