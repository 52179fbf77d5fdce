"""Templates, each with its revisions counted: a send says which wording it used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.ids import new_id
from base.mongo import Database, Document, Indexes
from base.pages import Page, bounded, cut, read_cursor, write_cursor

INDEXES: Indexes = {
    "templates": [
        IndexModel([("deleted_at", ASCENDING), ("_id", DESCENDING)], name="kept"),
        IndexModel(
            [("recipe_key", ASCENDING)],
            name="recipe",
            unique=True,
            partialFilterExpression={"recipe_key": {"$exists": True}},
        ),
    ]
}


class TemplateStore:
    """Reads and writes templates. Rows: `{_id, name, kind, content, rev, created_at, updated_at, …}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("templates")
        self._clock = clock

    async def add(self, name: str, kind: str, content: Mapping[str, Any], by: str | None, **more: Any) -> Document:
        """A new template. A taken `recipe_key` raises `DuplicateKeyError`."""
        now = self._clock()
        row = {
            "_id": new_id("tpl"), "name": name, "kind": kind, "content": _text(content), "rev": 1, "deleted_at": None,
            "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, **more,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return _opened(row)

    async def get(self, template_id: str) -> Document | None:
        """One template, deleted ones among them: a run may still need it."""
        row = await self._rows.find_one({"_id": template_id})
        return _opened(row) if row else None

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Templates by id."""
        found = self._rows.find({"_id": {"$in": list(set(ids))}})
        return {row["_id"]: _opened(row) async for row in found}

    async def existing(self, ids: Iterable[str]) -> frozenset[str]:
        """Those that are there and not deleted."""
        found = self._rows.find({"_id": {"$in": list(set(ids))}, "deleted_at": None}, {"_id": 1})
        return frozenset([row["_id"] async for row in found])

    async def by_recipe(self, recipe_key: str) -> Document | None:
        """The template that was installed under this key."""
        row = await self._rows.find_one({"recipe_key": recipe_key})
        return _opened(row) if row else None

    async def change(
        self, template_id: str, rev: int, name: str, kind: str, content: Mapping[str, Any], by: str | None
    ) -> Document | None:
        """Replace the content if nobody did so since `rev`; None when somebody did."""
        change = {
            "$set": {
                "name": name, "kind": kind, "content": _text(content), "updated_at": self._clock(), "updated_by": by,
            },
            "$inc": {"rev": 1},
        }  # fmt: skip
        row = await self._rows.find_one_and_update(
            {"_id": template_id, "rev": rev, "deleted_at": None}, change, return_document=ReturnDocument.AFTER
        )
        return _opened(row) if row else None

    async def delete(self, template_id: str) -> bool:
        """Take it out of the lists. Runs that name it go on using it."""
        done = await self._rows.update_one(
            {"_id": template_id, "deleted_at": None}, {"$set": {"deleted_at": self._clock()}}
        )
        return done.modified_count == 1

    async def page(
        self, *, kind: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Templates, newest first."""
        wanted: Document = {"deleted_at": None, **({"kind": kind} if kind else {})}
        if cursor is not None:
            (last,) = read_cursor(cursor, str)
            wanted["_id"] = {"$lt": last}
        size = bounded(limit)
        found = await self._rows.find(wanted).sort("_id", DESCENDING).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page([_opened(row) for row in rows], write_cursor(rows[-1]["_id"]) if more else None)


def _text(content: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(content)).decode()


def _opened(row: Document) -> Document:
    return {**row, "content": orjson.loads(row["content"])}
