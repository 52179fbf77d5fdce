"""Reads what the plans of a batch look at: who holds the keys, and how these people stand now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from base.mongo import Document
from profiles.imports.plan import Known
from profiles.imports.rows import Wanted
from profiles.store.profiles import ProfileStore


@dataclass(frozen=True)
class Sight:
    """What was found. `identities`: key → identity as stored."""

    known: Known
    identities: dict[str, Document]


async def look(profiles: ProfileStore, wanted: Sequence[Wanted], earlier: Collection[str] = ()) -> Sight:
    """For all rows at once, in three or four reads."""
    sound = [each for each in wanted if each.fault is None]
    identities = await profiles.identity_rows.rows_by_key(key.key for each in sound for key in each.keys)
    named = {each.profile_id for each in sound if each.profile_id is not None}
    found = await profiles.documents({row["profile_id"] for row in identities.values()} | named)
    today: dict[str, str] = {asked: row["_id"] for asked, row in found.items()}
    held: dict[str, str] = {key: row["profile_id"] for key, row in identities.items()}
    holders = {key: today.get(profile_id, profile_id) for key, profile_id in held.items()}
    documents = {row["_id"]: row for row in found.values()}
    joined = {
        holders[key]
        for each in sound
        if any(key.kind == "customer_id" and key.key not in identities for key in each.keys)
        for key in each.deciding
        if key in holders
    } | {today[each] for each in named if each in today}
    customers = await _customers(profiles, joined)
    return Sight(Known(holders, documents, customers, frozenset(earlier), today), identities)


async def _customers(profiles: ProfileStore, profile_ids: Collection[str]) -> dict[str, list[str]]:
    if not profile_ids:
        return {}
    rows = await profiles.identity_rows.plain_of(sorted(profile_ids), ["customer_id"])
    return {profile_id: [row["value"] for row in theirs] for profile_id, theirs in rows.items()}
