"""Domain events are acted upon: runs begin, runs that wait are woken, goals are looked at.

An event is a duty: it is claimed, acted upon and closed; handled twice it begins nothing twice, because a run knows its
cause and stands under a unique entry key. An event nobody can act upon is set aside with its reason, alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES, settled
from base.mongo import UNAVAILABLE, Document
from campaigns.bells import Ringer
from campaigns.conditions import Happened, Scope, carried, holds
from campaigns.entering import Entrance, Entrant
from campaigns.facts import FactReader, happened, in_order_of_time
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.matching import begins, key_of
from campaigns.store import EnrolmentStore
from profiles.events import Event, EventStore

log = logging.getLogger(__name__)

#: Told of every event that is acted upon. May be told twice of one.
Listener = Callable[[Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True)
class _Match:
    """An event of a person that may begin a journey."""

    row_id: str
    event: Happened
    profile_id: str
    journey: LiveJourney


class Reactor:
    """Drains domain events."""

    def __init__(
        self, events: EventStore, store: EnrolmentStore, live: LiveJourneys, entrance: Entrance, facts: FactReader,
        doorbell: Ringer, clock: Clock, *, listeners: Sequence[Listener] = (),
    ) -> None:  # fmt: skip
        self._events = events
        self._store = store
        self._live = live
        self._entrance = entrance
        self._facts = facts
        self._doorbell = doorbell
        self._clock = clock
        self._listeners = tuple(listeners)

    async def react(self, limit: int) -> int:
        """Act upon up to `limit` due events; the number handled."""
        rows = await self._events.duties.claim(["pending"], self._clock(), limit=limit)
        if not rows:
            return 0
        reasons = {row["_id"]: "A worker died or gave up on this event too often." for row in rows if _worn_out(row)}
        fresh = [row for row in rows if row["_id"] not in reasons]
        try:
            stirred = await self._act(fresh, reasons)
        except UNAVAILABLE:
            raise
        except Exception:  # one of them is poison: each by itself, so that only that one is set aside
            log.exception("a batch of events failed, taking them one by one")
            stirred = await self._one_by_one(fresh, reasons)
        await self._events.duties.settle([_closing(row, reasons.get(row["_id"])) for row in rows])
        if stirred:
            await self._doorbell.ring("advance")
        return len(rows)

    async def _one_by_one(self, rows: Sequence[Document], reasons: dict[str, str]) -> bool:
        stirred = False
        for row in rows:
            try:
                stirred |= await self._act([row], reasons)
            except UNAVAILABLE:
                raise
            except Exception as error:
                log.exception("event cannot be acted upon", extra={"event": row["_id"]})
                reasons[row["_id"]] = f"It could not be acted upon: {type(error).__name__}."
        return stirred

    async def _act(self, rows: Sequence[Document], reasons: dict[str, str]) -> bool:
        """Everything that follows from these events; whether any run has something to do now."""
        events = sorted(_readable(rows, reasons), key=lambda event: in_order_of_time(happened(event)))
        for listener in self._listeners:
            await listener(events)
        concerned = [event for event in events if event.profile_id]
        owners = await self._facts.current({event.profile_id for event in concerned if event.profile_id})
        matches = await self._matched(concerned, owners, reasons)
        entrants = [_entrant(match) for match in matches]
        admissions = await self._entrance.admit(entrants)
        woken = await self._wake(concerned, owners)
        return woken > 0 or any(admission.created for admission in admissions)

    async def _matched(
        self, events: Sequence[Event], owners: Mapping[str, str], reasons: dict[str, str]
    ) -> list[_Match]:
        picture, now = await self._live.now(), self._clock()
        found = []
        for event in events:
            seen = happened(event)
            for journey in picture.begun_by.get(event.name, ()):
                try:
                    if begins(journey.definition.trigger, seen, now):
                        found.append(_Match(event.id, seen, owners[str(event.profile_id)], journey))
                except Exception as error:  # what a stranger sent must not stop the others
                    log.exception("trigger failed", extra={"event": event.id, "journey": journey.id})
                    reasons[event.id] = f"A trigger could not be asked: {type(error).__name__}."
        return await self._let_in(found, now)

    async def _let_in(self, matches: Sequence[_Match], now: datetime) -> list[_Match]:
        """Those whom the journey's entry filter lets in, and who are still there."""
        filters = [match.journey.definition.entry_filter for match in matches]
        names = {name for each in filters if each is not None for name in each.history_names}
        subjects = await self._facts.subjects(sorted({match.profile_id for match in matches}), names)
        return [
            match
            for match, condition in zip(matches, filters, strict=True)
            if match.profile_id in subjects
            and (condition is None or holds(condition, _scope(match, subjects[match.profile_id]), now))
        ]

    async def _wake(self, events: Sequence[Event], owners: Mapping[str, str]) -> int:
        by_name: dict[str, set[str]] = {}
        for event in events:
            asked = str(event.profile_id)
            by_name.setdefault(event.name, set()).update({asked, owners[asked]})
        return await self._store.wake(by_name, self._clock())


def _worn_out(row: Document) -> bool:
    return bool(row["attempts"] > MAX_CRASHES)


def _readable(rows: Sequence[Document], reasons: dict[str, str]) -> list[Event]:
    found = []
    for row in rows:
        try:
            found.append(Event.model_validate(row))
        except ValueError as error:
            reasons[row["_id"]] = f"The event cannot be read: {type(error).__name__}."
    return found


def _scope(match: _Match, subject: Any) -> Scope:
    view = match.event.view()
    return Scope(subject=subject, values={"event": view}, began_with=view)


def _entrant(match: _Match) -> Entrant:
    return Entrant(
        journey=match.journey,
        profile_id=match.profile_id,
        cause=match.event.id,
        since=match.event.occurred_at,
        key=key_of(match.journey.definition.trigger, match.event),
        data={"event": carried(match.event)},
    )


def _closing(row: Document, reason: str | None) -> Any:
    if reason is not None:
        return settled(row, {"$set": {"state": "dead", "reason": reason[:500]}, "$unset": {"lease": ""}})
    return settled(row, {"$set": {"state": "done"}, "$unset": {"lease": ""}})
