"""The imports as people and programs handle them, and the duty that carries them on.

reading → mapping → previewing → ready → running → done → undoing → undone; failed and cancelled end it early. Rows of
the file become rows in the database first: whatever follows is done batch by batch with a cursor, by whichever worker
holds the lease, and goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES, LeaseLost
from base.errors import Conflict, NotFound, Unavailable, WrongInput
from base.feed import Feed, Notice
from base.ids import is_id, new_id
from base.mongo import Document
from base.pages import Page
from base.queue import Doorbell
from profiles.custom_fields import CustomField
from profiles.imports.carrying import Batch, Carrier, read_rows
from profiles.imports.looking import look
from profiles.imports.mapping import (
    Existing,
    ImportMapping,
    ImportOptions,
    checked,
    guessed,
    header_key,
)
from profiles.imports.plan import Known, Plan, agreed_plan, planned
from profiles.imports.regions import Numbers, Region, guessed_region
from profiles.imports.rows import RowReader, Wanted
from profiles.imports.undoing import Undoer
from profiles.normalise import folded
from profiles.sheets.cells import unguarded
from profiles.sheets.headings import plain_heading
from profiles.sheets.reading import read_table
from profiles.sheets.table import Row, Table, Unreadable
from profiles.store.imports import ROWS_KEPT, ImportStore, expiry, row_id_of
from profiles.store.profiles import ProfileStore
from profiles.store.sheets import SheetStore
from profiles.terms import Agreed, Terms

log = logging.getLogger(__name__)

WORKING = ("reading", "previewing", "running", "undoing")
WAITING = ("mapping", "ready")
#: So many one worker carries on side by side: a long list holds up no other.
AT_ONCE = 4
#: One turn of the drain lets others have theirs after this.
TURN_S = 10.0
READ_BATCH, LOOK_BATCH, RUN_BATCH, UNDO_BATCH = 1000, 500, 400, 200
SAMPLES = 20
#: Told to open pages no more often than this.
TOLD_EVERY_S = 1.0
#: A file that no import claims is forgotten after this long.
LOOSE_FOR = timedelta(hours=6)

#: Folded name, mail address or id of a colleague → id.
Colleagues = Callable[[], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Look:
    """One row as the preview shows it: what the file says, what stands there, what becomes of it."""

    wanted: Wanted
    plan: Plan
    before: Document | None


class Imports:
    """Use cases and drain."""

    def __init__(
        self, store: ImportStore, sheets: SheetStore, profiles: ProfileStore, carrier: Carrier, undoer: Undoer,
        feed: Feed, doorbell: Doorbell, clock: Clock, colleagues: Colleagues, terms: Terms, *, region: str | None,
        turn_s: float = TURN_S,
    ) -> None:  # fmt: skip
        self.store = store
        self._sheets = sheets
        self._profiles = profiles
        self._carrier = carrier
        self._undoer = undoer
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._colleagues = colleagues
        self._terms = terms
        self._region = region
        self._turn_s = turn_s
        self._told_at: dict[str, float] = {}

    # -- what people do --------------------------------------------------------------------------------------------

    async def bring(self, path: Path, name: str, by: str, by_name: str = "") -> Document:
        """Keep the file that lies there; it is read in the background. Raises `Unreadable` for an empty one."""
        size = path.stat().st_size
        if not size:
            raise Unreadable("The file is empty.")
        import_id, now = new_id("imp"), self._clock()
        head: Document = {
            "_id": import_id, "state": "reading", "due_at": now, "lease": None, "fence": 0, "attempts": 0,
            "name": name, "size_bytes": size, "sheet_id": await self._sheets.put(import_id, path), "by": by,
            "by_name": by_name, "created_at": now, "kept_until": now + ROWS_KEPT, "rows": 0, "cursor": "",
            "counts": {}, "outlook": {}, "undo_counts": {}, "undo_cursor": "", "columns": [], "mapping": None,
            "done_rows": 0, "region": Region("", "").document(), **_NOTHING_SEEN,
        }  # fmt: skip
        await self.store.add(head)
        await self._tell(head["_id"])
        return head

    async def get(self, import_id: str) -> Document:
        """One import. Raises `NotFound`."""
        found = await self.store.get(import_id) if is_id(import_id, "imp") else None
        if found is None:
            raise NotFound("There is no such import.")
        if found["state"] == "mapping":  # not kept on the import: they are somebody's and go with the rows
            found["samples"] = [row["cells"] for row in await self.store.first(import_id, SAMPLES)]
        return found

    async def page(self, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first."""
        return await self.store.page(limit, cursor)

    async def map(self, import_id: str, mapping: ImportMapping) -> Document:
        """Say what the columns mean; what would become of each row is looked at in the background.

        Raises `WrongInput` for a mapping that fits not, `Conflict` when it runs already.
        """
        head = await self.get(import_id)
        checked(mapping, len(head["columns"]) or len(mapping.columns))
        change = {
            "state": "previewing", "mapping": mapping.model_dump(), "due_at": self._clock(), "cursor": "",
            "outlook": {}, "done_rows": 0, "attempts": 0, "remembered": True, **_NOTHING_SEEN,
            "header_key": header_key(head["columns"]),
        }  # fmt: skip
        return await self._moved(import_id, ("mapping", "ready", "previewing"), change)

    async def back(self, import_id: str) -> Document:
        """To the mapping again."""
        return await self._moved(import_id, ("ready", "previewing"), {"state": "mapping"})

    async def run(self, import_id: str) -> Document:
        """Carry it out. Raises `Conflict` when it was not looked at yet, or runs already."""
        change = {"state": "running", "due_at": self._clock(), "cursor": "", "counts": {}, "done_rows": 0,
                  "attempts": 0, "started_at": self._clock()}  # fmt: skip
        return await self._moved(import_id, ("ready",), change)

    async def cancel(self, import_id: str) -> Document:
        """Stop it; rows that were carried out stay, and can be taken back. Raises `Conflict` when it has ended."""
        change = {"state": "cancelled", "ended_at": self._clock()}
        head = await self._moved(import_id, ("reading", "mapping", "previewing", "ready", "running"), change)
        if not head["counts"]:
            await self._forget(head)
        return head

    async def undo(self, import_id: str, by: str) -> Document:
        """Take it back. Raises `Conflict` for one that has not run, or whose rows are forgotten."""
        head = await self.get(import_id)
        if not undoable(head, self._clock()):
            raise Conflict("This import cannot be taken back (any more).")
        change = {"state": "undoing", "due_at": self._clock(), "undo_cursor": "", "undo_counts": {}, "undone_by": by,
                  "attempts": 0}  # fmt: skip
        return await self._moved(import_id, ("done", "cancelled", "failed"), change)

    async def refused(self, import_id: str) -> AsyncIterator[tuple[list[str], Mapping[str, str], int]]:
        """(cells, reason, row number) of every row that was not taken, or will not be."""
        head = await self.get(import_id)
        field = "outcome" if head["counts"] else "planned"
        async for row in self.store.refused(import_id, field):
            yield row["cells"], row.get("reason") or {}, row["number"]

    async def looks(self, head: Document, outcome: str, limit: int) -> list[Look]:
        """Some rows with that outlook, as they would become now."""
        rows = await self.store.of_plan(head["_id"], outcome, limit)
        reader, options = await self._reader(head)
        wanted = read_rows(reader, [row for row in rows if row["cells"]])
        sight = await look(self._profiles, wanted)
        at = self._clock()
        agreed = await self._terms.now()
        plans = [agreed_plan(planned(each, sight.known, options.existing, at), agreed)[0] for each in wanted]
        return [
            Look(each, plan, sight.known.documents.get(plan.profile_id or ""))
            for each, plan in zip(wanted, plans, strict=True)
        ]

    async def _moved(self, import_id: str, states: Sequence[str], change: Mapping[str, Any]) -> Document:
        await self.get(import_id)
        if not await self.store.change(import_id, states, change):
            raise Conflict("This import is not where that can be done: it has gone on meanwhile.")
        await self._tell(import_id)
        return await self.get(import_id)

    # -- the duty --------------------------------------------------------------------------------------------------

    async def drain(self) -> int:
        """Carry one import on for a turn; how many were. A chore, safe to be done by several at once."""
        rows = await self.store.duties.claim(WORKING, self._clock(), limit=1)
        for head in rows:
            try:
                async with self.store.duties.held(head):
                    await self._turn(head)
            except LeaseLost:
                log.info("an import went on elsewhere", extra={"import": head["_id"]})
                await self._tidy_after(head["_id"])
            await self._tell(head["_id"])
            self._told_at.pop(head["_id"], None)
        return len(rows)

    async def carry_on(self) -> None:
        """Turn after turn until nothing is due: one of a worker's `AT_ONCE` places. Whose turn has ended stands behind
        those who wait."""
        while await self.drain():
            pass

    async def finish(self, import_id: str, told: Callable[[Document], None] | None = None) -> Document:
        """Carry on until this import waits for somebody or has ended: for the command line."""
        while True:
            head = await self.get(import_id)
            if told is not None:
                told(head)
            if head["state"] not in WORKING:
                return head
            if not await self.drain():
                await asyncio.sleep(0.2)

    async def _turn(self, head: Document) -> None:
        if head["attempts"] > MAX_CRASHES:
            await self._fail(head, "It was begun too often without an end. Look at the worker's log.")
            return
        steps = {"reading": self._read, "previewing": self._preview, "running": self._run, "undoing": self._undo}
        try:
            await steps[head["state"]](head)
        except Unreadable as error:
            await self._fail(head, str(error))

    async def _tidy_after(self, import_id: str) -> None:
        """Somebody has stopped it while rows were being kept: these go, too."""
        head = await self.store.get(import_id)
        if head is not None and head["state"] in ("cancelled", "failed") and not head["counts"]:
            await self._forget(head)

    async def _forget(self, head: Document) -> None:
        """Nothing of a list that was never carried out is kept, its file included."""
        await self.store.delete_rows(head["_id"])
        await self._sheets.delete(head["sheet_id"])

    async def _fail(self, head: Document, sentence: str) -> None:
        change = {"state": "failed", "fault": sentence, "ended_at": self._clock(), "due_at": self._clock()}
        await self.store.leave(head, change)
        if not head["counts"]:
            await self._forget(head)

    async def _read(self, head: Document) -> None:
        """The file's rows become rows of the database; then it waits for its mapping. Begun anew after a crash: rows
        kept already stay."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sheet"
            try:
                await self._sheets.fetch(head["sheet_id"], path)
            except KeyError:
                raise Unreadable("The file is not here any more. Bring it again.") from None
            table = await asyncio.to_thread(read_table, path)
            rows = await self._keep(head, table)
        first = [row["cells"] for row in await self.store.first(head["_id"], 200)]
        if not first:
            raise Unreadable("There are no rows in this file.")
        kept = await self.store.mapping_for(header_key(table.columns))
        region = guessed_region([] if table.headless else table.columns, first, self._region)
        labels = _labels((await self._terms.now()).fields)
        columns = guessed(table.columns, first, region.code or None, headless=table.headless, labels=labels)
        options = {"region": region.code} if region.why in ("headings", "rows") else {}
        mapping: Document = {"columns": [each.model_dump() for each in columns], "options": options}
        if kept is not None:  # how these people agreed is said anew each time
            said = {name: kept["options"][name] for name in ("existing", "region")}
            mapping = {"columns": kept["columns"], "options": said}
        change = {
            "state": "mapping", "columns": list(table.columns), "kind": table.kind, "encoding": table.encoding,
            "delimiter": table.delimiter, "rows": rows, "attempts": 0,
            "mapping": mapping, "known_mapping": kept is not None, "region": region.document(),
        }  # fmt: skip
        if not await self.store.leave(head, change):
            raise LeaseLost
        await self._sheets.delete(head["sheet_id"])

    async def _keep(self, head: Document, table: Table) -> int:
        count, records, expires_at = 0, table.rows(), expiry(head["created_at"])
        guards = table.kind in ("csv", "xlsx")
        while batch := await asyncio.to_thread(lambda: list(islice(records, READ_BATCH))):
            await self.store.add_rows([_kept(head["_id"], row, expires_at, guards) for row in batch])
            count += len(batch)
            await self._noted(head, {"rows": count})
        return count

    async def _preview(self, head: Document) -> None:
        reader, options = await self._reader(head)
        end = time.monotonic() + self._turn_s
        while rows := await self.store.after(head["_id"], head["cursor"], LOOK_BATCH):
            wanted = await asyncio.to_thread(read_rows, reader, rows)
            keys = {key for each in wanted for key in each.deciding}
            earlier = await self.store.earlier_keys(head["_id"], keys, rows[0]["_id"])
            await self._carrier.leave_out(wanted, head["created_at"])
            sight, agreed = await look(self._profiles, wanted, earlier), await self._terms.now()
            plans = _plans(wanted, sight.known, options.existing, self._clock(), agreed)
            marks = _marks(wanted, plans)
            gone = [each.id for each in wanted if each.erased]
            await self.store.mark({key: mark for key, mark in marks.items() if key not in gone})
            await self.store.drop(gone)
            outlook = dict(head["outlook"])
            for plan in plans:
                outlook[plan.outcome] = outlook.get(plan.outcome, 0) + 1
            seen = _seen(head, wanted, plans)
            done = {"cursor": rows[-1]["_id"], "outlook": outlook, "done_rows": sum(outlook.values()), **seen}
            await self._noted(head, done)
            if time.monotonic() > end:
                await self.store.leave(head, {"due_at": self._clock()})
                return
        await self.store.leave(head, {"state": "ready", "attempts": 0})

    async def _run(self, head: Document) -> None:
        reader, options = await self._reader(head)
        end = time.monotonic() + self._turn_s
        ahead = asyncio.create_task(self._read_ahead(reader, head["_id"], head["cursor"]))
        try:
            while wanted := await ahead:
                ahead = asyncio.create_task(self._read_ahead(reader, head["_id"], wanted[-1].id))
                try:
                    await self._carrier.carry(Batch(head, options, wanted))
                except Unavailable:  # a part of it may have been written: on from there
                    await _dropped(ahead)
                    await asyncio.sleep(0.2)
                    ahead = asyncio.create_task(self._read_ahead(reader, head["_id"], head["cursor"]))
                    continue
                await self._tell_sometimes(head)
                if options.journeys:
                    self._doorbell.soon("react")
                if time.monotonic() > end:
                    await self.store.leave(head, {"due_at": self._clock()})
                    return
        finally:
            await _dropped(ahead)
        await self.store.leave(head, {"state": "done", "ended_at": self._clock(), "attempts": 0})

    async def _read_ahead(self, reader: RowReader, import_id: str, last: str) -> list[Wanted]:
        """What the next rows say, while the ones before are written."""
        rows = await self.store.after(import_id, last, RUN_BATCH)
        return await asyncio.to_thread(read_rows, reader, rows)

    async def _undo(self, head: Document) -> None:
        end = time.monotonic() + self._turn_s
        while rows := await self.store.before(head["_id"], head["undo_cursor"], UNDO_BATCH):
            try:
                await self._undoer.undo(head, rows)
            except Unavailable:
                await asyncio.sleep(0.2)
                continue
            await self._tell_sometimes(head)
            if time.monotonic() > end:
                await self.store.leave(head, {"due_at": self._clock()})
                return
        await self.store.leave(head, {"state": "undone", "undone_at": self._clock(), "attempts": 0})

    async def _reader(self, head: Document) -> tuple[RowReader, ImportOptions]:
        mapping = ImportMapping.model_validate(head["mapping"])
        if len(mapping.columns) != len(head["columns"]):
            raise WrongInput("The mapping does not fit the file.")
        owners, agreed = await self._colleagues(), await self._terms.now()
        stages = {folded(name): each.key for each in reversed(agreed.stages) for name in each.names.values()}
        stages |= {folded(each.key): each.key for each in agreed.stages}
        reader = RowReader(mapping, head["columns"], region=self._region, owners=owners, stages=stages)
        return reader, mapping.options

    async def _noted(self, head: Document, change: Mapping[str, Any]) -> None:
        if not await self.store.note(head, change):
            raise LeaseLost
        head.update(change)
        await self._tell_sometimes(head)

    async def _tell_sometimes(self, head: Document) -> None:
        if time.monotonic() - self._told_at.get(head["_id"], 0.0) > TOLD_EVERY_S:
            self._told_at[head["_id"]] = time.monotonic()
            await self._tell(head["_id"])

    async def _tell(self, import_id: str) -> None:
        await self._feed.append([Notice("import.updated", {"import_id": import_id})])

    # -- tidying ---------------------------------------------------------------------------------------------------

    async def tidy(self) -> int:
        """Forget files that were read, or whose import ended before. A chore."""
        gone = 0
        for sheet_id, owner in await self._sheets.put_before(self._clock() - LOOSE_FOR, 100):
            head = await self.store.get(owner) if is_id(owner, "imp") else None
            if is_id(owner, "imp") and (head is None or head["state"] != "reading" or head["sheet_id"] != sheet_id):
                await self._sheets.delete(sheet_id)
                gone += 1
        return gone


async def _dropped(task: asyncio.Task[Any]) -> None:
    """End it; what it came to does not matter any more."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def undoable(head: Document, now: datetime) -> bool:
    """Whether it can be taken back."""
    ended = head["state"] in ("done", "cancelled", "failed")
    did = any(head["counts"].get(name) for name in ("created", "updated", "repeated"))
    return bool(ended and did and now < head["kept_until"])


