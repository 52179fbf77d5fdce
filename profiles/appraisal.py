"""Looks at a profile again whenever something about it changed, or time alone changes what it is.

Whatever changes a profile makes it due (`profiles.store.appraisals`), and so does an event that somebody counts on
(`Appraisal.hear`). The drain claims due profiles, asks every appraiser in turn, each on what the former ones found, and
writes all that changed with its events in one transaction, where nobody has written in between: who has, makes the
profile due again. A worker that dies leaves profiles that are due again.

Definitions (of segments, scores …) are read after the claim, each time (`Appraiser.prepare`). So who changes one and
then looks at all people has to fear no appraisal by what was: one that was claimed before and wrote later wrote on
people as they still were, and one that was claimed later knew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.clock import Clock
from base.mongo import UNAVAILABLE, Database, Document, DuplicateKeyError, Session
from profiles.models import Event, NewEvent
from profiles.segments import EventFacts, ListedEvents, Needs, joint_needs
from profiles.store.appraisals import AppraisalBook, Appraised
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore
from profiles.store.tallies import LANES

log = logging.getLogger(__name__)

#: People looked at together, and written in one transaction.
TOGETHER = 125
#: Events read at once for the people of one claim.
EVENTS_MAX = 20_000
#: To whom more has happened, of them only as much is read as the answers need.
MUCH = 2_000
#: When somebody is looked at again whom an appraiser cannot read.
AFTER_A_FAULT = timedelta(minutes=10)


@dataclass(frozen=True)
class Subject:
    """One person as the appraisers see them: the profile as stored, with what former appraisers changed, and what
    happened, by the names that were asked for."""

    document: Mapping[str, Any]
    events: EventFacts


@dataclass(frozen=True)
class Verdict:
    """`fields`: profile fields or dotted paths to set; only what differs is written. `events` are told once, with the
    fields: make their `dedupe` from the profile's `rev`, which counts up with each change. `again_at`: when time alone
    changes the answer."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[NewEvent] = ()
    again_at: datetime | None = None


class Appraiser(Protocol):
    """Somebody with an opinion on people. What it writes makes nobody due."""

    async def prepare(self) -> None:
        """Read the definitions. Called for every batch, and must see what is stored by now: keep what you made of
        them only as long as their revision is the same."""

    def event_needs(self) -> Needs:
        """Events that make a person due and that `Subject.events` must know, and how many of the latest are enough to
        answer (None: all). By the last `prepare`."""

    def appraise(self, subject: Subject, now: datetime) -> Verdict:
        """Pure."""


class Onlooker(Protocol):
    """Somebody further up who keeps something of their own about people: when a date of theirs comes, say."""

    async def seen(self, people: Sequence[Mapping[str, Any]]) -> None:
        """These people (documents, as the appraisers leave them) were looked at, because something about them may have
        changed. Told before the look is over, so nobody is missed; who is changed meanwhile is looked at, and told of,
        once more. May be told twice of one state, and, by a worker that was away for long, of one that has passed."""


#: Who is being merged or parted just now (`MergeStore.busy`): they are looked at when that is over.
Busy = Callable[[], Awaitable[Collection[str]]]


async def nobody() -> Collection[str]:
    """Nobody is busy."""
    return ()


