"""Memory of the web and the worker process after everything before it."""

from __future__ import annotations

from bench.figures import Figure, Goal
from bench.world import World

GROUP = "memory"


async def measure(world: World) -> list[Figure]:
    """Resident, with the processes they started (the worker's renderer); measured last."""
    return [
        Figure(GROUP, "web", world.resident_mb("web"), "MB", goal=Goal(most=120)),
        Figure(GROUP, "worker and its renderer", world.resident_mb("worker"), "MB", goal=Goal(most=300)),
    ]
