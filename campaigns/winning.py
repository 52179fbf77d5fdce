"""The best arm of a split: measured once, when its time has come, and kept for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Document
from campaigns.live import LiveJourneys
from campaigns.models import SplitStep, Winner
from campaigns.run import RunState
from campaigns.store.winners import WinnerStore, decision
from campaigns.wallclock import known_zone
from orders.models import Order
from orders.store import OrderStore
from profiles.events import Event, EventStore

#: People measured in one read.
BATCH = 500
_EVENTS: Mapping[str, str] = {
    "opened": "message.opened", "clicked": "message.clicked", "replied": "message.received",
}  # fmt: skip


@dataclass
class Measured:
    """What an arm has brought. `value`: people who did it, or for revenue minor units."""

    arm: str
    people: int = 0
    value: int = 0

    @property
    def rate(self) -> float:
        """By person."""
        return self.value / self.people if self.people else 0.0


def decision_id(journey_id: str, step: SplitStep) -> str:
    """One decision per split; other arms or another metric under the same id are another split."""
    arms = [step.arm_name(place) for place in range(len(step.arms))]
    return unique_key("winner", journey_id, step.id, step.winner.metric if step.winner else "", *arms)


def best(step: SplitStep, winner: Winner, measured: Sequence[Measured]) -> tuple[str | None, str]:
    """The arm that gets everybody from now on (None: shared out as before), and why. Pure."""
    by_name = {each.arm: each for each in measured}
    arms = [by_name.get(step.arm_name(i), Measured(step.arm_name(i))) for i, arm in enumerate(step.arms) if arm.weight]
    if any(each.people < winner.min_sample for each in arms):
        return winner.fallback, "too_few"
    top = max(each.rate for each in arms)
    leading = [each for each in arms if each.rate == top]
    if top <= 0 or len(leading) > 1:
        return winner.fallback, "no_difference"
    return leading[0].arm, "best"


class Winners:
    """Reads decisions, and takes them when they are due."""

    def __init__(
        self, store: WinnerStore, live: LiveJourneys, events: EventStore, orders: OrderStore, clock: Clock,
        *, project_zone: str = "UTC",
    ) -> None:  # fmt: skip
        self._store = store
        self._live = live
        self._events = events
        self._orders = orders
        self._clock = clock
        self._zone = known_zone(project_zone) or known_zone("UTC")

    async def of(self, standing: Sequence[tuple[RunState, SplitStep]]) -> dict[str, str]:
        """Run id → the arm that has won its split, where one has."""
        ids = {run.id: decision_id(run.journey_id, step) for run, step in standing}
        rows = await self._store.decided(ids.values()) if ids else {}
        return {run_id: rows[each]["arm"] for run_id, each in ids.items() if each in rows and rows[each]["arm"]}

    async def decide(self) -> int:
        """Take every decision whose time has come; how many. A chore, safe to be done by several at once."""
        splits = [
            (journey.id, step)
            for journey in (await self._live.now()).journeys.values()
            for step in journey.definition.steps
            if isinstance(step, SplitStep) and step.winner is not None
        ]
        known = await self._store.decided([decision_id(journey_id, step) for journey_id, step in splits])
        taken = 0
        for journey_id, step in splits:
            if decision_id(journey_id, step) not in known:
                taken += await self._decide_one(journey_id, step)
        return taken

    async def _decide_one(self, journey_id: str, step: SplitStep) -> bool:
        arms, now = await self._store.arms(journey_id, step.id), self._clock()
        if step.winner is None or self._zone is None or not arms:
            return False
        if step.winner.decide_by.after(min(arm["first_at"] for arm in arms), self._zone) > now:
            return False
        measured = await self._measured(journey_id, step, step.winner)
        arm, why = best(step, step.winner, measured)
        shown = [{"arm": each.arm, "people": each.people, "value": each.value} for each in measured]
        row = decision(decision_id(journey_id, step), journey_id, step.id, arm, why, shown, now)
        return await self._store.decide(row)

    async def _measured(self, journey_id: str, step: SplitStep, winner: Winner) -> list[Measured]:
        found: dict[str, Measured] = {}
        after = ""
        while rows := await self._store.takers(journey_id, step.id, after, BATCH):
            after = rows[-1]["_id"]
            values = await self._values(rows, winner)
            for row in rows:
                arm = found.setdefault(row["arm"], Measured(row["arm"]))
                arm.people += 1
                arm.value += values.get(row["_id"], 0)
        return [found[name] for name in sorted(found)]

    async def _values(self, rows: Sequence[Document], winner: Winner) -> dict[str, int]:
        """Log row → 1 for who did it, for revenue what they have bought since, in minor units."""
        if winner.metric == "goal":
            reached = await self._store.reached_goal([row["enrolment_id"] for row in rows])
            return {row["_id"]: int(row["enrolment_id"] in reached) for row in rows}
        people = sorted({row["profile_id"] for row in rows})
        if winner.metric == "revenue":
            orders = await self._orders.of_profiles(people)
            return {row["_id"]: _bought(orders.get(row["profile_id"], ()), row["at"]) for row in rows}
        name = _EVENTS[winner.metric]
        events = await self._events.find_many(people, [name], min(row["at"] for row in rows))
        return {row["_id"]: int(any(_counts(each, row) for each in events[row["profile_id"]])) for row in rows}


def _counts(event: Event, row: Mapping[str, Any]) -> bool:
    """An answer counts for whoever was written to; an opened message or a click for the very run it came from."""
    if event.occurred_at < row["at"] or event.properties.get("bot") or event.properties.get("automatic"):
        return False
    return event.name == "message.received" or event.properties.get("enrolment_id") == row["enrolment_id"]


def _bought(orders: Sequence[Order], since: datetime) -> int:
    """Orders placed since, paid and not called off. A shop sells in one currency; amounts of several are not told
    apart."""
    return sum(
        order.total.amount_minor
        for order in orders
        if order.is_paid and not order.is_called_off and order.total and order.placed_at >= since
    )
