"""What was measured, beside its floor and its goal; as a table for people and as JSON for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Goal:
    """`least` for a ratio to the floor, `most` or `rate` (at least so many) for the value itself."""

    least: float | None = None
    most: float | None = None
    rate: float | None = None

    @property
    def text(self) -> str:
        """As it stands in the table."""
        if self.rate is not None:
            return f"≥ {self.rate:g}"
        return f"≥ {self.least:g} ×" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `rounds` are the single measurements that `value` is the median of."""

    group: str
    what: str
    value: float
    unit: str
    floor: float | None = None
    floor_what: str = ""
    goal: Goal | None = None
    rounds: tuple[float, ...] = ()
    floor_rounds: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of its floor."""
        return self.value / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        if self.goal.rate is not None:
            return self.value >= self.goal.rate
        if self.goal.most is not None:
            return self.value <= self.goal.most
        return self.ratio is not None and self.goal.least is not None and self.ratio >= self.goal.least

    def as_json(self) -> dict[str, Any]:
        """With the derived values."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def beside(
    group: str, what: str, unit: str, rounds: Sequence[float], floors: Sequence[float], floor_what: str,
    goal: Goal | None = None,
) -> Figure:  # fmt: skip
    """Median of rounds beside the median of the floor's rounds; the two took turns."""
    return Figure(
        group, what, median(rounds), unit, median(floors), floor_what, goal, tuple(rounds), tuple(floors)
    )  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of them do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def table(figures: Sequence[Figure]) -> str:
    """Aligned text, one block per group."""
    rows: list[tuple[str, ...]] = [("", "measured", "floor", "ratio", "goal", "")]
    for place, figure in enumerate(figures):
        if place == 0 or figures[place - 1].group != figure.group:
            rows.append((figure.group.upper(), "", "", "", "", ""))
        rows.append(_cells(figure))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = []
    for row in rows:
        first, *others = (
            f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}" for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    met = {None: "", True: "met", False: "MISSED"}[figure.met]
    floor = f"{number(figure.floor)} {figure.floor_what}".strip() if figure.floor is not None else ""
    ratio = f"{figure.ratio:.2f} ×" if figure.ratio is not None else ""
    value = f"{number(figure.value)} {figure.unit}"
    return f"  {figure.what}", value, floor, ratio, figure.goal.text if figure.goal else "", met


def number(value: float) -> str:
    """Three figures that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
