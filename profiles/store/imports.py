"""Imports as duties, and each of their rows with what became of it: the row's id makes every effect unique."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index, settled
from base.mongo import (
    Database,
    Document,
    Indexes,
    Session,
    UpdateOne,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, newest_first
from profiles.holdings import Traces
from profiles.store.belongings import Belongings
from profiles.store.holdings import Held

#: How long the rows of an import are kept, and with them the way back.
ROWS_KEPT = timedelta(days=30)
_TELLING = 9
INDEXES: Indexes = {
    "imports": [due_index(), IndexModel([("header_key", ASCENDING), ("_id", DESCENDING)], name="by_header")],
    "import_rows": [
        IndexModel([("import_id", ASCENDING), ("planned", ASCENDING), ("_id", ASCENDING)], name="by_plan"),
        IndexModel([("import_id", ASCENDING), ("outcome", ASCENDING), ("_id", ASCENDING)], name="by_outcome"),
        IndexModel([("keys", ASCENDING), ("import_id", ASCENDING)], name="by_key", sparse=True),
        IndexModel(
            [("profile_id", ASCENDING)], name="by_profile", partialFilterExpression={"profile_id": {"$exists": True}}
        ),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ],
}


class CellRoom(Held):
    """Rows of lists that nobody has taken yet, or that were given back: only their cells say whom they name."""

    read_whole = True

    def __init__(self, database: Database) -> None:
        super().__init__(database, "import_rows", _naming)
        self.name = "import_cells"
        self._heads = database.collection("imports")

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`. Of a list without a header the first row has become the names of columns."""
        erased = await super().erase(traces)
        async for head in self._heads.find({}, {"name": 1, "columns": 1, "mapping.columns": 1}):
            change = without(head, traces)
            if change:
                await self._heads.update_one({"_id": head["_id"]}, {"$set": change})
                erased += 1
        return erased


def without(head: Mapping[str, Any], traces: Traces) -> Document:
    """The fields of an import that name this person, as they are without it; empty when none does. Pure."""
    pattern = re.compile("|".join(patterns_of([*traces.words, *traces.names])) or r"(?!)", re.IGNORECASE)
    change: Document = {"name": "list"} if pattern.search(head["name"]) else {}
    chosen = (head.get("mapping") or {}).get("columns") or []
    for place, column in enumerate(head.get("columns") or ()):
        if not pattern.search(column):
            continue
        change[f"columns.{place}"] = f"Column {place + 1}"
        if place < len(chosen) and chosen[place]["to"].startswith("attributes."):
            change[f"mapping.columns.{place}.to"] = "ignore"
    return change


def _naming(traces: Traces) -> Document:
    patterns = [re.compile(each, re.IGNORECASE) for each in patterns_of(traces.words)]
    wanted: Document = {"$or": [{"cells": {"$in": patterns}}, {"reason.value": {"$in": patterns}}]}
    return wanted if traces.until is None else {"expires_at": {"$lte": expiry(traces.until)}, **wanted}


def patterns_of(words: Iterable[str]) -> list[str]:
    """Finds an address, or a number however it is written, in a cell. Pure.

    Of a number the last nine digits tell whose it is: whether the country stands before it is the list's own habit.
    """
    found: dict[str, None] = {}
    for word in words:
        digits = word[1:] if word.startswith("+") and word[1:].isdecimal() else ""
        if len(digits) >= _TELLING:
            found[r"[\s()./-]*".join(digits[-_TELLING:]) + "(?![0-9])"] = None
        else:
            found[rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])"] = None
    return list(found)


class ImportRowBelongings(Belongings):
    """A row stays with whoever it was made for; where that person goes, it goes."""


