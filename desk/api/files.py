"""Files of messages handed out so that they can do nothing, and files that people bring to send them.

Whoever sent a file chose its bytes, name and type. So a browser shows only what its bytes prove to be a picture, sound
or film; everything else comes as a download of no type, and nothing of it may run, load or be framed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from base.errors import FieldError, NotFound, TooLarge, WrongInput
from base.mongo import UNAVAILABLE
from desk.api.contract import BASE, Call, Operations, json_response, not_there
from desk.api.once import HEADER, once
from desk.api.scope import must_see_person, reading, sees_person
from desk.api.shapes import Time, View
from desk.auth import Principal, principal_of, public, require
from desk.keys import runtime_of
from desk.news import tell_of
from inbox.attached import FILE_MAX_BYTES
from inbox.file_types import NEUTRAL, SHOWN, is_given
from inbox.files import Files, KeptFile

log = logging.getLogger(__name__)
operations = Operations("files")

NAME_HEADER = "X-File-Name"
#: Uploads read at once by one process; each is held in memory whole.
UPLOADS_AT_ONCE = 4
UPLOAD_TIMEOUT_S = 120.0
#: Nothing runs, loads, posts or is framed, whatever the bytes are.
POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)


class FileView(View):
    """A file that is kept. `file_id` in the `attachments` of an answer sends it."""

    id: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str | None
    created_at: Time


@operations("GET", "/files/{id:fil}", roles=["viewer"], returns=bytes, media_type="*/*", elsewhere=True)
async def get_file(call: Call) -> Any:
    """The bytes of a file: of a message you may see, or uploaded by you.

    Pictures, sound and film have their type; everything else comes as a download of the type
    `application/octet-stream`. Takes `Range` and `If-None-Match`. 404 also while the file is still on its way, or
    could not be fetched: the message's `attachments` say which, and why.
    """


@operations("POST", "/files", roles=["agent", "marketer"], returns=FileView, status=201, elsewhere=True)
async def upload_file(call: Call) -> Any:
    """Bring a file, to be sent with `attachments: [{"file_id": …}]`.

    Either `multipart/form-data` with the file in its first part that has a file name, or the bytes themselves with the
    name percent-encoded in `X-File-Name`. At most 25 MB. The type is read from the bytes. A file that is not sent
    is forgotten after seven days.
    """


async def seen_file(request: web.Request, file_id: str) -> KeptFile:
    """A file in the caller's scope. Raises `NotFound`."""
    file: KeptFile | None = await runtime_of(request).files.get(file_id)
    if file is None or file.removed_at is not None or not await may_see(request, file):
        raise not_there()
    return file


async def may_see(request: web.Request, file: KeptFile) -> bool:
    """A message's file is seen by whoever sees its channel, a person's by who sees the person, an upload by who
    brought it."""
    principal: Principal = principal_of(request)
    if file.profile_id is not None:
        return await sees_person(runtime_of(request), principal, file.profile_id)
    return principal.may_see(file.channel_id) if file.channel_id is not None else file.created_by == principal.id


# -- handing out ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The piece that is asked for, bytes; `whole`: all of it."""

    start: int
    length: int
    whole: bool


