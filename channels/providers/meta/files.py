"""Files both ways: the form that uploads one, and the fetching of one whose address needs no token of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import urljoin

import filetype

from base.http import HttpFailed
from channels.adapter import Http, HttpAnswer
from channels.failures import Failure, SendFailed
from channels.vocabulary import Attachment

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; *[\w.+-]+=[\w.+-]+)*", re.ASCII)
#: Meta's file hosts hand over to one another.
_MOVES = 3


def media_type_of(file: Attachment) -> str:
    """The type to upload a file under: what was said of it, where that can stand in a header."""
    given = file.media_type or ""
    return given if _MEDIA_TYPE.fullmatch(given) else "application/octet-stream"


def form(file: Attachment, fields: Mapping[str, str], *, name: str) -> tuple[bytes, str]:
    """A multipart form with `fields` and the file as `name`, and its content type.

    The boundary comes from the content, so it can't occur in it by accident or design.
    """
    content = file.content or b""
    boundary = f"rapport-{hashlib.sha256(content).hexdigest()}"
    file_name = "".join(char for char in file.file_name or "file" if char.isprintable() and char not in '"\\/')[:200]
    parts = [(f'name="{field}"', "text/plain", value.encode()) for field, value in fields.items()]
    parts.append((f'name="{name}"; filename="{file_name or "file"}"', media_type_of(file), content))
    made = [
        f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\nContent-Type: {kind}\r\n\r\n".encode()
        + value
        + b"\r\n"
        for what, kind, value in parts
    ]
    return b"".join(made) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def sniffed(content: bytes, *told: str | None) -> str:
    """The media type as the bytes show it, else the first that was told."""
    return filetype.guess_mime(content) or next(filter(None, told), "application/octet-stream")


async def fetched(http: Http, url: str, *, max_bytes: int, timeout_s: float) -> bytes:
    """The bytes behind a public address, named in a webhook. No token goes there. Raises `SendFailed`."""
    for _ in range(_MOVES):
        answer = await _get(http, url, max_bytes, timeout_s)
        where = answer.headers.get("location") if 300 <= answer.status < 400 else None
        if where is None:
            break
        url = _joined(url, where)
    if answer.status != 200:
        raise SendFailed(
            _gone(answer.status), "Meta does not give this file out any more.", provider_code=str(answer.status)
        )
    return answer.body


def _joined(url: str, where: str) -> str:
    try:
        return urljoin(url, where)
    except ValueError:
        raise SendFailed(Failure.CONTENT_REJECTED, "Meta names a malformed address for this file.") from None


async def _get(http: Http, url: str, max_bytes: int, timeout_s: float) -> HttpAnswer:
    try:
        return await http.request("GET", url, timeout_s=timeout_s, max_bytes=max_bytes)
    except HttpFailed as error:
        failure = Failure.TEMPORARY if error.is_passing else Failure.CONTENT_REJECTED
        raise SendFailed(failure, str(error)) from None


def _gone(status: int) -> Failure:
    if status == 429:
        return Failure.RATE_LIMITED
    return Failure.TEMPORARY if status >= 500 else Failure.CONTENT_REJECTED
