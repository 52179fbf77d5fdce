"""Where the steps of a journey stand on the page: a vertical flow with branches side by side. Pure geometry.

Every step belongs under the last step that all ways to it pass (its dominator). So the arms of a branch stand beside
each other, and what they join in again stands below them, centred under the branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: Pixels. Everything lies on a grid of eight.
NODE_W, NODE_H = 272, 72
END_W, END_H = 16, 16
LANE_W = 144
GAP_X, GAP_Y, GAP_BRANCH, GAP_JOIN = 32, 56, 104, 56
MARGIN = 40
BEND, ROUND = 20, 10
#: From where a way begins to the middle of its “+”: below its label when it has one.
PLUS, PLUS_BELOW = 24, 70
START = "__start__"


@dataclass(frozen=True)
class Exit:
    """One way out of a step. `to` None: the journey ends there."""

    to: str | None
    label: str = ""
    tone: str = ""
    #: The field in which the way stands, as in `campaigns.drafting`.
    way: str = ""


@dataclass(frozen=True)
class Spot:
    """A placed step: its upper left corner. `end`: the small mark where a way ends."""

    id: str
    x: int
    y: int
    width: int
    height: int
    end: bool = False


@dataclass(frozen=True)
class Edge:
    """A drawn way: an SVG path, and where its label stands (centre)."""

    path: str
    label: str = ""
    label_x: int = 0
    label_y: int = 0
    back: bool = False
    tone: str = ""
    #: Where a step may be put in on it, and the middle of the sign for that.
    slot: str = ""
    plus_x: int = 0
    plus_y: int = 0


@dataclass(frozen=True)
class Drawing:
    """The whole flow, in pixels."""

    width: int
    height: int
    spots: tuple[Spot, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Line:
    """A step in the outline of a flow. `ways`: what follows on each of several, or on one that has a label."""

    id: str
    ways: tuple[tuple[Exit, str, tuple[Line, ...]], ...] = ()
    #: Where a step may be put in below it, when it has one way.
    slot: str = ""


def outline(steps: Mapping[str, Sequence[Exit]], entry: str | None) -> tuple[Line, ...]:
    """The same flow as a list, for narrow screens: what several ways lead to stands once, below them all.

    Ways are (exit, slot, lines): no lines where it goes on below, to a step elsewhere, or ends.
    """
    return _Flow(steps, entry).lines(START)[1:]


@dataclass
class _Node:
    id: str
    exits: list[Exit]
    end: bool = False
    parents: list[str] = field(default_factory=list)
    arms: list[tuple[str | None, int]] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    x: float = 0
    y: float = 0


@dataclass(frozen=True)
class _Box:
    width: float
    height: float
    #: Where the middle of its first step is, from the left.
    middle: float


def draw(steps: Mapping[str, Sequence[Exit]], entry: str | None) -> Drawing:
    """Place `steps` (id → its ways out, in order) below the start. Steps that no way leads to are left out."""
    flow = _Flow(steps, entry)
    return flow.drawing()


class _Flow:
    def __init__(self, steps: Mapping[str, Sequence[Exit]], entry: str | None) -> None:
        self.nodes: dict[str, _Node] = {}
        self.back: set[tuple[str, int]] = set()
        self.lanes: dict[tuple[str, int], float] = {}
        self._take(steps, entry)
        self.order = self._sorted()
        self.dominator = self._dominators()
        self._nest()

    # -- the graph ---------------------------------------------------------------------------------------------

    def _take(self, steps: Mapping[str, Sequence[Exit]], entry: str | None) -> None:
        known = {START: [Exit(entry)], **{key: list(exits) for key, exits in steps.items()}}
        for key, exits in known.items():
            ways = []
            for i, way in enumerate(exits):
                target = way.to if way.to is not None and way.to in steps else f"{key}~{i}"
                ways.append(Exit(target, way.label, way.tone, way.way))
                if target not in steps:
                    self.nodes[target] = _Node(target, [], end=True)
            self.nodes[key] = _Node(key, ways)

    def _sorted(self) -> list[str]:
        """Topological order from the start; edges that lead back to an open step are set apart."""
        done: list[str] = []
        state: dict[str, int] = {START: 1}
        stack: list[tuple[str, int]] = [(START, 0)]
        while stack:
            key, i = stack.pop()
            exits = self.nodes[key].exits
            if i >= len(exits):
                state[key] = 2
                done.append(key)
                continue
            stack.append((key, i + 1))
            target = str(exits[i].to)
            if state.get(target) == 1:
                self.back.add((key, i))
            else:
                self.nodes[target].parents.append(key)
                if target not in state:
                    state[target] = 1
                    stack.append((target, 0))
        return done[::-1]

    def _dominators(self) -> dict[str, str]:
        rank = {key: i for i, key in enumerate(self.order)}
        found: dict[str, str] = {START: START}
        for key in self.order[1:]:
            parents = self.nodes[key].parents
            common = parents[0]
            for other in parents[1:]:
                a, b = common, other
                while a != b:
                    if rank[a] > rank[b]:
                        a = found[a]
                    else:
                        b = found[b]
                common = a
            found[key] = common
        return found

    def _nest(self) -> None:
        for key in self.order:
            node = self.nodes[key]
            for i, way in enumerate(node.exits):
                if (key, i) in self.back:
                    continue
                target = str(way.to)
                own = self.dominator[target] == key and len(self.nodes[target].parents) == 1
                node.arms.append((target if own else None, i))
        for key in self.order[1:]:
            if len(self.nodes[key].parents) > 1:
                self.nodes[self.dominator[key]].joins.append(key)

    def lines(self, key: str) -> tuple[Line, ...]:
        """The outline from a step on."""
        node = self.nodes[key]
        if node.end:
            return ()
        ways, below = [], tuple(each for join in node.joins for each in self.lines(join))
        arms = {i: target for target, i in node.arms}
        plain = len(node.exits) == 1 and not node.exits[0].label
        for i, way in enumerate(node.exits):
            inner = self.lines(target) if (target := arms.get(i)) else ()
            if plain:
                slot = _slot(key, way)
                return (Line(key, ((way, slot, ()),) if (key, i) in self.back else (), slot), *inner, *below)
            ways.append((way, _slot(key, way), inner))
        return (Line(key, tuple(ways)), *below)

    # -- the places --------------------------------------------------------------------------------------------

    def drawing(self) -> Drawing:
        box = self._measure(START)
        self._place(START, box.middle, 0)
        spots, edges = self._spots(), self._edges()
        left = min([spot.x for spot in spots], default=0)
        right = max([spot.x + spot.width for spot in spots], default=0)
        for edge in edges:
            if edge.label:
                half = label_width(edge.label) // 2
                left, right = min(left, edge.label_x - half), max(right, edge.label_x + half)
        shift, space = MARGIN - left + (24 if self.back else 0), right - left + 2 * MARGIN
        height = max([spot.y + spot.height for spot in spots], default=0) + MARGIN
        return self._shifted(shift, space + (24 if self.back else 0), height + MARGIN, spots, edges)

    def _shifted(self, dx: int, width: int, height: int, spots: list[Spot], edges: list[Edge]) -> Drawing:
        del edges
        for node in self.nodes.values():
            node.x += dx
            node.y += MARGIN
        for key in self.lanes:
            self.lanes[key] += dx
        return Drawing(width, height, tuple(self._spots()), tuple(self._edges()))

    def _size(self, key: str) -> tuple[int, int]:
        return (END_W, END_H) if self.nodes[key].end else (NODE_W, NODE_H)

    def _gap(self, key: str) -> int:
        node = self.nodes[key]
        return GAP_BRANCH if len(node.exits) > 1 or any(way.label for way in node.exits) else GAP_Y

    def _parts(self, key: str) -> tuple[list[_Box], list[_Box]]:
        node = self.nodes[key]
        arms = [self._measure(target) if target else _Box(LANE_W, 0, LANE_W / 2) for target, _ in node.arms]
        return arms, [self._measure(join) for join in node.joins]

    def _measure(self, key: str) -> _Box:
        width, height = self._size(key)
        arms, joins = self._parts(key)
        room = sum(arm.width for arm in arms) + GAP_X * max(0, len(arms) - 1)
        below = max([arm.height for arm in arms], default=0)
        total = height + (self._gap(key) + below if arms else 0) + sum(GAP_JOIN + join.height for join in joins)
        middle = self._middle(arms, room)
        left = max([middle, width / 2, *(join.middle for join in joins)])
        right = max([room - middle, width / 2, *(join.width - join.middle for join in joins)])
        return _Box(left + right, total, left)

    @staticmethod
    def _middle(arms: Sequence[_Box], room: float) -> float:
        """Between the first and the last arm's own middles, so that a branch stands over its arms."""
        if not arms:
            return 0
        last = arms[-1]
        return (arms[0].middle + room - last.width + last.middle) / 2

    def _place(self, key: str, x: float, y: float) -> None:
        node = self.nodes[key]
        node.x, node.y = x, y
        arms, joins = self._parts(key)
        room = sum(arm.width for arm in arms) + GAP_X * max(0, len(arms) - 1)
        left, top = x - self._middle(arms, room), y + self._size(key)[1] + self._gap(key)
        for (target, i), arm in zip(node.arms, arms, strict=True):
            self.lanes[key, i] = left + arm.middle
            if target:
                self._place(target, left + arm.middle, top)
            left += arm.width + GAP_X
        bottom = top + max([arm.height for arm in arms], default=0)
        for target, join in zip(node.joins, joins, strict=True):
            self._place(target, x, bottom + GAP_JOIN)
            bottom += GAP_JOIN + join.height

    def _spots(self) -> list[Spot]:
        found = []
        for key in self.order:
            node, (width, height) = self.nodes[key], self._size(key)
            found.append(Spot(key, round(node.x - width / 2), round(node.y), width, height, node.end))
        return found

    def _edges(self) -> list[Edge]:
        found = []
        for key in self.order:
            for i, way in enumerate(self.nodes[key].exits):
                found.append(self._back_edge(key, way) if (key, i) in self.back else self._edge(key, i, way))
        return found

    def _edge(self, key: str, i: int, way: Exit) -> Edge:
        node, target = self.nodes[key], self.nodes[str(way.to)]
        lane = self.lanes[key, i]
        y1, y2 = node.y + self._size(key)[1], target.y
        points = [(node.x, y1), (node.x, y1 + BEND), (lane, y1 + BEND), (lane, y2 - BEND), (target.x, y2 - BEND)]
        label_y, plus_y = round(y1 + BEND + 24), round(y1 + (PLUS_BELOW if way.label else PLUS))
        return Edge(
            rounded([*points, (target.x, y2)]), way.label, round(lane), label_y, tone=way.tone, slot=_slot(key, way),
            plus_x=round(node.x if len(node.exits) == 1 and not way.label else lane), plus_y=plus_y,
        )  # fmt: skip

    def _back_edge(self, key: str, way: Exit) -> Edge:
        node, target = self.nodes[key], self.nodes[str(way.to)]
        y1, y2 = node.y + self._size(key)[1] / 2, target.y + self._size(str(way.to))[1] / 2
        side = min(node.x, target.x) - NODE_W / 2 - 28
        points = [(node.x - NODE_W / 2, y1), (side, y1), (side, y2), (target.x - NODE_W / 2, y2)]
        middle = round((y1 + y2) / 2)
        plus_y = middle + 30 if way.label else middle
        return Edge(
            rounded(points), way.label, round(side), middle, back=True, slot=_slot(key, way), plus_x=round(side),
            plus_y=plus_y,
        )  # fmt: skip


