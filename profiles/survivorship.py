"""What a profile shows of a person when several sources speak: stronger source first, then the newer. Pure.

Rank: person edited > shop or API > form > channel > import. Addresses are collected, never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from profiles.models import SOURCE_RANK, STAGE_FIRST, Source
from profiles.normalise import clean_text
from profiles.postal import same_block
from profiles.search import search_tokens
from profiles.segments.bucket import dice_of

Document = dict[str, Any]

#: Texts that are ruled by rank and time, one stamp each in `sources`.
RANKED = ("name", "avatar_url", "locale", "time_zone")
#: All fields with a stamp. An address is one block: parts of two of them are no address.
STAMPED = (*RANKED, "address")
CONTACTS_MAX, HANDLES_MAX, REACH_MAX = 10, 10, 50
_LIMITS = {"avatar_url": 2000, "locale": 35, "time_zone": 60}
_SEARCHED = frozenset({"name", "handles", "emails", "phones"})


@dataclass(frozen=True)
class ContactFact:
    """An address somebody gave or proved."""

    value: str
    verified: bool
    raw: str | None = None


@dataclass(frozen=True)
class Facts:
    """What one source says of a person at one time. `seen`: the person did something; `reaches`: channel label."""

    at: datetime
    source: Source
    name: str | None = None
    avatar_url: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    #: As `profiles.postal.block_of` makes it.
    address: Mapping[str, str | None] | None = None
    emails: tuple[ContactFact, ...] = ()
    phones: tuple[ContactFact, ...] = ()
    handles: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    touch: Mapping[str, Any] | None = None
    seen: bool = False
    #: The person or program of ours that said so.
    by: str | None = None
    #: See `profiles.resolve.Reference`.
    made_by: str | None = None
    quiet: bool = False


def new_profile(profile_id: str, facts: Sequence[Facts]) -> Document:
    """A profile as the first facts show it. `unannounced` until its `profile.created` is kept."""
    at = min((each.at for each in facts), default=None)
    if at is None:
        raise ValueError("a profile comes from at least one fact")
    blank: Document = {
        "_id": profile_id, "name": None, "emails": [], "phones": [], "handles": [], "avatar_url": None, "tags": [],
        "roles": [],
        "stage": STAGE_FIRST, "stage_since": at, "tier": None, "score": 0, "locale": None, "time_zone": None,
        "location": None, "address": None, "owner_id": None, "attributes": {},
        "orders": {"count": 0, "revenue": {}, "revenue_minor": [], "first_at": None, "last_at": None},
        "consents": [], "reachable_on": [], "segments": [], "search": [], "sources": {},
        "first_touch": None, "last_touch": None, "created_at": at, "updated_at": at, "last_seen_at": None,
        "merged_into": None, "rev": 0, "unannounced": True, "dice": dice_of(profile_id),
    }  # fmt: skip
    blank = {**blank, **changes(blank, facts)}
    blank["last_seen_at"] = max((each.at for each in facts if each.seen), default=None)
    blank |= {"made_by": facts[0].made_by} if facts[0].made_by else {}
    return blank | ({"quiet": True} if all(each.quiet for each in facts) else {})


def changes(profile: Mapping[str, Any], facts: Iterable[Facts]) -> Document:
    """The top-level fields that these facts change, with their new values; {} when they change nothing.

    Applying facts twice, or in another order, ends the same as long as no two of one rank share a time.
    """
    after = dict(profile)
    for each in sorted(facts, key=lambda fact: fact.at):
        after |= _applied(after, each)
    changed = {name: value for name, value in after.items() if value != profile.get(name)}
    if _SEARCHED & changed.keys():
        changed["search"] = tokens_of(after)
    return changed


def tokens_of(profile: Mapping[str, Any]) -> list[str]:
    """What this profile is found by."""
    emails, phones = ([entry["value"] for entry in profile.get(field) or []] for field in ("emails", "phones"))
    return search_tokens(profile.get("name"), profile.get("handles") or [], emails, phones)


def _applied(profile: Mapping[str, Any], facts: Facts) -> Document:
    result = _ranked(profile, facts)
    for name, contacts in (("emails", facts.emails), ("phones", facts.phones)):
        if contacts:
            result[name] = _with_contacts(profile.get(name) or [], contacts, facts.source)
    for name, values, limit in (("handles", facts.handles, HANDLES_MAX), ("reachable_on", facts.reaches, REACH_MAX)):
        if values:
            result[name] = _with_values(profile.get(name) or [], values, limit)
    return result | _touched(profile, facts.touch)


def _ranked(profile: Mapping[str, Any], facts: Facts) -> Document:
    stamps = dict(profile.get("sources") or {})
    result: Document = {}
    for name in RANKED:
        said = getattr(facts, name)
        if said is None or said == profile.get(name):
            continue
        value = clean_text(said, _LIMITS.get(name, 200))
        if value is not None and value != profile.get(name) and beats(stamps.get(name), facts.source, facts.at):
            result[name] = value
            stamps[name] = {"rank": SOURCE_RANK[facts.source], "at": facts.at}
    new = facts.address if not same_block(facts.address, profile.get("address")) else None
    if new is not None and beats(address_stamp(profile), facts.source, facts.at):
        result["address"] = dict(new)
        stamps["address"] = {"rank": SOURCE_RANK[facts.source], "at": facts.at}
    return {**result, "sources": stamps} if result else result


def address_stamp(profile: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Who said the address. One without a stamp is from before addresses had them: a person's word."""
    stamp: Mapping[str, Any] | None = (profile.get("sources") or {}).get("address")
    if stamp is None and profile.get("address"):
        return {"rank": SOURCE_RANK["person"], "at": profile["created_at"]}
    return stamp


def beats(stamp: Mapping[str, Any] | None, source: Source, at: datetime) -> bool:
    """Whether a value of this source and time replaces the one that carries `stamp`."""
    if stamp is None:
        return True
    rank = SOURCE_RANK[source]
    return bool(rank < stamp["rank"] or (rank == stamp["rank"] and at >= stamp["at"]))


def _with_contacts(held: Sequence[Document], new: Iterable[ContactFact], source: Source) -> list[Document]:
    entries = [dict(entry) for entry in held]
    for fact in new:
        known = next((entry for entry in entries if entry["value"] == fact.value), None)
        if known is not None:
            known["verified"] = known["verified"] or fact.verified
        elif len(entries) < CONTACTS_MAX:
            entry = {"value": fact.value, "verified": fact.verified, "primary": not entries, "source": source}
            entries.append(entry | ({"raw": fact.raw} if fact.raw and fact.raw != fact.value else {}))
    return entries


def _with_values(held: Sequence[str], new: Iterable[str], limit: int) -> list[str]:
    cleaned = (value if value in held else clean_text(value) for value in new)
    return list(dict.fromkeys([*held, *(value for value in cleaned if value)]))[:limit]


def _touched(profile: Mapping[str, Any], touch: Mapping[str, Any] | None) -> Document:
    """The first touch is the earliest known, the last one the latest that tells where the person came from."""
    if touch is None:
        return {}
    first, last = profile.get("first_touch"), profile.get("last_touch")
    result: Document = {}
    if first is None or touch["at"] < first["at"]:
        result["first_touch"] = dict(touch)
    if last is None or (touch.get("told") and (not last.get("told") or touch["at"] >= last["at"])):
        result["last_touch"] = dict(touch)
    return result
