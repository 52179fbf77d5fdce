"""Every wording that something had: one row for each revision, written in the transaction that changes the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel

from base.ids import Prefix, new_id
from base.mongo import Collection, Database, Document, Session
from base.pages import Page, bounded, cut, read_cursor, write_cursor


class Revisions:
    """Rows `{_id, <owner>, rev, name, content, at, by, …}`; content is kept as JSON text. `owner`: the field with the
    id of what they are revisions of; `kept`: further fields that are taken along."""

    def __init__(self, rows: Collection, owner: str, prefix: Prefix, kept: tuple[str, ...] = ()) -> None:
        self._rows = rows
        self._owner = owner
        self._prefix = prefix
        self._kept = kept

    async def begin(self, head: Document, session: Session) -> None:
        """The first one."""
        await self._rows.insert_one(self._row(head), session=session)

    async def go_on(self, before: Document, after: Document, session: Session) -> None:
        """Another one; the one before, too: it may be older than the revisions."""
        for each in (before, after):
            same = {self._owner: each["_id"], "rev": each["rev"]}
            await self._rows.update_one(same, {"$setOnInsert": self._row(each)}, upsert=True, session=session)

    async def replace(
        self, database: Database, heads: Collection, head_id: str, rev: int, fields: Mapping[str, Any]
    ) -> Document | None:
        """Give a head these fields, if nobody changed it since `rev`, as a new revision; None when somebody did, or it
        was taken away."""
        wanted = {"_id": head_id, "rev": rev, "deleted_at": None}

        async def work(session: Session) -> Document | None:
            before: Document | None = await heads.find_one_and_update(
                wanted, {"$set": dict(fields), "$inc": {"rev": 1}}, session=session
            )
            if before is None:
                return None
            after = {**before, **fields, "rev": rev + 1}
            await self.go_on(before, after, session)
            return after

        row = await database.in_transaction(work)
        return opened(row) if row else None

    async def get(self, head: Document | None, owner_id: str, rev: int) -> Document | None:
        """One of them. `head`: the row as it is, in case that it is older than the revisions."""
        row = await self._rows.find_one({self._owner: owner_id, "rev": rev})
        if row is None and head is not None and head["rev"] == rev:
            row = self._row(head)
        return opened(row) if row else None

    async def page(self, owner_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """All of them, newest first."""
        wanted: Document = {self._owner: owner_id}
        if cursor is not None:
            (last,) = read_cursor(cursor, int)
            wanted["rev"] = {"$lt": last}
        size = bounded(limit)
        found = await self._rows.find(wanted).sort("rev", DESCENDING).limit(size + 1).to_list(None)
        rows, more = cut(found, size)
        return Page([opened(row) for row in rows], write_cursor(rows[-1]["rev"]) if more else None)

    def _row(self, head: Document) -> Document:
        return {
            "_id": new_id(self._prefix), self._owner: head["_id"], "rev": head["rev"], "name": head["name"],
            **{each: head[each] for each in self._kept}, "content": head["content"], "at": head["updated_at"],
            "by": head["updated_by"],
        }  # fmt: skip


def one_each(owner: str) -> IndexModel:
    """No revision is there twice."""
    return IndexModel([(owner, ASCENDING), ("rev", DESCENDING)], name="once", unique=True)


def packed(content: Mapping[str, Any]) -> str:
    """A content as it is kept: its keys are the authors' own and may hold anything."""
    return orjson.dumps(dict(content)).decode()


def opened(row: Document) -> Document:
    """The row with its content read."""
    return {**row, "content": orjson.loads(row["content"])}
