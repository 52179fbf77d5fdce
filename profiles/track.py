"""Named events from outside: `POST /events`, tracking calls, the generic channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from base.clock import Clock
from base.errors import FieldError, NotFound, WrongInput
from base.ids import new_id, unique_key
from channels.vocabulary import RESERVED
from profiles.models import AnyIdentity, Input, Moment, NewEvent
from profiles.profiling import kept_of
from profiles.resolve import Known, Reference, Resolver
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore

#: A clock that runs ahead of ours further than this is not believed.
AHEAD = timedelta(minutes=5)


class TrackedInput(Input):
    """One event of `POST /events`. `message_id` makes it unique within its source; the same again is a no-op."""

    event: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f$][^\x00-\x1f]*$")]
    identity: AnyIdentity | None = None
    profile_id: str | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    occurred_at: Moment | None = None
    message_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if (self.identity is None) == (self.profile_id is None):
            raise ValueError("give either identity or profile_id")
        return self


@dataclass(frozen=True)
class Tracked:
    """What became of one: whose it is, and whether it is new."""

    profile_id: str
    message_id: str


class Tracker:
    """Keeps events of named people, creating those it does not know."""

    def __init__(self, store: ProfileStore, resolver: Resolver, events: EventStore, clock: Clock) -> None:
        self._store = store
        self._resolver = resolver
        self._events = events
        self._clock = clock

    async def record(
        self, inputs: Sequence[TrackedInput], *, source: str = "api", path: str = "batch"
    ) -> list[Tracked]:
        """All or none: a fault in one is told with its position in `path` (empty: there is but one) before anything is
        written.

        Raises `WrongInput` for a reserved name or a wrong identity, `NotFound` for an unknown profile.
        """
        _refuse_reserved(inputs, path)
        known = await self._people(inputs)
        ids = [each.message_id or new_id("evt") for each in inputs]
        rows = [
            self._event(each, who, unique_key("tracked", source, message_id))
            for each, who, message_id in zip(inputs, known, ids, strict=True)
        ]
        off = await self._store.unprofiled(who.profile_id for who in known)
        await self._events.record(kept_of(rows, off))
        return [Tracked(who.profile_id, message_id) for who, message_id in zip(known, ids, strict=True)]

    async def _people(self, inputs: Sequence[TrackedInput]) -> list[Known]:
        asked = [each.profile_id for each in inputs if each.profile_id is not None]
        profiles = await self._store.many(asked)
        missing = next((profile_id for profile_id in asked if profile_id not in profiles), None)
        if missing is not None:
            raise NotFound(f"There is no profile {missing}.")
        named = [each for each in inputs if each.identity is not None]
        references = [Reference([each.identity], at=self._at(each)) for each in named if each.identity is not None]
        found = iter(await self._resolver.identify(references))
        return [
            _known(next(found)) if each.profile_id is None else _is(profiles[each.profile_id].id) for each in inputs
        ]

    def _at(self, tracked: TrackedInput) -> datetime:
        now = self._clock()
        return min(tracked.occurred_at or now, now + AHEAD)

    def _event(self, tracked: TrackedInput, who: Known, dedupe: str) -> NewEvent:
        return NewEvent(
            tracked.event,
            dedupe,
            self._at(tracked),
            who.profile_id,
            who.identity_id or None,
            properties=tracked.properties,
        )


def _refuse_reserved(inputs: Sequence[TrackedInput], path: str) -> None:
    faults = [
        FieldError(f"{path}[{i}].event" if path else "event", "this name is raised by the application itself")
        for i, each in enumerate(inputs)
        if each.event.startswith(RESERVED)
    ]
    if faults:
        raise WrongInput("Some names are reserved.", faults)


def _known(known: Known | None) -> Known:
    if known is None:
        raise NotFound("There is no such profile.")
    return known


def _is(profile_id: str) -> Known:
    return Known(profile_id, "", False, None)
