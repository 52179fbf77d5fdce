"""Files on the page of a person: attached without a script, removed with a way back; those of messages beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import WrongInput
from desk.api.scope import must_see_person, reading
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.news import tell_of
from desk.pages.panels import Opened
from desk.pages.with_files import carrying_files
from inbox.attached import FILE_MAX_BYTES
from inbox.file_types import SHOWN
from inbox.files import KeptFile

routes = web.RouteTableDef()
PER_PAGE = 100
#: What a form has beside its files, bytes.
ROOM_BYTES = 200_000


@dataclass(frozen=True)
class FileRow:
    """One file. `picture`: its own small picture may be shown."""

    id: str
    name: str
    size: str
    at: datetime
    by: str
    here: bool
    picture: bool


def file_row(file: KeptFile, names: dict[str, str], formats: Formats) -> FileRow:
    """A file as it is shown."""
    picture = file.media_type in SHOWN and file.media_type.startswith("image/")
    here = file.state == "stored"
    by = names.get(file.created_by or "", "")
    return FileRow(file.id, file.name, size_words(file.size_bytes, formats), file.created_at, by, here, picture)


def size_words(size_bytes: int, formats: Formats) -> str:
    """In the unit that fits."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if size_bytes >= factor:
            return f"{formats.number(round(size_bytes / factor, 1))} {unit}"
    return f"{formats.number(size_bytes)} B"


async def files_tab(opened: Opened) -> dict[str, Any]:
    """Those on the person, then those of their messages."""
    files, who, formats = opened.runtime.profile_files, opened.person.id, opened.formats
    scope = opened.principal.reach
    own = (await files.page(who, limit=PER_PAGE)).data
    sent = (await files.of_messages(who, channels=scope, limit=PER_PAGE)).data
    names = await opened.runtime.users.names([each.created_by for each in own if each.created_by])
    return {
        "own": [file_row(each, names, formats) for each in own], "sent": [file_row(each, {}, formats) for each in sent],
        "removed": opened.request.query.get("removed", ""), "most": formats.number(FILE_MAX_BYTES // 1_000_000),
    }  # fmt: skip


@require("agent", "marketer")
async def attach(request: web.Request) -> web.StreamResponse:
    """Keep the chosen files on the person."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    chosen = [each for each in form.getall("file", []) if isinstance(each, web.FileField) and each.filename]
    if not chosen:
        raise WrongInput("Choose a file first.")
    files, by = runtime_of(request).profile_files, principal_of(request).id
    for each in chosen[:10]:
        await files.attach(who, each.file.read(), each.filename, each.content_type, by)
    await tell_of(runtime_of(request), who, "file.updated")
    raise web.HTTPSeeOther(local_path(str(form.get("back") or f"/profiles/{who}?tab=files")))


@routes.post("/profiles/{profile_id}/files")
async def upload(request: web.Request) -> web.StreamResponse:
    """Files are larger than forms and take longer; only who is signed in may bring them."""
    return await carrying_files(request, attach, ROOM_BYTES)


upload.roles = attach.roles  # type: ignore[attr-defined, union-attr]


@routes.post("/profiles/{profile_id}/files/{file_id}")
@require("agent", "marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Remove a file, or bring it back: `act` says which."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    files, by, file_id = runtime_of(request).profile_files, principal_of(request).id, request.match_info["file_id"]
    if form.get("act") == "restore":
        await files.restore(who, file_id, by)
        await tell_of(runtime_of(request), who, "file.updated")
        raise web.HTTPSeeOther(f"/profiles/{who}?tab=files")
    await files.remove(who, file_id, by)
    await tell_of(runtime_of(request), who, "file.updated")
    raise web.HTTPSeeOther(f"/profiles/{who}?tab=files&removed={file_id}")
