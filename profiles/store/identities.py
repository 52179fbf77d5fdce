"""The ways by which people are known and reached, each under its unique key."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.mongo import BY_ID, Database, Document, Indexes, Session, UpdateOne, inserted_apart_from_duplicates, whole
from profiles.keys import Key
from profiles.models import NO_ADDRESS, SHUT_OUT, Identity, channel_label
from profiles.store.belongings import IdentityBelongings

INDEXES: Indexes = {
    "identities": [
        IndexModel([("key", ASCENDING)], name="key", unique=True),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("address_key", ASCENDING)], name="by_address"),
        IndexModel([("alias_of", ASCENDING)], name="aliases", sparse=True),
        IndexModel([("lookup.at", ASCENDING)], name="lookup", sparse=True),
    ]
}
#: Suppressions that end by themselves when the person writes to us again.
LIFTED_BY_WRITING = ("left", "blocked", "unreachable")


@dataclass(frozen=True)
class Touch:
    """What one or more sightings of an identity tell of it; the newest speaks."""

    at: datetime
    inbound_at: datetime | None = None
    provider: str | None = None
    handle: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None

    def newer(self, other: Touch) -> Touch:
        """Both together."""
        first, last = sorted((self, other), key=lambda touch: touch.at)
        inbound = [at for at in (self.inbound_at, other.inbound_at) if at is not None]
        return Touch(
            at=last.at, inbound_at=max(inbound, default=None), provider=last.provider or first.provider,
            handle=last.handle or first.handle, display_name=last.display_name or first.display_name,
            avatar_url=last.avatar_url or first.avatar_url,
        )  # fmt: skip


def identity_row(identity_id: str, key: Key, profile_id: str, touch: Touch, evidence: Mapping[str, Any]) -> Document:
    """A new identity as stored. `raw`: as it was said first, where that is not its value."""
    row = {
        "_id": identity_id, "key": key.key, "address_key": key.address_key, "kind": key.kind,
        "strength": key.strength, "verified": key.verified, "profile_id": profile_id, "channel_id": key.channel_id,
        "provider": touch.provider or key.provider, "external_id": key.external_id, "value": key.value,
        "handle": touch.handle or key.handle, "display_name": touch.display_name, "avatar_url": touch.avatar_url,
        "reachable": True, "left_at": None, "suppressed": None, "last_inbound_at": touch.inbound_at,
        "window_sends": 0, "first_seen_at": touch.at, "last_seen_at": touch.at, "evidence": dict(evidence),
    }  # fmt: skip
    return row if key.raw in (None, key.value) else {**row, "raw": key.raw}


def alias_row(row_id: str, key: Key, canonical: Mapping[str, Any], at: datetime) -> Document:
    """Another id of an identity we hold: found by its key, always answered with the identity itself."""
    return {
        "_id": row_id, "key": key.key, "address_key": key.address_key, "kind": key.kind, "strength": key.strength,
        "verified": key.verified, "profile_id": canonical["profile_id"], "channel_id": key.channel_id,
        "alias_of": canonical["_id"], "external_id": key.external_id, "value": key.value, "first_seen_at": at,
    }  # fmt: skip


class IdentityStore:
    """Reads and writes identities. Rows with `alias_of` never leave it as identities."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("identities")
        self.belongings = IdentityBelongings("identities", self._rows, "idn")

    async def rows_by_key(self, keys: Iterable[str]) -> dict[str, Document]:
        """Key → the identity behind it; an alias answers with its identity."""
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        rows = await self._rows.find({"key": {"$in": wanted}}).to_list(None)
        behind = {row["alias_of"] for row in rows if row.get("alias_of")}
        canonical = {row["_id"]: row for row in rows if not row.get("alias_of")}
        missing = list(behind - canonical.keys())
        if missing:
            canonical |= {row["_id"]: row async for row in self._rows.find({"_id": {"$in": missing}})}
        found = {row["key"]: canonical.get(row.get("alias_of") or row["_id"]) for row in rows}
        return {key: row for key, row in found.items() if row is not None}

    async def insert(self, rows: Sequence[Document]) -> list[Document]:
        """Insert those whose key is free; return those whose key was taken.

        A mail address that bounced or complained does so for whichever of our accounts meets it next.
        """
        taken = await inserted_apart_from_duplicates(self._rows, rows)
        await self._inherit({row["address_key"] for row in rows if _is_mail(row["address_key"])})
        return [rows[position] for position in sorted(taken)]

    async def _inherit(self, address_keys: set[str]) -> None:
        """After the insert, so that a suppression at the same moment meets either the new row or this look."""
        if not address_keys:
            return
        wanted = {"address_key": {"$in": list(address_keys)}, "suppressed": {"$ne": None}, "alias_of": None}
        async for row in self._rows.find(wanted, {"address_key": 1, "suppressed": 1}):
            free = {"address_key": row["address_key"], "suppressed": None}
            await self._rows.update_many(free, {"$set": {"suppressed": row["suppressed"]}})

    async def touch(self, touches: Mapping[str, Touch], rows: Mapping[str, Document]) -> None:
        """Note that known identities were seen: `touches` by identity id, `rows` as they were read."""
        changes = [op for identity_id, touch in touches.items() for op in _touching(rows[identity_id], touch)]
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    async def point(self, keys: Sequence[str], from_profile: str, to_profile: str) -> None:
        """Move identities to another profile, those that still belong to the first."""
        await self._rows.update_many(
            {"key": {"$in": list(keys)}, "profile_id": from_profile}, {"$set": {"profile_id": to_profile}}
        )

    async def prove(self, proven: Sequence[tuple[str, str]]) -> None:
        """(key, profile): a value that was only said so far has been proved by that profile, and goes to it."""
        changes = [
            UpdateOne(
                {"key": key, "strength": "weak"},
                {"$set": {"profile_id": profile_id, "strength": "strong", "verified": True}},
            )
            for key, profile_id in proven
        ]
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    async def move(self, identity_id: str, external_id: str) -> None:
        """The provider gave this person a new id: send there from now on. May run twice."""
        row = await self._rows.find_one({"_id": identity_id})
        if row is None or row.get("external_id") == external_id:
            return
        await self._rows.update_one(
            {"_id": identity_id},
            {"$set": {"external_id": external_id}, "$addToSet": {"former_external_ids": row.get("external_id")}},
        )

    async def kinds_of(self, profile_ids: Iterable[str]) -> dict[str, Counter[str]]:
        """Profile → how many identities of each kind it has."""
        counts: dict[str, Counter[str]] = {profile_id: Counter() for profile_id in profile_ids}
        wanted = {"profile_id": {"$in": list(counts)}, "alias_of": None}
        async for row in self._rows.find(wanted, {"profile_id": 1, "kind": 1}):
            counts[row["profile_id"]][row["kind"]] += 1
        return counts

    async def made_by(self, profile_ids: Sequence[str], sources: Sequence[str], session: Session) -> list[Document]:
        """Identities of these people that came of one of these `made_by`."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "evidence.made_by": {"$in": list(sources)}}
        return await whole(self._rows.find(wanted, session=session))

    async def made_otherwise(self, profile_ids: Sequence[str], source: str) -> set[str]:
        """Those of these people who have an identity whose `made_by` does not begin with `source`."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "evidence.made_by": {"$not": {"$regex": f"^{source}:"}}}
        return set(await self._rows.distinct("profile_id", wanted))

    async def plain_of(self, profile_ids: Sequence[str], kinds: Sequence[str]) -> dict[str, list[Document]]:
        """Profile → its identities of these kinds as stored, in the order in which they were first seen."""
        result: dict[str, list[Document]] = {profile_id: [] for profile_id in profile_ids}
        wanted = {"profile_id": {"$in": list(profile_ids)}, "kind": {"$in": list(kinds)}, "alias_of": None}
        for row in await whole(self._rows.find(wanted).sort("_id", ASCENDING)):
            result[row["profile_id"]].append(row)
        return result

    async def drop(self, identity_ids: Sequence[str], session: Session) -> None:
        """Take identities away, with their further ids."""
        ids = list(identity_ids)
        await self._rows.delete_many({"$or": [{"_id": {"$in": ids}}, {"alias_of": {"$in": ids}}]}, session=session)

    async def of_profile(self, profile_id: str) -> list[Identity]:
        """In the order in which they were first seen."""
        return (await self.of_profiles([profile_id]))[profile_id]

    async def of_profiles(self, profile_ids: Sequence[str]) -> dict[str, list[Identity]]:
        """The same for many people in one read."""
        result: dict[str, list[Identity]] = {profile_id: [] for profile_id in profile_ids}
        wanted = {"profile_id": {"$in": list(profile_ids)}, "alias_of": None}
        for row in await whole(self._rows.find(wanted).sort("_id", ASCENDING)):
            result[row["profile_id"]].append(Identity.model_validate(row))
        return result

    async def all_rows_of(self, profile_ids: Sequence[str]) -> list[Document]:
        """Everything by which these people are known, further ids of one identity among it."""
        return await whole(self._rows.find({"profile_id": {"$in": list(profile_ids)}}).sort("_id", ASCENDING))

    async def many(self, identity_ids: Iterable[str]) -> dict[str, Identity]:
        """Identities by id; unknown ids are left out."""
        found = self._rows.find({"_id": {"$in": list(set(identity_ids))}, "alias_of": None})
        return {row["_id"]: Identity.model_validate(row) for row in await whole(found)}

    async def set_reachable(
        self, identity_id: str, reachable: bool, at: datetime, session: Session | None = None
    ) -> bool:
        """The person left (blocked us, unfollowed) or came back; False when that was known or older than what is."""
        fresh: Document = {"_id": identity_id, "reachable": not reachable, "reach_changed_at": {"$not": {"$gt": at}}}
        if not reachable:
            fresh["$or"] = [{"last_inbound_at": None}, {"last_inbound_at": {"$lte": at}}]
        change: Document = {"reachable": reachable, "left_at": None if reachable else at, "reach_changed_at": at}
        return (await self._rows.update_one(fresh, {"$set": change}, session=session)).modified_count == 1

    async def suppress(self, identity: Identity, reason: str, at: datetime) -> list[str]:
        """Nothing goes to this address any more; the profiles concerned. The first reason stays.

        A mailbox is dead for all our accounts; a number that has no WhatsApp may well get an SMS.
        """
        wanted = _same_box(identity)
        change = {"$set": {"suppressed": {"reason": reason, "at": at}}, "$unset": {"released": ""}}
        await self._rows.update_many({**wanted, "suppressed": None}, change)
        return await self._rows.distinct("profile_id", wanted)

    async def shut_out(self, profile_id: str, at: datetime, session: Session) -> None:
        """Nothing goes to any address of this person; what is suppressed already keeps its reason."""
        wanted = {"profile_id": profile_id, "alias_of": None, "suppressed": None}
        change = {"$set": {"suppressed": {"reason": SHUT_OUT, "at": at}}}
        await self._rows.update_many(wanted, change, session=session)

    async def let_in(self, profile_id: str, session: Session) -> None:
        """What was suppressed because they were shut out is free again."""
        wanted = {"profile_id": profile_id, "suppressed.reason": SHUT_OUT}
        await self._rows.update_many(wanted, {"$set": {"suppressed": None}}, session=session)

    async def release(self, identity: Identity, by: str | None, at: datetime, session: Session) -> list[str]:
        """A person decided that the address may be used again; the profiles concerned. What stood against it is kept,
        so that it can be put back."""
        wanted = _same_box(identity)
        kept = {"reason": "$suppressed.reason", "since": "$suppressed.at", "by": {"$literal": by}, "at": at}
        change: list[Document] = [{"$set": {"released": kept}}, {"$set": {"suppressed": None}}]
        await self._rows.update_many({**wanted, "suppressed": {"$ne": None}}, change, session=session)
        return await self._rows.distinct("profile_id", wanted)

    async def put_back(self, identity: Identity, session: Session) -> list[str]:
        """What was released by hand is suppressed as before; the profiles concerned."""
        wanted = _same_box(identity)
        change: list[Document] = [{"$set": {"suppressed": {"reason": "$released.reason", "at": "$released.since"}}},
                  {"$unset": "released"}]  # fmt: skip
        released = {**wanted, "suppressed": None, "released": {"$ne": None}}
        await self._rows.update_many(released, change, session=session)
        return await self._rows.distinct("profile_id", wanted)

    async def labels_of(self, profile_ids: Sequence[str], session: Session | None = None) -> dict[str, list[str]]:
        """Profile → the channels on which it can be reached now."""
        result: dict[str, list[str]] = {profile_id: [] for profile_id in profile_ids}
        wanted = {"profile_id": {"$in": list(profile_ids)}, "reachable": True, "suppressed": None, "alias_of": None}
        fields = {"profile_id": 1, "address_key": 1, "provider": 1, "kind": 1}
        async for row in self._rows.find(wanted, fields, session=session).sort("_id", ASCENDING):
            label = channel_label(row["address_key"], row.get("provider"), row["kind"])
            labels = result[row["profile_id"]]
            if label not in labels and row["kind"] not in NO_ADDRESS:
                labels.append(label)
        return result

    async def claim_lookups(self, now: datetime, until: datetime, limit: int) -> list[Document]:
        """Identities whose platform is to be asked who they are; `until` then nobody else gets them."""
        due = {"lookup.at": {"$lte": now}}
        ids = [row["_id"] async for row in self._rows.find(due, {"_id": 1}).sort("lookup.at", ASCENDING).limit(limit)]
        if not ids:
            return []
        token = secrets.token_hex(8)
        await self._rows.update_many(
            {"_id": {"$in": ids}, **due},
            {"$set": {"lookup.at": until, "lookup.lease": token}, "$inc": {"lookup.tries": 1}},
            hint=BY_ID,
        )
        return await self._rows.find({"_id": {"$in": ids}, "lookup.lease": token}).hint(BY_ID).to_list(None)

    async def looked_up(self, row: Document, again_at: datetime | None = None) -> None:
        """The platform has answered; or it is asked again then."""
        change = {"$unset": {"lookup": ""}} if again_at is None else {"$set": {"lookup.at": again_at}}
        await self._rows.update_one({"_id": row["_id"], "lookup.lease": row["lookup"]["lease"]}, change)

    async def delete_of(
        self, profile_ids: Sequence[str], session: Session | None = None
    ) -> tuple[list[str], list[str]]:
        """Erase all identities of these people; their ids and their keys."""
        wanted = {"profile_id": {"$in": list(profile_ids)}}
        rows = await self._rows.find(wanted, {"key": 1}, session=session).to_list(None)
        await self._rows.delete_many(wanted, session=session)
        return [row["_id"] for row in rows], [row["key"] for row in rows]


