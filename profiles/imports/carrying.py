"""One batch of an import: who is meant is settled first, then profiles, events, consents and the rows' outcomes are
written in one transaction together with how far the import has come.

Settling makes people and joins addresses; it may run twice, and what it made carries the row's id (`made_by`), so that
a batch whose worker died in between knows its own work again. A row that cannot be written is set aside alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from base.clock import Clock
from base.duty import LeaseLost
from base.errors import NotFound, Unavailable
from base.ids import unique_key
from base.mongo import UNAVAILABLE, Database, Document, Session
from profiles.consent import Consent, ConsentAct
from profiles.edit import ProfilePatch, move_of, patched, told
from profiles.imports.looking import Sight, look
from profiles.imports.mapping import ImportOptions
from profiles.imports.plan import Known, Plan, agreed_plan, planned
from profiles.imports.rows import Fault, RowReader, Wanted
from profiles.models import NewEvent
from profiles.resolve import Reference, Resolver
from profiles.store.events import EventStore
from profiles.store.imports import ImportStore
from profiles.store.profiles import ProfileStore
from profiles.store.stage_log import StageLogStore
from profiles.terms import Agreed, Terms

log = logging.getLogger(__name__)

#: Erases a person everywhere.
Erase = Callable[[str], Awaitable[object]]
#: Which of these keys were those of somebody whose erasure took in what was brought at that time.
Erased = Callable[[Collection[str], datetime], Awaitable[set[str]]]
#: What tells whether somebody changed a person since the import made them.
CONTENT = (
    "name", "avatar_url", "locale", "time_zone", "emails", "phones", "handles", "tags", "stage", "owner_id", "location",
    "address", "attributes",
)  # fmt: skip
#: Fields that are changed as a whole and restored as a whole.
WHOLE = ("name", "locale", "time_zone", "stage", "tier", "owner_id", "location", "address")


@dataclass(frozen=True)
class Batch:
    """Rows of one import, in the order of the file, with what they say."""

    head: Document
    options: ImportOptions
    rows: Sequence[Wanted]

    def part(self, start: int, end: int) -> Batch:
        """A part of it."""
        return Batch(self.head, self.options, self.rows[start:end])


@dataclass(frozen=True)
class Intent:
    """What a row is about to do. `patch`: the plan's fields, checked."""

    plan: Plan
    patch: ProfilePatch | None = None


