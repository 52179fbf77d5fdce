"""Pairs of profiles that may be one person: shown with their evidence, answered by a person, never by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from base.clock import Clock
from base.errors import NotFound
from base.mongo import Document
from base.pages import Page
from profiles.models import Profile
from profiles.store.profiles import ProfileStore


@dataclass(frozen=True)
class Evidence:
    """A key that spoke for both. `reason`: `other_profile`, `unverified`, `proved_elsewhere`, `limit`."""

    kind: str
    key: str
    reason: str

    @property
    def value(self) -> str:
        """What was said: the address, the number, the id."""
        return self.key.partition(":")[2]


@dataclass(frozen=True)
class Suggestion:
    """Two people of today. `one` is known longer, so it is the one into which the other would be merged. `parted`: they
    were one, and a person has taken that back."""

    id: str
    one: Profile
    other: Profile
    evidence: tuple[Evidence, ...]
    state: str
    created_at: datetime
    parted: bool = False


class Suggestions:
    """Reads and answers."""

    def __init__(self, profiles: ProfileStore, clock: Clock) -> None:
        self._profiles = profiles
        self._rows = profiles.suggestions
        self._clock = clock

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Suggestion]:
        """Pairs that wait for an answer, newest first. Pairs that have become one person are left out, so a part may
        hold fewer than `limit`."""
        found = await self._rows.page(limit=limit, cursor=cursor)
        return Page(await self._as_today(found.data), found.next_cursor)

    async def of_profile(self, profile_ids: Sequence[str]) -> list[Suggestion]:
        """Open pairs of one person, who may have had several ids."""
        rows = [row for each in profile_ids for row in await self._rows.of_profile(each) if row["state"] == "open"]
        return await self._as_today(rows)

    async def standing(self, suggestion_ids: Sequence[str]) -> list[Suggestion]:
        """Those of these pairs that wait for an answer."""
        rows = [await self._rows.get(each) for each in suggestion_ids]
        return await self._as_today([row for row in rows if row is not None and row["state"] == "open"])

    async def get(self, suggestion_id: str) -> Suggestion:
        """One pair, whatever was answered. Raises `NotFound` also for one that has become one person."""
        row = await self._rows.get(suggestion_id)
        found = await self._as_today([row] if row else [])
        if not found:
            raise NotFound("There is no such pair.")
        return found[0]

    async def dismiss(self, suggestion_id: str, by: str | None) -> Suggestion:
        """They are not the same person: the pair is not shown again. May be repeated. Raises `NotFound`."""
        return await self._answered(suggestion_id, "open", "dismissed", by)

    async def reopen(self, suggestion_id: str, by: str | None) -> Suggestion:
        """That was said too soon. May be repeated. Raises `NotFound`."""
        return await self._answered(suggestion_id, "dismissed", "open", by)

    async def _answered(self, suggestion_id: str, before: str, after: str, by: str | None) -> Suggestion:
        await self.get(suggestion_id)
        await self._rows.answer(suggestion_id, before, after, by, self._clock())
        return await self.get(suggestion_id)

    async def _as_today(self, rows: Sequence[Document]) -> list[Suggestion]:
        people = await self._profiles.many(each for row in rows for each in row["profile_ids"])
        found: dict[tuple[str, str], Suggestion] = {}
        for row in rows:
            pair = [people[each] for each in row["profile_ids"] if each in people]
            if len(pair) < 2 or pair[0].id == pair[1].id:
                continue
            one, other = sorted(pair, key=lambda each: (each.created_at, each.id))
            said = (Evidence(each["kind"], each["key"], each["reason"]) for each in row.get("evidence") or ())
            evidence = tuple(dict.fromkeys(said))  # the same may have been said first, and proved later
            parted = bool(row.get("parted"))
            shown = Suggestion(row["_id"], one, other, evidence, row["state"], row["created_at"], parted)
            found.setdefault((one.id, other.id), shown)
        return list(found.values())
