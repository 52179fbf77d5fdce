"""Settings → Who is who: values that shall join nobody. Who holds one today is shown before it is blocked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from base.errors import FieldError, NotFound, WrongInput
from base.ids import is_id
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.render import page
from profiles.blocking import BlockInput

routes = web.RouteTableDef()
HERE = "/settings/who-is-who"
KINDS = {"email": N_("E-mail address"), "phone": N_("Phone number"), "customer_id": N_("Customer number")}
WHY = {"named": N_("Named by an administrator"), "many_people": N_("Given by too many people")}


@routes.get(HERE)
@require("viewer")
async def values(request: web.Request) -> web.StreamResponse:
    """The list; with `kind` and `value`, who goes by that value today, for those who may block it."""
    asked = {name: request.query.get(name, "").strip() for name in ("kind", "value")}
    if not asked["value"] or not principal_of(request).may_everywhere("admin"):
        return await _page(request, asked, {})
    try:
        holders = await runtime_of(request).blocking.holders(_input(asked))
    except WrongInput as error:
        return await _page(request, asked, {fault.path: fault.message for fault in error.errors})
    return await _page(request, asked, {}, holders=holders)


@routes.post(HERE)
@require("admin")
async def block(request: web.Request) -> web.StreamResponse:
    """Block it."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    given = {name: str(form.get(name, "")).strip() for name in ("kind", "value")}
    try:
        await runtime_of(request).blocking.add(_input(given), principal_of(request).id)
    except WrongInput as error:
        return await _page(request, given, {fault.path: fault.message for fault in error.errors})
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{row_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it off the list, which then offers to put it back."""
    refuse_scoped(reading(request))
    row_id = request.match_info["row_id"]
    if not is_id(row_id, "blk"):
        raise NotFound("That value is not blocked.")
    gone = await runtime_of(request).blocking.remove(row_id)
    raise web.HTTPSeeOther(f"{HERE}?{urlencode({'removed': gone.value, 'removed_kind': gone.kind})}")


def _input(given: dict[str, str]) -> BlockInput:
    try:
        return BlockInput.model_validate(given)
    except ValidationError:
        raise WrongInput("Please look at the marked fields.", [FieldError("value", N_("Please check this."))]) from None


async def _page(
    request: web.Request, given: dict[str, str], faults: dict[str, str], holders: Any = None
) -> web.Response:  # fmt: skip
    found = await runtime_of(request).blocking.page(cursor=request.query.get("cursor"))
    shown = {
        "values": found.data, "next_cursor": found.next_cursor, "kinds": KINDS, "why": WHY, "given": given,
        "faults": faults, "holders": holders, "may_change": principal_of(request).may_everywhere("admin"),
        "removed": {"value": request.query.get("removed", "")[:200], "kind": request.query.get("removed_kind", "")},
    }  # fmt: skip
    return await page(request, "settings/blocked.html", shown, status=422 if faults else 200)
