"""Facts of conversations, cells in which they are added up, and which conversations are to be read anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.duty import DutyBook, due_index
from base.ids import unique_key
from base.mongo import BY_ID, LOOK_MS, Database, DeleteOne, Document, Indexes, Session, UpdateOne, in_time, whole
from base.pages import Page, cut, read_cursor, write_cursor
from inbox.figures.cells import COMBINED, DIMENSIONS, EVER, FIELDS, Changes, Place, changes_of, fields_in, id_of
from inbox.figures.facts import KINDS, NO_END, OPENS
from inbox.figures.periods import Span
from profiles.holdings import Traces
from profiles.store.belongings import Belongings
from profiles.store.holdings import Held

#: So long after something happened its conversation is read: what comes in between is read with it.
SOON = timedelta(seconds=5)
#: People whose resolutions are told apart at most.
PEOPLE_MAX = 50_000
ERASED_AT_ONCE = 500
#: What names somebody in a fact.
_NOBODY = ("conversation_id", "profile_id", "identity_id")
_LATEST = [("at", DESCENDING), ("_id", DESCENDING)]
_TOO_SLOW = "There is too much in this time; choose a shorter one, or one channel."
_LINE = {
    "conversation_id": 1, "provider_at": 1, "seq": 1, "direction": 1, "author.type": 1, "author.id": 1, "status": 1,
    "system": 1,
}  # fmt: skip


def _by(name: str, *fields: str) -> IndexModel:
    keys = [("kind", ASCENDING), *((each, ASCENDING) for each in fields), ("at", DESCENDING), ("_id", DESCENDING)]
    return IndexModel(keys, name=name)


def _of(name: str, first: str, *others: str) -> IndexModel:
    """Of combined cells alone. Days after what is fixed; what else it is of is compared without reading the cell."""
    fields = ("kind", "dimension", first, "day", "channel_id", *others)
    return IndexModel([(each, ASCENDING) for each in fields], name=name,
                      partialFilterExpression={first: {"$exists": True}})  # fmt: skip


INDEXES: Indexes = {
    "inbox_facts": [
        _by("by_time"), _by("by_channel", "channel_id"), _by("by_agent", "agent_id"), _by("by_team", "team_id"),
        _by("by_label", "labels"),
        IndexModel([("kind", ASCENDING), ("until", ASCENDING)], name="open_until",
                   partialFilterExpression={"until": {"$exists": True}}),
        IndexModel([("conversation_id", ASCENDING)], name="by_conversation"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
    ],
    "inbox_days": [
        IndexModel(
            [("kind", ASCENDING), ("dimension", ASCENDING), ("day", ASCENDING), ("channel_id", ASCENDING),
             ("value", ASCENDING)], name="by_day",
        ),
        _of("of_agent", "agent_id", "team_id", "label"), _of("of_team", "team_id", "agent_id", "label"),
        _of("of_label", "label", "agent_id", "team_id"),
    ],
    "inbox_facts_due": [due_index()],
}  # fmt: skip


@dataclass(frozen=True)
class Narrowed:
    """Of which facts: these channels (None: all), and any of a colleague, a team and a label (`""`: nobody's; None:
    whoever's)."""

    channels: Sequence[str] | None = None
    agent: str | None = None
    team: str | None = None
    label: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """What was said of colleague, team and label."""
        told = (("agent", self.agent), ("team", self.team), ("label", self.label))
        return {name: value for name, value in told if value is not None}

    @property
    def first(self) -> str | None:
        """By which of them facts are found: the one of which there are fewest as a rule."""
        names = [each for each in ("agent", "label", "team") if each in self.values]
        return next((each for each in names if self.values[each]), names[0] if names else None)


class FigureStore:
    """`inbox_facts` `{_id, conversation_id, profile_id, identity_id, channel_id, kind, key, at, agent_id, team_id,
    labels, n, ms?, business_ms?, score?, until?, target?}` (see `inbox.figures.facts`); `inbox_days` `{_id, kind,
    dimension, value, agent_id?, team_id?, label?, channel_id, day, q: {slot: {n, ms, b, h, bh, s}}}`, or `{…, day:
    "ever", n}` (see `inbox.figures.cells`); `inbox_facts_due`
    `{_id: cnv_, state: "due", due_at, lease?, fence, attempts}`: conversations to be read anew; `inbox_facts_past`
    one row, how far the past was read."""

    def __init__(self, database: Database) -> None:
        self._facts = database.collection("inbox_facts")
        self._cells = database.collection("inbox_days")
        self._due = database.collection("inbox_facts_due")
        self._past = database.collection("inbox_facts_past")
        self._lines = database.collection("messages")
        self._talks = database.collection("conversations")
        self._ratings = database.collection("ratings")
        self._acts = database.collection("conversation_acts")
        self._events = database.collection("events")
        self.duties = DutyBook(self._due)
        self.belongings = Belongings("inbox_facts", self._facts, "fct", by_identity="always")

    # -- what is to be read ------------------------------------------------------------------------------------

    async def want(self, conversation_ids: Collection[str], now: datetime, *, soon: timedelta = SOON) -> None:
        """Read these anew. One that is being read just now is read once more."""
        fresh: Document = {"$literal": now + soon}
        change: list[Document] = [
            {"$set": {
                "due_at": {"$cond": [{"$eq": [{"$type": "$lease"}, "missing"]}, {"$min": ["$due_at", fresh]}, fresh]},
                "state": "due", "attempts": 0,
            }},
            {"$unset": "lease"},
        ]  # fmt: skip
        writes = [UpdateOne({"_id": each}, change, upsert=True) for each in sorted(set(conversation_ids))]
        if writes:
            await self._due.bulk_write(writes, ordered=False)

    async def waiting(self) -> int:
        """How many are to be read, up to a thousand."""
        return await self._due.count_documents({"state": "due"}, limit=1000)

    async def held(self, duties: Sequence[Document], session: Session) -> set[str]:
        """Those of these claimed ones that are still ours, which are done with this transaction."""
        ours: set[str] = set()
        for duty in duties:
            gone = await self._due.delete_one({"_id": duty["_id"], "lease": duty["lease"]}, session=session)
            ours |= {duty["_id"]} if gone.deleted_count else set()
        return ours

    # -- what facts follow from --------------------------------------------------------------------------------

    async def talks(self, ids: Collection[str]) -> dict[str, Document]:
        """Conversations by id."""
        found = self._talks.find({"_id": {"$in": sorted(ids)}}, {"tokens": 0}).hint(BY_ID)
        return {row["_id"]: row for row in await whole(found)}

    async def merges_of(self, talks: Mapping[str, Document]) -> list[Document]:
        """Merges that stand into these, and into what these are parts of, now or before that one was merged itself."""
        heads = {*talks, *(row["merged_into"] for row in talks.values() if row.get("merged_into"))}
        found = await self._merges(heads)
        before = {each["merged_into"] for act in found for each in act["members"] if each.get("merged_into")} - heads
        return [*found, *(await self._merges(before) if before else [])]

    async def _merges(self, head_ids: Collection[str]) -> list[Document]:
        wanted = {"head_id": {"$in": sorted(head_ids)}, "state": "merged"}
        return await whole(self._acts.find(wanted, {"head_id": 1, "at": 1, "members.id": 1, "members.merged_into": 1}))

    async def lines(self, conversation_ids: Collection[str]) -> dict[str, list[Document]]:
        """What was said and done in these, in order."""
        found: dict[str, list[Document]] = {each: [] for each in conversation_ids}
        for row in await whole(self._lines.find({"conversation_id": {"$in": sorted(found)}}, _LINE).hint("thread")):
            found[row["conversation_id"]].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row["provider_at"], row["seq"]))
        return found

    async def ratings(self, conversation_ids: Collection[str]) -> dict[str, list[Document]]:
        """Who was asked in these, and what they said."""
        found: dict[str, list[Document]] = {each: [] for each in conversation_ids}
        wanted = {"conversation_id": {"$in": sorted(found)}}
        for row in await whole(self._ratings.find(wanted).hint("by_conversation")):
            found[row["conversation_id"]].append(row)
        return found

    async def breaches(self, keys: Collection[str]) -> dict[str, datetime]:
        """Key of an event → when it was told, for those there are."""
        found = self._events.find({"dedupe": {"$in": sorted(keys)}}, {"dedupe": 1, "occurred_at": 1}).hint("once")
        return {row["dedupe"]: row["occurred_at"] for row in await whole(found)}

    async def facts(
        self, conversation_ids: Collection[str], session: Session | None = None
    ) -> dict[str, list[Document]]:  # fmt: skip
        """Facts of these as they stand."""
        found: dict[str, list[Document]] = {each: [] for each in conversation_ids}
        wanted = {"conversation_id": {"$in": sorted(found)}}
        for row in await whole(self._facts.find(wanted, session=session).hint("by_conversation")):
            found[row["conversation_id"]].append(row)
        return found

    # -- writing -----------------------------------------------------------------------------------------------

    async def standing(
        self, conversation_ids: Collection[str], ids: Collection[str], session: Session
    ) -> dict[str, Document]:  # fmt: skip
        """Facts of these conversations, and those of these ids, which may be an erased person's."""
        found = await whole(self._facts.find({"_id": {"$in": sorted(ids)}}, session=session).hint(BY_ID))
        theirs = await self.facts(conversation_ids, session)
        return {row["_id"]: row for rows in (found, *theirs.values()) for row in rows}

    async def replace(self, gone: Iterable[str], new: Mapping[str, Document], session: Session) -> None:
        """Facts that are no more, and those that are new or otherwise."""
        writes: list[DeleteOne | UpdateOne] = [DeleteOne({"_id": each}) for each in gone]
        for fact_id, row in new.items():
            absent = {name: "" for name in ("ms", "business_ms", "score", "until", "target") if name not in row}
            change: Document = {"$set": row, **({"$unset": absent} if absent else {})}
            writes.append(UpdateOne({"_id": fact_id}, change, upsert=True))
        if writes:
            await self._facts.bulk_write(writes, ordered=False, session=session)

    async def add(self, changes: Changes, session: Session) -> None:
        """Add to cells."""
        writes = [
            UpdateOne({"_id": id_of(place)}, {"$inc": dict(fields), "$setOnInsert": _place_fields(place)}, upsert=True)
            for place, fields in sorted(changes.items())
        ]
        if writes:
            await self._cells.bulk_write(writes, ordered=False, session=session)

    # -- reading -----------------------------------------------------------------------------------------------

    async def cells(
        self, kinds: Sequence[str], dimension: str, days: tuple[str, str], narrowed: Narrowed, *, times: bool
    ) -> list[Document]:  # fmt: skip
        """Cells of these kinds, between two days with both; of a dimension that tells all apart that is narrowed.
        `times`: with what percentiles are made of."""
        wanted: Document = {
            "kind": {"$in": list(kinds)}, "dimension": dimension, "day": {"$gte": days[0], "$lte": days[1]},
        }  # fmt: skip
        found = self._cells.find(_narrow_cells(wanted, narrowed, dimension), {"_id": 0})
        found = found.hint(_cells_by(narrowed, dimension)).max_time_ms(LOOK_MS)
        with in_time(_TOO_SLOW):
            rows = await whole(found)
        if times:
            return rows
        for row in rows:
            row["q"] = {slot: _plain(value) for slot, value in row.get("q", {}).items()}
        return rows

    async def sums(
        self, kinds: Sequence[str], dimension: str, days: tuple[str, str], narrowed: Narrowed, field: str
    ) -> list[Document]:  # fmt: skip
        """How often it was in all on whole days (with both), added up by the server: as if cells of the first day, one
        per kind and value of a field."""
        wanted: Document = {
            "kind": {"$in": list(kinds)}, "dimension": dimension, "day": {"$gte": days[0], "$lte": days[1]},
        }  # fmt: skip
        counted = {"$sum": {"$map": {"input": {"$objectToArray": "$q"}, "in": "$$this.v.n"}}}
        steps: list[Document] = [
            {"$match": _narrow_cells(wanted, narrowed, dimension)},
            {"$group": {"_id": {"kind": "$kind", "key": f"${field}"}, "n": {"$sum": counted}}},
        ]
        found = self._cells.aggregate(steps, hint=_cells_by(narrowed, dimension), maxTimeMS=LOOK_MS)
        with in_time(_TOO_SLOW):
            rows = await found.to_list(None)
        return [
            {"kind": row["_id"]["kind"], "dimension": dimension, field: row["_id"]["key"], "day": days[0],
             "q": {"0": {"n": row["n"]}}} for row in rows
        ]  # fmt: skip

    async def ever(self, kinds: Sequence[str], dimension: str, narrowed: Narrowed) -> list[Document]:
        """What cells of these kinds come to from the beginning: {kind, channel_id, value, n}."""
        wanted: Document = {"kind": {"$in": list(kinds)}, "dimension": dimension, "day": EVER}
        found = self._cells.find(_narrow_cells(wanted, narrowed, dimension)).hint(_cells_by(narrowed, dimension))
        return await whole(found)

    async def rows(
        self, kinds: Sequence[str], spans: Sequence[Span], narrowed: Narrowed, *, limit: int, cursor: str | None,
        scores: Sequence[int] | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Facts of these kinds in any of these times, the latest first; of marks only `scores`."""
        place = read_cursor(cursor, datetime, str) if cursor else None
        found: list[Document] = []
        for span in sorted(spans, key=lambda each: each.since, reverse=True):
            if place and span.since > place[0]:
                continue
            wanted = _wanted_facts(kinds, span, narrowed)
            wanted |= {"score": {"$in": list(scores)}} if scores else {}
            found += await self._found(wanted, narrowed, place, limit + 1 - len(found))
            if len(found) > limit:
                break
        shown, more = cut(found, limit)
        return Page(shown, write_cursor(shown[-1]["at"], shown[-1]["_id"]) if more else None)

    async def _found(
        self, wanted: Document, narrowed: Narrowed, place: tuple[datetime, str] | None, limit: int
    ) -> list[Document]:  # fmt: skip
        if place:
            wanted["$or"] = [{"at": {"$lt": place[0]}}, {"at": place[0], "_id": {"$lt": place[1]}}]
            wanted["at"] = {**wanted["at"], "$lte": place[0]}
        found = self._facts.find(wanted).sort(_LATEST).limit(limit).hint(_index_for(narrowed))
        with in_time(_TOO_SLOW):
            return await found.max_time_ms(LOOK_MS).to_list(limit)

    async def explained(self, kinds: Sequence[str], span: Span, narrowed: Narrowed, limit: int) -> Document:
        """How the server finds rows. For tests."""
        found = self._facts.find(_wanted_facts(kinds, span, narrowed)).sort(_LATEST).limit(limit)
        plan: Document = await found.hint(_index_for(narrowed)).explain()
        return plan

    async def open_at(
        self, at: datetime, narrowed: Narrowed, *, limit: int, cursor: str | None
    ) -> Page[Document]:  # fmt: skip
        """What had been opened and not yet closed at an instant, those first that were closed first."""
        condition: Document = _narrow_facts({"at": {"$lt": at}, "until": {"$gte": at}}, narrowed)
        condition["kind"] = {"$in": list(OPENS)}
        if cursor:
            until, last = read_cursor(cursor, datetime, str)
            condition["$or"] = [{"until": {"$gt": until}}, {"until": until, "_id": {"$gt": last}}]
        found = self._facts.find(condition).sort([("until", ASCENDING), ("_id", ASCENDING)]).limit(limit + 1)
        with in_time(_TOO_SLOW):
            shown, more = cut(await found.max_time_ms(LOOK_MS).to_list(limit + 1), limit)
        return Page(shown, write_cursor(min(shown[-1]["until"], NO_END), shown[-1]["_id"]) if more else None)

    async def people(self, kind: str, span: Span, narrowed: Narrowed) -> int | None:
        """Of how many people there are facts of a kind; None where there are too many to be told apart."""
        condition = _narrow_facts({"kind": kind, "at": {"$gte": span.since, "$lt": span.until}}, narrowed)
        rows = self._facts.find(condition, {"profile_id": 1}).limit(PEOPLE_MAX + 1).hint(_index_for(narrowed))
        with in_time(_TOO_SLOW):
            found = await whole(rows.max_time_ms(LOOK_MS))
        return None if len(found) > PEOPLE_MAX else len({row.get("profile_id") for row in found})

    # -- comparing ---------------------------------------------------------------------------------------------

    async def facts_of_day(
        self, since: datetime, until: datetime, session: Session, kinds: Sequence[str] = KINDS
    ) -> list[Document]:  # fmt: skip
        """All facts of a time, or those of some kinds."""
        wanted = {"kind": {"$in": list(kinds)}, "at": {"$gte": since, "$lt": until}}
        return await whole(self._facts.find(wanted, session=session).hint("by_time"))

    async def cells_of_day(
        self, day: str, session: Session, kinds: Sequence[str] = KINDS, dimensions: Sequence[str] = DIMENSIONS
    ) -> list[Document]:  # fmt: skip
        """All cells of a day, or those of some kinds and dimensions."""
        wanted = {"kind": {"$in": list(kinds)}, "dimension": {"$in": list(dimensions)}, "day": day}
        return await whole(self._cells.find(wanted, session=session).hint("by_day"))

    async def set_cells(self, cells: Iterable[tuple[Place, Document]], session: Session) -> None:
        """Put these in place of what stands there."""
        writes = [
            UpdateOne({"_id": id_of(place)}, {"$set": {**_place_fields(place), "q": slots}}, upsert=True)
            for place, slots in cells
        ]
        if writes:
            await self._cells.bulk_write(writes, ordered=False, session=session)

    async def to_compare(self, now: datetime, before: datetime) -> bool:
        """Whether nobody has compared since `before`; if so, it is ours to do."""
        await self._past.update_one({"_id": "compared"}, {"$setOnInsert": {"at": before}}, upsert=True)
        wanted = {"_id": "compared", "at": {"$lte": before}}
        return (await self._past.update_one(wanted, {"$set": {"at": now}})).modified_count == 1

    # -- the past, and rules -----------------------------------------------------------------------------------

    async def past(self) -> Document:
        """How far reading what was there before has come: {after, done, turn}."""
        return await self._past.find_one({"_id": "past"}) or {"after": "", "done": False, "turn": 0}

    async def combined(self) -> Document:
        """How far cells of combinations were made of what was counted before there were any: {after, done}."""
        return await self._past.find_one({"_id": "combined"}) or {"after": "", "done": False}

    async def next_day(self, after: str) -> str | None:
        """The first day after one on which something was counted."""
        wanted = {"kind": {"$in": list(KINDS)}, "dimension": "channel", "day": {"$gt": after, "$lt": EVER}}
        found = self._cells.find(wanted, {"day": 1}).sort("day", ASCENDING).limit(1).hint("by_day")
        return next((row["day"] for row in await whole(found)), None)

    async def combined_to(self, day: str, *, done: bool) -> None:
        """Note how far. Two may do the same; who is behind does some of it once more, which changes nothing."""
        await self._past.update_one({"_id": "combined"}, {"$set": {"after": day, "done": done}}, upsert=True)

    async def next_talks(self, after: str, limit: int) -> list[str]:
        """Ids of conversations after one."""
        found = self._talks.find({"_id": {"$gt": after}}, {"_id": 1}).sort("_id", ASCENDING).limit(limit).hint(BY_ID)
        return [row["_id"] for row in await whole(found)]

    async def went_on(self, state: Mapping[str, Any], after: str, *, done: bool) -> None:
        """Note how far; somebody who was quicker has noted more."""
        change = {"$set": {"after": after, "done": done}, "$inc": {"turn": 1}}
        turn = state.get("turn", 0)
        await self._past.update_one({"_id": "past", "turn": turn}, change, upsert=turn == 0)

    async def begin_anew(self) -> None:
        """Read all conversations once more."""
        change = {"$set": {"after": "", "done": False}, "$inc": {"turn": 1}}
        await self._past.update_one({"_id": "past"}, change, upsert=True)

    async def rules(self) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._past.find_one({"_id": "rules"}) or {}

    async def choose(self, fields: Mapping[str, Any], by: str) -> None:
        """From now on so."""
        await self._past.update_one({"_id": "rules"}, {"$set": {**fields, "by": by}}, upsert=True)


def _wanted_facts(kinds: Sequence[str], span: Span, narrowed: Narrowed) -> Document:
    wanted: Document = {"kind": kinds[0] if len(kinds) == 1 else {"$in": list(kinds)}}
    return _narrow_facts({**wanted, "at": {"$gte": span.since, "$lt": span.until}}, narrowed)


def _index_for(narrowed: Narrowed) -> str:
    if narrowed.first is not None:
        return f"by_{narrowed.first}"
    return "by_time" if narrowed.channels is None else "by_channel"


def _place_fields(place: Place) -> Document:
    kind, dimension, value, channel_id, day = place
    place_fields = {"kind": kind, "dimension": dimension, "value": value, "channel_id": channel_id, "day": day}
    return place_fields | fields_in(dimension, value)


def _plain(slot: Document) -> Document:
    """Without what percentiles are made of."""
    if "h" not in slot:
        return slot
    return {name: value for name, value in slot.items() if name not in ("h", "bh")}


def _narrow_cells(wanted: Document, narrowed: Narrowed, dimension: str) -> Document:
    if narrowed.channels is not None:
        wanted["channel_id"] = {"$in": list(narrowed.channels)}
    for name, value in narrowed.values.items():
        wanted[FIELDS[name] if dimension in COMBINED else "value"] = value
    return wanted


def _cells_by(narrowed: Narrowed, dimension: str) -> str:
    return f"of_{narrowed.first}" if dimension in COMBINED else "by_day"


def _narrow_facts(wanted: Document, narrowed: Narrowed) -> Document:
    if narrowed.channels is not None:
        wanted["channel_id"] = {"$in": list(narrowed.channels)}
    for name, value in narrowed.values.items():
        if name == "label":
            wanted["labels"] = value
        else:
            wanted[FIELDS[name]] = value or None
    return wanted


class FactRoom(Held):
    """Facts of one person. They stay as numbers, but nobody is named by them any more."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, "inbox_facts")
        self._database = database
        self._clock = clock

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        wanted, erased = await self._wanted(traces), 0
        while rows := await self._rows.find(wanted).limit(ERASED_AT_ONCE).to_list(None):
            await self._database.in_transaction(partial(self._forget, rows))
            erased += len(rows)
        return erased

    async def _forget(self, rows: Sequence[Document], session: Session) -> None:
        """What is still open is not from now on, as its conversation is gone."""
        now, ids = self._clock(), [row["_id"] for row in rows]
        change: Document = {"$set": dict.fromkeys(_NOBODY), "$unset": {"moved": ""}}
        await self._rows.update_many({"_id": {"$in": ids}}, change, hint=BY_ID, session=session)
        still = [row for row in rows if row.get("until") == NO_END]
        closed = [
            {**{name: row[name] for name in row if name not in ("until", "moved")}, **dict.fromkeys(_NOBODY),
             "_id": unique_key(row["_id"], "closed"), "kind": "closed", "at": now}
            for row in still
        ]  # fmt: skip
        if closed:
            await self._rows.insert_many(closed, session=session)
            ends = {"_id": {"$in": [row["_id"] for row in still]}}
            await self._rows.update_many(ends, {"$set": {"until": now}}, hint=BY_ID, session=session)
            await FigureStore(self._database).add(changes_of([], closed), session)
