"""The journeys in which somebody may walk, held in memory and looked at again every two seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.mongo import Document
from campaigns.definition import read
from campaigns.matching import names_of
from campaigns.models import Definition
from campaigns.naming import with_tag_names
from campaigns.store import JourneyStore
from profiles.segments import TagNames
from profiles.terms import Terms

log = logging.getLogger(__name__)

#: Seconds for which a picture of the heads is good enough; starting and status lag at most this much behind.
FRESH_S = 2.0
DEFINITIONS_KEPT = 5000
WORDINGS_KEPT = 500


@dataclass(frozen=True)
class LiveJourney:
    """A journey that may be entered or walked, with its live version read."""

    id: str
    name: str
    status: str
    version: int
    definition: Definition


@dataclass(frozen=True)
class Picture:
    """All of them at one moment."""

    journeys: Mapping[str, LiveJourney] = field(default_factory=dict)
    statuses: Mapping[str, str] = field(default_factory=dict)
    #: Event name → journeys that such an event may begin. Paused ones are entered too: people wait at the door.
    begun_by: Mapping[str, tuple[LiveJourney, ...]] = field(default_factory=dict)
    heads: Mapping[str, Document] = field(default_factory=dict)


class LiveJourneys:
    """Reads heads every two seconds, and each version once."""

    def __init__(self, store: JourneyStore, terms: Terms) -> None:
        self._store = store
        self._terms = terms
        self._names = TagNames()
        self._definitions: dict[tuple[str, int], Definition | None] = {}
        self._wordings: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
        self._picture = Picture()
        self._until = 0.0

    def forget(self) -> None:
        """Something was published or changed here: look again at the next call."""
        self._until = 0.0

    async def now(self) -> Picture:
        """The picture, at most two seconds old."""
        if time.monotonic() >= self._until:
            self._picture = await self._drawn(await self._store.walked())
            self._until = time.monotonic() + FRESH_S
        return self._picture

    async def anew(self) -> Picture:
        """The picture as it is stored by now."""
        self.forget()
        return await self.now()

    async def definition(self, journey_id: str, version: int) -> Definition | None:
        """A version, read once with the names that tags have; None when it is gone or can no longer be read."""
        names = (await self._terms.now()).tags
        if names.rev != self._names.rev:
            self._definitions, self._names = {}, names
        key = (journey_id, version)
        if key not in self._definitions:
            raw = await self._store.version(journey_id, version)
            reading = read(raw) if raw is not None else None
            if reading is None or reading.definition is None:
                log.error("a journey's version cannot be read", extra={"journey": journey_id, "version": version})
            if len(self._definitions) >= DEFINITIONS_KEPT:
                self._definitions.pop(next(iter(self._definitions)))
            definition = reading.definition if reading else None
            self._definitions[key] = with_tag_names(definition, names) if definition else None
        return self._definitions[key]

    async def wordings(self, journey_id: str, version: int) -> Mapping[str, Mapping[str, Any]]:
        """Template → `{rev, content}` as they were published with a version, read once."""
        key = (journey_id, version)
        if key not in self._wordings:
            if len(self._wordings) >= WORDINGS_KEPT:
                self._wordings.pop(next(iter(self._wordings)))
            self._wordings[key] = await self._store.wordings(*key)
        return self._wordings[key]

    async def definitions(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Definition | None]:
        """Several versions."""
        return {key: await self.definition(*key) for key in set(keys)}

    async def _drawn(self, heads: Iterable[Document]) -> Picture:
        journeys: dict[str, LiveJourney] = {}
        by_id = {head["_id"]: head for head in heads}
        for head in by_id.values():
            version = head["live_version"]
            definition = await self.definition(head["_id"], version) if version else None
            if definition is not None:
                journeys[head["_id"]] = LiveJourney(head["_id"], head["name"], head["status"], version, definition)
        begun: dict[str, list[LiveJourney]] = {}
        for journey in journeys.values():
            for name in names_of(journey.definition.trigger) if journey.status != "draining" else ():
                begun.setdefault(name, []).append(journey)
        return Picture(
            journeys=journeys,
            statuses={head_id: head["status"] for head_id, head in by_id.items()},
            begun_by={name: tuple(found) for name, found in begun.items()},
            heads=by_id,
        )
