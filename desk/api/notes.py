"""Notes on a customer, and calls, meetings and visits logged by hand."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import WrongInput
from base.mongo import Document
from desk.api.contract import Call, Operations
from desk.api.scope import Asking, must_see_person
from desk.api.shapes import PageQuery, Time, View, page
from desk.mentions import handles_of, mentioned
from desk.news import tell_of
from profiles.notes import NoteInput, NoteKind, NotePatch

operations = Operations("notes")


class NoteQuery(PageQuery):
    """Narrows the list."""

    pinned: bool | None = Field(None, description="Only those that are pinned, or are not.")


class NoteView(View):
    """A note. `mentions`: ids of the colleagues it calls by @name; `kind` other than `note`: what was said outside
    every channel, `at` that time."""

    id: str
    profile_id: str
    kind: NoteKind
    text: str
    at: Time
    minutes: int | None
    direction: str | None
    pinned: bool
    mentions: list[str]
    by: str
    created_at: Time
    updated_at: Time
    edited_by: str | None
    edited_at: Time | None


def note_view(row: Document) -> NoteView:
    """As people and programs see it."""
    shown = {name: row.get(name) for name in NoteView.model_fields}
    return NoteView.model_validate({**shown, "id": row["_id"], "pinned": "pinned_at" in row})


async def mentions_in(asking: Asking, text: str) -> list[str]:
    """Ids of the colleagues a text calls."""
    if "@" not in text:
        return []
    return mentioned(text, handles_of(await asking.runtime.users.users()))


@operations("GET", "/profiles/{id:prf}/notes", roles=["viewer"], query=NoteQuery, returns=list[NoteView])
async def list_notes(call: Call) -> Any:
    """List the notes on this person, the newest first."""
    wanted: NoteQuery = call.query
    profile_id = await must_see_person(call, call.path["id"])
    found = await call.runtime.notes.page(profile_id, pinned=wanted.pinned, limit=wanted.limit, cursor=wanted.cursor)
    return page([note_view(each) for each in found.data], found.next_cursor)


@operations(
    "POST", "/profiles/{id:prf}/notes", roles=["agent", "marketer"], body=NoteInput, returns=NoteView, status=201
)
async def add_note(call: Call) -> Any:
    """Write a note, or log a call, meeting or visit.

    Who is called by @name (full name, first name or the address before its @) gets a task.
    """
    wanted: NoteInput = call.body
    profile_id = await must_see_person(call, call.path["id"])
    key = f"api:{call.principal.id}:{call.idempotency_key}" if call.idempotency_key else None
    row = await call.runtime.notes.add(
        profile_id, wanted, call.principal.id, mentions=await mentions_in(call, wanted.text), key=key
    )
    await tell_of(call.runtime, profile_id, "note.updated")
    return note_view(row)


@operations(
    "PATCH", "/profiles/{id:prf}/notes/{note_id:nte}", roles=["agent", "marketer"], body=NotePatch, returns=NoteView
)
async def change_note(call: Call) -> Any:
    """Edit or pin a note. Who is called for the first time gets a task."""
    patch: NotePatch = call.body
    for name in patch.model_fields_set:
        if getattr(patch, name) is None:
            raise WrongInput(f"{name} cannot be empty.")
    profile_id = await must_see_person(call, call.path["id"])
    mentions = await mentions_in(call, patch.text) if patch.text is not None else None
    row = await call.runtime.notes.change(profile_id, call.path["note_id"], patch, call.principal.id, mentions=mentions)
    await tell_of(call.runtime, profile_id, "note.updated")
    return note_view(row)


@operations("DELETE", "/profiles/{id:prf}/notes/{note_id:nte}", roles=["agent", "marketer"])
async def delete_note(call: Call) -> None:
    """Delete a note. For a day it can be restored, then its text is gone for good."""
    profile_id = await must_see_person(call, call.path["id"])
    await call.runtime.notes.delete(profile_id, call.path["note_id"], call.principal.id)
    await tell_of(call.runtime, profile_id, "note.updated")


@operations("POST", "/profiles/{id:prf}/notes/{note_id:nte}/restore", roles=["agent", "marketer"], returns=NoteView)
async def restore_note(call: Call) -> Any:
    """Bring a deleted note back."""
    profile_id = await must_see_person(call, call.path["id"])
    row = await call.runtime.notes.restore(profile_id, call.path["note_id"], call.principal.id)
    await tell_of(call.runtime, profile_id, "note.updated")
    return note_view(row)
