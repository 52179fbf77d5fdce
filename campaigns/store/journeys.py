"""Journeys: the head that people see and change, and the versions that runs walk. A version never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Indexes
from base.pages import Page, newest_first

#: States in which somebody may walk.
WALKED = ("live", "paused", "draining")
#: Drafts that are kept for going back.
UNDO_MOST = 50

INDEXES: Indexes = {
    "journeys": [
        IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="by_status"),
        IndexModel(
            [("recipe_key", ASCENDING)],
            name="recipe",
            unique=True,
            partialFilterExpression={"recipe_key": {"$exists": True}},
        ),
    ],
    "journey_versions": [
        IndexModel([("journey_id", ASCENDING), ("version", ASCENDING)], name="once", unique=True),
    ],
    "journey_drafts": [
        IndexModel([("journey_id", ASCENDING), ("rev", ASCENDING)], name="once", unique=True),
    ],
}


class JourneyStore:
    """Reads and writes heads and versions. Definitions are kept as JSON text: their keys are their author's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._heads = database.collection("journeys")
        self._versions = database.collection("journey_versions")
        self._drafts = database.collection("journey_drafts")
        self._clock = clock

    # -- heads -------------------------------------------------------------------------------------------------

    async def add(self, draft: Mapping[str, Any], by: str | None, **more: Any) -> Document:
        """A new journey with a draft and no version. A taken `recipe_key` raises `DuplicateKeyError`."""
        now = self._clock()
        head = {
            "_id": new_id("jrn"), "name": draft.get("name") or "", "status": "draft", "live_version": None,
            "latest_version": 0, "draft": _text(draft), "draft_rev": 1, "rev": 1, "paused_at": None, "release": None,
            "created_at": now, "updated_at": now, "created_by": by, "updated_by": by, **more,
        }  # fmt: skip
        await self._heads.insert_one(head)
        return _opened(head)

    async def get(self, journey_id: str) -> Document | None:
        """The head with its draft."""
        row = await self._heads.find_one({"_id": journey_id})
        return _opened(row) if row else None

    async def by_recipe(self, recipe_key: str) -> Document | None:
        """The journey that was installed under this key."""
        row = await self._heads.find_one({"recipe_key": recipe_key})
        return _opened(row) if row else None

    async def set_draft(self, head: Document, draft: Mapping[str, Any], by: str | None) -> Document | None:
        """Replace the draft if nobody did so since `head` was read; None when somebody did."""
        undo = [*head.get("undo", ()), head["draft_rev"]][-UNDO_MOST:]
        return await self._replace(head, _text(draft), draft.get("name") or "", by, undo, [])

    async def take_back(self, head: Document, by: str | None) -> Document | None:
        """The draft before; None when there is none, or when somebody wrote since `head` was read."""
        *undo, rev = head.get("undo") or [0]
        return await self._return_to(head, rev, by, undo, [*head.get("redo", ()), head["draft_rev"]])

    async def bring_back(self, head: Document, by: str | None) -> Document | None:
        """The draft that was taken back; None when there is none, or when somebody wrote since `head` was read."""
        *redo, rev = head.get("redo") or [0]
        return await self._return_to(head, rev, by, [*head.get("undo", ()), head["draft_rev"]], redo)

    async def _return_to(
        self, head: Document, rev: int, by: str | None, undo: list[int], redo: list[int]
    ) -> Document | None:
        row = await self._drafts.find_one({"journey_id": head["_id"], "rev": rev})
        if row is None:
            return None
        name = orjson.loads(row["draft"]).get("name") or ""
        return await self._replace(head, row["draft"], name, by, undo, redo)

    async def _replace(
        self, head: Document, text: str, name: str, by: str | None, undo: list[int], redo: list[int]
    ) -> Document | None:
        """The draft that goes is kept first: what a revision says never changes, so that a repeat does no harm."""
        kept = {"journey_id": head["_id"], "rev": head["draft_rev"], "draft": _text(head["draft"]), "at": self._clock()}
        mark = {"_id": f"{head['_id']}:{head['draft_rev']}"}
        await self._drafts.update_one(mark, {"$setOnInsert": {**kept, "by": head.get("updated_by")}}, upsert=True)
        change = {
            "$set": {
                "draft": text, "name": name, "undo": undo, "redo": redo, "updated_at": self._clock(), "updated_by": by,
            },
            "$inc": {"draft_rev": 1, "rev": 1},
        }  # fmt: skip
        row = await self._heads.find_one_and_update(
            {"_id": head["_id"], "draft_rev": head["draft_rev"]}, change, return_document=ReturnDocument.AFTER
        )
        saved = _opened(row) if row else None
        if saved is None:
            return None
        done = {"journey_id": head["_id"], "rev": {"$nin": [*undo, *redo], "$lt": saved["draft_rev"]}}
        await self._drafts.delete_many(done)
        return saved

    async def change(self, journey_id: str, rev: int, fields: Mapping[str, Any]) -> Document | None:
        """Set fields of the head if nobody wrote since `rev`; None when somebody did."""
        row = await self._heads.find_one_and_update(
            {"_id": journey_id, "rev": rev},
            {"$set": {**fields, "updated_at": self._clock()}, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return _opened(row) if row else None

    async def page(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Heads, newest first; archived ones only when asked for."""
        wanted: Document = {"status": status} if status else {"status": {"$ne": "archived"}}
        return (await newest_first(self._heads, wanted, limit, cursor)).each(_opened)

    async def walked(self) -> list[Document]:
        """Heads, without drafts, of all journeys in which somebody may walk. Read every two seconds."""
        fields = {"draft": 0}
        return await self._heads.find({"status": {"$in": list(WALKED)}}, fields).to_list(None)

    async def statuses(self, journey_ids: Iterable[str]) -> dict[str, str]:
        """Journey → its status at this moment."""
        wanted = {"_id": {"$in": list(set(journey_ids))}}
        return {row["_id"]: row["status"] async for row in self._heads.find(wanted, {"status": 1})}

    async def all_names(self) -> dict[str, str]:
        """Every journey → its name."""
        return {row["_id"]: row["name"] async for row in self._heads.find({}, {"name": 1})}

    async def names(self, journey_ids: Iterable[str]) -> dict[str, str]:
        """Journey → its name."""
        wanted = {"_id": {"$in": list(set(journey_ids))}}
        return {row["_id"]: row["name"] async for row in self._heads.find(wanted, {"name": 1})}

    # -- versions ----------------------------------------------------------------------------------------------

    async def add_version(
        self, journey_id: str, definition: Mapping[str, Any], by: str | None,
        wordings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> int:  # fmt: skip
        """Keep a new version; its number, the next free one. `wordings`: template → `{rev, content}` as published."""
        while True:
            last = await self._versions.find_one(
                {"journey_id": journey_id}, {"version": 1}, sort=[("version", DESCENDING)]
            )
            version = (last["version"] if last else 0) + 1
            row = {
                "_id": new_id("jrv"), "journey_id": journey_id, "version": version, "definition": _text(definition),
                "published_at": self._clock(), "published_by": by, "wordings": _text(wordings or {}),
            }  # fmt: skip
            try:
                await self._versions.insert_one(row)
            except DuplicateKeyError:
                continue  # somebody published at the same moment
            return version

    async def version(self, journey_id: str, version: int) -> dict[str, Any] | None:
        """The definition as its author wrote it."""
        row = await self._versions.find_one({"journey_id": journey_id, "version": version})
        return orjson.loads(row["definition"]) if row else None

    async def wordings(self, journey_id: str, version: int) -> dict[str, dict[str, Any]]:
        """Template → `{rev, content}` as they were when the version was published, of those that keep their wording."""
        wanted = {"journey_id": journey_id, "version": version}
        row = await self._versions.find_one(wanted, {"wordings": 1})
        return orjson.loads(row["wordings"]) if row and row.get("wordings") else {}

    async def versions(self, journey_id: str) -> list[Document]:
        """`{version, published_at, published_by}`, newest first."""
        fields = {"definition": 0, "wordings": 0}
        found = self._versions.find({"journey_id": journey_id}, fields).sort("version", DESCENDING)
        return await found.limit(200).to_list(None)

    async def published_at(self, journey_id: str, version: int) -> datetime | None:
        """When a version was published."""
        row = await self._versions.find_one({"journey_id": journey_id, "version": version}, {"published_at": 1})
        return row["published_at"] if row else None


def _text(definition: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(definition)).decode()


def _opened(row: Document) -> Document:
    return {**row, "draft": orjson.loads(row["draft"])}