def _kept(import_id: str, row: Row, expires_at: datetime, guards: bool) -> Document:
    """`guards`: the format has them, so they come off."""
    number, cells = row
    cells = [unguarded(cell) for cell in cells] if guards else cells
    return {
        "_id": row_id_of(import_id, number), "import_id": import_id, "number": number, "expires_at": expires_at,
        "cells": [cell.encode("utf-8", "replace").decode() for cell in cells],
    }  # fmt: skip


def _plans(
    wanted: Sequence[Wanted], known: Known, existing: Existing, at: datetime, agreed: Agreed
) -> list[Plan]:  # fmt: skip
    """In their order: a row sees the people whom earlier ones of the batch will create."""
    earlier = set(known.earlier)
    known = replace(known, earlier=earlier)
    plans = []
    for each in wanted:
        plan, _ = agreed_plan(planned(each, known, existing, at), agreed)
        if plan.outcome in ("created", "repeated"):
            earlier |= set(each.deciding)
        plans.append(plan)
    return plans


#: What a preview has seen of numbers and stages, before it has looked.
_NOTHING_SEEN: Document = {"numbers": {"asked": 0, "told": 0}, "moves": [], "unknown_stages": []}
#: Stages that are in no list are named up to so many.
_UNKNOWN_MAX = 20


