"""Covers what somebody may not see in every answer they get: pages, parts of pages, JSON and text alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from desk.auth import PRINCIPAL, Principal
from desk.team.masking import covered_html, covered_json, covering

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: A page larger than this is covered beside the loop.
LARGE = 50_000


@web.middleware
async def veiled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Carry on; for who has masks, cover what was answered. Streams hold ids alone."""
    response = await handler(request)
    principal = request.get(PRINCIPAL)
    if principal is None or not principal.masks or not isinstance(response, web.Response):
        return response
    body = response.body
    if isinstance(body, bytes) and body:
        small = len(body) < LARGE
        made = _covered(body, response, principal) if small else await asyncio.to_thread(
            _covered, body, response, principal
        )  # fmt: skip
        if made is not None:
            response.body = made
    return response


def _covered(body: bytes, response: web.Response, principal: Principal) -> bytes | None:
    cover = covering(principal.masks, principal.user.email if principal.user else "")
    kind = response.content_type
    if kind in ("application/json", "application/problem+json"):
        return orjson.dumps(covered_json(orjson.loads(body), principal.masks, cover))
    if kind == "text/html":
        return covered_html(body.decode(response.charset or "utf-8"), cover).encode(response.charset or "utf-8")
    if kind.startswith("text/"):
        return cover(body.decode(response.charset or "utf-8", "replace")).encode(response.charset or "utf-8")
    return None
