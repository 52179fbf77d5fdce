"""Snippets: named parts that any template may use, and how everything the house sends looks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from campaigns.store.templates import users_of
from campaigns.wording.blocks import Brand
from campaigns.wording.parts import DEPTH_MAX, snippets_in, texts_of

INDEXES: Indexes = {
    "snippets": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("includes", ASCENDING)], name="by_include"),
        IndexModel([("offers", ASCENDING)], name="by_offer"),
    ],
    "brand": [],
}


class SnippetStore:
    """Rows `{_id, key, name, content: {text, html, locales}, includes, offers, rev, deleted_at, …}`; content is kept as
    JSON text. A `Shelf` of the renderer: what was taken away goes on being filled in where it is still named."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("snippets")
        self._brand = database.collection("brand")
        self._clock = clock

    async def add(self, key: str, name: str, content: Mapping[str, Any], named: Document, by: str | None) -> Document:
        """A new one. A taken key raises `DuplicateKeyError`."""
        now = self._clock()
        row = {
            "_id": new_id("snp"), "key": key, "name": name, "content": _text(content), "rev": 1, "deleted_at": None,
            "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, **named,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return _opened(row)

    async def get(self, snippet_id: str) -> Document | None:
        """One that is there."""
        row = await self._rows.find_one({"_id": snippet_id, "deleted_at": None})
        return _opened(row) if row else None

    async def existing(self, keys: Iterable[str]) -> frozenset[str]:
        """Those that are there."""
        found = self._rows.find({"key": {"$in": list(set(keys))}, "deleted_at": None}, {"key": 1})
        return frozenset([row["key"] async for row in found])

    async def change(
        self, snippet_id: str, rev: int, name: str, content: Mapping[str, Any], named: Document, by: str | None
    ) -> Document | None:
        """Replace it if nobody did so since `rev`; None when somebody did."""
        fields = {"name": name, "content": _text(content), "updated_at": self._clock(), "updated_by": by, **named}
        row = await self._rows.find_one_and_update(
            {"_id": snippet_id, "rev": rev, "deleted_at": None}, {"$set": fields, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip
        return _opened(row) if row else None

    async def delete(self, snippet_id: str) -> bool:
        """Take it out of the list."""
        change = {"$set": {"deleted_at": self._clock()}}
        return (await self._rows.update_one({"_id": snippet_id, "deleted_at": None}, change)).modified_count == 1

    async def restore(self, snippet_id: str) -> bool:
        """Put it back."""
        wanted = {"_id": snippet_id, "deleted_at": {"$ne": None}}
        return (await self._rows.update_one(wanted, {"$set": {"deleted_at": None}})).modified_count == 1

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """By key."""
        wanted: Document = {"deleted_at": None}
        if cursor is not None:
            wanted["key"] = {"$gt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = await self._rows.find(wanted).sort("key", ASCENDING).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page([_opened(row) for row in rows], write_cursor(rows[-1]["key"]) if more else None)

    async def users(self, *, include: str | None = None, offer: str | None = None) -> list[Document]:
        """Snippets in which this snippet or this offer stands: `{_id, name}`."""
        return await users_of(self._rows, include, offer)

    # -- what the renderer takes ---------------------------------------------------------------------------------

    async def snippets(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """As `campaigns.render.Shelf`."""
        found: dict[str, Mapping[str, Any]] = {}
        edge = set(keys)
        for _ in range(DEPTH_MAX + 1):
            if not edge:
                break
            rows = [_opened(row) async for row in self._rows.find({"key": {"$in": list(edge)}})]
            found |= {row["key"]: row["content"] for row in rows}
            edge = {each for row in rows for each in snippets_in(*texts_of(row["content"]))} - set(found)
        return found

    async def brand(self) -> Brand:
        """As `campaigns.render.Shelf`."""
        row = await self._brand.find_one({"_id": "brand"}, {"_id": 0, "updated_at": 0, "updated_by": 0})
        return Brand.model_validate(row) if row else Brand()

    async def set_brand(self, brand: Brand, by: str | None) -> None:
        """Everything that is sent from now on looks like this."""
        fields = {**brand.model_dump(), "updated_at": self._clock(), "updated_by": by}
        try:
            await self._brand.update_one({"_id": "brand"}, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # another one made it in the same moment
            await self._brand.update_one({"_id": "brand"}, {"$set": fields})


def _text(content: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(content)).decode()


def _opened(row: Document) -> Document:
    return {**row, "content": orjson.loads(row["content"])}
