"""How much one visitor, one address may ask of us: buckets in this process's memory, forgotten with it.

They hold back floods, not clever people: several web processes allow as many times as much, which is bounded too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Buckets kept at most. The one untouched longest is forgotten first, and was full again long ago.
KEPT = 50_000


@dataclass(frozen=True)
class Pace:
    """So many at once, then so many a second."""

    burst: float
    per_s: float


#: What is asked → for one visitor, and for one address (a whole office may stand behind it).
PACES: dict[str, tuple[Pace, Pace]] = {
    "say": (Pace(10, 0.5), Pace(60, 3.0)),
    "react": (Pace(10, 0.5), Pace(60, 3.0)),
    "file": (Pace(5, 0.1), Pace(20, 0.5)),
    "note": (Pace(60, 5.0), Pace(400, 40.0)),  # receipts, typing, earlier lines
    "hello": (Pace(30, 0.5), Pace(120, 4.0)),
    "new": (Pace(30, 0.5), Pace(60, 1.0)),  # visitors nobody knows yet
    "track": (Pace(2000, 200.0), Pace(60, 4.0)),  # batches of one website, and of one address
    "load": (Pace(120, 4.0), Pace(240, 8.0)),
}
#: Windows open at once.
SOCKETS_PER_VISITOR, SOCKETS_PER_ADDRESS = 12, 150


class Limits:
    """Buckets by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, what: str, visitor: str | None, address: str) -> float:
        """Seconds to wait before it may be done; 0: it counts as done now."""
        of_visitor, of_address = PACES[what]
        asked = [(f"{what}|a|{address}", of_address)]
        if visitor is not None:
            asked.append((f"{what}|v|{visitor}", of_visitor))
        now = self._clock()
        levels = {name: self._level(name, pace, now) for name, pace in asked}
        wait = max((1 - levels[name]) / pace.per_s if levels[name] < 1 else 0.0 for name, pace in asked)
        for name, _ in asked:
            self._keep(name, levels[name] - (0 if wait else 1), now)
        return wait

    def forget(self) -> None:
        """Nobody has asked for anything yet."""
        self._buckets.clear()

    def _level(self, name: str, pace: Pace, now: float) -> float:
        level, at = self._buckets.get(name, (pace.burst, now))
        return min(pace.burst, level + (now - at) * pace.per_s)

    def _keep(self, name: str, level: float, now: float) -> None:
        self._buckets[name] = (level, now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
