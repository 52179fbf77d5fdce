"""The next follow-up with a person: one at a time, kept on the profile, its history on the timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import StringConstraints

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id
from base.mongo import Database, Document, Session
from profiles.models import FollowUp, Input, Moment, NewEvent, Profile
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore, as_profile


class FollowUpInput(Input):
    """What is to be done with the person, and when. `assignee_id` None: whoever takes it."""

    at: Moment
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
    assignee_id: Annotated[str, StringConstraints(max_length=60)] | None = None


#: How many that were done are looked through for one that is to stand again.
LATEST = 50


class FollowUps:
    """The use cases. Each writes the profile and tells of it in one transaction, and may be repeated."""

    def __init__(self, database: Database, profiles: ProfileStore, events: EventStore, clock: Clock) -> None:
        self._database = database
        self._profiles = profiles
        self._events = events
        self._clock = clock

    async def set(self, profile_id: str, wanted: FollowUpInput, by: str) -> Profile:
        """Put it in the place of the one that stands. Raises `NotFound`."""
        new = {"at": wanted.at, "text": wanted.text, "assignee_id": wanted.assignee_id}

        def plan(old: Document | None, now: datetime) -> _Plan | None:
            if old is not None and all(old.get(name) == value for name, value in new.items()):
                return None
            return {"id": new_id("fup"), **new, "by": by, "set_at": now}, "follow_up.set", _from_to(old)

        return await self._changed(profile_id, plan, by)

    async def done(self, profile_id: str, follow_up_id: str | None, by: str, result: str | None = None) -> Profile:
        """It was done. With an id only this one: one that took its place stays. Raises `NotFound`."""
        return await self._changed(profile_id, _only(follow_up_id, None, "follow_up.done", {"result": result}), by)

    async def snooze(self, profile_id: str, follow_up_id: str | None, until: datetime, by: str) -> Profile:
        """Later. Raises `NotFound`."""
        return await self._changed(profile_id, _only(follow_up_id, {"at": until}, "follow_up.snoozed"), by)

    async def hand_over(self, profile_id: str, follow_up_id: str | None, assignee_id: str | None, by: str) -> Profile:
        """Somebody else does it. Raises `NotFound`."""
        change = {"assignee_id": assignee_id}
        return await self._changed(profile_id, _only(follow_up_id, change, "follow_up.handed_over"), by)

    async def restore(self, profile_id: str, follow_up_id: str, by: str) -> Profile:
        """It is to be done after all: the one that was done stands again, as it was, unless another has taken its
        place. Raises `NotFound` for the person, and for one that nobody has done."""
        done = await self._events.find(profile_id, ["follow_up.done"], limit=LATEST)
        told = next((each.properties for each in done if each.properties.get("follow_up_id") == follow_up_id), None)
        if told is None:
            raise NotFound("There is no such follow-up.")
        kept = {name: told.get(name) for name in ("at", "text", "assignee_id")}

        def plan(old: Document | None, now: datetime) -> _Plan | None:
            if old is not None:
                return None
            return {"id": follow_up_id, **kept, "by": by, "set_at": now}, "follow_up.set", {}

        return await self._changed(profile_id, plan, by)

    async def clear(self, profile_id: str, by: str) -> Profile:
        """There is nothing to be done after all. Raises `NotFound` for the person alone."""
        return await self._changed(profile_id, _only(None, None, "follow_up.cleared"), by)

    async def _changed(self, profile_id: str, plan: Any, by: str) -> Profile:
        async def work(session: Session) -> Document:
            row = await self._profiles.locked(profile_id, session)
            if row is None:
                raise NotFound("There is no such profile.")
            now, old = self._clock(), row.get("next_follow_up")
            planned: _Plan | None = plan(old, now)
            if planned is None:
                return row
            new, name, more = planned
            after = {**row, "next_follow_up": new, "updated_at": now}
            await self._profiles.write(row["_id"], {"next_follow_up": new, "updated_at": now}, session)
            await self._events.record([_event(name, row, new or old or {}, by, now, more)], session)
            return after

        return as_profile(await self._database.in_transaction(work), profile_id)


#: What stands afterwards, the event that tells of it, its further properties.
_Plan = tuple[Document | None, str, Mapping[str, Any]]


def _only(follow_up_id: str | None, change: Document | None, name: str, more: Mapping[str, Any] | None = None) -> Any:
    """A plan for the one that stands, if it is the one that is meant. `change` None takes it away."""

    def plan(old: Document | None, now: datetime) -> _Plan | None:
        if old is None or (follow_up_id is not None and old["id"] != follow_up_id):
            return None
        new = None if change is None else {**old, **change}
        return None if new == old else (new, name, {**_from_to(old, new), **(more or {})})

    return plan


def _from_to(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None = None) -> Document:
    if old is None:
        return {}
    if new is None:
        return {"from": {name: old.get(name) for name in ("at", "text", "assignee_id")}}
    return {"changes": {n: {"from": old.get(n), "to": new.get(n)} for n in ("at", "assignee_id") if old[n] != new[n]}}


def _event(name: str, row: Document, it: Document, by: str, now: datetime, more: Mapping[str, Any]) -> NewEvent:
    told = {"follow_up_id": it["id"], "text": it["text"], "at": it["at"], "assignee_id": it.get("assignee_id")}
    return NewEvent(name, f"{name}:{row['_id']}:{row['rev']}", now, row["_id"], properties={**told, **more, "by": by})


def follow_ups_of(profiles: Sequence[Profile]) -> list[tuple[Profile, FollowUp]]:
    """(person, follow-up) of those who have one."""
    return [(each, each.next_follow_up) for each in profiles if each.next_follow_up is not None]