def _slot(key: str, way: Exit) -> str:
    """As in `campaigns.drafting`."""
    return "start" if key == START else f"{key}:{way.way}" if way.way else ""


def label_width(text: str) -> int:
    """About how wide a label is drawn, in pixels: Chinese signs are twice as wide."""
    return 24 + sum(12 if ord(sign) > 0x2E80 else 7 for sign in text)


def rounded(points: Sequence[tuple[float, float]], radius: float = ROUND) -> str:
    """A path through `points` with round corners; points in one line are passed straight."""
    kept = [points[0]]
    for point in points[1:]:
        if point != kept[-1]:
            kept.append(point)
    parts = [f"M{_n(kept[0])}"]
    for before, at, after in zip(kept, kept[1:], kept[2:], strict=False):
        a, b = _toward(at, before, radius), _toward(at, after, radius)
        parts.append(f"L{_n(a)}Q{_n(at)} {_n(b)}")
    parts.append(f"L{_n(kept[-1])}")
    return "".join(parts)


def _toward(at: tuple[float, float], other: tuple[float, float], radius: float) -> tuple[float, float]:
    dx, dy = other[0] - at[0], other[1] - at[1]
    length = max(abs(dx), abs(dy)) or 1
    step = min(radius, length / 2)
    return at[0] + dx / length * step, at[1] + dy / length * step


def _n(point: tuple[float, float]) -> str:
    return f"{point[0]:g} {point[1]:g}"
