"""One space of tags: what there is, how many have it, and changes of a tag across all people.

A change is a duty that goes through the people in batches, each person by the same door as any other change of tags, so
that timelines and journeys hear of it. Before anybody is touched it is written down whom it has found, so a change can
be undone; a worker that dies leaves a duty that is due again, and whoever is changed already is found no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import is_id, new_id
from base.mongo import UNAVAILABLE, Document
from base.pages import Page
from profiles.edit import ProfileEditor, ProfilePatch
from profiles.normalise import clean_text
from profiles.store.tags import COUNT_MAX, TagStore

log = logging.getLogger(__name__)

What = Literal["rename", "merge", "delete"]
BATCH, AT_ONCE, TURN = 200, 8, 10
#: Longer than a batch takes.
GRACE = timedelta(seconds=5)
RUNNING, UNDONE = ("running", "undoing"), "undone"


@dataclass(frozen=True)
class TagCount:
    """A tag and how many people have it, counted no further than `COUNT_MAX`."""

    name: str
    count: int


class TagSpace:
    """The use cases."""

    def __init__(self, store: TagStore, editor: ProfileEditor, feed: Feed, clock: Clock) -> None:
        self._store = store
        self._editor = editor
        self._feed = feed
        self._clock = clock

    async def page(
        self, *, starting: str = "", limit: int | None = None, cursor: str | None = None
    ) -> Page[TagCount]:  # fmt: skip
        """Tags in order of the alphabet with their counts, each read from the index."""
        found = await self._store.page(starting=starting, limit=limit, cursor=cursor)
        counts = await asyncio.gather(*(self._store.count(tag) for tag in found.data))
        return Page([TagCount(*each) for each in zip(found.data, counts, strict=True)], found.next_cursor)

    async def names(self, most: int) -> list[str]:
        """The first of them in order of the alphabet, not counted."""
        return (await self._store.page(limit=most)).data

    async def changes(self) -> list[Document]:
        """The latest changes: `{_id, what, tag, to, state, done, total, by, at}`."""
        return await self._store.latest()

    async def change(self, what: What, tag: str, to: str | None, *, by: str | None) -> Document:
        """Begin a change. Raises `WrongInput`; `Conflict` while one of its tags is being changed."""
        target = clean_text(to, 64) if to and what != "delete" else None
        if what != "delete" and (target is None or target == tag):
            raise WrongInput("Say what the tag is to be called.", [FieldError("to", "is needed, and another one")])
        total = await self._store.count(tag, COUNT_MAX)
        if target is not None:
            await self._store.note([target], self._clock())
        row: Document = {
            "_id": new_id("tgc"), "what": what, "tag": tag, "to": target, "state": "running", "due_at": self._clock(),
            "lease": None, "fence": 0, "attempts": 0, "done": 0, "total": total, "by": by, "at": self._clock(),
            "busy": [each for each in (tag, target) if each],
        }  # fmt: skip
        if not await self._store.add_change(row):
            raise Conflict("This tag is being changed just now. Wait until that is done.", code="busy")
        return row

    async def undo(self, change_id: str, *, by: str | None) -> Document:
        """Take a change back, also one that is still running. Raises `NotFound`, `Conflict`."""
        row = await self._store.change(change_id) if is_id(change_id, "tgc") else None
        if row is None:
            raise NotFound("There is no such change.")
        if row["state"] in ("undoing", UNDONE):
            return row
        # whoever is at it still notices within a batch that it is not theirs any more; only then it is gone back
        grace = GRACE if row["state"] == "running" and row["lease"] else timedelta()
        fields = {
            "state": "undoing", "due_at": self._clock() + grace, "undone_by": by, "lease": None, "attempts": 0,
            "total": await self._store.count_moves(change_id), "done": 0,
            "busy": [each for each in (row["tag"], row["to"]) if each],
        }  # fmt: skip
        await self._store.note([row["tag"]], self._clock())
        turned = await self._store.turn(change_id, ["running", "done"], fields)
        if turned is None:
            raise Conflict("This tag is being changed just now. Wait until that is done.", code="busy")
        return turned

    async def drain(self, limit: int = 4) -> int:
        """Carry on with changes; how many people were changed."""
        changed = 0
        for row in await self._store.duties.claim(RUNNING, self._clock(), limit=limit):
            try:
                changed += await self._work(row)
            except UNAVAILABLE:
                raise
            except Exception:  # it stays leased and is due again
                log.exception("a change of a tag cannot be carried on", extra={"change": row["_id"]})
        return changed

    async def gather(self) -> None:
        """Names that came by another way than the editor (an import, an older version) are put into the space."""
        await self._store.note(await self._store.used(), self._clock())

    async def _work(self, row: Document) -> int:
        changed, more = 0, True
        for _ in range(TURN):
            count = await (self._forth(row) if row["state"] == "running" else self._back(row))
            changed, more = changed + count, count > 0
            if not more or not await self._store.duties.renew([row["_id"]], row["lease"]):
                break
        await self._close(row, changed, more)
        await self._feed.append([Notice("profile.tags_changed", {"change_id": row["_id"]})])
        return changed

    async def _forth(self, row: Document) -> int:
        people = await self._store.holders(row["tag"], BATCH)
        await self._store.note_moves(
            row["_id"], {each["_id"]: row["to"] in each["tags"] for each in people}, self._clock()
        )
        add = [row["to"]] if row["to"] else []
        patches = {each["_id"]: ProfilePatch(add_tags=add, remove_tags=[row["tag"]]) for each in people}
        await self._patched(patches, row)
        return len(people)

    async def _back(self, row: Document) -> int:
        moves = await self._store.moves(row["_id"], BATCH)
        patches = {
            each["person_id"]: ProfilePatch(
                add_tags=[row["tag"]], remove_tags=[row["to"]] if row["to"] and not each["had_other"] else []
            )
            for each in moves
        }
        await self._patched(patches, row)
        for each in moves:
            await self._store.forget_move(each["_id"])
        return len(moves)

    async def _patched(self, patches: Mapping[str, ProfilePatch], row: Document) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(profile_id: str, patch: ProfilePatch) -> None:
            async with gate:
                try:
                    await self._editor.patch(profile_id, patch, source="person", by=row["by"])
                except NotFound:
                    return  # erased since

        await asyncio.gather(*(one(*each) for each in patches.items()))

    async def _close(self, row: Document, changed: int, more: bool) -> None:
        now: datetime = self._clock()
        done: dict[str, Any] = {"done": row["done"] + changed, "due_at": now}
        if more:
            await self._store.settle(row, done)
            return
        back = row["state"] == "undoing"
        state = UNDONE if back else "done"
        if await self._store.settle(row, {**done, "state": state, "ended_at": now}, ["busy"]):
            await self._store.forget(row["to"] if back and row["to"] else row["tag"])
