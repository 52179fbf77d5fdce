"""Forms that bring files: larger than others, slower, and only from who is signed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from base.errors import TooLarge
from desk.api.files import UPLOAD_TIMEOUT_S
from desk.auth import authenticate
from desk.forms import read_form
from inbox.attached import FILE_MAX_BYTES, TOO_LARGE


async def carrying_files(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], room_bytes: int
) -> web.StreamResponse:
    """What the handler answers to a form with files. `room_bytes`: what the form may have beside them."""
    if (request.content_length or 0) > FILE_MAX_BYTES + room_bytes:
        raise TooLarge(TOO_LARGE.sentence)
    roomy = request.clone(client_max_size=FILE_MAX_BYTES + room_bytes)
    if await authenticate(roomy) is None:
        return await handler(roomy)  # leads to the sign-in page
    form = await read_form(roomy, timeout_s=UPLOAD_TIMEOUT_S)
    try:
        return await handler(roomy)
    finally:
        for each in form.values():
            if isinstance(each, web.FileField):
                each.file.close()