class Appraisal:
    """The drain."""

    def __init__(
        self, database: Database, profiles: ProfileStore, events: EventStore, clock: Clock,
        appraisers: Sequence[Appraiser] = (), *, busy: Busy = nobody,
    ) -> None:  # fmt: skip
        """`appraisers` in the order in which they are asked."""
        self._onlookers: list[Onlooker] = []
        self._database = database
        self._profiles = profiles
        self._book: AppraisalBook = profiles.appraisals
        self._events = events
        self._clock = clock
        self._appraisers = tuple(appraisers)
        self._busy = busy

    def join(self, onlooker: Onlooker) -> None:
        """Tell them of everybody who is looked at. For the composition root."""
        self._onlookers.append(onlooker)

    async def drain(self, limit: int) -> int:
        """Look at up to `limit` due people; how many."""
        rows = await self._book.claim(limit)
        if not rows:
            return 0
        needs = await self.prepared()
        stones = [row for row in rows if row.get("merged_into")]
        await self._book.forget(stones)
        busy = set(await self._busy())
        await self._book.put_off([row for row in rows if row["_id"] in busy], self._clock() + timedelta(seconds=5))
        await self._look([row for row in rows if not row.get("merged_into") and row["_id"] not in busy], needs)
        return len(rows)

    async def hear(self, events: Sequence[Event]) -> None:
        """Make those due to whom something happened that an appraiser asks about. For the drain of events: an event is
        heard of again until all that follows from it is done, so none is missed."""
        if not events:
            return
        needs = await self.prepared()
        concerned = {event.profile_id for event in events if event.profile_id and event.name in needs}
        if concerned:
            today = await self._profiles.current(concerned)
            await self._book.due(today.values())

    async def prepared(self) -> Needs:
        """All definitions as they are stored by now; the events that somebody asks about."""
        for appraiser in self._appraisers:
            await appraiser.prepare()
        return joint_needs(appraiser.event_needs() for appraiser in self._appraisers)

    async def _look(self, rows: Sequence[Document], needs: Needs) -> None:
        """All of them, in shares: while the database takes what was found of some, the next is looked at."""
        writing: dict[int, asyncio.Task[None]] = {}
        try:
            for number, start in enumerate(range(0, len(rows), TOGETHER)):
                found = await self._found(rows[start : start + TOGETHER], needs)
                lane = number % LANES
                if lane in writing:
                    await writing[lane]
                writing[lane] = asyncio.create_task(self._write(found, lane))
        finally:
            for outcome in await asyncio.gather(*writing.values(), return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def _found(self, rows: Sequence[Document], needs: Needs) -> list[tuple[Appraised, Sequence[NewEvent]]]:
        """As many at once as have few enough events; whoever has very many alone."""
        ids = [row["_id"] for row in rows]
        found = await self._events.facts(ids, needs, min(EVENTS_MAX, MUCH * len(ids))) if needs and ids else {}
        if found is not None:
            return await self._judged(rows, found)
        numbers = await self._events.numbers(ids, needs)
        looks: list[tuple[Appraised, Sequence[NewEvent]]] = []
        for part in _parts(rows, numbers):
            if numbers.get(part[0]["_id"], 0) > MUCH:
                events = await self._events.latest(part[0]["_id"], needs, self._clock())
                looks += await self._judged(part, {part[0]["_id"]: events})
            else:
                looks += await self._judged(part, await self._events.facts([row["_id"] for row in part], needs) or {})
        return looks

    async def _judged(
        self, rows: Sequence[Document], found: Mapping[str, Sequence[Document]]
    ) -> list[tuple[Appraised, Sequence[NewEvent]]]:  # fmt: skip
        """What the appraisers make of them."""
        now = self._clock()
        looks: list[tuple[Appraised, Sequence[NewEvent]]] = []
        faulty = []
        for row in rows:
            try:
                looks.append(_appraised(row, ListedEvents(found.get(row["_id"], ()), now), self._appraisers, now))
            except Exception:  # one person nobody can read must not keep the others waiting
                log.exception("a profile cannot be appraised", extra={"profile": row["_id"]})
                faulty.append(row)
        await self._book.put_off(faulty, now + AFTER_A_FAULT)
        return looks

    async def _write(self, looks: Sequence[tuple[Appraised, Sequence[NewEvent]]], lane: int) -> None:
        if not await self._told([with_fields(look.row, look.fields) for look, _ in looks]):
            soon = self._clock() + AFTER_A_FAULT
            looks = [(replace(look, again_at=min(look.again_at or soon, soon)), events) for look, events in looks]
        await self._book.write([look for look, _ in looks if not look.changed])
        changed = [(look, events) for look, events in looks if look.changed]
        if changed:
            await self._keep(changed, lane)

    async def _told(self, people: Sequence[Mapping[str, Any]]) -> bool:
        """Whether all onlookers took it in. One that fails holds nobody up, and is told again a little later."""
        done = True
        for onlooker in self._onlookers if people else ():
            try:
                await onlooker.seen(people)
            except UNAVAILABLE:
                raise
            except Exception:
                log.exception("an onlooker failed", extra={"people": len(people)})
                done = False
        return done

    async def _keep(self, changed: Sequence[tuple[Appraised, Sequence[NewEvent]]], lane: int) -> None:
        try:
            await self._database.in_transaction(lambda session: self._kept(changed, session, lane))
        except DuplicateKeyError:
            if len(changed) > 1:
                for each in changed:
                    await self._keep([each], lane)
                return
            look, events = changed[0]
            log.error("an event of an appraisal was told before", extra={"profile": look.row["_id"]})
            kept = await self._events.kept(event.dedupe for event in events)
            await self._keep([(look, [event for event in events if event.dedupe not in kept])], lane)

    async def _kept(
        self, changed: Sequence[tuple[Appraised, Sequence[NewEvent]]], session: Session, lane: int
    ) -> None:  # fmt: skip
        held = await self._book.held([look.row for look, _ in changed], session)
        ours = [(look, events) for look, events in changed if look.row["_id"] in held]
        await self._book.write([look for look, _ in ours], session, lane)
        await self._events.record([event for _, events in ours for event in events], session)


def _parts(rows: Sequence[Document], numbers: Mapping[str, int]) -> list[list[Document]]:
    """The rows in parts with few enough events to be read at once; who has very many stands alone."""
    parts: list[list[Document]] = []
    room = 0
    for row in sorted(rows, key=lambda each: numbers.get(each["_id"], 0)):
        number = numbers.get(row["_id"], 0)
        if not parts or number > room or number > MUCH:
            parts.append([])
            room = EVENTS_MAX
        parts[-1].append(row)
        room -= number
    return parts


def _appraised(
    row: Document, events: EventFacts, appraisers: Iterable[Appraiser], now: datetime
) -> tuple[Appraised, list[NewEvent]]:
    """What all appraisers in turn make of one person. Pure."""
    document: Mapping[str, Any] = row
    fields: dict[str, Any] = {}
    told: list[NewEvent] = []
    again: list[datetime] = []
    for appraiser in appraisers:
        verdict = appraiser.appraise(Subject(document, events), now)
        news = {path: value for path, value in verdict.fields.items() if value_at(document, path) != value}
        document = with_fields(document, news)
        fields |= news
        told += verdict.events
        if verdict.again_at is not None:
            again.append(max(verdict.again_at, now + timedelta(milliseconds=1)))
    changed = {path: value for path, value in fields.items() if value_at(row, path) != value}
    return Appraised(row, min(again, default=None), changed, bool(changed or told)), told


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def with_fields(document: Mapping[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with these paths set; what is not on their way is shared."""
    for path, value in fields.items():
        document = _with(document, path.split("."), value)
    return document


def _with(document: Mapping[str, Any], keys: Sequence[str], value: Any) -> Mapping[str, Any]:
    first, *rest = keys
    if not rest:
        return {**document, first: value}
    inner = document.get(first)
    return {**document, first: _with(inner if isinstance(inner, Mapping) else {}, rest, value)}
