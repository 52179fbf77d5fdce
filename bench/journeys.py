"""Journey steps a second, by the worker process as it is, beside claiming 500 rows and advancing each once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from base.clock import now
from bench.figures import Figure, Goal, beside
from bench.people import all_ended, chatting, enrolled, journey
from bench.world import World, stopwatch

GROUP = "journeys"
FLOOR = "claim 500 + bulk"
PAUSE = "PT0.05S"


def _branch(name: str, after: str) -> dict[str, Any]:
    rule = {"field": "stage", "op": "eq", "value": "new"}
    return {"id": name, "type": "branch", "cases": [{"when": rule, "next": after}], "else": after}


def _wait(name: str, after: str) -> dict[str, Any]:
    return {"id": name, "type": "wait", "for": PAUSE, "next": after}


def _send(name: str, after: str) -> dict[str, Any]:
    text = "Hello {{ profile.name | default('there') }}, thank you!"
    return {"id": name, "type": "send", "channels": ["whatsapp"], "content": {"text": text}, "next": after}


END = {"id": "end", "type": "exit", "reason": "done"}
TAG = {"id": "tag", "type": "update", "add_tags": ["seen"], "next": "pause"}
#: Five steps each. A wait makes a run stand still and be claimed anew.
PLAIN = [_branch("one", "pause"), _wait("pause", "two"), _branch("two", "rest"), _wait("rest", "end"), END]
TAGGING = [_branch("one", "tag"), TAG, _wait("pause", "two"), _branch("two", "end"), END]
SENDING = [_send("hello", "pause"), _wait("pause", "tip"), _send("tip", "rest"), _wait("rest", "end"), END]
STEPS = 5
#: How often a run of the plain journey is claimed: it begins, and each wait ends.
CLAIMS = 3


async def measure(world: World) -> list[Figure]:
    """Everybody is due at one moment; the clock runs until nobody is under way."""
    runs, fewer, rounds = world.rounds(1000, 3000), world.rounds(200, 600), 3
    people = await chatting(world, runs)
    await world.at_rest()
    await _steps_per_s(world, PLAIN, people[:100])
    floors, plain, tagging, sending, used = [], [], [], [], []
    for _ in range(rounds):
        floors.append(await world.floor("advance", rows=world.rounds(4000, 10_000)))
        before = world.cpu_s("worker")
        plain.append(await _steps_per_s(world, PLAIN, people))
        used.append((world.cpu_s("worker") - before) / len(people) / STEPS * 1000)
    for _ in range(world.rounds(1, 3)):
        tagging.append(await _steps_per_s(world, TAGGING, people[:fewer]))
        sending.append(await _steps_per_s(world, SENDING, people[:fewer]))
    claims = [each / STEPS * CLAIMS for each in plain]
    return [
        beside(GROUP, "two branches, two waits, exit", "steps/s", plain, floors, FLOOR, Goal(least=0.6)),
        beside(GROUP, "the same, counted in claims", "claims/s", claims, floors, FLOOR),
        Figure(GROUP, "processor time of the worker", median(used), "ms a step", rounds=tuple(used)),
        beside(GROUP, "one of five sets a tag", "steps/s", tagging, floors, FLOOR),
        beside(GROUP, "two of five send by WhatsApp", "steps/s", sending, floors, FLOOR),
    ]


async def _steps_per_s(world: World, steps: Sequence[dict[str, Any]], people: Sequence[str]) -> float:
    made = await journey(world, "Five steps", steps)
    due = now() + timedelta(seconds=1 + len(people) / 2000)
    await enrolled(world, made, people, [due] * len(people))
    left_s = (due - now()).total_seconds()
    if left_s < 0:
        raise RuntimeError("the runs were due before all of them were there")
    await asyncio.sleep(left_s)
    begun = stopwatch()
    await world.runtime.doorbell.ring("advance")
    await all_ended(world, made)
    took_s = stopwatch() - begun
    await world.at_rest()
    return len(people) * STEPS / took_s
