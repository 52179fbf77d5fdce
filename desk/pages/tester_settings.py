"""Settings → Test sends: addresses and people outside the house at which messages may be tried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from base.errors import WrongInput
from base.ids import is_id
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.shown_as import ShownAs, shown_as
from desk.render import page
from profiles.normalise import email_address

routes = web.RouteTableDef()
HERE = "/settings/tests"


@dataclass(frozen=True)
class Tester:
    """One of the list. `name`: of a customer; else the value is an address."""

    value: str
    name: str


@routes.get(HERE)
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """The list."""
    refuse_scoped(reading(request))
    return await _page(request, "", {})


@routes.post(HERE)
@require("admin")
async def add(request: web.Request) -> web.StreamResponse:
    """A mail address is allowed at once; other words look for a customer, who is allowed by a button."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    text, chosen = (str(form.get(name) or "").strip()[:200] for name in ("address", "person"))
    value = chosen if is_id(chosen, "prf") else text
    if value != text or email_address(text):
        try:
            await runtime_of(request).broadcast_tests.allow_one(value, principal_of(request).id)
        except WrongInput:
            return await _page(request, text, {"address": N_("This is no mail address.")})
        raise web.HTTPSeeOther(HERE)
    if not text:
        return await _page(request, text, {"address": N_("Write a mail address, or the name of a customer.")})
    return await _page(request, text, {}, await shown_as(request, text, ""))


@routes.post(HERE + "/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take one off, which the list then offers to undo."""
    refuse_scoped(reading(request))
    value = str((await read_form(request)).get("address") or "")[:320]
    gone = await runtime_of(request).broadcast_tests.disallow(value)
    raise web.HTTPSeeOther(str(request.rel_url.with_path(HERE).with_query({"removed": value} if gone else {})))


async def _page(
    request: web.Request, text: str, faults: Mapping[str, str], found: ShownAs | None = None
) -> web.Response:  # fmt: skip
    runtime = runtime_of(request)
    values = await runtime.broadcast_tests.allowed()
    removed = request.query.get("removed", "")
    ids = [each for each in (*values, removed) if is_id(each, "prf")]
    people = await runtime.profiles.many(ids) if ids else {}
    names = {each: people[each].display_name for each in ids if each in people}
    known = [each for each in (found.people if found else ()) if each[0] not in values]
    shown = {
        "testers": [Tester(each, names.get(each, "")) for each in values], "text": text, "faults": faults,
        "found": known if found else None,
        "removed": Tester(removed, names.get(removed, ""))
        if removed and removed not in values and (removed in names or email_address(removed)) else None,
    }  # fmt: skip
    return await page(request, "settings/tests.html", shown, status=422 if faults else 200)