def _is_mail(address_key: str) -> bool:
    return address_key.startswith("email:")


def _same_box(identity: Identity) -> Document:
    return {"address_key": identity.address_key} if _is_mail(identity.address_key) else {"_id": identity.id}


def _touching(row: Document, touch: Touch) -> list[UpdateOne]:
    """At most one update: what is shown and when it was seen; that the person wrote, unless a later one is known."""
    change: Document = {}
    wanted: Document = {"_id": row["_id"]}
    seen, written = row.get("last_seen_at"), row.get("last_inbound_at")
    if seen is None or touch.at > seen:
        fields = ("provider", "handle", "display_name", "avatar_url")
        told = {name: getattr(touch, name) for name in fields if getattr(touch, name) is not None}
        change = {name: value for name, value in told.items() if row.get(name) != value}
    if touch.inbound_at is not None and (written is None or touch.inbound_at > written):
        wanted["$or"] = [{"last_inbound_at": None}, {"last_inbound_at": {"$lt": touch.inbound_at}}]
        change |= _back(row, touch.inbound_at)
    elif seen is not None and touch.at <= seen:
        return []
    return [UpdateOne(wanted, {"$max": {"last_seen_at": touch.at}, **({"$set": change} if change else {})})]


def _back(row: Document, at: datetime) -> Document:
    change: Document = {"last_inbound_at": at, "window_sends": 0}
    if row["kind"] == "channel" and row.get("verified") is False:  # they were written to first, and answer
        change["verified"] = True
    left_at = row.get("left_at")
    if not row.get("reachable", True) and (left_at is None or left_at < at):
        change |= {"reachable": True, "left_at": None, "reach_changed_at": at}
    suppressed = row.get("suppressed")
    if suppressed and suppressed["reason"] in LIFTED_BY_WRITING and suppressed["at"] < at:
        change["suppressed"] = None
    return change
