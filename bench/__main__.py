"""The command: `./run bench [--quick] [--json FILE] [SCENARIO …]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import broadcast, desk, imports, ingest, journeys, lateness, memory, segments, sends, visible
from bench.figures import Figure, table
from bench.world import World, opened

Measure = Callable[[World], Awaitable[list[Figure]]]
#: In this order: the worker starts after the first, memory is looked at after those, and crowds come last.
SCENARIOS: dict[str, Measure] = {
    "ingest": ingest.measure,
    "visible": visible.measure,
    "desk": desk.measure,
    "journeys": journeys.measure,
    "sends": sends.measure,
    "lateness": lateness.measure,
    "memory": memory.measure,
    "imports": imports.measure,
    "segments": segments.measure,
    "broadcast": broadcast.measure,
}


def main() -> int:
    """Measure, print, write; 0 when all of it could be measured, whatever the goals say."""
    asked = _arguments()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rapport-bench-", ignore_cleanup_errors=True) as folder:
        figures = asyncio.run(_measured(Path(folder), asked.scenario or list(SCENARIOS), asked))
    took_s = time.monotonic() - started
    print(f"\n{table(figures)}\n\nMedians; floor and product took turns. {took_s:.0f} s, {_machine_text()}.")
    if asked.json:
        Path(asked.json).write_text(json.dumps(_report(figures, took_s, quick=asked.quick), indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description="Each figure beside its bare floor, in one run.")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="only these; all when none is named")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, at most a minute")
    parser.add_argument("--people", type=int, help="how many the segments are tried on (50,000; quick 5,000)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


async def _measured(folder: Path, names: list[str], asked: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    people = asked.people or (5_000 if asked.quick else 50_000)
    async with opened(folder, quick=asked.quick, people=people) as world:
        try:
            for name in (name for name in SCENARIOS if name in names):
                await _roles_for(world, name)
                started = time.monotonic()
                figures += await SCENARIOS[name](world)
                print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        except BaseException:
            print(world.log.read_text(errors="replace")[-4000:], file=sys.stderr)
            raise
    return figures


async def _roles_for(world: World, scenario: str) -> None:
    """Ingest is the web process alone; everything later has a worker, too."""
    for role in ("web",) if scenario == "ingest" else ("web", "worker"):
        if role not in world.processes:
            await world.start(role)


def _report(figures: list[Figure], took_s: float, *, quick: bool) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick, "took_s": round(took_s, 1),
        "machine": {"cores": os.cpu_count(), "memory_gb": _memory_gb(), "python": platform.python_version()},
        "figures": [figure.as_json() for figure in figures],
    }  # fmt: skip


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)


def _machine_text() -> str:
    return f"{os.cpu_count()} cores, {_memory_gb()} GB, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