class ImportStore:
    """`imports`: one document each. `import_rows`: `{_id: "imp_…:000000007", import_id, number, cells, expires_at}`,
    then `planned`, `keys`, and after the run `outcome`, `profile_id`, `reason`, `changes`, `tags_added`, `acts`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heads = database.collection("imports")
        self._rows = database.collection("import_rows")
        self.duties = DutyBook(self._heads, lease_s=60)
        self.belongings = ImportRowBelongings("import_rows", self._rows, "imp", by_identity="never")

    # -- imports ---------------------------------------------------------------------------------------------------

    async def add(self, head: Document) -> None:
        """A new one."""
        await self._heads.insert_one(head)

    async def get(self, import_id: str) -> Document | None:
        """One import."""
        return await self._heads.find_one({"_id": import_id})

    async def page(self, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first. Raises `WrongInput` for a foreign cursor."""
        return await newest_first(self._heads, {}, limit, cursor)

    async def change(self, import_id: str, states: Collection[str], change: Mapping[str, Any]) -> bool:
        """Set fields while it is in one of these states; whether it was. Whoever works on it loses the lease."""
        wanted = {"_id": import_id, "state": {"$in": list(states)}}
        update = {"$set": {**change, "lease": None}}
        return (await self._heads.update_one(wanted, update)).matched_count == 1

    async def note(self, head: Document, change: Mapping[str, Any], session: Session | None = None) -> bool:
        """Set fields while the lease is ours, which begins anew; False when it is not any more."""
        return await self.duties.advance(head, change, session, attempts=0)

    async def leave(self, head: Document, change: Mapping[str, Any]) -> bool:
        """Set fields and give the lease back; False when it was lost."""
        return await self.duties.settle([settled(head, {"$set": {**change, "lease": None}})]) == 1

    async def mapping_for(self, header_key: str) -> Document | None:
        """The mapping last used for these columns."""
        wanted = {"header_key": header_key, "remembered": True}
        row = await self._heads.find_one(wanted, {"mapping": 1}, sort=[("_id", DESCENDING)])
        return row["mapping"] if row else None

    # -- rows ------------------------------------------------------------------------------------------------------

    async def add_rows(self, rows: Sequence[Document]) -> None:
        """Keep rows; those kept already stay as they are."""
        await inserted_apart_from_duplicates(self._rows, rows)

    async def after(self, import_id: str, last: str, limit: int, outcome: str | None = None) -> list[Document]:
        """The next rows in the order of the file; `last` is the id of the one before, "" for the beginning."""
        wanted: Document = {"_id": {"$gt": last or f"{import_id}:", "$lt": f"{import_id};"}}
        if outcome is not None:
            wanted["outcome"] = outcome
        return await whole(self._rows.find(wanted).sort([("_id", ASCENDING)]).limit(limit))

    async def before(self, import_id: str, last: str, limit: int) -> list[Document]:
        """Rows that were carried out, the last of the file first."""
        wanted = {"_id": {"$gt": f"{import_id}:", "$lt": last or f"{import_id};"}, "outcome": {"$exists": True}}
        return await whole(self._rows.find(wanted).sort([("_id", DESCENDING)]).limit(limit))

    async def first(self, import_id: str, count: int) -> list[Document]:
        """The first rows."""
        return await self.after(import_id, "", count)

    async def of_plan(self, import_id: str, planned: str, limit: int) -> list[Document]:
        """Some rows with that outlook."""
        wanted = {"import_id": import_id, "planned": planned}
        return await self._rows.find(wanted).sort([("_id", ASCENDING)]).limit(limit).to_list(limit)

    async def refused(self, import_id: str, field: str = "outcome") -> AsyncIterator[Document]:
        """Rows that were not taken, in the order of the file. `field` "planned": that will not be."""
        wanted = {"import_id": import_id, field: {"$in": ["fault", "conflict"]}}
        async for row in self._rows.find(wanted).sort([("_id", ASCENDING)]).batch_size(500):
            yield row

    async def earlier_keys(self, import_id: str, keys: Collection[str], before: str) -> set[str]:
        """Which of these keys stand in an earlier row of the file that makes somebody new."""
        if not keys:
            return set()
        wanted = {"import_id": import_id, "keys": {"$in": list(keys)}, "_id": {"$lt": before}}
        found = await whole(self._rows.find(wanted, {"keys": 1}))
        return {key for row in found for key in row["keys"]} & set(keys)

    async def mark(self, changes: Mapping[str, Mapping[str, Any]], session: Session | None = None) -> None:
        """Row id → fields to set."""
        updates = [UpdateOne({"_id": row_id}, {"$set": dict(fields)}) for row_id, fields in changes.items()]
        if updates:
            await self._rows.bulk_write(updates, ordered=False, session=session)

    async def drop(self, row_ids: Sequence[str], session: Session | None = None) -> None:
        """Forget these rows."""
        if row_ids:
            await self._rows.delete_many({"_id": {"$in": list(row_ids)}}, session=session)

    async def reading(self, brought_by: datetime) -> bool:
        """Whether a file that was brought by then has not become rows yet."""
        wanted = {"state": "reading", "created_at": {"$lte": brought_by}}
        return await self._heads.find_one(wanted, {"_id": 1}) is not None

    async def count(self, import_id: str, field: str) -> dict[str, int]:
        """How many rows with each value of `planned` or `outcome`."""
        steps = [
            {"$match": {"import_id": import_id, field: {"$exists": True}}},
            {"$group": {"_id": f"${field}", "count": {"$sum": 1}}},
        ]
        return {row["_id"]: row["count"] for row in await self._database.aggregate(self._rows, steps)}

    async def others_of(self, profile_ids: Collection[str], import_id: str) -> set[str]:
        """Which of these people another import has written since."""
        wanted: Document = {
            "profile_id": {"$in": list(profile_ids)}, "import_id": {"$ne": import_id},
            "outcome": {"$in": ["updated", "repeated"]}, "undone": {"$ne": "restored"},
        }  # fmt: skip
        return set(await self._rows.distinct("profile_id", wanted))

    async def delete_of(self, profile_ids: Sequence[str], session: Session | None = None) -> int:
        """Forget the rows of these people (they are erased)."""
        return (await self._rows.delete_many({"profile_id": {"$in": list(profile_ids)}}, session=session)).deleted_count

    async def delete_rows(self, import_id: str) -> int:
        """Forget all rows of an import that was never carried out."""
        return (await self._rows.delete_many({"import_id": import_id})).deleted_count


def row_id_of(import_id: str, number: int) -> str:
    """Sorts as the file does."""
    return f"{import_id}:{number:09d}"


def expiry(now: datetime) -> datetime:
    """When a row made now is forgotten."""
    return now + ROWS_KEPT
