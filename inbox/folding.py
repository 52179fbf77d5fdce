"""Keeps facts and cells right: whatever happens makes its conversation due, and what is due is read anew.

Facts of a conversation, what that changes in cells, and that it is done are one transaction, so a worker may die
anywhere and two may do the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from base.clock import Clock
from base.metrics import FIGURES_OFF
from base.mongo import Database, Document, DuplicateKeyError, Session
from inbox.figures.cells import COMBINED, EVER, Place, begins, changes_of, combined, still_to_add
from inbox.figures.facts import KINDS, TIMED, Promises, Talk, Wait, Worked, documents, facts_of, judged
from inbox.hours.book import BusinessHours
from inbox.hours.calendar import Calendar
from inbox.sla.clock import ALWAYS_OPEN, Policy, Terms
from inbox.sla.clocks import SlaClocks
from inbox.store import FigureStore, TeamStore
from profiles.events import Event

log = logging.getLogger(__name__)

#: Conversations read at once, and those of the past that are named at once.
BATCH, PAST = 20, 200
#: The longest rest between two batches, seconds.
REST_MAX_S = 1.0
#: Conversations that may wait before the past waits, too.
BUSY = 400
#: Days whose cells are compared each night, and the hours of the night.
COMPARED_DAYS, NIGHT = 3, range(2, 6)
#: Events after which a conversation is read anew; families end in a dot.
HEARD = (
    "conversation.", "message.received", "message.sent", "message.failed", "message.bounced", "sla.breached", "csat.",
    "nps.",
)  # fmt: skip
_HoursId = "^hrs_[0-9a-z]{26}$"


#: Sources of sends that are nobody's answer.
CAMPAIGNS = ("journey", "broadcast", "test", "consent")


class FigureRules(BaseModel):
    """Which business hours count in reports: those of the channel, else of the team, else these; without any, every
    hour does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours_id: str | None = Field(None, pattern=_HoursId)
    channel_hours: dict[str, str] = Field(
        default_factory=dict, max_length=200, description="Channel id to the id of its business hours."
    )


