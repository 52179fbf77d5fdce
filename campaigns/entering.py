"""People enter journeys, by an event, a date, a schedule, a call or a step of another journey: once per cause, whatever
happens twice or at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.ids import new_id
from base.mongo import Document
from campaigns.causes import Chain, journeys_in
from campaigns.engine import JOURNEYS_MAX, QUEUE_RECHECK, new_run
from campaigns.gates import Enter, Ignore, RunBrief, entry
from campaigns.interest import wakes
from campaigns.live import LiveJourney
from campaigns.run import Wait
from campaigns.store.enrolments import EnrolmentStore, new_row, stopped_row

#: Statuses of a journey that takes people in. Into a paused one they come and are held behind the door.
OPEN = frozenset({"live", "paused"})
#: How often a decision is taken anew because somebody entered the same person at the same moment.
ROUNDS = 6


@dataclass(frozen=True)
class Entrant:
    """Somebody whom something brings to a journey. `cause`: an event id, `api:KEY`, `date:VALUE:YEAR`,
    `schedule:INSTANT`, `inside:SEGMENT` (a backfill), `journey:RUN:NODE:VISIT` (a step of another journey)."""

    journey: LiveJourney
    profile_id: str
    cause: str
    since: datetime
    key: str | None = None
    #: `event`: the view of the event; more keys are the run's own data.
    data: Mapping[str, Any] = field(default_factory=dict)
    #: The rules and journeys that led here; empty: a person.
    chain: Chain = ()

    @property
    def goes_round(self) -> bool:
        """Whether journeys have led to one another too often for it to begin."""
        return journeys_in(self.chain) > JOURNEYS_MAX


@dataclass(frozen=True)
class Admission:
    """What became of an entrant. `reason` says why there is no new run; `run_id` is then the one in the way."""

    run_id: str | None
    created: bool
    reason: str | None = None


class Entrance:
    """The one door into journeys."""

    def __init__(self, store: EnrolmentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def admit(self, entrants: Sequence[Entrant]) -> list[Admission]:
        """One admission per entrant, in order. May run twice for the same entrants."""
        shut = {place for place, each in enumerate(entrants) if each.journey.status not in OPEN}
        admissions = {place: Admission(None, False, "closed") for place in shut}
        left = [(place, each) for place, each in enumerate(entrants) if place not in shut]
        for _ in range(ROUNDS):
            if not left:
                break
            left = await self._round(left, admissions)
        for place, _ in left:  # others were quicker every time: as if the person were just being entered
            admissions[place] = Admission(None, False, "active")
        return [admissions[place] for place in range(len(entrants))]

    async def _round(
        self, left: Sequence[tuple[int, Entrant]], admissions: dict[int, Admission]
    ) -> list[tuple[int, Entrant]]:
        """Decide and write; those whose entry key was taken meanwhile come again."""
        now = self._clock()
        known = await self._known([entrant for _, entrant in left])
        entering: list[tuple[int, Entrant, Document]] = []
        for place, entrant in left:
            runs = known.setdefault((entrant.journey.id, entrant.profile_id), [])
            decision = entry(entrant.journey.definition.reentry, entrant.key, entrant.cause, runs, now)
            if isinstance(decision, Ignore):
                admissions[place] = Admission(decision.run_id, False, decision.reason)
                continue
            ends = () if entrant.goes_round else decision.ends
            for run_id in ends:
                await self._store.end_now(run_id, "restarted", now, replaced_by=entrant.cause)
            runs[:] = [replace(run, live=False) if run.id in ends else run for run in runs]
            row = _row(entrant, decision, now)
            runs.append(RunBrief(row["_id"], row["entry_key"], entrant.cause, not entrant.goes_round, now))
            entering.append((place, entrant, row))
        taken = await self._store.add([row for _, _, row in entering])
        again = []
        for position, (place, entrant, row) in enumerate(entering):
            if position in taken:
                again.append((place, entrant))
            else:
                admissions[place] = Admission(
                    row["_id"], not entrant.goes_round, "loop" if entrant.goes_round else None
                )
        return again

    async def _known(self, entrants: Sequence[Entrant]) -> dict[tuple[str, str], list[RunBrief]]:
        by_journey: dict[str, set[str]] = {}
        for entrant in entrants:
            by_journey.setdefault(entrant.journey.id, set()).add(entrant.profile_id)
        known = {}
        for journey_id, profile_ids in by_journey.items():
            for profile_id, runs in (await self._store.briefs(journey_id, profile_ids)).items():
                known[(journey_id, profile_id)] = runs
        return known


def _row(entrant: Entrant, decision: Enter, now: datetime) -> Document:
    journey = entrant.journey
    wait = Wait("queue", now + QUEUE_RECHECK, ref=decision.behind) if decision.behind else None
    run = new_run(
        journey.definition, id=new_id("enr"), journey_id=journey.id, profile_id=entrant.profile_id,
        since=entrant.since, now=now, data=_data(entrant), wait=wait,
    )  # fmt: skip
    more: Document = {
        "version": journey.version, "entry_key": decision.entry_key, "cause": entrant.cause, "started_at": now,
        "due_at": wait.until if wait else now, "wake": sorted(wakes(journey.definition, run)), "updated_at": now,
    }  # fmt: skip
    if decision.behind:
        more["behind"] = decision.behind
    if entrant.chain:
        more["chain"] = [list(each) for each in entrant.chain]
    if entrant.goes_round:
        return stopped_row(run, "loop", {"journeys": JOURNEYS_MAX}, now, **more)
    return new_row(run, **more, **({"state": "held"} if journey.status == "paused" else {}))


def _data(entrant: Entrant) -> dict[str, Any]:
    """What a run begins with; its event says how many journeys led to it."""
    data, links = dict(entrant.data), journeys_in(entrant.chain)
    return {**data, "event": {**(data.get("event") or {}), "chain": links}} if links else data
