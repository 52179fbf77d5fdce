"""One space of tags: what there is, how many have it, and changes of a tag across all people.

A change is a duty that goes through the people in batches, so that timelines hear of it. Before anybody is touched it
is written down whom it has found, so a change can be undone; a worker that dies leaves a duty that is due again, and
whoever is changed already is found no more.

Whatever names a tag that was renamed or joined goes on finding it: from the first step of the duty the former name
leads to the other (`profiles.segments.tag_names`). Rules are read with all names of a tag, writes by a former name are
writes of today's, and everybody who has either is looked at again (decision 22).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
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
from profiles.segments.tag_names import TagNames
from profiles.store.appraisals import AppraisalBook
from profiles.store.tags import COUNT_MAX, TagStore
from profiles.uses import Asked, Use, Uses

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

    def __init__(
        self, store: TagStore, editor: ProfileEditor, appraisals: AppraisalBook, uses: Uses, feed: Feed, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._editor = editor
        self._appraisals = appraisals
        self._uses = uses
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

    async def former_names(self) -> TagNames:
        """What tags were called before."""
        return await self._store.names()

    async def today(self, tag: str | None) -> str | None:
        """What the tag of that name is called now."""
        return (await self._store.names()).today(tag) if tag else None

    async def named_by(self, tags: Sequence[str]) -> dict[str, list[Use]]:
        """Tag → who names it, by whatever name."""
        names = await self._store.names()
        return await self._uses.of_each({tag: Asked(tags=frozenset(names.spellings([tag]))) for tag in tags})

    async def changes(self) -> list[Document]:
        """The latest changes: `{_id, what, tag, to, state, done, total, by, at}`."""
        return await self._store.latest()

    async def change(self, what: What, tag: str, to: str | None, *, by: str | None) -> Document:
        """Begin a change; former names of tags stand for those of today. Raises `WrongInput`; `Conflict` while one of
        its tags is being changed."""
        names = await self._store.names()
        target = clean_text(to, 64) if to and what != "delete" else None
        tag = names.today(tag)
        if target is not None and names.today(target) != tag:
            target = names.today(target)
        if what != "delete" and (target is None or target == tag):
            raise WrongInput("Say what the tag is to be called.", [FieldError("to", "is needed, and another one")])
        total = await self._store.count(tag, COUNT_MAX)
        if target is not None:
            await self._store.note([target], self._clock())
        row: Document = {
            "_id": new_id("tgc"), "what": what, "tag": tag, "to": target, "state": "running", "due_at": self._clock(),
            "lease": None, "fence": 0, "attempts": 0, "done": 0, "total": total, "by": by, "at": self._clock(),
            "after": "", "busy": [each for each in (tag, target) if each],
        }  # fmt: skip
        if not await self._store.add_change(row):
            raise Conflict("This tag is being changed just now. Wait until that is done.", code="busy")
        return row

    async def undo(self, change_id: str, *, by: str | None) -> Document:
        """Take a change back, also one that is still running. Raises `NotFound`; `Conflict` where its tags are being
        changed or were changed again: later changes are taken back first."""
        row = await self._store.change(change_id) if is_id(change_id, "tgc") else None
        if row is None:
            raise NotFound("There is no such change.")
        if row["state"] in ("undoing", UNDONE):
            return row
        if (later := await self._store.later(row)) is not None:
            raise Conflict(f"“{later['tag']}” was changed since. Take that change back first.", code="changed_since")
        # whoever is at it still notices within a batch that it is not theirs any more; only then it is gone back
        grace = GRACE if row["state"] == "running" and row.get("lease") else timedelta()
        fields = {
            "state": "undoing", "due_at": self._clock() + grace, "undone_by": by, "lease": None, "attempts": 0,
            "total": await self._store.count_moves(change_id), "done": 0, "after": "",
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

    async def straighten(self) -> int:
        """Whoever came to a former name after its change was done (a write by what was agreed on before, a merge that
        was taken back) has the name of today, under the same change; how many. Rules find them meanwhile."""
        names, changed = await self._store.names(), 0
        for row in await self._store.standing():
            if names.today(row["tag"]) != row["tag"]:
                changed += await self._forth(row)
        return changed

    async def _work(self, row: Document) -> int:
        """A turn: some batches of people, then, when nobody is left, those who are to be looked at again."""
        forth, changed, more = row["state"] == "running", 0, True
        if forth and row["to"]:
            await self._store.keep_name(row)
        for _ in range(TURN):
            count = await (self._forth(row) if forth else self._back(row))
            changed, more = changed + count, count > 0
            if not more or not await self._store.duties.renew([row["_id"]], row["lease"]):
                break
        after = row.get("after", "") if more else await self._looked_at_again(row)
        await self._close(row, changed, after)
        await self._feed.append([Notice("profile.tags_changed", {"change_id": row["_id"]})])
        return changed

    async def _forth(self, row: Document) -> int:
        people = await self._store.holders(row["tag"], BATCH)
        await self._store.note_moves(
            row["_id"], {each["_id"]: row["to"] in each["tags"] for each in people}, self._clock()
        )

        async def one(person: Document) -> None:
            if row["to"]:
                await self._editor.retag(person["_id"], row["tag"], row["to"], by=row["by"])
            else:
                await self._patched(person["_id"], ProfilePatch(remove_tags=[row["tag"]]), row)

        await self._each(one, people)
        return len(people)

    async def _back(self, row: Document) -> int:
        moves = await self._store.moves(row["_id"], BATCH)

        async def one(move: Document) -> None:
            if row["to"]:
                keep = move["had_other"]
                await self._editor.retag(move["person_id"], row["to"], row["tag"], keep=keep, by=row["undone_by"])
            else:
                await self._patched(move["person_id"], ProfilePatch(add_tags=[row["tag"]]), row)

        await self._each(one, moves)
        for each in moves:
            await self._store.forget_move(each["_id"])
        return len(moves)

    async def _patched(self, profile_id: str, patch: ProfilePatch, row: Document) -> None:
        await self._editor.patch(profile_id, patch, source="person", by=row["by"])

    async def _each(self, one: Callable[[Document], Awaitable[None]], rows: Sequence[Document]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def in_turn(row: Document) -> None:
            async with gate:
                try:
                    await one(row)
                except NotFound:
                    return  # erased since

        await asyncio.gather(*(in_turn(row) for row in rows))

    async def _looked_at_again(self, row: Document) -> str | None:
        """Rules that name either tag answer otherwise for who has it: they are due, part by part. The id to go on
        after; None when all are."""
        if not row["to"]:
            return None
        if row["state"] == "undoing":
            await self._store.drop_name(row["_id"])
        tags = {"tags": {"$in": [row["tag"], row["to"]]}}
        return await self._appraisals.due_where(tags, row.get("after", ""))

    async def _close(self, row: Document, changed: int, after: str | None) -> None:
        now: datetime = self._clock()
        done: dict[str, Any] = {"done": row["done"] + changed, "due_at": now, "after": after or ""}
        if after is not None:
            await self._store.settle(row, done)
            return
        back = row["state"] == "undoing"
        state = UNDONE if back else "done"
        if await self._store.settle(row, {**done, "state": state, "ended_at": now}, ["busy"]):
            await self._store.forget(row["to"] if back and row["to"] else row["tag"])
