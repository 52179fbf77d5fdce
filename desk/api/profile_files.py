"""Files on a customer: attached by colleagues, and those that came with messages."""

from __future__ import annotations

from typing import Any, Literal

from desk.api.contract import Call, Operations
from desk.api.files import FileView
from desk.api.scope import must_see_person
from desk.api.shapes import PageQuery, page
from desk.news import tell_of

operations = Operations("files of people")


class PersonFileView(FileView):
    """A file on a person, or of one of their messages; `state` other than `stored`: its bytes are not here (yet)."""

    state: str
    message_id: str | None
    channel_id: str | None
    created_by: str | None


class FilesQuery(PageQuery):
    """Which files."""

    of: Literal["profile", "messages"] = "profile"


@operations("GET", "/profiles/{id:prf}/files", roles=["viewer"], query=FilesQuery, returns=list[PersonFileView])
async def list_person_files(call: Call) -> Any:
    """List the files on this person or (`of=messages`) of their messages, the newest first.

    Of messages a page may hold more than `limit`, where one brought several. The bytes are at `/files/{id}`.
    """
    wanted: FilesQuery = call.query
    profile_id = await must_see_person(call, call.path["id"])
    files = call.runtime.profile_files
    if wanted.of == "profile":
        found = await files.page(profile_id, limit=wanted.limit, cursor=wanted.cursor)
    else:
        scope = call.principal.reach
        found = await files.of_messages(profile_id, channels=scope, limit=wanted.limit, cursor=wanted.cursor)
    return page([PersonFileView.model_validate(each) for each in found.data], found.next_cursor)


@operations(
    "POST", "/profiles/{id:prf}/files", roles=["agent", "marketer"], returns=FileView, status=201, elsewhere=True
)
async def attach_file(call: Call) -> Any:
    """Attach a file to this person: `multipart/form-data`, or the bytes with their name in `X-File-Name`.

    At most 25 MB. The type is read from the bytes.
    """


@operations("DELETE", "/profiles/{id:prf}/files/{file_id:fil}", roles=["agent", "marketer"])
async def remove_file(call: Call) -> None:
    """Take a file off this person. For a day it can be restored, then its bytes go."""
    profile_id = await must_see_person(call, call.path["id"])
    await call.runtime.profile_files.remove(profile_id, call.path["file_id"], call.principal.id)
    await tell_of(call.runtime, profile_id, "file.updated")


@operations(
    "POST", "/profiles/{id:prf}/files/{file_id:fil}/restore", roles=["agent", "marketer"], returns=PersonFileView
)
async def restore_file(call: Call) -> Any:
    """Bring a removed file back."""
    profile_id = await must_see_person(call, call.path["id"])
    file = await call.runtime.profile_files.restore(profile_id, call.path["file_id"], call.principal.id)
    await tell_of(call.runtime, profile_id, "file.updated")
    return PersonFileView.model_validate(file)
