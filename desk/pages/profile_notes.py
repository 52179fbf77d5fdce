"""Notes on the page of a person: written, edited, pinned, deleted with a way back; calls and meetings logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import WrongInput
from base.mongo import Document
from desk.api.notes import mentions_in
from desk.api.reading import faults
from desk.api.scope import must_see_person, reading
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.mentions import Piece, handles_of, pieces_of
from desk.news import tell_of
from desk.pages.moments import read_local
from desk.pages.panels import Opened
from desk.render import formats_of
from profiles.notes import NoteInput, NotePatch

routes = web.RouteTableDef()
PER_PAGE = 50
KINDS = {"note": N_("Note"), "call": N_("Call"), "meeting": N_("Meeting"), "visit": N_("Visit")}
SYMBOLS = {"note": "pencil", "call": "phone", "meeting": "users", "visit": "building-storefront"}


@dataclass(frozen=True)
class NoteRow:
    """One note."""

    id: str
    label: str
    symbol: str
    text: str
    said: tuple[Piece, ...]
    by: str
    at: datetime
    edited: str
    pinned: bool


def note_row(row: Document, names: Mapping[str, str], handles: Mapping[str, str], formats: Formats) -> NoteRow:
    """A note as it is shown."""
    edited = formats.text(N_("edited by %(name)s"), name=names.get(row["edited_by"], "–")) if "edited_by" in row else ""
    return NoteRow(
        row["_id"], formats.text(KINDS[row["kind"]]), SYMBOLS[row["kind"]], row["text"],
        tuple(pieces_of(row["text"], handles)), names.get(row["by"], ""), row["at"], edited, "pinned_at" in row,
    )  # fmt: skip


async def _rows(opened: Opened, rows: list[Document]) -> list[NoteRow]:
    users = opened.runtime.users
    names = await users.names([each for row in rows for each in (row["by"], row.get("edited_by")) if each])
    handles = handles_of(await users.users()) if rows else {}
    return [note_row(each, names, handles, opened.formats) for each in rows]


async def pinned_panel(opened: Opened) -> list[NoteRow] | None:
    """What is pinned, at the side."""
    return await _rows(opened, await opened.runtime.notes.pinned(opened.person.id)) or None


async def notes_tab(opened: Opened) -> dict[str, Any]:
    """All notes, pinned ones first."""
    notes, who, cursor = opened.runtime.notes, opened.person.id, opened.request.query.get("cursor")
    try:
        found = await notes.page(who, pinned=False, limit=PER_PAGE, cursor=cursor)
    except WrongInput:
        found, cursor = await notes.page(who, pinned=False, limit=PER_PAGE), None
    pinned = await notes.pinned(who) if cursor is None else []
    return {
        "notes": await _rows(opened, [*pinned, *found.data]), "deleted": opened.request.query.get("deleted", ""),
        "older_href": f"/profiles/{who}?tab=notes&cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip


async def note_count(opened: Opened) -> int:
    """How many there are."""
    return int(await opened.runtime.notes.count(opened.person.id))


@routes.post("/profiles/{profile_id}/notes")
@require("agent", "marketer")
async def add(request: web.Request) -> web.StreamResponse:
    """Write a note, or log a call, meeting or visit."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    formats = formats_of(request, principal_of(request))
    given: dict[str, Any] = {"text": _text(form), "kind": str(form.get("kind") or "note")}
    if given["kind"] != "note":
        if form.get("at"):
            given["at"] = read_local(str(form["at"]), formats, "at")
        minutes = str(form.get("minutes") or "")
        given |= {"minutes": int(minutes)} if minutes.isascii() and minutes.isdigit() else {}
        direction = str(form.get("direction") or "")
        given |= {"direction": direction} if given["kind"] == "call" and direction in ("in", "out") else {}
    given["pinned"] = form.get("pinned") == "yes"
    note = _checked(NoteInput, given)
    runtime = runtime_of(request)
    mentions = await mentions_in(reading(request), note.text)
    await runtime.notes.add(who, note, principal_of(request).id, mentions=mentions)
    await tell_of(runtime, who, "note.updated")
    raise web.HTTPSeeOther(_back(form, f"/profiles/{who}"))


@routes.post("/profiles/{profile_id}/notes/{note_id}")
@require("agent", "marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Edit or pin a note, delete it, bring it back: `act` says which."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    note_id, by, notes = request.match_info["note_id"], principal_of(request).id, runtime_of(request).notes
    act, back = str(form.get("act") or "edit"), f"/profiles/{who}?tab=notes"
    if act == "delete":
        await notes.delete(who, note_id, by)
        back += f"&deleted={note_id}"
    elif act == "restore":
        await notes.restore(who, note_id, by)
    elif act in ("pin", "unpin"):
        await notes.change(who, note_id, NotePatch(pinned=act == "pin"), by)
    else:
        patch = _checked(NotePatch, {"text": _text(form)})
        mentions = await mentions_in(reading(request), patch.text or "")
        await notes.change(who, note_id, patch, by, mentions=mentions)
    await tell_of(runtime_of(request), who, "note.updated")
    raise web.HTTPSeeOther(_back(form, back))


def _text(form: Mapping[str, Any]) -> str:
    return str(form.get("text") or "").replace("\r\n", "\n").strip()


def _back(form: Mapping[str, Any], where: str) -> str:
    return local_path(str(form.get("back") or where))


def _checked(model: Any, given: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise WrongInput("Write something first, at most 10,000 characters.", faults(error)) from None