def _seen(head: Document, wanted: Sequence[Wanted], plans: Sequence[Plan]) -> Document:
    """What these rows add: numbers that name no country, who would move to which stage, stages that are in no list.

    `moves`: stage with how many people we know would move there and how many new ones would begin there.
    """
    head = {**_NOTHING_SEEN, **head}
    numbers = Numbers(sum(each.numbers.asked for each in wanted), sum(each.numbers.told for each in wanted))
    moves = {each["stage"]: dict(each) for each in head["moves"]}
    unknown = {each["stage"]: each["rows"] for each in head["unknown_stages"]}
    for plan in plans:
        wrong = plan.fault.value if plan.fault is not None and plan.fault.code == "unknown_stage" else None
        if wrong is not None and (wrong in unknown or len(unknown) < _UNKNOWN_MAX):
            unknown[wrong] = unknown.get(wrong, 0) + 1
        stage = plan.fields.get("stage")
        if stage is not None:
            each = moves.setdefault(stage, {"stage": stage, "moving": 0, "new": 0})
            each["new" if plan.outcome == "created" else "moving"] += 1
    return {
        "numbers": numbers.plus(head["numbers"]), "moves": list(moves.values()),
        "unknown_stages": [{"stage": stage, "rows": rows} for stage, rows in unknown.items()],
    }  # fmt: skip


def _labels(fields: Sequence[CustomField]) -> dict[str, str]:
    """What fields are called, in any language → their attribute."""
    return {plain_heading(label): each.key for each in reversed(fields) for label in each.labels.values()}


def _marks(wanted: Sequence[Wanted], plans: Sequence[Plan]) -> dict[str, Document]:
    marks: dict[str, Document] = {}
    for each, plan in zip(wanted, plans, strict=True):
        mark: Document = {"planned": plan.outcome, "keys": [], "reason": plan.fault.document() if plan.fault else None}
        if plan.outcome in ("created", "repeated") and plan.profile_id is None:
            mark["keys"] = each.deciding
        marks[each.id] = mark
    return marks
