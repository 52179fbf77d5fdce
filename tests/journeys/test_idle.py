"""A deployment in which nothing happens costs next to nothing and does not grow."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.journeys.world import World

LOOK_S = 6.0
#: Seconds of a processor that a process may use in a second of idleness.
SHARE = 0.25


async def test_dittofeed_995_1844_idle_costs_little_and_writes_nothing(world: World) -> None:
    """dittofeed#995, #1844: the store burned a processor while idle, and its own logs filled the disk."""
    await world.quiet()
    before, books = {name: _used_s(pid) for name, pid in _pids(world).items()}, await world.digest()
    log = world.fleet.log.stat().st_size
    await asyncio.sleep(LOOK_S)
    used = {name: round(_used_s(pid) - before[name], 2) for name, pid in _pids(world).items()}
    changed = [name for name, rows in (await world.digest()).items() if books.get(name) != rows]
    assert not changed and world.fleet.log.stat().st_size - log < 2_000
    assert all(each < SHARE * LOOK_S for each in used.values()), used


def _pids(world: World) -> dict[str, int]:
    return {each.name: each.process.pid for each in world.fleet.members if each.process is not None}


def _used_s(pid: int) -> float:
    """Seconds of a processor that a process has used, by the kernel's books."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