async def send_file(
    request: web.Request, files: Files, file: KeptFile, *, linked: bool = False,
    more: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse:  # fmt: skip
    """The answer that hands out a file. Raises `NotFound` when its bytes are not here.

    `linked`: for a provider that fetches it; that one is told the type of documents too, and nobody keeps a copy.
    `more`: further headers.
    """
    if file.state != "stored":
        raise NotFound("This file has not arrived, or could not be fetched.", code="file_not_here")
    headers = {**_headers(file, linked=linked), **more}
    if not linked and headers["ETag"] in _tags(request.headers.get("If-None-Match", "")):
        return web.Response(status=304, headers=headers)
    part = _part(request, file.size_bytes, headers["ETag"])
    if part is None:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{file.size_bytes}"})
    if not part.whole:
        headers["Content-Range"] = f"bytes {part.start}-{part.start + part.length - 1}/{file.size_bytes}"
    response = web.StreamResponse(status=200 if part.whole else 206, headers=headers)
    response.content_length = part.length
    await _stream(request, response, files, file, part)
    return response


async def _stream(
    request: web.Request, response: web.StreamResponse, files: Files, file: KeptFile, part: Part
) -> None:  # fmt: skip
    async with contextlib.aclosing(files.read(file.id, part.start, part.length)) as pieces:
        first = await anext(pieces, b"")  # what is missing is said before the first header goes out
        await response.prepare(request)
        if request.method == "HEAD":
            return
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            return  # the reader left
        except (NotFound, *UNAVAILABLE) as error:
            log.warning("a file broke off", extra={"file": file.id, "error": type(error).__name__})
            if request.transport is not None:
                request.transport.abort()  # a short answer must not look like a whole one


def _headers(file: KeptFile, *, linked: bool) -> dict[str, str]:
    shown = file.media_type in SHOWN and not linked
    known = is_given(file.media_type) if linked else shown
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", file.name)
    return {
        "Content-Type": file.media_type if known else NEUTRAL,
        "Content-Disposition": (
            f"{'inline' if shown else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": POLICY,
        # Asked for anew each time, which costs a 304: who signs out or erases a person leaves no copy that is shown.
        "Cache-Control": "private, no-store" if linked else "private, no-cache",
        "X-Robots-Tag": "noindex",
        "Accept-Ranges": "bytes",
        "ETag": f'"{(file.sha256 or file.id)[:40]}"',
    }


def _tags(header: str) -> set[str]:
    return {each.strip().removeprefix("W/") for each in header.split(",")}


def _part(request: web.Request, size: int, tag: str) -> Part | None:
    """The one range asked for, or all; several ranges and foreign units are passed over. None: beyond the end."""
    whole = Part(0, size, whole=True)
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if found is None or request.headers.get("If-Range", tag) != tag or found.groups() == ("", ""):
        return whole
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return whole
    return Part(start, end - start, whole=False) if start < end else None


@require("viewer")
async def hand_out(request: web.Request) -> web.StreamResponse:
    """`GET /api/v1/files/{id}`."""
    file = await seen_file(request, request.match_info["id"])
    return await send_file(request, runtime_of(request).files, file)


@public
async def follow_link(request: web.Request) -> web.StreamResponse:
    """`GET /f/{token}`: one file for whoever was given the link, until it expires. See `inbox.file_links`."""
    files: Files = runtime_of(request).files
    file = await files.linked(request.match_info["token"])
    if file is None:
        raise NotFound("This link does not lead anywhere (any more).")
    return await send_file(request, files, file, linked=True)


# -- bringing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Brought:
    """An upload as it came."""

    content: bytes
    name: str | None
    media_type: str | None


Keep = Callable[["Brought"], Awaitable[KeptFile]]


async def _upload(slots: asyncio.Semaphore, request: web.Request) -> web.StreamResponse:
    files: Files = runtime_of(request).files
    by = principal_of(request).id
    return await _taken(slots, request, lambda it: files.upload(it.content, it.name, it.media_type, by))


async def _attach(slots: asyncio.Semaphore, request: web.Request) -> web.StreamResponse:
    profile_id = await must_see_person(reading(request), request.match_info["id"])
    files, by = runtime_of(request).profile_files, principal_of(request).id

    async def keep(it: Brought) -> KeptFile:
        kept: KeptFile = await files.attach(profile_id, it.content, it.name, it.media_type, by)
        await tell_of(runtime_of(request), profile_id, "file.updated")
        return kept

    return await _taken(slots, request, keep)


async def _taken(slots: asyncio.Semaphore, request: web.Request, keep: Keep) -> web.StreamResponse:
    if (request.content_length or 0) > FILE_MAX_BYTES + 100_000:
        raise _too_large()
    async with slots:
        return await _kept(request, await _read(request), keep)


async def _read(request: web.Request) -> Brought:
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            return await _brought(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (HttpProcessingError, web.RequestPayloadError, ValueError):
        raise WrongInput("The upload cannot be read.") from None


async def _kept(request: web.Request, brought: Brought, keep: Keep) -> web.StreamResponse:
    async def carry() -> web.StreamResponse:
        file = await keep(brought)
        view = FileView.model_validate(file)
        return json_response(view, 201, {"Location": f"{BASE}/files/{file.id}"})

    key = request.headers.get(HEADER)
    if key is None:
        return await carry()
    told = f"{brought.name}\n{brought.media_type}\n{hashlib.sha256(brought.content).hexdigest()}"
    return await once(request, told.encode(errors="replace"), key, carry, None)


async def _brought(request: web.Request) -> Brought:
    if request.content_type == "multipart/form-data":
        return await _from_form(request)
    if request.content_type == "application/x-www-form-urlencoded":
        raise WrongInput("A form without files brings none: send multipart/form-data, or the bytes themselves.")
    name = unquote(request.headers.get(NAME_HEADER, "")) or None
    content = await _bounded(partial(request.content.read, 65536))
    return Brought(content, name, request.headers.get("Content-Type"))


async def _from_form(request: web.Request) -> Brought:
    """The first part with a file name. Other fields are passed over."""
    reader = await request.multipart()
    for _ in range(20):
        part = await reader.next()
        if part is None:
            break
        if isinstance(part, BodyPartReader) and part.filename:
            return Brought(await _bounded(part.read_chunk), part.filename, part.headers.get("Content-Type"))
    sentence = "needs a part with a file name"
    raise WrongInput("There is no file in this form.", [FieldError("file", sentence)])


async def _bounded(read: Callable[[], Any]) -> bytes:
    """Everything `read` gives until nothing more comes; unpacked size bounded."""
    content = bytearray()
    while piece := await read():
        content += piece
        if len(content) > FILE_MAX_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> TooLarge:
    return TooLarge(f"A file may have {FILE_MAX_BYTES} bytes.")


def routes() -> list[web.AbstractRouteDef]:
    """What is not made from `operations`."""
    slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
    upload, attach = (require("agent", "marketer")(partial(each, slots)) for each in (_upload, _attach))
    return [
        web.get(f"{BASE}/files/{{id:fil_[0-9a-z]{{26}}}}", hand_out),
        web.post(f"{BASE}/files", upload),
        web.post(f"{BASE}/profiles/{{id:prf_[0-9a-z]{{26}}}}/files", attach),
        web.get("/f/{token}", follow_link),
    ]
