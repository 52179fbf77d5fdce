"""Domain events are acted upon: runs begin, runs that wait are woken, goals are looked at.

An event is a duty: it is claimed, acted upon and closed; handled twice it begins nothing twice, because a run knows its
cause and stands under a unique entry key. An event nobody can act upon is set aside with its reason, alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES, settled
from base.mongo import UNAVAILABLE, Document
from campaigns.bells import Ringer
from campaigns.causes import Causes
from campaigns.entering import Entrance
from campaigns.facts import FactReader, happened, in_order_of_time
from campaigns.late import LateEntries
from campaigns.live import LiveJourneys
from campaigns.qualifying import Match, Qualifying, callers_of
from campaigns.store import EnrolmentStore
from profiles.events import Event, EventStore

log = logging.getLogger(__name__)

#: Told of every event that is acted upon. May be told twice of one.
Listener = Callable[[Sequence[Event]], Awaitable[None]]


class Reactor:
    """Drains domain events."""

    def __init__(
        self, events: EventStore, store: EnrolmentStore, live: LiveJourneys, entrance: Entrance, facts: FactReader,
        qualifying: Qualifying, late: LateEntries, causes: Causes, doorbell: Ringer, clock: Clock, *,
        listeners: Sequence[Listener] = (),
    ) -> None:  # fmt: skip
        self._events = events
        self._store = store
        self._live = live
        self._entrance = entrance
        self._facts = facts
        self._qualifying = qualifying
        self._late = late
        self._causes = causes
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
                stirred |= await self._act([row], reasons, alone=True)
            except UNAVAILABLE:
                raise
            except Exception as error:
                log.exception("event cannot be acted upon", extra={"event": row["_id"]})
                reasons[row["_id"]] = f"It could not be acted upon: {type(error).__name__}."
        return stirred

    async def _act(self, rows: Sequence[Document], reasons: dict[str, str], *, alone: bool = False) -> bool:
        """Everything that follows from these events; whether any run has something to do now."""
        events = sorted(_readable(rows, reasons), key=lambda event: in_order_of_time(happened(event)))
        for listener in self._listeners:
            await self._told(listener, events, reasons, alone)
        concerned = [event for event in events if event.profile_id]
        owners = await self._facts.current({event.profile_id for event in concerned if event.profile_id})
        matches = await self._matched(concerned, owners, reasons)
        begun = {match.event_id for match in matches}
        led = await self._causes.of([event for event in concerned if event.id in begun])
        admissions = await self._entrance.admit([match.entrant(led.get(match.event_id, ())) for match in matches])
        await self._late.changed({owners[str(each.profile_id)] for each in concerned if _changes(each)})
        woken = await self._wake(concerned, owners)
        return woken > 0 or any(admission.created for admission in admissions)

    async def _told(
        self, listener: Listener, events: Sequence[Event], reasons: dict[str, str], alone: bool
    ) -> None:
        """Of an event that stands alone a listener that fails keeps nothing from the others, nor from journeys."""
        try:
            await listener(events)
        except UNAVAILABLE:
            raise
        except Exception as error:
            if not alone:
                raise
            log.exception("a listener failed", extra={"listener": _name(listener)})
            reason = f"{_name(listener)} could not act upon it: {type(error).__name__}."
            reasons |= {event.id: reason for event in events}

    async def _matched(
        self, events: Sequence[Event], owners: Mapping[str, str], reasons: dict[str, str]
    ) -> list[Match]:
        """Those who enter. Whom an entry filter turns away is asked once more a little later, where that may help."""
        picture = await self._live.now()
        found = await self._qualifying.matches(events, owners, picture.begun_by, reasons)
        answers = await self._qualifying.let_in(callers_of(found))
        await self._late.wait([match for match, answer in zip(found, answers, strict=True) if answer is False])
        return [match for match, answer in zip(found, answers, strict=True) if answer]

    async def _wake(self, events: Sequence[Event], owners: Mapping[str, str]) -> int:
        by_name: dict[str, set[str]] = {}
        for event in events:
            asked = str(event.profile_id)
            by_name.setdefault(event.name, set()).update({asked, owners[asked]})
        return await self._store.wake(by_name, self._clock())


def _name(listener: Listener) -> str:
    return str(getattr(listener, "__qualname__", type(listener).__name__))


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


def _changes(event: Event) -> bool:
    """It may make an entry filter answer otherwise: somebody has said who they are, or is another's."""
    return event.name.startswith("profile.")


def _closing(row: Document, reason: str | None) -> Any:
    if reason is not None:
        return settled(row, {"$set": {"state": "dead", "reason": reason[:500]}, "$unset": {"lease": ""}})
    return settled(row, {"$set": {"state": "done"}, "$unset": {"lease": ""}})
