"""Profiles → Tags: all tags, renamed, joined and taken away across people, with progress and a way back."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from base.errors import Conflict, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.uses import counted, links
from desk.render import formats_of, page
from profiles.store.tags import COUNT_MAX

routes = web.RouteTableDef()
HERE = "/profiles/tags"
SAYS = {
    ("rename", "running"): N_("“%(tag)s” is being renamed to “%(to)s”"),
    ("rename", "done"): N_("“%(tag)s” was renamed to “%(to)s”"),
    ("merge", "running"): N_("“%(tag)s” is being joined with “%(to)s”"),
    ("merge", "done"): N_("“%(tag)s” was joined with “%(to)s”"),
    ("delete", "running"): N_("“%(tag)s” is being taken away"),
    ("delete", "done"): N_("“%(tag)s” was taken away"),
}


@routes.get(HERE)
@require("viewer")
async def tags(request: web.Request) -> web.StreamResponse:
    """Tags in order of the alphabet, changes above them."""
    return await _page(request, "")


@routes.post(HERE)
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Begin a change. A rename to a tag that is there already joins them."""
    refuse_scoped(reading(request))
    form, runtime = await read_form(request), runtime_of(request)
    tag, to = str(form.get("tag", "")), str(form.get("to", "")).strip()
    what = "delete" if form.get("what") == "delete" else "rename"
    if not tag or len(tag) > 64:
        raise WrongInput("There is no such tag.")
    if what == "rename" and to and any(each.name == to for each in (await runtime.tags.page(starting=to)).data):
        what = "merge"
    try:
        await runtime.tags.change(what, tag, to or None, by=principal_of(request).id)
    except (WrongInput, Conflict) as error:
        return await _page(request, str(error))
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{change_id}/undo")
@require("marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take a change back."""
    refuse_scoped(reading(request))
    try:
        await runtime_of(request).tags.undo(request.match_info["change_id"], by=principal_of(request).id)
    except Conflict as error:
        return await _page(request, str(error))
    raise web.HTTPSeeOther(HERE)


async def _page(request: web.Request, fault: str) -> web.Response:
    runtime, reader = runtime_of(request), principal_of(request)
    formats, q = formats_of(request, reader), request.query.get("q", "").strip()[:64]
    try:
        found = await runtime.tags.page(starting=q, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    whole = reader.channels is None
    names = [each.name for each in found.data]
    uses, former = await runtime.tags.named_by(names), await runtime.tags.former_names()
    rows = [
        {
            "name": each.name, "count": _count(each.count, formats) if whole else "",
            "uses": links(uses[each.name], formats), "used": counted(uses[each.name], formats),
            "former": former.spellings([each.name])[1:],
        }
        for each in found.data
    ]  # fmt: skip
    changes = []
    for row in await runtime.tags.changes() if whole else ():
        running = row["state"] in ("running", "undoing")
        sentence = formats.text(SAYS[row["what"], "running" if row["state"] == "running" else "done"], row)
        changes.append({
            "id": row["_id"], "sentence": sentence, "state": row["state"], "running": running, "at": row["at"],
            "done": row["done"], "total": max(row["total"], row["done"], 1),
            "undoable": row["state"] in ("running", "done"),
        })  # fmt: skip
    more = {**({"q": q} if q else {}), "cursor": found.next_cursor}
    values = {
        "tags": rows, "q": q, "changes": changes[:5], "fault": fault, "may_change": reader.may_everywhere("marketer"),
        "next_href": f"{HERE}?{urlencode(more)}" if found.next_cursor else "",
        "busy": any(each["running"] for each in changes),
    }  # fmt: skip
    return await page(request, "profiles/tags.html", values, status=422 if fault else 200)


def _count(people: int, formats: Formats) -> str:
    return formats.number(people) + ("+" if people >= COUNT_MAX else "")
