"""Snippets: named parts that any template may use, and how everything the house sends looks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes, Session
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from campaigns.store.revisions import Revisions, one_each, opened, packed
from campaigns.store.templates import users_of
from campaigns.wording.blocks import Brand
from campaigns.wording.parts import DEPTH_MAX, snippets_in, texts_of

INDEXES: Indexes = {
    "snippets": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("includes", ASCENDING)], name="by_include"),
        IndexModel([("offers", ASCENDING)], name="by_offer"),
    ],
    "snippet_revisions": [one_each("snippet_id")],
    "brand": [],
}


class SnippetStore:
    """Rows `{_id, key, name, content: {text, html, locales}, includes, offers, rev, deleted_at, …}`; content is kept as
    JSON text, and each wording it ever had is a row of `snippet_revisions`. A `Shelf` of the renderer: what was taken
    away goes on being filled in where it is still named."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("snippets")
        self._database = database
        self._revisions = Revisions(database.collection("snippet_revisions"), "snippet_id", "spr")
        self._brand = database.collection("brand")
        self._clock = clock

    async def add(self, key: str, name: str, content: Mapping[str, Any], named: Document, by: str | None) -> Document:
        """A new one. A taken key raises `DuplicateKeyError`."""
        now = self._clock()
        row = {
            "_id": new_id("snp"), "key": key, "name": name, "content": packed(content), "rev": 1, "deleted_at": None,
            "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, **named,
        }  # fmt: skip

        async def work(session: Session) -> None:
            await self._rows.insert_one(row, session=session)
            await self._revisions.begin(row, session)

        await self._database.in_transaction(work)
        return opened(row)

    async def get(self, snippet_id: str) -> Document | None:
        """One that is there."""
        row = await self._rows.find_one({"_id": snippet_id, "deleted_at": None})
        return opened(row) if row else None

    async def existing(self, keys: Iterable[str]) -> frozenset[str]:
        """Those that are there."""
        found = self._rows.find({"key": {"$in": list(set(keys))}, "deleted_at": None}, {"key": 1})
        return frozenset([row["key"] async for row in found])

    async def change(
        self, snippet_id: str, rev: int, name: str, content: Mapping[str, Any], named: Document, by: str | None
    ) -> Document | None:
        """Replace it if nobody did so since `rev`, as a new revision; None when somebody did."""
        fields = {"name": name, "content": packed(content), "updated_at": self._clock(), "updated_by": by, **named}
        return await self._revisions.replace(self._database, self._rows, snippet_id, rev, fields)

    async def revision(self, snippet_id: str, rev: int) -> Document | None:
        """The words of one revision: `{snippet_id, rev, name, content, at, by}`."""
        return await self._revisions.get(await self._rows.find_one({"_id": snippet_id}), snippet_id, rev)

    async def revisions(
        self, snippet_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """All of them, newest first."""
        return await self._revisions.page(snippet_id, limit=limit, cursor=cursor)

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
        return Page([opened(row) for row in rows], write_cursor(rows[-1]["key"]) if more else None)

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
            rows = [opened(row) async for row in self._rows.find({"key": {"$in": list(edge)}})]
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
