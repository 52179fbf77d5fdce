"""A journey as nodes, ways and counts, for drawing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from campaigns.models import AnyStep, Definition
from campaigns.store.enrolments import LIVE


@dataclass(frozen=True)
class StepCounts:
    """How many stand at a step, and how many left it and how."""

    waiting: int = 0
    passed: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True)
class FlowNode:
    """A step. `row`: how many steps at most lie before it; `column`: its place in that row."""

    id: str
    type: str
    name: str | None
    row: int
    column: int
    counts: StepCounts
    #: The step's own fields, as its author wrote them.
    step: Mapping[str, Any]


@dataclass(frozen=True)
class FlowEdge:
    """A way from one step to another (`target` None: the journey ends). `way`: the field it stands in."""

    source: str
    way: str
    target: str | None


@dataclass(frozen=True)
class Flow:
    """What is drawn."""

    journey_id: str
    version: int
    entry: str
    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]
    #: Runs by how they are or ended: waiting, held, ended, dead.
    runs: Mapping[str, int] = field(default_factory=dict)


def flow_of(
    journey_id: str, version: int, definition: Definition, raw: Mapping[str, Any], counts: Mapping[str, StepCounts],
    runs: Mapping[str, int],
) -> Flow:  # fmt: skip
    """Lay the steps out in rows, and name every way."""
    rows = _rows(definition)
    columns: dict[int, int] = {}
    written = {step["id"]: step for step in raw["steps"]}
    nodes = []
    for step in definition.steps:
        row = rows.get(step.id, 0)
        column = columns.get(row, 0)
        columns[row] = column + 1
        own = counts.get(step.id, StepCounts())
        nodes.append(FlowNode(step.id, step.type, step.name, row, column, own, written.get(step.id, {})))
    edges = [FlowEdge(step.id, way, target) for step in definition.steps for way, target in step.exits()]
    return Flow(journey_id, version, definition.entry, tuple(nodes), tuple(edges), runs)


def counts_of(
    version: int | None, places: Iterable[Mapping[str, Any]], kept: Iterable[Mapping[str, Any]]
) -> dict[str, StepCounts]:
    """Step → counts, for one version or (None) all of them together."""
    waiting: dict[str, int] = {}
    for place in places:
        if version in (None, place["version"]) and place["state"] in LIVE:
            waiting[place["node"]] = waiting.get(place["node"], 0) + place["n"]
    left: dict[str, dict[str, int]] = {}
    for row in kept:
        if version in (None, row["version"]):
            own = left.setdefault(row["node"], {})
            for outcome in ("passed", "skipped", "failed"):
                own[outcome] = own.get(outcome, 0) + row.get(outcome, 0)
    return {node: StepCounts(waiting.get(node, 0), **left.get(node, {})) for node in {*waiting, *left}}


def states_of(places: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """State → how many runs of any version."""
    found: dict[str, int] = {}
    for place in places:
        found[place["state"]] = found.get(place["state"], 0) + place["n"]
    return found


def _rows(definition: Definition) -> dict[str, int]:
    """The longest way from the entry to each step, ways that lead back left out."""
    rows: dict[str, int] = {}
    trail: set[str] = set()

    def visit(step: AnyStep, row: int) -> None:
        if step.id in trail or rows.get(step.id, -1) >= row:
            return
        rows[step.id] = row
        trail.add(step.id)
        for _, target in step.exits():
            following = definition.by_id.get(target) if target else None
            if following is not None:
                visit(following, row + 1)
        trail.discard(step.id)

    visit(definition.steps[0], 0)
    return rows
