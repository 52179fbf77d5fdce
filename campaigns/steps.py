"""Due runs take their next steps, many at a time.

Claim, read facts in bulk, decide in memory until every run stands still, then the three moves of
`campaigns.store.enrolments`: write, carry out, finish. A run that fails is set aside alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from base.clock import Clock
from base.duty import MAX_CRASHES, settled
from base.mongo import Document, UpdateOne
from campaigns.bells import Ringer
from campaigns.effects import Effects, as_todo, send_key
from campaigns.engine import walk
from campaigns.errands import errand_key
from campaigns.facts import Ask, FactReader
from campaigns.interest import looks_for, still_needed, wakes
from campaigns.live import LiveJourneys, Picture
from campaigns.models import BranchStep, Definition, WaitEventStep
from campaigns.run import OF_THE_VISIT, CallFact, Facts, LogLine, Need, RunState, SendFact, TaskFact, Wait, Walked
from campaigns.sending import JourneySource
from campaigns.store import CallStore, EnrolmentStore, TaskStore
from campaigns.store.enrolments import line_row, moved, run_of
from campaigns.store.tasks import CLOSED
from campaigns.visits import VisitFacts
from inbox.store import SendStore

log = logging.getLogger(__name__)

#: Runs decided and written together.
SHARE = 250
#: How often facts are read anew for one claim before the rest is left to the next.
READS = 8
#: Seconds between two looks for runs that were held although their journey goes on.
STRAYS_S = 5.0

__all__ = ["JourneySource", "Walker"]


@dataclass
class _Trip:
    """One claimed run on its way."""

    row: Document
    definition: Definition
    before: RunState
    run: RunState
    facts: Facts = field(default_factory=Facts)
    lines: list[LogLine] = field(default_factory=list)
    effects: list[Document] = field(default_factory=list)
    walked: Walked | None = None
    steps: int = 0

    def forget(self, stale: frozenset[Need]) -> None:
        """The run has come to another step: what was read for the last one says nothing of it."""
        facts = self.facts.elsewhere()
        self.facts = replace(facts, loaded=facts.loaded - stale) if facts.loaded & stale else facts


class Walker:
    """Drains due runs."""

    def __init__(
        self, store: EnrolmentStore, live: LiveJourneys, facts: FactReader, sends: SendStore, tasks: TaskStore,
        calls: CallStore, visits: VisitFacts, effects: Effects, doorbell: Ringer, clock: Clock,
    ) -> None:  # fmt: skip
        self._calls = calls
        self._visits = visits
        self._store = store
        self._live = live
        self._facts = facts
        self._sends = sends
        self._tasks = tasks
        self._effects = effects
        self._doorbell = doorbell
        self._clock = clock
        self._strays_at = 0.0
        #: Log lines of this claim that are new, to be counted at its end.
        self._new_lines: list[Document] = []
        #: Steps taken since the start, for measuring.
        self.steps_taken = 0

    async def advance(self, limit: int) -> int:
        """Take up to `limit` due runs on; the number handled."""
        await self._gather_strays()
        rows = await self._store.claim(limit)
        if not rows:
            return 0
        rows = await self._without_worn_out(rows)
        self._new_lines += await self._store.keep_tails(rows)
        unfinished = [row for row in rows if row.get("todo")]
        await self._carry_out(unfinished)
        picture = await self._picture([row for row in rows if not row.get("todo")])
        held = [row for row in rows if not row.get("todo") and picture.statuses.get(row["journey_id"]) == "paused"]
        await self._store.hold(held)
        aside = {row["_id"] for row in (*unfinished, *held)}
        await self._side_by_side([row for row in rows if row["_id"] not in aside], picture)
        lines, self._new_lines = self._new_lines, []
        await self._store.count_up(lines)
        return max(len(rows), 1)

    async def _side_by_side(self, rows: Sequence[Document], picture: Picture) -> None:
        """In shares: while the database takes the writes of one, the next one is decided."""
        shares = [rows[start : start + SHARE] for start in range(0, len(rows), SHARE)]
        outcomes = await asyncio.gather(*(self._walk(share, picture) for share in shares), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    # -- deciding ----------------------------------------------------------------------------------------------

    async def _walk(self, rows: Sequence[Document], picture: Picture) -> None:
        trips = await self._trips(rows)
        for trip in [trip for trip in trips if trip.row["journey_id"] not in picture.statuses]:
            trip.walked = Walked(trip.run, ended="archived")
            trip.lines.append(LogLine(trip.run.node, trip.run.visit, "end.archived", {}))
        await self._first_facts([trip for trip in trips if trip.walked is None])
        under_way = [trip for trip in trips if trip.walked is None]
        for _ in range(READS):
            if not under_way:
                break
            await self._read(under_way)
            under_way = [trip for trip in under_way if await self._stepped(trip)]
        await self._write([trip for trip in trips if trip.walked is not None])

    async def _stepped(self, trip: _Trip) -> bool:
        """Walk on with the facts at hand; True when more facts are needed."""
        try:
            walked = walk(trip.definition, trip.run, trip.facts, self._clock())
        except Exception as error:  # a bug or a poisonous value: this run alone is set aside
            log.exception("a run cannot be walked", extra={"run": trip.row["_id"], "step": trip.run.node})
            await self._bury(trip.row, f"The step {trip.run.node} failed: {type(error).__name__}.")
            trip.walked = None
            return False
        if walked.run.node != trip.run.node or walked.run.visit != trip.run.visit:
            trip.forget(_stale(walked, trip))
        trip.run, trip.steps = walked.run, trip.steps + walked.steps
        trip.lines += walked.lines
        trip.effects += [as_todo(effect) for effect in walked.effects]
        trip.walked = walked
        return bool(walked.wants)

    async def _trips(self, rows: Sequence[Document]) -> list[_Trip]:
        definitions = await self._live.definitions({(row["journey_id"], row["version"]) for row in rows})
        trips = []
        for row in rows:
            definition = definitions[(row["journey_id"], row["version"])]
            if definition is None:
                await self._bury(row, "The version of the journey can no longer be read.")
                continue
            run = run_of(row)
            trips.append(_Trip(row, definition, run, run))
        return trips

    async def _first_facts(self, trips: Sequence[_Trip]) -> None:
        """What runs that waited for a send, a task, a call or another run have to know."""
        waits = [(trip, trip.run.wait) for trip in trips if trip.run.wait is not None]
        keys = {trip.run.id: send_key(trip.run.id, trip.run.node, trip.run.visit, wait.tried[-1])
                for trip, wait in waits if wait.kind == "send" and wait.tried}  # fmt: skip
        tasks, calls = _errand_keys(waits, "task"), _errand_keys(waits, "call")
        ahead = {trip.run.id: wait.ref for trip, wait in waits if wait.kind == "queue" and wait.ref}
        found_sends = await self._sends.progress(list(keys.values())) if keys else {}
        found_tasks = await self._tasks.of_visits(tasks.values()) if tasks else {}
        found_calls = await self._calls.by_keys(calls.values()) if calls else {}
        still_ahead = await self._store.live_ids(ahead.values()) if ahead else set()
        for trip in trips:
            run_id, wait = trip.run.id, trip.run.wait
            send, call = found_sends.get(keys.get(run_id, "")), found_calls.get(calls.get(run_id, ""))
            trip.facts = Facts(
                sends={wait.tried[-1]: _send_fact(send)} if send and wait else {},
                task=_task_fact(found_tasks.get(tasks.get(run_id, ""), ())),
                call=_call_fact(call) if call else None,
                ahead_live=ahead.get(run_id) in still_ahead,
                project_zone=self._facts.project_zone,
            )

    async def _read(self, trips: Sequence[_Trip]) -> None:
        asks = [Ask(t.run, t.definition, still_needed(t.definition, t.run, t.facts)) for t in trips]
        asks = [ask for ask in asks if ask.needs]
        ours = [ask for ask in asks if ask.needs & OF_THE_VISIT]
        rest = [replace(ask, needs=ask.needs - OF_THE_VISIT) if ours else ask for ask in asks]
        found = await self._facts.read(rest, {trip.run.id: trip.facts for trip in trips})
        if ours:
            found |= await self._visits.read(ours, found)
        for trip in trips:
            trip.facts = found.get(trip.run.id, trip.facts)

    # -- writing -----------------------------------------------------------------------------------------------

    async def _write(self, trips: Sequence[_Trip]) -> None:
        if not trips:
            return
        now = self._clock()
        changes = [_change(trip, now) for trip in trips]
        owned = await self._store.write([update for update, _ in changes], [trip.row for trip in trips])
        ours = [(trip, row) for trip, (_, row) in zip(trips, changes, strict=True) if row["_id"] in owned]
        self.steps_taken += sum(trip.steps for trip, _ in ours)
        await self._carry_out([row for trip, row in ours if trip.effects])
        tails = [line for trip, row in ours if trip.lines and not trip.effects for line in row["tail"]]
        self._new_lines += await self._store.keep_lines(tails)
        await self._look_again([trip for trip, _ in ours if _began_to_listen(trip)])
        await self._let_follow([row for trip, row in ours if not trip.effects and "end" in row], now)
        if any(trip.walked and (trip.walked.again or trip.walked.wants) for trip, _ in ours):
            await self._doorbell.ring("advance")

    async def _let_follow(self, ended: Sequence[Document], now: datetime) -> None:
        """Runs that stood behind these may begin, in journeys that let people queue."""
        definitions = await self._live.definitions({(row["journey_id"], row["version"]) for row in ended})
        queues = {key for key, each in definitions.items() if each and each.reentry.if_active == "queue_one"}
        behind = [row["_id"] for row in ended if (row["journey_id"], row["version"]) in queues]
        await self._store.wake_queued(behind, now)

    async def _carry_out(self, rows: Sequence[Document]) -> None:
        """Second and third move for rows with `todo`, all of one claim."""
        if not rows:
            return
        definitions = await self._live.definitions({(row["journey_id"], row["version"]) for row in rows})
        done = await self._effects.carry_out(rows, definitions)
        finished = [row for row in rows if row["_id"] in done]
        self._new_lines += await self._store.keep_lines([line for row in finished for line in row["todo"]["lines"]])
        await self._store.finish([row["_id"] for row in finished], rows[0]["lease"])
        await self._let_follow([row for row in finished if row["next"].get("end")], self._clock())

    async def _look_again(self, trips: Sequence[_Trip]) -> None:
        """An event that came between our reading and our writing woke nobody: it is found here."""
        if not trips:
            return
        asks = [Ask(trip.run, trip.definition, frozenset({"happened"})) for trip in trips]
        found = await self._facts.read(asks)
        now = self._clock()
        pokes = []
        for trip in trips:
            seen = {event.id for event in trip.facts.happened}
            if any(event.id not in seen for event in found[trip.run.id].happened):
                pokes.append(({"_id": trip.run.id}, now))
        await self._store.poke(pokes)

    # -- keeping order -----------------------------------------------------------------------------------------

    async def _without_worn_out(self, rows: Sequence[Document]) -> list[Document]:
        kept = []
        for row in rows:
            if row["attempts"] > MAX_CRASHES:
                await self._bury(row, "A worker died or gave up on this run too often.")
            else:
                kept.append(row)
        return kept

    async def _bury(self, row: Document, reason: str) -> None:
        """Set a run aside for a person to look at. `todo` stays, in case it is tried again."""
        end = {"reason": "error", "detail": reason, "at": self._clock()}
        change = {"$set": {"state": "dead", "end": end}, "$unset": {"lease": "", "due_at": "", "wake": ""}}
        await self._store.write([settled(row, change)], [row])

    async def _picture(self, rows: Sequence[Document]) -> Picture:
        """The journeys; looked at anew when a run belongs to one that the picture does not show."""
        picture = await self._live.now()
        if any(row["journey_id"] not in picture.statuses for row in rows):
            self._live.forget()
            picture = await self._live.now()
        return picture

    async def _gather_strays(self) -> None:
        """Runs held by somebody whose picture was old; those that a pause or a resume which died half-way left over."""
        if time.monotonic() < self._strays_at:
            return
        self._strays_at = time.monotonic() + STRAYS_S
        now = self._clock()
        for head in (await self._live.now()).heads.values():
            if head["status"] == "paused":
                await self._store.hold_all(head["_id"])
            elif head.get("release"):
                await self._store.release(head["_id"], now, **head["release"])


def _stale(walked: Walked, trip: _Trip) -> frozenset[Need]:
    """Facts that were read for the last step and say too little for the one the run has come to."""
    step = trip.definition.by_id.get(walked.run.node)
    if isinstance(step, WaitEventStep):
        return frozenset({"happened"})
    return frozenset({"history"}) if isinstance(step, BranchStep) else frozenset()


def _send_fact(row: Mapping[str, Any]) -> SendFact:
    return SendFact(row["state"], row.get("due_at"), (row.get("reason") or {}).get("code"))


def _errand_keys(waits: Sequence[tuple[_Trip, Wait]], kind: Literal["task", "call"]) -> dict[str, str]:
    """Run id → the key of what it waits for."""
    runs = [trip.run for trip, wait in waits if wait.kind == kind]
    return {run.id: errand_key(kind, run.id, run.node, run.visit) for run in runs}


def _task_fact(rows: Sequence[Mapping[str, Any]]) -> TaskFact | None:
    """Of several who were told, the first who has seen to it speaks for all."""
    if not rows:
        return None
    closed = [row for row in rows if row["state"] in CLOSED]
    first = min(closed, key=lambda row: (row["state"] != "done", row["done_at"]), default=None)
    return TaskFact(first is not None, first.get("result") if first else None)


def _call_fact(row: Mapping[str, Any]) -> CallFact:
    return CallFact(row["state"], row.get("due_at"), row.get("said") or {}, row.get("answer"))


def _began_to_listen(trip: _Trip) -> bool:
    """It stands at a `wait_event` that it did not stand at before."""
    if trip.walked is None or trip.walked.ended or not looks_for(trip.definition, trip.run):
        return False
    came = (trip.before.node, trip.before.visit) != (trip.run.node, trip.run.visit) or trip.before.wait is None
    return came and isinstance(trip.definition.by_id.get(trip.run.node), WaitEventStep)


def _lines(trip: _Trip, now: datetime) -> list[Document]:
    return [line_row(trip.row, trip.row["rev"] + place, line, now) for place, line in enumerate(trip.lines, 1)]


def _following(trip: _Trip, now: datetime) -> Document:
    """What the run is given when all effects are carried out: its end, or when it is due."""
    walked = trip.walked
    if walked is not None and walked.ended is not None:
        return {"state": "ended", "end": {"reason": walked.ended, "at": now}}
    return {"due_at": _due(trip, now)}


def _due(trip: _Trip, now: datetime) -> datetime:
    walked, wait = trip.walked, trip.run.wait
    goes_on = walked is None or walked.again or walked.wants
    return now if goes_on or wait is None else wait.until


def _change(trip: _Trip, now: datetime) -> tuple[UpdateOne, Document]:
    """The fenced write of the new place, and the row as it is after it, as far as later moves need it."""
    fields = {**moved(trip.before, trip.run), "written": trip.row["lease"]}
    drop: Document = {}
    wake = sorted(wakes(trip.definition, trip.run))
    if not wake:
        drop["wake"] = ""
    elif wake != trip.row.get("wake"):
        fields["wake"] = wake
    lines, following = _lines(trip, now), _following(trip, now)
    if lines:
        fields["rev"] = trip.row["rev"] + len(lines)
    if trip.effects:
        fields |= {"todo": {"lines": lines, "effects": trip.effects}, "next": following}
        drop["tail"] = ""
    else:
        fields |= {**following, "attempts": 0}
        drop |= {"lease": "", **({"due_at": "", "wake": ""} if "end" in following else {})}
        if lines:
            fields["tail"] = lines
        elif trip.row.get("tail"):
            drop["tail"] = ""
    fields = {name: value for name, value in fields.items() if name not in drop}
    return settled(trip.row, {"$set": fields, **({"$unset": drop} if drop else {})}), {**trip.row, **fields}
