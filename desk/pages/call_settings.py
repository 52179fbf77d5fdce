"""Settings → Calls of journeys: the secret with which webhook steps are signed. It is shown once, when it is made."""

from __future__ import annotations

from aiohttp import web

from desk.api.scope import reading, refuse_scoped
from desk.auth import require
from desk.keys import runtime_of
from desk.render import page

routes = web.RouteTableDef()
HERE = "/settings/calls"


@routes.get(HERE)
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """Since when there is one, and until when the former one signs too; never the secret itself."""
    refuse_scoped(reading(request))
    return await _page(request, "")


@routes.post(HERE)
@require("admin")
async def exchange(request: web.Request) -> web.StreamResponse:
    """A new one, shown in this answer only."""
    refuse_scoped(reading(request))
    return await _page(request, await runtime_of(request).call_secrets.exchange())


@routes.post(HERE + "/take-back")
@require("admin")
async def take_back(request: web.Request) -> web.StreamResponse:
    """The former one is in use again."""
    refuse_scoped(reading(request))
    done = await runtime_of(request).call_secrets.take_back()
    raise web.HTTPSeeOther(f"{HERE}?taken_back" if done else HERE)


async def _page(request: web.Request, secret: str) -> web.Response:
    values = {
        "standing": await runtime_of(request).call_secrets.standing(), "secret": secret,
        "taken_back": "taken_back" in request.query,
    }  # fmt: skip
    return await page(request, "settings/calls.html", values)
