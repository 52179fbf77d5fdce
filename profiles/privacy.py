"""Everything we hold on a person, to hand out or to erase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from base.errors import NotFound
from base.mongo import Document
from profiles.models import plain
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.merges import MergeStore
from profiles.store.profiles import ProfileStore
from profiles.store.relations import RelationStore
from profiles.store.stage_log import StageLogStore
from profiles.store.tags import TagStore


@dataclass(frozen=True)
class Erased:
    """What went, so that the door can erase what hangs on it elsewhere (messages, orders, sends, runs)."""

    profile_ids: list[str]
    identity_ids: list[str]
    identity_keys: list[str]
    counts: dict[str, int]


class Privacy:
    """Export and erasure of what this package holds."""

    def __init__(
        self, profiles: ProfileStore, events: EventStore, consents: ConsentStore, merges: MergeStore,
        stage_log: StageLogStore, relations: RelationStore, tags: TagStore,
    ) -> None:  # fmt: skip
        self._profiles = profiles
        self._events = events
        self._consents = consents
        self._merges = merges
        self._stage_log = stage_log
        self._relations = relations
        self._tags = tags

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
            "stages": [plain(_bare(row)) for row in await self._stages(profile.id)],
            "relations": [plain(_bare(row)) for row in await self._relations.of_profile(profile.id)],
            "events": [each.to_json() for each in events],
        }

    async def _stages(self, profile_id: str) -> list[Document]:
        return (await self._stage_log.of_profile(profile_id, limit=200)).data

    async def erase(self, profile_id: str) -> Erased:
        """Take away the person with all ids merged into it. Raises `NotFound`.

        The profile goes last, so that a call that was cut short can be repeated.
        """
        profile = await self._profiles.get(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.")
        ids = [profile.id, *await self._profiles.tombstones_of(profile.id)]
        counts = {"events": await self._events.delete_of(ids), "consents": await self._consents.delete_of(ids)}
        counts["stage_log"] = await self._stage_log.delete_of(ids)
        counts["relations"] = await self._relations.delete_of(ids)
        counts["tag_moves"] = await self._tags.delete_of(ids)
        counts["merges"] = await self._merges.delete_of(ids)
        counts["suggestions"] = await self._profiles.suggestions.delete_of(ids)
        identity_ids, keys = await self._profiles.identity_rows.delete_of(ids)
        counts |= {"identities": len(identity_ids), "profiles": await self._profiles.delete(ids)}
        return Erased(ids, identity_ids, keys, counts)


def _bare(row: Document) -> Document:
    return {name: value for name, value in row.items() if name not in ("_id", "key", "pair", "link", "moved", "rev")}
