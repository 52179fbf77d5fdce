"""What a deployment has agreed on about its customers: one row per list (stages, reasons, roles, kinds of relation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.mongo import Database, Document, DuplicateKeyError, Indexes
from profiles.segments.tag_names import TagNames

INDEXES: Indexes = {
    "fields": [
        IndexModel([("key", ASCENDING)], name="key", unique=True),
        IndexModel([("archived_at", ASCENDING), ("position", ASCENDING), ("_id", ASCENDING)], name="in_order"),
    ]
}

#: The list of former names of tags, which `profiles.store.tags` writes.
TAG_NAMES = "tag_names"


def tag_names(row: Document | None) -> TagNames:
    """What that list says; nothing was ever renamed where there is none. Pure."""
    if row is None:
        return TagNames()
    return TagNames(tuple((each["tag"], each["to"]) for each in row["entries"]), row["rev"])


class TermStore:
    """Lists of terms, each saved whole, and the definitions of custom fields, one row each."""

    def __init__(self, database: Database) -> None:
        self._lists = database.collection("term_lists")
        self._fields = database.collection("fields")

    async def lists(self) -> dict[str, Document]:
        """Name of the list → `{_id, rev, entries}`. Lists never saved are not there."""
        return {row["_id"]: row async for row in self._lists.find({})}

    async def save_list(self, name: str, rev: int, entries: Sequence[Mapping[str, Any]], **more: Any) -> bool:
        """Put these entries when the list still has this revision (0: was never saved); False when not."""
        change = {"$set": {"entries": [dict(each) for each in entries], "rev": rev + 1, **more}}
        try:
            found = await self._lists.update_one({"_id": name, "rev": rev or None}, change, upsert=rev == 0)
        except DuplicateKeyError:
            return False
        return found.matched_count == 1 or found.upserted_id is not None

    async def fields(self) -> list[Document]:
        """Definitions that stand, in the order made by hand. There are some dozens at most."""
        found = self._fields.find({"archived_at": None})
        return await found.sort([("position", ASCENDING), ("_id", ASCENDING)]).to_list(None)

    async def field(self, field_id: str) -> Document | None:
        """One definition, taken away or not."""
        return await self._fields.find_one({"_id": field_id})

    async def field_keys(self) -> set[str]:
        """Keys of all definitions, also of those that were taken away."""
        return set(await self._fields.distinct("key"))

    async def field_by_key(self, key: str) -> Document | None:
        """The same by its key."""
        return await self._fields.find_one({"key": key})

    async def add_field(self, row: Document) -> None:
        """Raises `DuplicateKeyError` when one with this key is there, or was."""
        await self._fields.insert_one(row)

    async def change_field(self, field_id: str, rev: int, values: Mapping[str, Any]) -> Document | None:
        """Change it when it still has this revision; the row as it is then."""
        return await self._fields.find_one_and_update(
            {"_id": field_id, "rev": rev}, {"$set": dict(values), "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip
