"""People of older versions are taken along to a new one, in the background: a duty, logged in each run, and undoable.

Publishing notes on the head, in the write that makes the version live, that people go along (`migrate`), and so does
who decides it later; from there a batch is begun once (`enlist`) and worked off in stretches (`drain`). Each run is
moved in one write that takes effect only if nobody touched the run since it was read, so it is moved once, whatever
dies when. See `campaigns.migration`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.errors import Conflict, NotFound
from base.ids import is_id
from base.mongo import UNAVAILABLE, Document
from base.pages import Page
from campaigns.bells import Ringer
from campaigns.facts import Ask, FactReader
from campaigns.interest import needs, wakes
from campaigns.live import LiveJourneys
from campaigns.migration import RECKONED_BY, Fate, Migrated, What, due_anew, fate_of, migrated, plan_of, reckons
from campaigns.models import Definition
from campaigns.run import LogLine
from campaigns.store import EnrolmentStore, JourneyStore, MigrationStore
from campaigns.store.enrolments import LIVE, line_row, place_of, run_of
from campaigns.store.migrations import migration_row

log = logging.getLogger(__name__)

#: Runs moved or looked at in one go.
STRETCH = 500
#: Runs of one step whose waits are reckoned for a preview; of more the shares are estimated.
LOOKED_AT = 5000
#: For so long after a publication somebody may still come in by an older version, as a picture shows it.
SETTLING = timedelta(seconds=6)
BUSY = timedelta(seconds=1)
#: Batches that failed so often without getting on are given up.
TRIES = 4
#: What of a run is kept, so that it can be put back.
_KEPT = ("version", "node", "visit", "entered_at", "wait", "shift_ms", "wake")


class _Lost(Exception):
    """It is somebody else's now."""


@dataclass(frozen=True)
class StepMove:
    """Those who stand at one step of one older version. `now`: so many move on at once, `later`: so many go on
    waiting until a time that is reckoned anew; the others just stay. `estimated`: not everybody's wait was reckoned."""

    version: int
    node: str
    name: str | None
    type: str | None
    what: What
    to: str | None
    people: int
    now: int = 0
    later: int = 0
    estimated: bool = False


