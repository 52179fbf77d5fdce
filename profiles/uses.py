"""Who names a tag or a segment: asked before it is renamed or taken away. Rooms above join in with what they keep."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from base.errors import Conflict
from profiles.store.segments import SegmentStore
from profiles.store.value_settings import ValueSettingsStore
from profiles.terms import Terms

UseKind = Literal["segment", "journey", "broadcast", "score_rule", "stage"]


@dataclass(frozen=True)
class Use:
    """`id` of who names it: a segment, a journey, a broadcast, a rule of the score, or the key of a stage."""

    kind: UseKind
    id: str
    name: str


@dataclass(frozen=True)
class Asked:
    """What is asked about."""

    tags: frozenset[str] = frozenset()
    segment_id: str | None = None

    def named_in(self, value: Any) -> bool:
        """Whether this piece of a definition (JSON) names any of it, in whatever depth."""
        if isinstance(value, Mapping):
            return self._names(value) or any(self.named_in(each) for each in value.values())
        return isinstance(value, list | tuple) and any(self.named_in(each) for each in value)

    def _names(self, part: Mapping[str, Any]) -> bool:
        if self.segment_id is not None and self.segment_id in (part.get("segment"), part.get("segment_id")):
            return True
        field = part.get("field")
        if isinstance(field, str) and (field == "tags" or field.endswith("properties.tag")):
            return any(self._has(part.get(key), part.get("op")) for key in ("value", "from", "to"))
        return self._has(part.get("add_tags")) or self._has(part.get("remove_tags"))

    def _has(self, value: Any, op: Any = None) -> bool:
        given = {each for each in (value if isinstance(value, list | tuple) else (value,)) if isinstance(each, str)}
        if op in ("contains", "not_contains"):
            return bool({each.casefold() for each in given} & {each.casefold() for each in self.tags})
        return bool(given & self.tags)


@dataclass(frozen=True)
class Definition:
    """What somebody has written down: pieces of JSON."""

    use: Use
    parts: tuple[Any, ...]


class Source(Protocol):
    """A room that keeps definitions."""

    async def definitions(self) -> Iterable[Definition]:
        """All that count: what is to be, what holds, and what somebody still goes by."""


class InUse(Conflict):
    """It cannot go while others name it: `uses`."""

    code = "in_use"

    def __init__(self, message: str, uses: Sequence[Use]) -> None:
        super().__init__(message)
        self.uses = tuple(uses)


class Uses:
    """Asks everybody."""

    def __init__(self, *sources: Source) -> None:
        self._sources = list(sources)

    def join(self, source: Source) -> None:
        """One more room."""
        self._sources.append(source)

    async def of_tags(self, tags: Iterable[str]) -> list[Use]:
        """Who names any of these tags."""
        return (await self.of_each({"": Asked(tags=frozenset(tags))}))[""]

    async def of_segment(self, segment_id: str) -> list[Use]:
        """Who asks for its members."""
        return (await self.of_each({"": Asked(segment_id=segment_id)}))[""]

    async def of_each(self, asked: Mapping[str, Asked]) -> dict[str, list[Use]]:
        """Several questions in one read of all definitions; each under its key."""
        found = await asyncio.gather(*(each.definitions() for each in self._sources))
        known = [each for room in found for each in room]
        return {key: [each.use for each in known if question.named_in(each.parts)] for key, question in asked.items()}


class SegmentUses:
    """Segments by their rules: what it is to be, what is served and what is being built."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store

    async def definitions(self) -> list[Definition]:
        """See `Source`."""
        return [
            Definition(
                Use("segment", row["_id"], row["name"]),
                (row["rule"], *(row[name]["rule"] for name in ("live", "draft") if row.get(name))),
            )
            for row in await self._store.all()
        ]


class ScoreUses:
    """Rules of the score."""

    def __init__(self, store: ValueSettingsStore) -> None:
        self._store = store

    async def definitions(self) -> list[Definition]:
        """See `Source`."""
        row = await self._store.get("score")
        rules = row["settings"]["rules"] if row else ()
        return [Definition(Use("score_rule", each["id"], each["name"]), (each["rule"],)) for each in rules]


class StageUses:
    """Stages to which people come by entering a segment."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    async def definitions(self) -> list[Definition]:
        """See `Source`."""
        stages = (await self._terms.now(fresh=True)).stages
        return [
            Definition(Use("stage", each.key, each.said(None)), ({"segment": each.segment_id},))
            for each in stages
            if each.segment_id
        ]