class Carrier:
    """Carries batches out."""

    def __init__(
        self, database: Database, store: ImportStore, profiles: ProfileStore, resolver: Resolver, consent: Consent,
        events: EventStore, clock: Clock, terms: Terms, *, erased: Erased, erase: Erase,
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._profiles = profiles
        self._resolver = resolver
        self._consent = consent
        self._events = events
        self._clock = clock
        self._stage_log = StageLogStore(database)
        self._terms = terms
        self._erased = erased
        self._erase = erase

    async def carry(self, batch: Batch) -> None:
        """Write all of it, and move the head's cursor and counts. Raises `LeaseLost`; what else goes wrong costs a
        row."""
        try:
            await self._carry(batch)
        except (LeaseLost, Unavailable, *UNAVAILABLE):
            raise
        except Exception as error:
            if len(batch.rows) > 1:
                log.warning("a batch of an import failed, halving it", extra={"import": batch.head["_id"]})
                middle = len(batch.rows) // 2
                await self.carry(batch.part(0, middle))
                await self.carry(batch.part(middle, len(batch.rows)))
                return
            log.exception("a row of an import cannot be written", extra={"import": batch.head["_id"]})
            (row,) = batch.rows
            row.fault = Fault("failed", value=type(error).__name__)
            await self._carry(batch)

    async def _carry(self, batch: Batch) -> None:
        at = self._clock()
        await self.leave_out(batch.rows, batch.head["created_at"])
        sight, agreed = await look(self._profiles, batch.rows), await self._terms.now()
        existing = batch.options.existing
        intents = await asyncio.to_thread(
            lambda: [Intent(*agreed_plan(planned(row, sight.known, existing, at), agreed)) for row in batch.rows]
        )  # before anybody is made
        owners = await self._settled(batch, [each.plan for each in intents], sight, at)
        await self.leave_out(batch.rows, batch.head["created_at"])  # an erasure that was asked for meanwhile
        await self._unmake([row for row in batch.rows if row.erased])
        acts = await self._acts(batch, owners)
        await self._database.in_transaction(partial(self._write, batch, intents, sight, owners, acts, at, agreed))

    async def leave_out(self, rows: Sequence[Wanted], brought_at: datetime) -> None:
        """Mark the rows that name somebody who was erased after the list was brought."""
        gone = await self._erased({key for row in rows for key in row.naming}, brought_at)
        for row in rows if gone else ():
            row.erased = row.erased or not gone.isdisjoint(row.naming)

    async def _unmake(self, rows: Sequence[Wanted]) -> None:
        """Erase whom these rows have made anew: an erasure came in between, or a worker died."""
        if not rows:
            return
        identities = await self._profiles.identity_rows.rows_by_key(key for row in rows for key in row.deciding)
        found = await self._profiles.documents({each["profile_id"] for each in identities.values()})
        made = {row.id for row in rows}
        for profile_id in {each["_id"] for each in found.values() if each.get("made_by") in made}:
            with contextlib.suppress(NotFound):  # somebody else has done it
                await self._erase(profile_id)

    async def _settled(self, batch: Batch, plans: Sequence[Plan], sight: Sight, at: datetime) -> dict[str, str]:
        """Row → the person it is about, who exists afterwards with all addresses."""
        owners = {row.id: plan.profile_id for row, plan in zip(batch.rows, plans, strict=True) if plan.profile_id}
        wanted = [
            (row, plan)
            for row, plan in zip(batch.rows, plans, strict=True)
            if plan.outcome in ("created", "updated", "repeated") and (plan.fresh or plan.profile_id is None)
        ]
        taken: set[str] = set()
        references = [_reference(row, plan, sight, batch.options, at, taken) for row, plan in wanted]
        known = await self._resolver.identify(references)
        for (row, _), found in zip(wanted, known, strict=True):
            if found is not None:
                owners[row.id] = found.profile_id
        return owners

    async def _acts(self, batch: Batch, owners: Mapping[str, str]) -> list[tuple[str, ConsentAct]]:
        """(row, act) of all rows that say something of consent."""
        saying = [row for row in batch.rows if row.consents and row.id in owners and row.fault is None]
        saying = [row for row in saying if not row.erased]
        if not saying:
            return []
        identities = await self._profiles.identity_rows.rows_by_key(key.key for row in saying for key in row.keys)
        name, evidence = batch.head["name"], batch.options.evidence.strip()
        return [
            (row.id, ConsentAct(
                identities[key.key]["_id"], said.purpose, said.granted, "import", by=batch.head["by"], if_news=True,
                proof=f"{evidence} ({name}, row {row.number})", key=f"import:{row.id}:{said.purpose}:{key.key}",
            ))
            for row in saying
            for said in row.consents
            for key in row.keys
            if key.kind == said.kind and key.key in identities
        ]  # fmt: skip

    async def _write(
        self, batch: Batch, intents: Sequence[Intent], sight: Sight, owners: Mapping[str, str],
        acts: Sequence[tuple[str, ConsentAct]], at: datetime, agreed: Agreed, session: Session,
    ) -> None:  # fmt: skip
        found = await self._profiles.documents(set(owners.values()), session)
        ledger = _Ledger(batch, {asked: row["_id"] for asked, row in found.items()}, at, agreed)
        ledger.documents = {row["_id"]: row for row in found.values()}
        before = dict(ledger.documents)
        for row, intent in zip(batch.rows, intents, strict=True):
            ledger.take(row, intent, owners.get(row.id), _joined_before(row, sight))
        taken = [(row_id, act) for row_id, act in acts if ledger.marks[row_id]["outcome"] not in _NOT_TAKEN]
        acted = await self._consent.act_many([act for _, act in taken], session)
        ledger.consented(taken, acted.rows)
        for profile_id, standing in acted.standing.items():
            if profile_id in ledger.documents:
                ledger.documents[profile_id] = {**ledger.documents[profile_id], "consents": standing}
        changes = [(before[key], after) for key, after in ledger.documents.items() if after is not before[key]]
        if not await self._profiles.rewrite(changes, session):
            raise Unavailable("Somebody else was writing to the same people.")
        quiet = not batch.options.journeys
        await self._events.record([replace(each, quiet=quiet) for each in (*ledger.events, *acted.events)], session)
        await self._stage_log.add_many(ledger.moves, session)
        gone = [row.id for row in batch.rows if row.erased]
        await self._store.mark({key: mark for key, mark in ledger.marks.items() if key not in gone}, session)
        await self._store.drop(gone, session)
        counts = _sum(batch.head["counts"], ledger.marks)
        progress = {"cursor": batch.rows[-1].id, "counts": counts, "done_rows": sum(counts.values())}
        if not await self._store.note(batch.head, progress, session):
            raise LeaseLost
        batch.head.update(progress)


_NOT_TAKEN = ("fault", "conflict", "skipped", "erased")


def _sum(counts: Mapping[str, int], marks: Mapping[str, Document]) -> dict[str, int]:
    total = dict(counts)
    for mark in marks.values():
        total[mark["outcome"]] = total.get(mark["outcome"], 0) + 1
    return total


def _joined_before(row: Wanted, sight: Sight) -> bool:
    """Whether this very row has joined an address before its worker died."""
    rows = (sight.identities.get(key.key) for key in row.keys)
    return any(each is not None and (each.get("evidence") or {}).get("made_by") == row.id for each in rows)


def _reference(
    row: Wanted, plan: Plan, sight: Sight, options: ImportOptions, at: datetime, taken: set[str]
) -> Reference:  # fmt: skip
    """A mailbox that many share goes to whoever names it first, and tells nobody apart. `taken`: such mailboxes of
    earlier rows; grows."""
    mine, deciding = plan.profile_id, set(row.deciding)
    free = []
    for ref, key in zip(row.refs, row.keys, strict=True):
        holder = sight.known.holders.get(key.key)
        if key.key not in deciding:
            if key.key in taken or holder not in (None, mine):
                continue
            taken.add(key.key)
        elif mine is not None and holder not in (None, mine):
            continue
        free.append(ref)
    name = row.fields.get("name") if plan.outcome == "created" else None
    return Reference(
        free, name=name, source="import", at=at, profile_id=mine, made_by=row.id, quiet=not options.journeys
    )  # fmt: skip


class _Ledger:
    """What one batch writes, gathered row by row: two rows of one person see each other's changes."""

    def __init__(self, batch: Batch, today: Mapping[str, str], at: datetime, agreed: Agreed) -> None:
        self._batch = batch
        self._agreed = agreed
        self._today = today
        self._at = at
        self.documents: dict[str, Document] = {}
        self.events: list[NewEvent] = []
        self.moves: list[Document] = []
        self.marks: dict[str, Document] = {}

    def take(self, row: Wanted, intent: Intent, owner: str | None, joined: bool) -> None:
        plan = Plan("erased") if row.erased else intent.plan
        profile_id = self._today.get(owner or "")
        if plan.outcome in _NOT_TAKEN or profile_id is None:
            lost = None if plan.outcome in _NOT_TAKEN else Fault("unknown_profile", value=owner or "")
            self._mark(row, plan.outcome if lost is None else "fault", plan.profile_id, fault=plan.fault or lost)
            return
        again = self._again(row, profile_id)
        if again.outcome in _NOT_TAKEN:
            self._mark(row, again.outcome, profile_id, fault=again.fault)
            return
        patch = intent.patch
        if again.fields != plan.fields:
            again, patch = agreed_plan(again, self._agreed)
            if again.fault is not None:
                self._mark(row, "fault", profile_id, fault=again.fault)
                return
        patch = patch or ProfilePatch()
        before = self.documents[profile_id]
        after = patched(before, patch, "import", self._at)
        self.documents[profile_id] = after
        if after is not before:
            happened = told(before, after, patch, "import", self._batch.head["by"], row.id, self._at)
            if after["stage"] != before["stage"]:
                by = self._batch.head["by"]
                self.moves.append(move_of(before, after, patch, "import", by, row.id, self._at))
            created = again.outcome == "created"
            self.events += [each for each in happened if not (created and each.name == "profile.updated")]
        joins = bool(plan.fresh) or joined
        outcome = "updated" if again.outcome == "unchanged" and joins else again.outcome
        self._mark(row, outcome, profile_id, changes=_changes(before, after), tags_added=_tags(before, after),
                   joins=joins, left=content_mark(after) if outcome == "created" else None)  # fmt: skip

    def _again(self, row: Wanted, profile_id: str) -> Plan:
        """The plan by what stands there now, in this transaction."""
        known = Known({key.key: profile_id for key in row.keys}, self.documents, {}, today=self._today)
        return planned(row, known, self._batch.options.existing, self._at)

    def _mark(self, row: Wanted, outcome: str, profile_id: str | None, *, fault: Fault | None = None,
              **more: Any) -> None:  # fmt: skip
        mark: Document = {"outcome": outcome, **{name: value for name, value in more.items() if value}}
        if profile_id is not None and outcome != "fault":
            mark["profile_id"] = profile_id
        if fault is not None:
            mark["reason"] = fault.document()
        else:
            mark["cells"] = []  # what was taken stands on the person now; what was not is given back as a file
        self.marks[row.id] = mark

    def consented(self, acts: Sequence[tuple[str, ConsentAct]], added: Sequence[Document]) -> None:
        """Note which acts of consent each row has added."""
        rows = {act.key: row_id for row_id, act in acts}
        for each in added:
            mark = self.marks[rows[each["dedupe"]]]
            mark.setdefault("acts", []).append(each["_id"])
            if mark["outcome"] == "unchanged":
                mark["outcome"] = "updated"


def _changes(before: Document, after: Document) -> Document:
    """Field → from, to and whose word it was; attributes one by one."""
    result: Document = {}
    if after is before:
        return result
    for name in WHOLE:
        if before.get(name) != after.get(name):
            stamp = (before.get("sources") or {}).get(name)
            result[name] = {"from": before.get(name), "to": after.get(name), "stamp": stamp}
    held = before["attributes"]
    changed = {key: value for key, value in after["attributes"].items() if key not in held or held[key] != value}
    if changed:
        result["attributes"] = [
            {"key": key, "from": held.get(key), "to": value, "new": key not in held} for key, value in changed.items()
        ]
    return result


def _tags(before: Document, after: Document) -> list[str]:
    return [tag for tag in after["tags"] if tag not in before["tags"]]


def content_mark(document: Mapping[str, Any]) -> str:
    """The same as long as nobody has changed what people change."""
    held = {name: document.get(name) for name in CONTENT if document.get(name) not in _EMPTY}
    return unique_key(orjson.dumps(held, default=repr, option=orjson.OPT_SORT_KEYS).decode())


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def read_rows(reader: RowReader, rows: Sequence[Document]) -> list[Wanted]:
    """What these rows say. For a thread."""
    return [reader.read(row["_id"], row["number"], row["cells"]) for row in rows]
