"""The exports as people and programs handle them, and the duty that writes their files.

An export changes nothing, so a worker that died is simply followed by one that begins the file anew.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES, LeaseLost
from base.errors import Conflict, NotFound, TooSlow
from base.feed import Feed, Notice
from base.ids import is_id, new_id
from base.mongo import Document
from base.pages import Page
from profiles.exports.columns import ATTRIBUTES_MAX, Format, Person, columns_of
from profiles.exports.writing import Writer, writer_for
from profiles.imports.header_words import meaning_of
from profiles.sheets.headings import Headings, headings_of, plain_heading
from profiles.sheets.table import Unreadable
from profiles.sheets.vcard import Version
from profiles.store.exports import ExportStore
from profiles.store.profiles import ProfileFilter, ProfileStore
from profiles.store.sheets import SheetStore
from profiles.terms import Terms

log = logging.getLogger(__name__)

BATCH = 1000
#: So many one worker writes side by side: a long one holds up no other.
AT_ONCE = 2
TOLD_EVERY_S = 1.0
#: How long a file can be fetched.
FILES_KEPT = timedelta(days=7)
#: Names of the filter, as the list of profiles has them.
FILTERS = ("q", "tag", "stage", "tier", "role", "owner_id", "segment")

#: Id of a colleague → mail address.
Addresses = Callable[[], Awaitable[Mapping[str, str]]]
#: Id of a segment → the key that its members have on their profiles today.
SegmentKey = Callable[[str], Awaitable[str]]


class Exports:
    """Use cases and drain."""

    def __init__(
        self, store: ExportStore, sheets: SheetStore, profiles: ProfileStore, feed: Feed, clock: Clock,
        colleagues: Addresses, terms: Terms, segment_key: SegmentKey,
    ) -> None:  # fmt: skip
        self._store = store
        self._sheets = sheets
        self._profiles = profiles
        self._feed = feed
        self._clock = clock
        self._colleagues = colleagues
        self._terms = terms
        self._segment_key = segment_key
        self._told_at: dict[str, float] = {}

    # -- what people do --------------------------------------------------------------------------------------------

    async def begin(
        self, kind: Format, wanted: Mapping[str, str | None], by: str, by_name: str = "", version: Version = "4.0",
        headings: Headings = "keys",
    ) -> Document:  # fmt: skip
        """Ask for a file of the people whom this filter (`FILTERS`) finds. `headings`: of a table's columns."""
        now = self._clock()
        row: Document = {
            "_id": new_id("exp"), "state": "running", "due_at": now, "lease": None, "fence": 0, "attempts": 0,
            "format": kind, "version": version, "headings": headings,
            "filter": {name: wanted[name] for name in FILTERS if wanted.get(name)},
            "by": by, "by_name": by_name, "created_at": now, "begun_at": now, "count": 0, "total": None,
        }  # fmt: skip
        await self._store.add(row)
        log.info("people are exported", extra={"export": row["_id"], "by": by, "format": kind})
        return row

    async def get(self, export_id: str) -> Document:
        """One export. Raises `NotFound`."""
        row = await self._store.get(export_id) if is_id(export_id, "exp") else None
        if row is None:
            raise NotFound("There is no such export.")
        return row

    async def page(self, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first."""
        return await self._store.page(limit, cursor)

    async def cancel(self, export_id: str) -> Document:
        """Stop it. Raises `Conflict` when it has ended."""
        await self.get(export_id)
        if not await self._store.change(export_id, ["running"], {"state": "cancelled", "ended_at": self._clock()}):
            raise Conflict("This export has ended already.")
        return await self.get(export_id)

    async def file(self, export_id: str) -> tuple[Document, AsyncIterator[bytes]]:
        """The export and its bytes. Raises `NotFound` while there are none, and once they are forgotten."""
        row = await self.get(export_id)
        if "sheet_id" not in row:
            raise NotFound("There is no file yet, or it is not kept any more.")
        return row, self._sheets.read(row["sheet_id"])

    # -- the duty --------------------------------------------------------------------------------------------------

    async def drain(self) -> int:
        """Write one file; how many were. A chore, safe to be done by several at once."""
        rows = await self._store.duties.claim(["running"], self._clock(), limit=1)
        for row in rows:
            try:
                async with self._store.duties.held(row):
                    await self._write(row)
            except LeaseLost:
                log.info("an export went on elsewhere", extra={"export": row["_id"]})
            except Unreadable as error:
                await self._store.leave(row, {"state": "failed", "fault": str(error), "ended_at": self._clock()})
            self._told_at.pop(row["_id"], None)
            await self._tell(row)
        return len(rows)

    async def finish(self, export_id: str, told: Callable[[Document], None] | None = None) -> Document:
        """Write until this export has ended: for the command line."""
        while True:
            row = await self.get(export_id)
            if told is not None:
                told(row)
            if row["state"] != "running":
                return row
            if not await self.drain():
                await asyncio.sleep(0.2)

    async def _write(self, row: Document) -> None:
        if row["attempts"] > MAX_CRASHES:
            raise Unreadable("It was begun too often without an end. Look at the worker's log.")
        wanted = ProfileFilter(**row["filter"])
        if wanted.segment is not None:
            wanted = replace(wanted, segment=await self._segment_key(wanted.segment))
        try:
            total: int | None = await self._profiles.count(wanted, cap=10_000_000)
        except TooSlow:
            total = None  # then nobody sees how far it is
        if not await self._store.note(row, {"total": total}):
            raise LeaseLost
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "people"
            count = await self._written(row, wanted, path)
            sheet_id = await self._sheets.put(row["_id"], path)
            change = {"state": "done", "sheet_id": sheet_id, "count": count, "size_bytes": path.stat().st_size,
                      "ended_at": self._clock()}  # fmt: skip
            if not await self._store.leave(row, change):
                await self._sheets.delete(sheet_id)
                raise LeaseLost
        log.info("people were exported", extra={"export": row["_id"], "by": row["by"], "count": count})

    async def _written(self, row: Document, wanted: ProfileFilter, path: Path) -> int:
        flat = row["format"] in ("csv", "xlsx")
        attributes = await self._profiles.attribute_keys(wanted, ATTRIBUTES_MAX) if flat else []
        columns = columns_of(attributes)
        headings = await self._headings(columns, row.get("headings", "keys"))
        writer = await asyncio.to_thread(writer_for, row["format"], path, columns, row["version"], headings)
        count, last, owners = 0, None, await self._colleagues()
        try:
            while people := await self._profiles.walk(wanted, last, BATCH):
                last, count = people[-1]["_id"], count + len(people)
                await self._add(writer, people, owners)
                if not await self._store.note(row, {"count": count}):
                    raise LeaseLost
                await self._tell_sometimes(row)
        finally:
            await asyncio.to_thread(writer.close)
        return count

    async def _headings(self, columns: Sequence[str], headings: Headings) -> list[str]:
        """Fields are called as they are called in that language, where no two are called the same."""
        if headings == "keys":
            return list(columns)
        fields = (await self._terms.now()).fields
        every = Counter(plain_heading(name) for each in fields for name in set(each.labels.values()))
        labels = {each.key: each.said("zh_CN" if headings == "zh" else "en") for each in fields}
        clear = {key: name for key, name in labels.items() if every[plain_heading(name)] == 1}
        return headings_of(columns, headings, clear, meaning_of)

    async def _add(self, writer: Writer, people: Sequence[Document], owners: Mapping[str, str]) -> None:
        ids = [each["_id"] for each in people]
        held = await self._profiles.identity_rows.plain_of(ids, ["customer_id"])
        rows = [
            Person(each, [row["value"] for row in held[each["_id"]]], owners.get(each.get("owner_id") or "", ""))
            for each in people
        ]
        await asyncio.to_thread(writer.write, rows)

    async def _tell_sometimes(self, row: Document) -> None:
        if time.monotonic() - self._told_at.get(row["_id"], 0.0) > TOLD_EVERY_S:
            self._told_at[row["_id"]] = time.monotonic()
            await self._tell(row)

    async def _tell(self, row: Document) -> None:
        await self._feed.append([Notice("export.updated", {"export_id": row["_id"]})])

    # -- tidying ---------------------------------------------------------------------------------------------------

    async def tidy(self) -> int:
        """Forget files that are old, or that no export claims. A chore."""
        old = await self._store.with_files(self._clock() - FILES_KEPT, 100)
        for row in old:
            await self._sheets.delete(row["sheet_id"])
            await self._store.forget_file(row["_id"])
        loose = 0
        for sheet_id, owner in await self._sheets.put_before(self._clock() - timedelta(hours=6), 100):
            row_now: Any = await self._store.get(owner) if is_id(owner, "exp") else None
            if is_id(owner, "exp") and (row_now is None or row_now.get("sheet_id") != sheet_id):
                await self._sheets.delete(sheet_id)
                loose += 1
        return len(old) + loose
