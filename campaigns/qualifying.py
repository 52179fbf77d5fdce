"""Who is brought to the door of a journey by what happened, and whom its entry filter lets through."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.clock import Clock
from campaigns.causes import Chain
from campaigns.conditions import Happened, Scope, carried, holds
from campaigns.entering import Entrant
from campaigns.facts import FactReader, happened
from campaigns.live import LiveJourney
from campaigns.matching import REPLIED, begins, cause_of, key_of
from campaigns.replies import Replies
from profiles.events import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """An event of a person that begins a journey, if the entry filter lets the person in."""

    #: Of the event as it is kept.
    event_id: str
    event: Happened
    profile_id: str
    journey: LiveJourney

    def entrant(self, chain: Chain = ()) -> Entrant:
        """At the door; `chain`: what led to the event."""
        trigger = self.journey.definition.trigger
        return Entrant(
            journey=self.journey, profile_id=self.profile_id, cause=cause_of(trigger, self.event),
            since=self.event.occurred_at, key=key_of(trigger, self.event), data={"event": carried(self.event)},
            chain=chain,
        )  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """Somebody at the door: `view` is the event, as rules see it."""

    journey: LiveJourney
    profile_id: str
    view: Mapping[str, Any]


class Qualifying:
    """Asks triggers and entry filters, in bulk."""

    def __init__(self, facts: FactReader, replies: Replies, clock: Clock) -> None:
        self._facts = facts
        self._replies = replies
        self._clock = clock

    async def matches(
        self, events: Sequence[Event], owners: Mapping[str, str], begun_by: Mapping[str, Sequence[LiveJourney]],
        faults: dict[str, str], *, of_any_age: bool = False,
    ) -> list[Match]:  # fmt: skip
        """What these events, all of them somebody's, begin. `owners`: profile → the one of today; `begun_by`: name →
        journeys; `faults`: filled with event → why a trigger could not be asked."""
        now = self._clock()
        seen = {event.id: happened(event) for event in events}
        replies: Mapping[str, Happened] = {}
        if begun_by.get(REPLIED):
            received = [each for each in events if each.name == "message.received"]
            replies = await self._replies.among([(owners[str(each.profile_id)], seen[each.id]) for each in received])
        found = []
        for event in events:
            views = [seen[event.id], *([replies[event.id]] if event.id in replies else [])]
            for view in views:
                for journey in begun_by.get(view.name, ()):
                    try:
                        if begins(journey.definition.trigger, view, now, of_any_age=of_any_age):
                            found.append(Match(event.id, view, owners[str(event.profile_id)], journey))
                    except Exception as error:  # what a stranger sent must not stop the others
                        log.exception("trigger failed", extra={"event": event.id, "journey": journey.id})
                        faults[event.id] = f"A trigger could not be asked: {type(error).__name__}."
        return found

    async def let_in(self, callers: Sequence[Caller]) -> list[bool | None]:
        """Whom the entry filter of the journey lets in. None: this person is not there any more."""
        filters = [caller.journey.definition.entry_filter for caller in callers]
        names = {name for each in filters if each is not None for name in each.history_names}
        subjects = await self._facts.subjects(sorted({caller.profile_id for caller in callers}), names)
        now = self._clock()
        return [
            None if caller.profile_id not in subjects
            else condition is None or holds(condition, _scope(caller, subjects[caller.profile_id]), now)
            for caller, condition in zip(callers, filters, strict=True)
        ]  # fmt: skip


def callers_of(matches: Sequence[Match]) -> list[Caller]:
    """The same people, for the entry filter."""
    return [Caller(match.journey, match.profile_id, match.event.view()) for match in matches]


def may_change(match: Match) -> bool:
    """Whether the answer of the entry filter can be another a little later: it looks at more than the event."""
    condition = match.journey.definition.entry_filter
    return condition is not None and bool(condition.needs)


def _scope(caller: Caller, subject: Any) -> Scope:
    return Scope(subject=subject, values={"event": caller.view}, began_with=caller.view)
