"""An import by the worker, beside a bare bulk upsert of as many documents of the same fields, in the same run."""

from __future__ import annotations

import asyncio
import csv
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Goal, beside
from bench.world import World, stopwatch
from profiles.imports.mapping import ImportMapping

GROUP = "imports"
COLUMNS = ("customer_id", "name", "email", "phone", "tags", "stage", "address", "city", "postcode", "country", "points")
TARGETS = (
    "customer_id", "name", "email", "phone", "tags", "stage", "address.street", "address.city", "address.postal_code",
    "address.country", "attributes.points",
)  # fmt: skip
#: Rows a second that are carried out, on a quiet machine of two cores.
GOAL = Goal(rate=1000)


async def measure(world: World) -> list[Figure]:
    """Each round brings new people. Reading, preview and run are timed one by one; the goal is for the run."""
    count, rounds = world.rounds(2_000, 20_000), world.rounds(1, 3)
    took: dict[str, list[float]] = {"read": [], "looked at": [], "carried out": []}
    floors: list[float] = []
    await world.at_rest()
    for _ in range(rounds):
        mark = secrets.token_hex(4)
        floors.append(await world.floor("upsert", rows=count, mark=mark))
        for step, seconds in (await _imported(world, count, mark)).items():
            took[step].append(count / seconds)
    return [
        beside(GROUP, f"rows {step} ({count:,})", "/s", values, floors, "bulk upsert",
               GOAL if step == "carried out" else None)
        for step, values in took.items()
    ]  # fmt: skip


async def _imported(world: World, count: int, mark: str) -> dict[str, float]:
    """Step → seconds."""
    book, took = world.runtime.imports, {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *_rows(count, mark)])
        begun = stopwatch()
        head = await book.bring(path, path.name, "bench")
    import_id = head["_id"]
    await _until(world, import_id, "mapping")
    took["read"] = stopwatch() - begun
    columns = [{"to": target, "type": "number" if "points" in target else "text"} for target in TARGETS]
    begun = stopwatch()
    await book.map(import_id, ImportMapping.model_validate({"columns": columns, "options": {"region": "DE"}}))
    await _until(world, import_id, "ready")
    took["looked at"] = stopwatch() - begun
    begun = stopwatch()
    await book.run(import_id)
    await _until(world, import_id, "done")
    took["carried out"] = stopwatch() - begun
    counts = (await book.get(import_id))["counts"]
    if counts != {"created": count}:
        raise RuntimeError(f"the import came to {counts}")
    return took


async def _until(world: World, import_id: str, state: str) -> None:
    async with asyncio.timeout(900):
        while (head := await world.runtime.imports.store.get(import_id)) and head["state"] != state:
            if head["state"] in ("failed", "cancelled"):
                raise RuntimeError(head.get("fault"))
            await asyncio.sleep(0.05)


def _rows(count: int, mark: str) -> Iterator[tuple[object, ...]]:
    start = secrets.randbelow(80) * 100_000
    for n in range(count):
        yield (
            f"{mark}-{n}", f"Person {n}", f"p{n}.{mark}@example.org", f"+49170{start + n:07d}", f"tea, t{n % 7}",
            "lead", f"Main Street {n}", "Leiden", f"{n % 90_000 + 10_000}", "NL", n % 500,
        )  # fmt: skip
