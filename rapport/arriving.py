"""How much of the demo's past has arrived: told by the one who loads it, read by the pages of another process.

A file in the data directory, because nothing of a hub that people work with should know of a demo. One that nobody has
touched for a while is of a loader that is no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

FILE = "demo-arriving"
#: A batch of people takes some seconds on a small machine.
ALIVE_S = 120.0
#: How long one look at the file is good for.
LOOK_S = 1.0


def tell(folder: Path, percent: int) -> None:
    """Note it; at a hundred there is nothing more to tell."""
    path = folder / FILE
    if percent >= 100:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(str(percent))
    fresh.replace(path)


def reader(folder: Path) -> Callable[[], int | None]:
    """Asks how many percent are there; None when nothing is on its way."""
    seen: tuple[float, int | None] = (-LOOK_S, None)

    def percent() -> int | None:
        nonlocal seen
        now = time.monotonic()
        if now - seen[0] >= LOOK_S:
            seen = (now, _percent(folder / FILE))
        return seen[1]

    return percent


def _percent(path: Path) -> int | None:
    try:
        if time.time() - path.stat().st_mtime > ALIVE_S:
            return None
        return int(path.read_text())
    except (OSError, ValueError):
        return None
