"""Saving views of the inbox: what narrows the list now, under a name, for oneself or for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from base.errors import Conflict
from desk.api.scope import reading
from desk.api.views import check_view, view_to_change
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.inbox import asked_for, list_again
from desk.render import formats_of
from inbox.views import ViewInput

routes = web.RouteTableDef()
ONE = "/inbox/views/{view_id:viw_[0-9a-z]{26}}"
NAME_MAX = 60


@routes.post("/inbox/views")
@require("viewer")
async def create(request: web.Request) -> web.StreamResponse:
    """Keep what narrows the list as a view."""
    form = await read_form(request)
    asked = await asked_for(request, _address(form))
    name, shared = str(form.get("name", "")).strip(), form.get("shared") == "1"
    check_view(reading(request), asked.wanted, shared)
    given = {"name": name[:NAME_MAX], "shared": "1" if shared else ""}
    if not 0 < len(name) <= NAME_MAX:
        fault = formats_of(request, principal_of(request)).text(N_("Write a name of at most 60 characters."))
        return await list_again(request, asked, fault, given)
    wanted = ViewInput(name=name, filter=asked.wanted, shared=shared)
    try:
        made = await runtime_of(request).views.create(wanted, principal_of(request).id)
    except Conflict as error:
        return await list_again(request, asked, formats_of(request, principal_of(request)).text(str(error)), given)
    raise web.HTTPSeeOther(f"/inbox?view={made.id}")


@routes.post(ONE)
@require("viewer")
async def save(request: web.Request) -> web.StreamResponse:
    """Let a view narrow as the list is narrowed now."""
    known, form = await view_to_change(reading(request), request.match_info["view_id"]), await read_form(request)
    asked = await asked_for(request, _address(form))
    check_view(reading(request), asked.wanted, None)
    await runtime_of(request).views.change(known.id, principal_of(request).id, filter=asked.wanted)
    raise web.HTTPSeeOther(f"/inbox?view={known.id}")


@routes.post(ONE + "/remove")
@require("viewer")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take a view away; the way back stands above the list that follows."""
    known = await view_to_change(reading(request), request.match_info["view_id"])
    await runtime_of(request).views.remove(known.id, principal_of(request).id)
    raise web.HTTPSeeOther(f"/inbox?view=all&removed={known.id}")


@routes.post(ONE + "/restore")
@require("viewer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Put a view back."""
    known = await view_to_change(reading(request), request.match_info["view_id"], removed=True)
    await runtime_of(request).views.restore(known.id, principal_of(request).id)
    raise web.HTTPSeeOther(f"/inbox?view={known.id}")


def _address(form: Mapping[str, Any]) -> MultiDict[str]:
    """The part of an address that a form brings along."""
    return MultiDict(parse_qsl(str(form.get("query", ""))[:4000]))
