"""Whose turn it is at a throttle: at most so many people pass in any span of time, in the order in which they came.

A person passes when among all with an earlier place fewer than `rate` wait or have passed within the last `per`.
Passing moves one from "wait" to "have passed", so the sum is the same to whoever looks, and of those who pass within
one span the last had counted all others: never more than `rate`, however many workers look at once. What is written
down is the right to pass; a run that comes again after a crash still has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Document
from campaigns.models import ThrottleStep
from campaigns.run import RunState, TurnFact
from campaigns.store.enrolments import EnrolmentStore
from campaigns.store.turns import TurnStore

#: A line is looked at again at least this often: those ahead may have left.
RECHECK = timedelta(minutes=1)
#: So many of those ahead are asked for whether they still stand there.
ASKED_MAX = 200


def visit_key(run: RunState) -> str:
    """Unique for ever: one place per run, step and visit."""
    return unique_key("turn", run.id, run.node, run.visit)


def pool_of(step: ThrottleStep, run: RunState) -> str:
    """The line in which the run stands."""
    return f"scope:{step.scope}" if step.scope else f"step:{run.journey_id}:{run.node}"


def may_pass(place: int, rate: int, waiting: Sequence[Document], recent: Sequence[Document]) -> bool:
    """Whether so few are before this place that it may pass. `waiting`: at least the first `rate` of the line. Pure."""
    before = {row["_id"] for row in (*waiting, *recent) if row["place"] < place}
    return len(before) < rate


def expected(ahead: int, rate: int, per: timedelta, recent: Sequence[Document], now: datetime) -> datetime:
    """When it is the turn of somebody with so many before them, if all pass as soon as they may. Pure."""
    ends: list[datetime] = sorted(row["until"] for row in recent)[-rate:]
    free_at = [now] * (rate - len(ends)) + ends
    return free_at[ahead % rate] + per * (ahead // rate)


class Turns:
    """Reads turns, and writes down who passes."""

    def __init__(self, store: TurnStore, runs: EnrolmentStore, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock

    async def of(self, standing: Sequence[tuple[RunState, ThrottleStep]]) -> dict[str, TurnFact]:
        """Run id → its turn. May be asked twice; who has passed has passed."""
        pools: dict[str, list[tuple[RunState, ThrottleStep]]] = {}
        for run, step in standing:
            pools.setdefault(pool_of(step, run), []).append((run, step))
        found: dict[str, TurnFact] = {}
        for pool, own in pools.items():
            found |= await self._of_line(pool, own)
        return found

    async def _of_line(self, pool: str, own: Sequence[tuple[RunState, ThrottleStep]]) -> dict[str, TurnFact]:
        own = sorted(own, key=lambda each: (each[0].entered_at, each[0].id))
        rows = await self._store.join(pool, [(visit_key(run), run.id) for run, _ in own])
        step = own[0][1]  # of one line all have one pace: that of whoever is looked at first
        rate, per, now = step.rate, step.per.roughly(), self._clock()
        # Those who wait before those who have passed: who goes from the one to the other meanwhile is seen twice.
        waiting = await self._store.ahead(pool, rate + len(own))
        if await self._without_the_gone(waiting[:ASKED_MAX], {run.id for run, _ in own}, now):
            waiting = await self._store.ahead(pool, rate + len(own))
        recent = await self._store.recent(pool, now, rate)
        found, passing = {}, []
        for run, _ in own:
            row = rows[visit_key(run)]
            if row["state"] == "passed":
                found[run.id] = TurnFact(True, now)
            elif may_pass(row["place"], rate, waiting, recent):
                passing.append(row["_id"])
                found[run.id] = TurnFact(True, now)
            else:
                found[run.id] = _later(row, rate, per, waiting, recent, now)
        await self._store.let_pass(passing, now, per)
        return found

    async def _without_the_gone(self, waiting: Sequence[Document], ours: set[str], now: datetime) -> bool:
        """Take those out of the line whose runs do not stand there any more, or are held; whether there were any."""
        others = [row for row in waiting if row["run_id"] not in ours]
        if not others:
            return False
        rows = await self._runs.many([row["run_id"] for row in others])
        gone = [row["_id"] for row in others if not _stands(row, rows.get(row["run_id"]))]
        await self._store.leave(gone, now)
        return bool(gone)


def _stands(place: Document, run: Mapping[str, object] | None) -> bool:
    if run is None or run["state"] != "waiting":
        return False
    return str(place["_id"]) == unique_key("turn", run["_id"], run["node"], run["visit"])


def _later(
    row: Document, rate: int, per: timedelta, waiting: Sequence[Document], recent: Sequence[Document], now: datetime
) -> TurnFact:
    listed = sum(each["place"] < row["place"] for each in waiting)
    beyond = row["place"] - waiting[-1]["place"] - 1 if waiting and waiting[-1]["place"] < row["place"] else 0
    ahead = listed + beyond
    passed_before = [each for each in recent if each["place"] < row["place"]]
    at = max(expected(ahead, rate, per, passed_before, now), now + timedelta(milliseconds=1))
    return TurnFact(False, at, ahead, again_at=min(at, now + max(per, RECHECK)))
