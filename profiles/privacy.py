"""Everything we hold on a person, to hand out or to erase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from base.errors import NotFound
from profiles.models import plain
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.merges import MergeStore
from profiles.store.profiles import ProfileStore


@dataclass(frozen=True)
class Erased:
    """What went, so that the door can erase what hangs on it elsewhere (messages, orders, sends, runs)."""

    profile_ids: list[str]
    identity_ids: list[str]
    identity_keys: list[str]
    counts: dict[str, int]


class Privacy:
    """Export and erasure of what this package holds."""

    def __init__(self, profiles: ProfileStore, events: EventStore, consents: ConsentStore, merges: MergeStore) -> None:
        self._profiles = profiles
        self._events = events
        self._consents = consents
        self._merges = merges

    async def export(self, profile_id: str) -> dict[str, Any]:
        """Profile, identities, consents and events as JSON values. Raises `NotFound`."""
        profile = await self._profiles.get(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.")
        events = await self._events.for_profile(profile.id, 100_000)
        former = await self._profiles.tombstones_of(profile.id)
        acts = await self._consents.ledger([profile.id, *former], 100_000)
        return {
            "profile": profile.to_json(),
            "identities": [each.to_json() for each in await self._profiles.identities_of(profile.id)],
            "consents": [plain({name: act[name] for name in act if name not in ("_id", "dedupe")}) for act in acts],
            "events": [each.to_json() for each in events],
        }

    async def erase(self, profile_id: str) -> Erased:
        """Take away the person with all ids merged into it. Raises `NotFound`.

        The profile goes last, so that a call that was cut short can be repeated.
        """
        profile = await self._profiles.get(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.")
        ids = [profile.id, *await self._profiles.tombstones_of(profile.id)]
        counts = {"events": await self._events.delete_of(ids), "consents": await self._consents.delete_of(ids)}
        counts["merges"] = await self._merges.delete_of(ids)
        counts["suggestions"] = await self._profiles.suggestions.delete_of(ids)
        identity_ids, keys = await self._profiles.identity_rows.delete_of(ids)
        counts |= {"identities": len(identity_ids), "profiles": await self._profiles.delete(ids)}
        return Erased(ids, identity_ids, keys, counts)