class Figures:
    """Hears, folds, reads the past, compares."""

    def __init__(
        self, database: Database, store: FigureStore, sla: SlaClocks, hours: BusinessHours, teams: TeamStore,
        clock: Clock, *, time_zone: str = "UTC",
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._sla = sla
        self._hours = hours
        self._teams = teams
        self._clock = clock
        self._zone = ZoneInfo(time_zone)

    async def rules(self) -> FigureRules:
        """Those that hold now."""
        row = await self._store.rules()
        return FigureRules.model_validate({name: row[name] for name in FigureRules.model_fields if name in row})

    async def choose(self, rules: FigureRules, by: str) -> None:
        """From now on these: everything is reckoned anew in the background."""
        if rules != await self.rules():
            await self._store.choose(rules.model_dump(), by)
            await self._store.begin_anew()

    async def hear(self, events: Sequence[Event]) -> None:
        """Told of what happens. May be told twice."""
        concerned: set[str] = set()
        for each in events:
            if each.name.startswith(HEARD) and each.properties.get("source") not in CAMPAIGNS:
                concerned |= {each.conversation_id or "", each.properties.get("conversation_id") or ""}
                concerned |= set(each.properties.get("other_ids") or ())
                concerned.add(each.properties.get("from_id") or "")
        concerned = {each for each in concerned if each.startswith("cnv_")}
        await self._store.want(concerned, self._clock())

    async def drain(self, limit: int = BATCH) -> int:
        """Read some that are due anew; how many."""
        duties = await self._store.duties.claim(["due"], self._clock(), limit=limit)
        if not duties:
            return 0
        derived = await self._derived([each["_id"] for each in duties])

        async def work(session: Session) -> None:
            ours = await self._store.held(duties, session)
            await self._write({each: rows for each, rows in derived.items() if each in ours}, session)

        await self._database.in_transaction(work)
        return len(duties)

    async def keep(self) -> None:
        """Read all that is due anew, resting as long as it works: what comes in goes first. A chore."""
        begun = time.monotonic()
        while await self.drain() == BATCH:
            await asyncio.sleep(min(REST_MAX_S, time.monotonic() - begun))
            begun = time.monotonic()

    async def read_past(self) -> int:
        """Name some conversations from before there were figures, or all once more after rules have changed; how many.
        A chore that goes on where it was."""
        state = await self._store.past()
        if state["done"] or await self._store.waiting() >= BUSY:
            return 0
        ids = await self._store.next_talks(state["after"], PAST)
        await self._store.want(ids, self._clock(), soon=timedelta())
        try:
            await self._store.went_on(state, ids[-1] if ids else state["after"], done=len(ids) < PAST)
        except DuplicateKeyError:
            return 0
        return len(ids)

    async def combine_past(self) -> int:
        """Make cells of combinations of one day that was counted before there were any (decision 54); how many cells
        were touched. After the last one all conversations are read once more, because messages have got teams since.
        A chore that goes on where it was."""
        state = await self._store.combined()
        if state["done"]:
            return 0
        day = await self._store.next_day(state["after"])
        touched = sum([await self._combined(day, kind) for kind in KINDS]) if day else 0
        if not day and state["after"]:
            await self._store.begin_anew()
        await self._store.combined_to(day or state["after"], done=not day)
        return touched

    async def _combined(self, day: str, kind: str) -> int:
        since = begins(day, 0)

        async def work(session: Session) -> int:
            facts = await self._store.facts_of_day(since, since + timedelta(days=1), session, [kind])
            cells = await self._store.cells_of_day(day, session, [kind], COMBINED)
            kept = {_place_of(cell): _flat(cell) for cell in cells}
            changes = still_to_add(combined(changes_of([], facts)), kept)
            await self._store.add(changes, session)
            return len(changes)

        touched: int = await self._database.in_transaction(work)
        return touched

    async def is_up_to_date(self) -> bool:
        """Whether all conversations of before are counted, in every way."""
        return bool((await self._store.past())["done"]) and bool((await self._store.combined())["done"])

    async def compare(self) -> int:
        """Add up the facts of the last days once a night and set cells right that are off, which would be a fault of
        ours; how many were. A chore; one of all workers does it. What the past still lacks is no fault, and is added
        with its sums."""
        now = self._clock()
        if now.astimezone(self._zone).hour not in NIGHT or not (await self._store.combined())["done"]:
            return 0
        if not await self._store.to_compare(now, now - timedelta(hours=12)):
            return 0
        days = [(now - timedelta(days=ago)).date() for ago in range(1, COMPARED_DAYS + 1)]
        return sum([await self.compared(each) for each in days])

    async def compared(self, day: date) -> int:
        """The same for one day (UTC)."""
        since = begins(day.isoformat(), 0)

        async def work(session: Session) -> int:
            facts = await self._store.facts_of_day(since, since + timedelta(days=1), session)
            wanted = {place: fields for place, fields in changes_of([], facts).items() if place[4] != EVER}
            kept = {_place_of(cell): cell for cell in await self._store.cells_of_day(day.isoformat(), session)}
            off = [place for place in wanted.keys() | kept.keys()
                   if _flat(kept.get(place, {})) != wanted.get(place, Counter())]  # fmt: skip
            await self._store.set_cells([(place, _nested(wanted.get(place, Counter()))) for place in off], session)
            return len(off)

        off: int = await self._database.in_transaction(work)
        if off:
            log.error("kept figures were off and are set right", extra={"day": day.isoformat(), "cells": off})
            FIGURES_OFF.inc(off)
        return off

    # -- one batch ---------------------------------------------------------------------------------------------

    async def _derived(self, ids: Collection[str]) -> dict[str, dict[str, Document]]:
        """Conversation → its facts. What is gone (it was erased, or its time was over) keeps the facts it has."""
        talks = await self._store.talks(ids)
        merges = await self._store.merges_of(talks)
        members = {each["id"] for act in merges if act["head_id"] in talks for each in act["members"]}
        lines = await self._store.lines({*talks, *members})
        talks = {each: row for each, row in talks.items() if lines[each] or not row.get("message_count")}
        ratings, known = await self._store.ratings(talks), await self._store.facts(talks)
        terms, worked = await self._sla.terms(), await self._worked()
        read = {each: _talk(row, lines, merges, ratings[each]) for each, row in talks.items()}
        found = {each: facts_of(talk, worked) for each, talk in read.items()}
        told = terms.policies or _had_promises(known)
        breached = await self._breaches({each: waits for each, (_, waits) in found.items()}) if told else {}
        derived = {}
        for each, (facts, waits) in found.items():
            promises = Promises(breached.get(each, {}), _promised(talks[each], terms), _known(known[each]))
            derived[each] = documents(read[each], [*facts, *judged(waits, promises)])
        return derived

    async def _breaches(
        self, waits: Mapping[str, Sequence[Wait]]
    ) -> dict[str, dict[tuple[str, int], datetime]]:  # fmt: skip
        """Which waits took longer than was promised. Their events are found by what began when."""
        keys = {
            f"sla.breached:{each}:{wait.target}:{wait.since_ms}": (each, (wait.target, wait.since_ms))
            for each, some in waits.items() for wait in some
        }  # fmt: skip
        found: dict[str, dict[tuple[str, int], datetime]] = {}
        for key, at in (await self._store.breaches(keys)).items():
            conversation_id, wait = keys[key]
            found.setdefault(conversation_id, {})[wait] = at
        return found

    async def _worked(self) -> Worked:
        rules, teams = await self.rules(), await self._teams.all()
        of_team = {row["_id"]: row.get("hours_id") for row in teams}
        named = {each for each in (*of_team.values(), *rules.channel_hours.values(), rules.hours_id) if each}
        calendars: Mapping[str, tuple[int, Calendar]] = await self._hours.calendars(named) if named else {}

        def worked(team_id: str | None, channel_id: str, since: datetime, until: datetime) -> timedelta:
            hours_id = rules.channel_hours.get(channel_id) or of_team.get(team_id or "") or rules.hours_id
            known = calendars.get(hours_id or "")
            return known[1].worked(since, until) if known else ALWAYS_OPEN.worked(since, until)

        return worked

    async def _write(self, derived: Mapping[str, Mapping[str, Document]], session: Session) -> None:
        after = {fact_id: row for facts in derived.values() for fact_id, row in facts.items()}
        before = await self._store.standing(derived, after, session)
        erased = {key for key, row in before.items() if row["conversation_id"] is None}
        after = {key: row for key, row in after.items() if key not in erased}
        gone = sorted(before.keys() - after.keys() - erased)
        otherwise = [key for key in sorted(after) if _counted(before.get(key, {})) != _counted(after[key])]
        moved = [key for key in sorted(after.keys() & before.keys())
                 if before[key]["profile_id"] != after[key]["profile_id"]]  # fmt: skip
        replaced = [before[key] for key in otherwise if key in before]
        changes = changes_of([*(before[key] for key in gone), *replaced], [after[key] for key in otherwise])
        await self._store.replace(gone, {key: after[key] for key in (*otherwise, *moved)}, session)
        await self._store.add(changes, session)


def _talk(
    row: Document, lines: Mapping[str, list[Document]], merges: Sequence[Document], ratings: Sequence[Document]
) -> Talk:  # fmt: skip
    """A conversation with what was merged into it. A part counts until the first merge that took it."""
    own = [(act["at"], lines[each["id"]]) for act in merges if act["head_id"] == row["_id"] for each in act["members"]]
    left = [act["at"] for act in merges if any(each["id"] == row["_id"] for each in act["members"])]
    is_part = row["status"] == "merged"
    left_at = min(left, default=row["updated_at"]) if is_part else None
    return Talk(row, lines[row["_id"]], own, left_at, ratings)


def _promised(row: Mapping[str, Any], terms: Terms) -> Any:
    policy: Policy | None = terms.fitting(row) if terms.policies else None

    def promised(target: str, since: datetime) -> bool:
        if policy is None or since < policy.holds_since:
            return False
        return policy.written.length(target, row.get("priority", "none")) is not None  # type: ignore[arg-type]

    return promised


def _known(facts: Sequence[Document]) -> dict[str, dict[str, datetime]]:
    found: dict[str, dict[str, datetime]] = {}
    for row in facts:
        if row["kind"] in TIMED or row["kind"] in ("kept", "missed"):
            found.setdefault(row["kind"], {})[row["key"]] = row["at"]
    return found


def _had_promises(known: Mapping[str, Sequence[Document]]) -> bool:
    return any(row["kind"] in ("kept", "missed") for rows in known.values() for row in rows)


_UNCOUNTED = frozenset({"_id", "profile_id", "identity_id", "moved"})


def _counted(row: Mapping[str, Any]) -> Document:
    return {name: value for name, value in row.items() if name not in _UNCOUNTED}


def _place_of(cell: Mapping[str, Any]) -> Place:
    return cell["kind"], cell["dimension"], cell["value"], cell["channel_id"], cell["day"]


def _flat(cell: Mapping[str, Any]) -> Counter[str]:
    """A cell as what was added to it, noughts left out."""
    found: Counter[str] = Counter()
    for slot, fields in cell.get("q", {}).items():
        for name, value in fields.items():
            parts = {f"{name}.{each}": by for each, by in value.items()} if isinstance(value, dict) else {name: value}
            found.update({f"q.{slot}.{each}": by for each, by in parts.items() if by})
    return found


def _nested(flat: Mapping[str, int]) -> Document:
    slots: Document = {}
    for path, value in flat.items():
        _, slot, name, *more = path.split(".")
        place = slots.setdefault(slot, {})
        if more:
            place.setdefault(name, {})[more[0]] = value
        else:
            place[name] = value
    return slots