class Migrations:
    """Says who would move, moves, and puts back."""

    def __init__(
        self, store: MigrationStore, heads: JourneyStore, runs: EnrolmentStore, live: LiveJourneys, facts: FactReader,
        doorbell: Ringer, clock: Clock, *, stretch: int = STRETCH,
    ) -> None:  # fmt: skip
        self._store = store
        self._heads = heads
        self._runs = runs
        self._live = live
        self._facts = facts
        self._doorbell = doorbell
        self._clock = clock
        self._stretch = stretch

    # -- saying beforehand -------------------------------------------------------------------------------------

    async def outlook(
        self, journey_id: str, new: Definition, nodes: Mapping[str, str | None], places: Sequence[Document],
        below: int,
    ) -> tuple[StepMove, ...]:  # fmt: skip
        """Who would move to this version, step by step. `places`: where people are; `below`: in versions before it."""
        standing: dict[tuple[int, str], int] = {}
        for place in places:
            if place["state"] in LIVE and place["version"] < below:
                key = (place["version"], place["node"])
                standing[key] = standing.get(key, 0) + place["n"]
        olds = await self._live.definitions({(journey_id, version) for version, _ in standing})
        plans = {version: plan_of(old, new, nodes) if old else {} for (_, version), old in olds.items()}
        moves = []
        for (version, node), people in sorted(standing.items(), reverse=True):
            old = olds[(journey_id, version)]
            fate = fate_of(node, plans[version], new)
            now, later, estimated = await self._shares(journey_id, version, node, old, new, fate, people)
            step = (old.by_id.get(node) if old else None) or new.by_id.get(node)
            name, kind = (step.name, step.type) if step else (None, None)
            moves.append(StepMove(version, node, name, kind, fate.what, fate.to, people, now, later, estimated))
        return tuple(moves)

    async def _shares(
        self, journey_id: str, version: int, node: str, old: Definition | None, new: Definition, fate: Fate,
        people: int,
    ) -> tuple[int, int, bool]:  # fmt: skip
        if fate.what == "gone":
            return people, 0, False
        step = new.by_id.get(node)
        if fate.what == "same" or step is None or not reckons(step):
            return 0, 0, False
        now, looked, over, after = self._clock(), 0, 0, ""
        while looked < LOOKED_AT:
            rows = await self._store.at(journey_id, version, node, after, self._stretch)
            if not rows:
                break
            was = old.by_id.get(node) if old else None
            runs = [migrated(run_of(row), was, fate, new, now).run for row in rows]
            read = await self._facts.read([Ask(run, new, needs(new, node) & RECKONED_BY) for run in runs])
            over += sum(due_anew(step, run, read[run.id], now) <= now for run in runs)
            looked, after = looked + len(rows), rows[-1]["_id"]
        if looked == 0:
            return 0, people, False
        at_once = over if looked >= people else round(people * over / looked)
        return at_once, max(people - at_once, 0), looked < people

    # -- beginning ---------------------------------------------------------------------------------------------

    async def enlist(self) -> int:
        """Begin what was asked for; how many. A chore: of two who do it at once one begins each."""
        heads = [head for head in (await self._live.now()).heads.values() if head.get("migrate")]
        there = await self._store.there(_key(head) for head in heads)
        missing = [head for head in heads if _key(head) not in there]
        for head in missing:
            await self.begin(head)
        return len(missing)

    async def begin(self, head: Document) -> Document:
        """Begin what was asked for on the head of this journey, once; the batch."""
        wanted = head["migrate"]
        now = self._clock()
        row = migration_row(_key(head), head["_id"], wanted["to"], dict(wanted["nodes"]), wanted["by"], now)
        return await self._store.add(row)

    # -- carrying out ------------------------------------------------------------------------------------------

    async def drain(self) -> int:
        """Carry on with what is due; how many batches were looked at. For the clockwork."""
        done = 0
        while (row := await self._store.claim()) is not None:
            done += 1
            try:
                await (self._move(row) if row["state"] == "pending" else self._put_back(row))
            except _Lost:
                continue
            except UNAVAILABLE:
                raise
            except Exception:
                log.exception("people cannot be moved", extra={"migration": row["_id"], "attempts": row["attempts"]})
                if row["attempts"] >= TRIES:
                    await self._store.close(
                        row, "failed", reason="People could not be moved. See the log of the worker."
                    )
        return done

    async def _move(self, row: Document) -> None:
        new = await self._live.definition(row["journey_id"], row["to"])
        if new is None:
            await self._store.close(row, "failed", reason="The version can no longer be read.")
            return
        while runs := await self._store.older(row["journey_id"], row["to"], self._stretch):
            await self._still_ours(row)
            await self._move_stretch(row, new, runs)
        if await self._store.any_older(row["journey_id"], row["to"]):
            await self._store.rest(row, self._clock() + BUSY)
        elif self._clock() < row["created_at"] + SETTLING:
            await self._store.rest(row, row["created_at"] + SETTLING)
        else:
            moved = await self._store.count(row["_id"])
            ended = await self._store.count(row["_id"], **{"end.migration": row["_id"]})
            await self._store.close(row, "done", moved=moved, ended=ended, done_at=self._clock())

    async def _move_stretch(self, row: Document, new: Definition, runs: Sequence[Document]) -> None:
        await self._runs.count_up(await self._runs.keep_tails(runs))
        olds = await self._live.definitions({(run["journey_id"], run["version"]) for run in runs})
        plans = {key: plan_of(old, new, row["nodes"]) if old else {} for key, old in olds.items()}
        now = self._clock()
        changes = []
        for run in runs:
            key = (run["journey_id"], run["version"])
            old = olds[key]
            fate = fate_of(run["node"], plans[key], new)
            after = migrated(run_of(run), old.by_id.get(run["node"]) if old else None, fate, new, now)
            changes.append((run, _change(row, run, after, new, now)))
        await self._follow(row, await self._store.write(changes), now)

    async def _put_back(self, row: Document) -> None:
        if row.get("undo_of") is None:
            row = {**row, "undo_of": await self._store.count(row["_id"])}
        await self._still_ours(row, undo_of=row["undo_of"])
        while runs := await self._store.to_put_back(row["_id"], self._stretch):
            await self._still_ours(row)
            await self._runs.count_up(await self._runs.keep_tails(runs))
            now = self._clock()
            gone = [run["profile_id"] for run in runs if run["state"] == "ended"]
            rivals = await self._store.with_rivals(row["journey_id"], gone) if gone else set()
            changes = [
                (run, _left(run) if run["state"] == "ended" and run["profile_id"] in rivals else _back(row, run, now))
                for run in runs
            ]
            await self._follow(row, await self._store.write(changes), now)
        if await self._store.any_to_put_back(row["_id"]):
            await self._store.rest(row, self._clock() + BUSY)
            return
        put_back = row["undo_of"] - await self._store.count(row["_id"])
        await self._store.close(row, "undone", put_back=put_back, undone_at=self._clock())

    async def _follow(self, row: Document, runs: Sequence[Document], now: datetime) -> None:
        """After the write: the lines go into the log, those who stood behind somebody may begin."""
        ours = [run for run in runs if (run.get("tail") or [{}])[-1].get("code", "").startswith("version.")]
        over = [run for run in runs if run["state"] == "ended" and (run["end"] or {}).get("migration") == row["_id"]]
        await self._runs.keep_lines([line for run in ours for line in run["tail"]])
        await self._runs.keep_lines([line for run in over for line in run["end"]["lines"]])
        await self._runs.wake_queued([run["_id"] for run in over], now)
        await self._doorbell.ring("advance")

    async def _still_ours(self, row: Document, **fields: Any) -> None:
        if not await self._store.duties.advance(row, fields):
            raise _Lost

    # -- looking, undoing --------------------------------------------------------------------------------------

    async def page(self, journey_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Of a journey, newest first."""
        return await self._store.page(journey_id, limit=limit, cursor=cursor)

    async def get(self, journey_id: str, migration_id: str) -> Document:
        """One. Raises `NotFound`."""
        row = await self._store.get(migration_id) if is_id(migration_id, "jmg") else None
        if row is None or row["journey_id"] != journey_id:
            raise NotFound("There is no such move of people.")
        return row

    async def undo(self, journey_id: str, migration_id: str, by: str | None) -> Document:
        """Put back those who have not moved on since. Again changes nothing. Raises `NotFound`, and `Conflict` while
        people are still being moved."""
        row = await self.get(journey_id, migration_id)
        if row["state"] == "pending":
            raise Conflict("People are still being moved; undo it when that is done.", code="still_moving")
        await self._store.begin_undo(migration_id, by)
        return await self.get(journey_id, migration_id)


def _key(head: Mapping[str, Any]) -> str:
    """Of a publication one batch; of what is asked for later one each time."""
    wanted = head["migrate"]
    return f"{head['_id']}:{wanted['to']}" + (f":{wanted['asked']}" if "asked" in wanted else "")


def _change(row: Document, run: Document, after: Migrated, new: Definition, now: datetime) -> Document:
    """The write that moves one run, with what it takes to put it back."""
    rev = run["rev"] + 1
    told = {"from": run["version"], "to": row["to"], "by": row["by"], "migration": row["_id"]}
    if after.what == "gone" and not after.ended:
        told["step"] = after.run.node
    code = "version.out" if after.ended else f"version.{after.what}"
    line = line_row({**run, "version": row["to"]}, rev, LogLine(run["node"], run["visit"], code, told), now)
    earlier = run.get("migrated")
    kept = {name: run[name] for name in _KEPT if name in run}
    note = {"id": row["_id"], "at": now, "by": row["by"], "from": run["version"], "rev": rev, "what": after.what,
            "before": kept}  # fmt: skip
    if earlier and earlier["rev"] == run["rev"]:  # it has not moved on since: both can be undone, the last one first
        note["earlier"] = earlier
    fields: Document = {"version": row["to"], "rev": rev, "migrated": note, "tail": [line], "attempts": 0}
    if after.ended:
        end = {"reason": "step_removed", "at": now, "by": row["by"], "replaced_by": None, "migration": row["_id"],
               "lines": [line]}  # fmt: skip
        fields |= {"state": "ended", "end": end, "wait": None}
        return {"$set": fields, "$unset": {"lease": "", "due_at": "", "wake": ""}}
    drop: Document = {"lease": ""}
    if after.what != "same":
        place = place_of(after.run)
        fields |= {name: place[name] for name in ("node", "visit", "visits", "entered_at", "wait", "shift_ms")}
        fields, drop = _listening(fields, drop, sorted(wakes(new, after.run)))
    if after.look or run.get("lease"):
        fields["due_at"] = now
    return {"$set": fields, "$unset": drop}


def _back(row: Document, run: Document, now: datetime) -> Document:
    """The write that puts one run back. Visits are not counted back: what was asked for at one is not asked again."""
    note, rev = run["migrated"], run["rev"] + 1
    before, earlier = note["before"], note.get("earlier")
    told = {"from": run["version"], "to": before["version"], "by": row.get("undone_by"), "migration": row["_id"]}
    line = line_row(
        {**run, "version": before["version"]}, rev, LogLine(before["node"], before["visit"], "version.back", told), now
    )
    fields: Document = {"version": before["version"], "rev": rev, "tail": [line], "attempts": 0}
    drop: Document = {"lease": ""}
    if earlier:
        fields["migrated"] = {**earlier, "rev": rev}
    else:
        drop["migrated"] = ""
    if note["what"] != "same":
        fields |= {name: before[name] for name in ("node", "visit", "entered_at", "wait", "shift_ms") if name in before}
        fields, drop = _listening(fields, drop, before.get("wake") or [])
    if note["what"] != "same" or run.get("lease"):
        fields["due_at"] = now
    if run["state"] == "ended":
        fields |= {"state": "waiting", "end": None}
    return {"$set": fields, "$unset": drop}


def _left(run: Document) -> Document:
    """Who has come in anew meanwhile stays out of the old run."""
    return {"$set": {"migrated.rev": -1, "tail": run.get("tail") or []}}


def _listening(fields: Document, drop: Document, names: list[str]) -> tuple[Document, Document]:
    return ({**fields, "wake": names}, drop) if names else (fields, {**drop, "wake": ""})
