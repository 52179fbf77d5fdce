"""Templates, each with its revisions counted: a send says which wording it used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.ids import new_id
from base.mongo import Collection, Database, Document, Indexes, Session, whole
from base.pages import Page, newest_first
from campaigns.store.revisions import Revisions, one_each, opened, packed
from campaigns.wording.parts import names_in

INDEXES: Indexes = {
    "templates": [
        IndexModel([("deleted_at", ASCENDING), ("_id", DESCENDING)], name="kept"),
        IndexModel(
            [("recipe_key", ASCENDING)],
            name="recipe",
            unique=True,
            partialFilterExpression={"recipe_key": {"$exists": True}},
        ),
        IndexModel([("includes", ASCENDING)], name="by_include", sparse=True),
        IndexModel([("offers", ASCENDING)], name="by_offer", sparse=True),
        IndexModel([("tags", ASCENDING), ("_id", DESCENDING)], name="by_tag", sparse=True),
    ],
    "template_revisions": [one_each("template_id")],
}


class TemplateStore:
    """Reads and writes templates. Rows: `{_id, name, kind, content, rev, tags, includes, offers, …}`. Each wording it
    ever had is a row of `template_revisions`: `{_id, template_id, rev, name, kind, content, at, by}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rows = database.collection("templates")
        self._revisions = Revisions(database.collection("template_revisions"), "template_id", "tpr", ("kind",))
        self._clock = clock

    async def add(self, name: str, kind: str, content: Mapping[str, Any], by: str | None, **more: Any) -> Document:
        """A new template. A taken `recipe_key` raises `DuplicateKeyError`."""
        now = self._clock()
        row = {
            "_id": new_id("tpl"), "name": name, "kind": kind, "content": packed(content), "rev": 1, "deleted_at": None,
            "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, "tags": [], **names_in(content),
            **more,
        }  # fmt: skip

        async def work(session: Session) -> None:
            await self._rows.insert_one(row, session=session)
            await self._revisions.begin(row, session)

        await self._database.in_transaction(work)
        return opened(row)

    async def get(self, template_id: str) -> Document | None:
        """One template, deleted ones among them: a run may still need it."""
        row = await self._rows.find_one({"_id": template_id})
        return opened(row) if row else None

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Templates by id."""
        found = self._rows.find({"_id": {"$in": list(set(ids))}})
        return {row["_id"]: opened(row) async for row in found}

    async def existing(self, ids: Iterable[str]) -> frozenset[str]:
        """Those that are there and not deleted."""
        found = self._rows.find({"_id": {"$in": list(set(ids))}, "deleted_at": None}, {"_id": 1})
        return frozenset([row["_id"] async for row in found])

    async def by_recipe(self, recipe_key: str) -> Document | None:
        """The template that was installed under this key."""
        row = await self._rows.find_one({"recipe_key": recipe_key})
        return opened(row) if row else None

    async def change(
        self, template_id: str, rev: int, name: str, kind: str, content: Mapping[str, Any], by: str | None,
        *, tags: Sequence[str] = (),
    ) -> Document | None:  # fmt: skip
        """Replace the content if nobody did so since `rev`, as a new revision; None when somebody did."""
        fields = {
            "name": name, "kind": kind, "content": packed(content), "tags": list(tags), "updated_at": self._clock(),
            "updated_by": by, **names_in(content),
        }  # fmt: skip
        return await self._revisions.replace(self._database, self._rows, template_id, rev, fields)

    async def revision(self, template_id: str, rev: int) -> Document | None:
        """The wording of one revision: `{template_id, rev, name, kind, content, at, by}`."""
        return await self._revisions.get(await self._rows.find_one({"_id": template_id}), template_id, rev)

    async def revisions(
        self, template_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """All of them, newest first."""
        return await self._revisions.page(template_id, limit=limit, cursor=cursor)

    async def users(self, *, include: str | None = None, offer: str | None = None) -> list[Document]:
        """Templates in which this snippet or this offer stands: `{_id, name}`."""
        return await users_of(self._rows, include, offer)

    async def tags(self) -> list[str]:
        """All that are in use, in order."""
        return sorted(await self._rows.distinct("tags", {"deleted_at": None}))

    async def delete(self, template_id: str) -> bool:
        """Take it out of the lists. Runs that name it go on using it."""
        done = await self._rows.update_one(
            {"_id": template_id, "deleted_at": None}, {"$set": {"deleted_at": self._clock()}}
        )
        return done.modified_count == 1

    async def restore(self, template_id: str) -> bool:
        """Put it back into the lists."""
        wanted = {"_id": template_id, "deleted_at": {"$ne": None}}
        return (await self._rows.update_one(wanted, {"$set": {"deleted_at": None}})).modified_count == 1

    async def page(
        self, *, kind: str | None = None, tag: str | None = None, q: str | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Templates, newest first. `q` stands in the name or the words."""
        wanted: Document = {"deleted_at": None, **({"kind": kind} if kind else {}), **({"tags": tag} if tag else {})}
        if q:
            like = {"$regex": re.escape(q), "$options": "i"}
            wanted["$or"] = [{"name": like}, {"content": like}, {"tags": like}]
        return (await newest_first(self._rows, wanted, limit, cursor)).each(opened)


async def users_of(rows: Collection, include: str | None, offer: str | None) -> list[Document]:
    """Templates or snippets in which this snippet or this offer stands: `{_id, name}`."""
    wanted: Document = {"deleted_at": None, **({"includes": include} if include else {"offers": offer})}
    return await whole(rows.find(wanted, {"name": 1}).sort("_id", ASCENDING).limit(200))
