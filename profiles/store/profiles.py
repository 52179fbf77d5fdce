"""The profiles, with the identities and suggestions that hang on them. Every read by an old id follows merges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pymongo import ASCENDING, DESCENDING, GEOSPHERE, IndexModel

from base.clock import Clock, now
from base.mongo import (
    BY_ID,
    LOOK_MS,
    Database,
    Document,
    Indexes,
    Session,
    UpdateOne,
    in_time,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.models import Identity, Profile
from profiles.search import query_tokens
from profiles.store.appraisals import AppraisalBook, due_now, due_row
from profiles.store.identities import IdentityStore
from profiles.store.suggestions import SuggestionStore
from profiles.store.tallies import TallyStore, memberships

_NEWEST = ("_id", DESCENDING)
_MOVED = (("stage_since", DESCENDING), _NEWEST)


def _given(field_name: str) -> dict[str, Any]:
    """Only rows that have such a text: most people have neither owner nor tier."""
    return {"partialFilterExpression": {field_name: {"$gt": ""}}}


INDEXES: Indexes = {
    "profiles": [
        IndexModel([("search", ASCENDING), _NEWEST], name="search"),
        IndexModel([("tags", ASCENDING), _NEWEST], name="by_tag"),
        IndexModel([("stage", ASCENDING), _NEWEST], name="by_stage"),
        IndexModel([("tier", ASCENDING), _NEWEST], name="by_tier"),
        IndexModel([("owner_id", ASCENDING), _NEWEST], name="by_owner"),
        IndexModel([("roles", ASCENDING), _NEWEST], name="by_role", **_given("roles")),
        IndexModel([("segments", ASCENDING), _NEWEST], name="by_segment"),
        # columns of the stage board, those moved last first; narrowed to an owner, a tier or a tag, the database
        # chooses between this one and theirs (each index costs every write, decision 47)
        IndexModel([("stage", ASCENDING), *_MOVED], name="board"),
        IndexModel([("last_seen_at", DESCENDING), _NEWEST], name="by_last_seen"),
        IndexModel([("location", GEOSPHERE)], name="location"),
        IndexModel([("joined", ASCENDING)], name="joined", sparse=True),
        IndexModel(
            [("next_follow_up.assignee_id", ASCENDING), ("next_follow_up.at", ASCENDING)],
            name="follow_ups_of",
            partialFilterExpression={"next_follow_up.at": {"$exists": True}},
        ),
        IndexModel([("unannounced", ASCENDING)], name="unannounced", partialFilterExpression={"unannounced": True}),
        IndexModel([("appraise_at", ASCENDING)], name="appraisals", sparse=True),
    ]
}
#: Stands in a cursor for no time at all.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: A chain of merges longer than this is a fault in the data.
CHAIN_MAX = 50


@dataclass(frozen=True)
class ProfileFilter:
    """What a list shows. `where` is a filter made by `profiles.segments.mongo`, nothing else."""

    q: str | None = None
    tag: str | None = None
    stage: str | None = None
    tier: str | None = None
    role: str | None = None
    owner_id: str | None = None
    segment: str | None = None
    identity_key: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


class ProfileStore:
    """Reads for everybody; writes for the use cases of this package.

    Whatever changes what a profile says makes it due for appraisal (`profiles.appraisal`), in the same write.
    """

    def __init__(self, database: Database, clock: Clock = now) -> None:
        self._database = database
        self._rows = database.collection("profiles")
        self._clock = clock
        self.tallies = TallyStore(database)
        self.appraisals = AppraisalBook(database, clock, self.tallies)
        self.identity_rows = IdentityStore(database)
        self.suggestions = SuggestionStore(database)

    # -- reads --------------------------------------------------------------------------------------------------

    async def get(self, profile_id: str) -> Profile | None:
        """The customer of that id; one merged away answers with the survivor and `merged_from`."""
        return (await self.many([profile_id])).get(profile_id)

    async def many(self, profile_ids: Iterable[str]) -> dict[str, Profile]:
        """Asked id → customer; unknown ids are left out."""
        found = await self.documents(profile_ids)
        return {asked: as_profile(row, asked) for asked, row in found.items()}

    async def documents(self, profile_ids: Iterable[str], session: Session | None = None) -> dict[str, Document]:
        """Asked id → the survivor's document as stored."""
        asked = list(dict.fromkeys(profile_ids))
        rows = await self._by_id(asked, session)
        behind = {asked_id: row for asked_id, row in rows.items() if row["merged_into"]}
        if behind:
            survivors = await self._survivors(behind, session)
            rows |= survivors
        return {asked_id: row for asked_id, row in rows.items() if not row["merged_into"]}

    async def there(self, profile_ids: Iterable[str]) -> set[str]:
        """Those of these ids behind which somebody is, merges followed."""
        asked = {"_id": {"$in": list(set(profile_ids))}}
        rows = await whole(self._rows.find(asked, {"merged_into": 1}).hint(BY_ID))
        merged = [row["_id"] for row in rows if row.get("merged_into")]
        here = {row["_id"] for row in rows if not row.get("merged_into")}
        return here | set(await self.documents(merged)) if merged else here

    async def current(self, profile_ids: Iterable[str]) -> dict[str, str]:
        """Asked id → the id of today. An id nobody holds answers with itself."""
        asked = list(dict.fromkeys(profile_ids))
        wanted = {"_id": {"$in": asked}, "merged_into": {"$ne": None}}
        behind = {row["_id"]: row async for row in self._rows.find(wanted, {"merged_into": 1, "rev": 1}).hint(BY_ID)}
        survivors = await self._survivors(behind, None) if behind else {}
        return {asked_id: survivors[asked_id]["_id"] if asked_id in survivors else asked_id for asked_id in asked}

    async def revisions(self, profile_ids: Iterable[str]) -> dict[str, int]:
        """Profile → how often it was changed; no merges followed."""
        wanted = {"_id": {"$in": list(profile_ids)}}
        return {row["_id"]: row.get("rev", 0) for row in await whole(self._rows.find(wanted, {"rev": 1}))}

    async def identities_of(self, profile_id: str) -> list[Identity]:
        """All ways by which the person is known, first seen first."""
        now = await self.current([profile_id])
        return await self.identity_rows.of_profile(now[profile_id])

    async def identity(self, identity_id: str) -> Identity | None:
        """One identity."""
        return (await self.identity_rows.many([identity_id])).get(identity_id)

    async def identities(self, identity_ids: Iterable[str]) -> dict[str, Identity]:
        """Identities by id; unknown ids are left out."""
        return await self.identity_rows.many(identity_ids)

    async def by_identity(self, key: str) -> Profile | None:
        """Who holds the identity of that key."""
        row = (await self.identity_rows.rows_by_key([key])).get(key)
        return await self.get(row["profile_id"]) if row else None

    async def page(
        self, wanted: ProfileFilter, *, limit: int | None = None, cursor: str | None = None,
        sort: Literal["newest", "last_seen"] = "newest",
    ) -> Page[Profile]:  # fmt: skip
        """Profiles of a list. `newest` first is stable whatever is written meanwhile; under `last_seen` somebody who
        comes back moves to the top. Raises `WrongInput` for a foreign cursor."""
        size = bounded(limit)
        conditions = [await self._conditions(wanted), _after(cursor, sort)]
        order = [_NEWEST] if sort == "newest" else [("last_seen_at", DESCENDING), _NEWEST]
        query = {"$and": [condition for condition in conditions if condition]}
        rows, more = cut(await self._rows.find(query).sort(order).limit(size + 1).to_list(None), size)
        profiles = [as_profile(row) for row in rows]
        return Page(profiles, _cursor_at(rows[-1], sort) if more else None)

    async def walk(self, wanted: ProfileFilter, before: str | None, size: int) -> list[Document]:
        """The next `size` people of a list as stored, newest first, after the one with the id `before`."""
        conditions = [await self._conditions(wanted), {"_id": {"$lt": before}} if before is not None else {}]
        query = {"$and": [condition for condition in conditions if condition]}
        return await whole(self._rows.find(query).sort([_NEWEST]).limit(size))

    async def attribute_keys(self, wanted: ProfileFilter, limit: int) -> list[str]:
        """The names of the attributes that these people have, by the alphabet; where there are more, those that most
        people have."""
        steps: list[Mapping[str, Any]] = [
            {"$match": await self._conditions(wanted)},
            {"$project": {"key": {"$map": {"input": {"$objectToArray": "$attributes"}, "in": "$$this.k"}}}},
            {"$unwind": "$key"}, {"$sortByCount": "$key"}, {"$limit": limit},
        ]  # fmt: skip
        return sorted(row["_id"] for row in await self._database.aggregate(self._rows, steps, allowDiskUse=True))

    async def count(self, wanted: ProfileFilter, *, cap: int = 10_000) -> int:
        """How many, counted no further than `cap`. Raises `TooSlow`."""
        with in_time("These are too many to count now. Narrow the list down."):
            return await self._rows.count_documents(await self._conditions(wanted), limit=cap, maxTimeMS=LOOK_MS)

    async def column(
        self, wanted: ProfileFilter, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """Documents of one stage (`wanted.stage`), those moved there last first. Raises `WrongInput`."""
        size = bounded(limit)
        conditions = [await self._conditions(wanted), _moved_before(cursor)]
        query = {"$and": [condition for condition in conditions if condition]}
        rows, more = cut(await self._rows.find(query).sort(list(_MOVED)).limit(size + 1).to_list(None), size)
        last = rows[-1] if rows else {}
        return Page(rows, write_cursor(last.get("stage_since") or _LONG_AGO, last["_id"]) if more else None)

    async def column_count(self, wanted: ProfileFilter, *, cap: int = 10_000) -> int:
        """How many are in the column, counted in its index and no further than `cap`. Tombstones have no stage."""
        query = {name: value for name, value in _named(wanted).items() if value is not None}
        with in_time("These are too many to count now. Narrow the list down."):
            return await self._rows.count_documents(query, limit=cap, maxTimeMS=LOOK_MS)

    async def stages_held(self) -> list[str]:
        """Every stage that somebody is in, by skipping through the index."""
        return [str(each) for each in await self._rows.distinct("stage") if each]

    async def survivors_among(self, profile_ids: Iterable[str]) -> set[str]:
        """Those of these people into whom somebody was merged."""
        wanted = {"joined": {"$in": list(set(profile_ids))}}
        return set(await self._rows.distinct("joined", wanted))

    async def unprofiled(self, profile_ids: Iterable[str]) -> frozenset[str]:
        """Those of these people from whose doings nothing is concluded."""
        wanted = {"_id": {"$in": list(set(profile_ids))}, "profiling_off": True}
        return frozenset([row["_id"] async for row in self._rows.find(wanted, {"_id": 1})])

    async def to_follow_up(self, assignees: Sequence[str | None], until: datetime, limit: int) -> list[Document]:
        """People with a follow-up of one of these (None: nobody's) due by then, the longest due first."""
        due = {"next_follow_up.assignee_id": {"$in": list(assignees)}, "next_follow_up.at": {"$lte": until}}
        found = self._rows.find({**due, "merged_into": None}).sort("next_follow_up.at", ASCENDING).limit(limit)
        return await found.to_list(None)

    async def follow_ups_between(
        self, assignees: Sequence[str], since: datetime, until: datetime, limit: int
    ) -> list[Document]:  # fmt: skip
        """People with a follow-up of one of these whose time came then, in the order in which it did."""
        due = {"next_follow_up.assignee_id": {"$in": list(assignees)},
               "next_follow_up.at": {"$gte": since, "$lte": until}}  # fmt: skip
        found = self._rows.find({**due, "merged_into": None}).sort("next_follow_up.at", ASCENDING).limit(limit)
        return await found.to_list(None)

    async def unannounced(self, limit: int = 500) -> list[Document]:
        """Profiles whose `profile.created` is not known to be kept: a process died in between."""
        return await self._rows.find({"unannounced": True}).limit(limit).to_list(limit)

    # -- writes -------------------------------------------------------------------------------------------------

    async def insert(self, rows: Sequence[Document]) -> set[str]:
        """Insert those that are not there; the ids that were."""
        at = self._clock()
        taken = await inserted_apart_from_duplicates(self._rows, [due_row(row, at) for row in rows])
        return {rows[position]["_id"] for position in taken}

    async def change(self, changes: Sequence[tuple[Document, Document, datetime | None]], at: datetime) -> bool:
        """(row as read, its new fields, seen at): written where nobody wrote in between. False: read again."""
        due = due_now(self._clock())
        updates = [update for row, fields, seen in changes if (update := _changing(row, fields, seen, at, due))]
        if not updates:
            return True
        return (await self._rows.bulk_write(updates, ordered=False)).matched_count == len(updates)

    async def announced(self, profile_ids: Sequence[str]) -> None:
        """Their `profile.created` is kept."""
        wanted = {"_id": {"$in": list(profile_ids)}, "unannounced": True}
        await self._rows.update_many(wanted, {"$unset": {"unannounced": "", "quiet": ""}}, hint=BY_ID)

    async def locked(self, profile_id: str, session: Session) -> Document | None:
        """The survivor's document, read and claimed for writing in this transaction: two that claim the same profile
        follow each other."""
        row = (await self.documents([profile_id], session)).get(profile_id)
        if row is None:
            return None
        await self._rows.update_one({"_id": row["_id"]}, {"$inc": {"rev": 1}}, session=session)
        return {**row, "rev": row["rev"] + 1}

    async def write(self, profile_id: str, fields: Mapping[str, Any], session: Session | None = None) -> None:
        """Set top-level fields."""
        change = due_now(self._clock(), {"$set": dict(fields)})
        await self._rows.update_one({"_id": profile_id}, change, session=session)

    async def replace(self, row: Document, after: Document, session: Session) -> bool:
        """Put `after` in the place of a row as read; False when somebody wrote in between."""
        wanted = {"_id": row["_id"], "rev": row["rev"]}
        row_after = due_row(after, self._clock())
        if (await self._rows.replace_one(wanted, row_after, session=session)).matched_count == 0:
            return False
        await self.tallies.shift([(memberships(row), memberships(after))], session)
        return True

    async def amend(self, row: Document, fields: Mapping[str, Any], gone: Iterable[str], session: Session) -> bool:
        """Set fields and take others away; False when somebody wrote since the row was read."""
        unset = {"$unset": dict.fromkeys(gone, "")} if gone else {}
        change = due_now(self._clock(), {"$set": dict(fields), "$inc": {"rev": 1}, **unset})
        wanted = {"_id": row["_id"], "rev": row["rev"]}
        return (await self._rows.update_one(wanted, change, session=session)).matched_count == 1

    async def rewrite(self, changes: Sequence[tuple[Document, Document]], session: Session) -> bool:
        """(row as read, the row after): the fields that differ are written for many people at once; False when
        somebody wrote in between."""
        at = self._clock()
        updates = [
            UpdateOne({"_id": row["_id"], "rev": row["rev"]}, due_now(at, {"$set": fields, "$inc": {"rev": 1}}))
            for row, after in changes
            if (fields := {name: after[name] for name in after if after[name] != row.get(name) and name != "rev"})
        ]
        if not updates:
            return True
        return (await self._rows.bulk_write(updates, ordered=False, session=session)).matched_count == len(updates)

    async def stones(self, profile_ids: Iterable[str], session: Session) -> dict[str, Document]:
        """Rows of these very ids, tombstones among them."""
        return await self._by_id(profile_ids, session)

    async def realign(self, profile_id: str, session: Session) -> None:
        """Ids that were merged into this one lead to it again, however far reads had shortened their way."""
        edge = [profile_id]
        for _ in range(CHAIN_MAX):
            own = {"joined": {"$in": edge}, "merged_into": {"$ne": None}}
            rows = await self._rows.find(own, {"joined": 1}, session=session).to_list(None)
            if not rows:
                return
            for row in rows:
                change = {"$set": {"merged_into": row["joined"]}, "$inc": {"rev": 1}}
                await self._rows.update_one({"_id": row["_id"]}, change, session=session)
            edge = [row["_id"] for row in rows]

    async def refresh_reach(self, profile_ids: Sequence[str]) -> None:
        """Write anew on which channels these people can be reached."""
        labels = await self.identity_rows.labels_of(profile_ids)
        at = self._clock()
        changes = [
            UpdateOne({"_id": key, "merged_into": None}, due_now(at, {"$set": {"reachable_on": value}}))
            for key, value in labels.items()
        ]
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    async def delete(self, profile_ids: Sequence[str], session: Session | None = None) -> int:
        """Erase these documents."""
        wanted = {"_id": {"$in": list(profile_ids)}}

        async def work(session: Session) -> int:
            rows = await whole(self._rows.find(wanted, {"segments": 1, "merged_into": 1}, session=session))
            deleted = (await self._rows.delete_many(wanted, session=session)).deleted_count
            await self.tallies.shift([(memberships(row), []) for row in rows], session)
            return deleted

        gone: int = await (work(session) if session is not None else self._database.in_transaction(work))
        return gone

    async def tombstones_of(self, profile_id: str) -> list[str]:
        """Ids that were merged into this one, directly or through others."""
        found, edge = [], [profile_id]
        for _ in range(CHAIN_MAX):
            edge = [row["_id"] async for row in self._rows.find({"joined": {"$in": edge}}, {"_id": 1})]
            if not edge:
                break
            found += edge
        return found

    # -- inside -------------------------------------------------------------------------------------------------

    async def _by_id(self, profile_ids: Iterable[str], session: Session | None) -> dict[str, Document]:
        wanted = list(profile_ids)
        if not wanted:
            return {}
        found = self._rows.find({"_id": {"$in": wanted}}, session=session)
        return {row["_id"]: {"merged_into": None, **row} for row in await whole(found)}

    async def _survivors(self, behind: Mapping[str, Document], session: Session | None) -> dict[str, Document]:
        """Follow every chain to its end, and shorten it so that the next read takes one step.

        Not where a merge of the chain was undone in between: that counts the revision up.
        """
        ends: dict[str, str] = {key: row["merged_into"] for key, row in behind.items()}
        rows: dict[str, Document] = {}
        for _ in range(CHAIN_MAX):
            unknown = set(ends.values()) - rows.keys()
            rows |= await self._by_id(unknown, session) if unknown else {}
            onward = {
                key: rows[end]["merged_into"] for key, end in ends.items() if end in rows and rows[end]["merged_into"]
            }
            if not onward:
                break
            ends |= onward
        shorter = [(row, ends[key]) for key, row in behind.items() if ends[key] != row["merged_into"]]
        if shorter and session is None:
            await self._rows.bulk_write(
                [
                    UpdateOne(
                        {"_id": row["_id"], "merged_into": row["merged_into"], "rev": row.get("rev")},
                        {"$set": {"merged_into": end}},
                    )
                    for row, end in shorter
                ],
                ordered=False,
            )
        return {key: rows[end] for key, end in ends.items() if end in rows}

    async def _conditions(self, wanted: ProfileFilter) -> Document:
        query: Document = {"merged_into": None}
        query |= {name: value for name, value in _named(wanted).items() if value is not None}
        parts: list[Mapping[str, Any]] = [_starting(token) for token in query_tokens(wanted.q or "")]
        if wanted.q and wanted.q.strip() and not parts:
            parts.append({"_id": None})  # asked for signs that no name is made of: nobody
        if wanted.identity_key is not None:
            row = (await self.identity_rows.rows_by_key([wanted.identity_key])).get(wanted.identity_key)
            holder = await self.current([row["profile_id"]]) if row else {}
            parts.append({"_id": {"$in": list(holder.values())}})
        if wanted.where:
            parts.append(wanted.where)
        return {**query, "$and": parts} if parts else query


def as_profile(row: Mapping[str, Any], asked: str | None = None) -> Profile:
    """A document as a customer."""
    merged_from = asked if asked is not None and asked != row["_id"] else None
    return Profile.model_validate({**row, "merged_from": merged_from})


def _named(wanted: ProfileFilter) -> Document:
    return {
        "tags": wanted.tag, "stage": wanted.stage, "tier": wanted.tier, "owner_id": wanted.owner_id,
        "roles": wanted.role, "segments": wanted.segment,
    }  # fmt: skip


def _starting(token: str) -> Document:
    return {"search": {"$elemMatch": {"$gte": token, "$lt": token + "\U0010ffff"}}}


def _after(cursor: str | None, sort: str) -> Document:
    if cursor is None:
        return {}
    if sort == "newest":
        (last,) = read_cursor(cursor, str)
        return {"_id": {"$lt": last}}
    if cursor.startswith("~"):  # the tail of those never seen
        (last,) = read_cursor(cursor[1:], str)
        return {"last_seen_at": None, "_id": {"$lt": last}}
    at, last = read_cursor(cursor, datetime, str)
    return {"$or": [{"last_seen_at": {"$lt": at}}, {"last_seen_at": at, "_id": {"$lt": last}}, {"last_seen_at": None}]}


def _moved_before(cursor: str | None) -> Document:
    if cursor is None:
        return {}
    at, last = read_cursor(cursor, datetime, str)
    if at <= _LONG_AGO:
        return {"stage_since": None, "_id": {"$lt": last}}
    same = {"stage_since": at, "_id": {"$lt": last}}
    return {"$or": [{"stage_since": {"$lt": at}}, same, {"stage_since": None}]}


def _cursor_at(row: Mapping[str, Any], sort: str) -> str:
    if sort == "newest":
        return write_cursor(row["_id"])
    at = row.get("last_seen_at")
    return write_cursor(at, row["_id"]) if at is not None else "~" + write_cursor(row["_id"])


def _changing(
    row: Document, fields: Document, seen: datetime | None, at: datetime, due: Mapping[str, Any]
) -> UpdateOne | None:
    later = {} if seen is None or _not_after(seen, row.get("last_seen_at")) else {"$max": {"last_seen_at": seen}}
    if fields:
        change = {"$set": {**fields, "updated_at": at}, "$inc": {"rev": 1}, **later, **due}
        return UpdateOne({"_id": row["_id"], "rev": row["rev"]}, change)
    return UpdateOne({"_id": row["_id"]}, {**later, **due}) if later else None


def _not_after(one: datetime, other: datetime | None) -> bool:
    return other is not None and one <= other
