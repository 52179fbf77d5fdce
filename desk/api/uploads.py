"""A file that is too large for memory, from the request onto the disk: the first part of a form that is a file, or the
bytes themselves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from base.errors import FieldError, TooLarge, WrongInput
from desk.api.files import NAME_HEADER

TIMEOUT_S = 600.0
_FIELD_MAX = 2000


@dataclass(frozen=True)
class Upload:
    """What came. `fields`: the form's other fields that stood before the file."""

    name: str
    size_bytes: int
    sha256: str
    fields: Mapping[str, str] = field(default_factory=dict)


async def receive(
    request: web.Request, path: Path, max_bytes: int, check: Callable[[Mapping[str, str]], None] | None = None
) -> Upload:
    """Write the file there. `check` sees the form's fields before the file is read.

    Raises `WrongInput`, `TooLarge`, or 408 for who is too slow.
    """
    if (request.content_length or 0) > max_bytes + 100_000:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if request.content_type == "multipart/form-data":
                return await _from_form(request, path, max_bytes, check)
            if check is not None:
                check({})  # bytes by themselves bring no fields
            name = unquote(request.headers.get(NAME_HEADER, ""))
            size, digest = await _written(partial(request.content.read, 262_144), path, max_bytes)
            return Upload(_named(name), size, digest)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (HttpProcessingError, web.RequestPayloadError, ValueError):
        raise WrongInput("The upload cannot be read.") from None


async def _from_form(
    request: web.Request, path: Path, max_bytes: int, check: Callable[[Mapping[str, str]], None] | None
) -> Upload:  # fmt: skip
    reader = await request.multipart()
    fields: dict[str, str] = {}
    for _ in range(20):
        part = await reader.next()
        if part is None:
            break
        if not isinstance(part, BodyPartReader):
            continue
        if part.filename:
            if check is not None:
                check(fields)
            size, digest = await _written(part.read_chunk, path, max_bytes)
            return Upload(_named(part.filename), size, digest, fields)
        fields[part.name or ""] = (await part.read_chunk(_FIELD_MAX)).decode("utf-8", "replace")
    raise WrongInput("There is no file in this form.", [FieldError("file", "needs a part with a file name")])


async def _written(read: Callable[[], Awaitable[bytes]], path: Path, max_bytes: int) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        while piece := await read():
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            digest.update(piece)
            file.write(piece)
    return size, digest.hexdigest()


def _named(name: str) -> str:
    plain = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable()).strip()
    return plain[:120] or "list"


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"A list may have {max_bytes} bytes.")
