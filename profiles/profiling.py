"""Whether anything is concluded from what a person does: a switch on the profile, with its proof in the consent ledger.

Off means: no score, no tier by value, no computed traits, no segment by behaviour; page views and other tracked events
are not kept. What the person wrote, bought and allowed stays, because messages and orders could not be handled without.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Session
from profiles import rfm, scoring
from profiles.models import NewEvent, Profile
from profiles.normalise import clean_text
from profiles.segments.memory import ListedEvents
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore, as_profile

#: The purpose under which it stands in the ledger. No address hangs on it: it is about the person.
PURPOSE = "profiling"
#: Events that are kept of who is not profiled: an order or a checkout has to be carried out.
NEEDED = ("order.", "checkout.")
Said = Literal["preference_centre", "staff", "api"]


class Profiling:
    """Switches it."""

    def __init__(
        self, profiles: ProfileStore, consents: ConsentStore, events: EventStore, database: Database, clock: Clock
    ) -> None:
        self._profiles = profiles
        self._consents = consents
        self._events = events
        self._database = database
        self._clock = clock

    async def switch(
        self, profile_id: str, on: bool, *, source: Said, by: str | None = None, proof: str | None = None,
        language: str | None = None, key: str | None = None,
    ) -> Profile:  # fmt: skip
        """Let it be, or end it; with an entry in the ledger when that changes something. May run twice.

        Raises `NotFound`.
        """

        async def work(session: Session) -> Document:
            row = await self._profiles.locked(profile_id, session)
            if row is None:
                raise NotFound("There is no such profile.")
            if bool(row.get("profiling_off")) == (not on):
                return row
            now = self._clock()
            change, gone, events = switched(row, on, now)
            if not await self._profiles.amend(row, change, gone, session):
                raise NotFound("There is no such profile.")
            await self._consents.add(self._act(row, on, source, by, proof, language, now, key), session)
            await self._events.record([_told(row, on, source, by, now), *events], session)
            kept = {name: value for name, value in row.items() if name not in gone}
            return {**kept, **change}

        try:
            return as_profile(await self._database.in_transaction(work), profile_id)
        except DuplicateKeyError:  # this key has done its work before
            found = await self._profiles.get(profile_id)
            if found is None:
                raise NotFound("There is no such profile.") from None
            return found

    def _act(
        self, row: Document, on: bool, source: Said, by: str | None, proof: str | None, language: str | None,
        now: datetime, key: str | None,
    ) -> Document:  # fmt: skip
        act: Document = {
            "_id": new_id("log"), "address_key": f"profile:{row['_id']}", "profile_id": row["_id"],
            "identity_id": None, "channel": None, "purpose": PURPOSE, "granted": on, "source": source,
            "by_person": source == "preference_centre", "proof": clean_text(proof, 2000) if proof else None,
            "wording": None, "wording_version": None, "language": language, "by": by, "at": now, "recorded_at": now,
        }  # fmt: skip
        return {**act, "dedupe": f"profiling:{key}"} if key else act


def switched(row: Document, on: bool, now: datetime) -> tuple[Document, list[str], list[NewEvent]]:
    """Fields to set and to take away, and events of what ends. Off: all that was concluded goes at once, as an
    appraisal of somebody who is not profiled would have it; what somebody gave by hand stays. Pure."""
    if on:
        return {"updated_at": now}, ["profiling_off"], []
    unprofiled = {**row, "profiling_off": True}
    scored = scoring.scored(unprofiled, ListedEvents([], now), scoring.ScoreCard(), now)
    ranked = rfm.ranked(unprofiled, rfm.DEFAULT, now)
    return {"profiling_off": True, "updated_at": now, **scored.fields, **ranked.fields}, ["traits"], [*ranked.events]


def kept_of(events: Iterable[NewEvent], off: frozenset[str]) -> list[NewEvent]:
    """Without what people did who are not profiled, unless it is needed to deal with them. Pure."""
    return [each for each in events if each.profile_id not in off or each.name.startswith(NEEDED)]


def _told(row: Document, on: bool, source: str, by: str | None, now: datetime) -> NewEvent:
    properties = {"on": on, "source": source, "by": by}
    name = "profile.profiling_changed"
    return NewEvent(name, f"{name}:{row['_id']}:{row['rev']}", now, row["_id"], properties=properties)
