"""Reads what a form sent: bounded in size by the application and in time here, and never a fault of ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from base.errors import WrongInput

if TYPE_CHECKING:
    from multidict import MultiDictProxy

#: Names of the fields that a request brought.
FIELDS: web.RequestKey[tuple[str, ...]] = web.RequestKey("fields", tuple)
#: A sender slower than this is let go, seconds.
BODY_TIMEOUT_S = 15.0


async def read_form(
    request: web.Request, *, timeout_s: float | None = None
) -> MultiDictProxy[str | bytes | bytearray | web.FileField]:
    """The fields; read once, so asking again costs nothing. `timeout_s`: for forms that bring files.

    Raises `WrongInput` for bytes that are no form (packing, boundary, character set), 413, or 408 for who is too slow.
    """
    try:
        async with asyncio.timeout(timeout_s or BODY_TIMEOUT_S):
            form = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (HttpProcessingError, web.RequestPayloadError, ValueError, LookupError):
        raise WrongInput("The form cannot be read.") from None
    request[FIELDS] = tuple(dict.fromkeys(name for name in form if name != "csrf"))
    return form
