"""Notes on a person, and calls, meetings and visits logged by hand: added, edited, pinned, deleted with a way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.pages import Page
from profiles.models import Input, Moment, NewEvent
from profiles.store.events import EventStore
from profiles.store.notes import PINNED_MAX, NoteStore
from profiles.store.profiles import ProfileStore
from profiles.words import Words

TEXT_MAX = 10_000
#: How long a deleted note can be brought back; then its text is gone for good.
UNDO_WITHIN = timedelta(days=1)
ROUNDS = 5
NoteKind = Literal["note", "call", "meeting", "visit"]
Direction = Literal["in", "out"]
NoteText = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_MAX, strip_whitespace=True)]
#: Events that show the note's words on the timeline.
WITH_TEXT = ("note.added", "note.restored", "call.logged", "meeting.logged", "visit.logged")


class NoteInput(Input):
    """A note, or with `kind` what was said outside every channel. `at`: when that was; `minutes`: how long;
    `direction`: who called whom."""

    text: NoteText
    kind: NoteKind = "note"
    at: Moment | None = None
    minutes: int | None = Field(None, ge=0, le=1440)
    direction: Direction | None = None
    pinned: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "note" and (self.at is not None or self.minutes is not None or self.direction is not None):
            raise ValueError("at, minutes and direction belong to a call, meeting or visit")
        if self.kind != "call" and self.direction is not None:
            raise ValueError("only a call has a direction")
        return self


class NotePatch(Input):
    """What may be changed; fields left out stay."""

    text: NoteText | None = None
    pinned: bool | None = None


class Notes:
    """The use cases. Rows are `{_id, profile_id, kind, text, at, minutes?, direction?, by, mentions, pinned_at?,
    created_at, updated_at, edited_by?, deleted_at?, rev}`."""

    def __init__(
        self, database: Database, store: NoteStore, profiles: ProfileStore, events: EventStore, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._profiles = profiles
        self._events = events
        self._clock = clock

    async def add(
        self, profile_id: str, note: NoteInput, by: str, *, mentions: Sequence[str] = (), key: str | None = None
    ) -> Document:
        """Write it down; the same `key` again returns the same note. `mentions`: ids of colleagues it speaks to.

        Raises `NotFound`, `WrongInput` for a time that has not come yet.
        """
        now = self._clock()
        if note.at is not None and note.at > now + timedelta(minutes=5):
            raise WrongInput("That has not happened yet.", [FieldError("at", "lies in the future")])
        row: Document = {
            "_id": new_id("nte"), "profile_id": await self._person(profile_id), "kind": note.kind, "text": note.text,
            "at": note.at or now, "by": by, "mentions": list(dict.fromkeys(mentions)), "created_at": now,
            "updated_at": now, "rev": 1,
        }  # fmt: skip
        row |= {name: getattr(note, name) for name in ("minutes", "direction") if getattr(note, name) is not None}
        row |= {"pinned_at": now} if note.pinned else {}
        row |= {"key": key} if key else {}
        name = "note.added" if note.kind == "note" else f"{note.kind}.logged"

        async def work(session: Session) -> None:
            await self._store.add(row, session)
            await self._events.record([_event(name, row, by, row["at"], mentions=row["mentions"])], session)

        try:
            await self._database.in_transaction(work)
        except DuplicateKeyError:
            known = await self._store.by_key(key or "")
            if known is None:
                raise
            return known
        return row

    async def change(
        self, profile_id: str, note_id: str, patch: NotePatch, by: str, *, mentions: Sequence[str] | None = None
    ) -> Document:
        """Edit or pin. Equal values change nothing. Raises `NotFound`, `Conflict`."""

        def plan(row: Document, now: datetime) -> _Plan | None:
            fields: Document = {}
            gone: list[str] = []
            if patch.text is not None and patch.text != row["text"]:
                fields |= {"text": patch.text, "edited_by": by, "edited_at": now}
                fields |= {"mentions": list(dict.fromkeys(mentions))} if mentions is not None else {}
            if patch.pinned is not None and patch.pinned != ("pinned_at" in row):
                fields |= {"pinned_at": now} if patch.pinned else {}
                gone += [] if patch.pinned else ["pinned_at"]
            if not fields and not gone:
                return None
            new = [each for each in fields.get("mentions", ()) if each not in row["mentions"]]
            named = {"changed": sorted({*(fields.keys() & {"text"}), *(("pinned",) if _pins(fields, gone) else ())})}
            return fields, gone, "note.changed", {**named, "mentions": new}

        return await self._changed(profile_id, note_id, plan, by)

    async def delete(self, profile_id: str, note_id: str, by: str) -> Document:
        """Take it away; for a day it can be restored. Twice is once."""

        def plan(row: Document, now: datetime) -> _Plan | None:
            if "deleted_at" in row:
                return None
            return {"deleted_at": now, "deleted_by": by}, (), "note.deleted", {"mentions": row["mentions"]}

        return await self._changed(profile_id, note_id, plan, by, deleted=True)

    async def restore(self, profile_id: str, note_id: str, by: str) -> Document:
        """Bring a deleted one back. Raises `NotFound` when it is gone for good."""

        def plan(row: Document, now: datetime) -> _Plan | None:
            return None if "deleted_at" not in row else ({}, ("deleted_at", "deleted_by"), "note.restored", {})

        return await self._changed(profile_id, note_id, plan, by, deleted=True)

    async def get(self, profile_id: str, note_id: str) -> Document:
        """One note of this person. Raises `NotFound`, also for a deleted one."""
        return await self._of(profile_id, note_id)

    async def page(
        self, profile_id: str, *, pinned: bool | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Notes of a person, newest first."""
        return await self._store.page(profile_id, pinned=pinned, limit=limit, cursor=cursor)

    async def count(self, profile_id: str) -> int:
        """How many a person has."""
        return await self._store.count(profile_id)

    async def pinned(self, profile_id: str) -> list[Document]:
        """What stands on top, at most `PINNED_MAX`."""
        return (await self._store.page(profile_id, pinned=True, limit=PINNED_MAX)).data

    async def words(self, note_ids: Sequence[str]) -> dict[str, Words]:
        """What these notes say, in one read."""
        return await self._store.words(note_ids)

    async def tidy(self) -> int:
        """Forget what was deleted a day ago. A chore, safe to be done by several at once."""
        return await self._store.forget_deleted(self._clock() - UNDO_WITHIN)

    async def _person(self, profile_id: str) -> str:
        profile = await self._profiles.get(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.")
        return profile.id

    async def _of(self, profile_id: str, note_id: str, *, deleted: bool = False) -> Document:
        row = await self._store.get(note_id)
        if row is None or row["profile_id"] != profile_id or ("deleted_at" in row and not deleted):
            raise NotFound("There is no such note.")
        return row

    async def _changed(self, profile_id: str, note_id: str, plan: Any, by: str, *, deleted: bool = False) -> Document:
        for _ in range(ROUNDS):
            row, now = await self._of(profile_id, note_id, deleted=deleted), self._clock()
            planned: _Plan | None = plan(row, now)
            if planned is None:
                return row
            after = await self._written(row, planned, by, now)
            if after is not None:
                return after
        raise Conflict("This note is being changed too often just now.", code="contended")

    async def _written(self, row: Document, planned: _Plan, by: str, now: datetime) -> Document | None:
        fields, gone, name, more = planned

        async def work(session: Session) -> Document | None:
            after = await self._store.change(row["_id"], row["rev"], {**fields, "updated_at": now}, gone, session)
            if after is not None:
                await self._events.record([_event(name, after, by, now, **more)], session)
            return after

        found: Document | None = await self._database.in_transaction(work)
        return found


#: Fields to set, fields to take away, the event that tells of it and its further properties.
_Plan = tuple[Mapping[str, Any], Sequence[str], str, Mapping[str, Any]]


def _pins(fields: Mapping[str, Any], gone: Sequence[str]) -> bool:
    return "pinned_at" in fields or "pinned_at" in gone


def _event(name: str, row: Document, by: str, at: datetime, **more: Any) -> NewEvent:
    """The words stay in the note alone, so that who deletes it has deleted them."""
    told = {"note_id": row["_id"], "by": by, "kind": row["kind"]}
    told |= {each: row[each] for each in ("minutes", "direction") if each in row}
    return NewEvent(name, f"{name}:{row['_id']}:{row['rev']}", at, row["profile_id"], properties={**told, **more})
