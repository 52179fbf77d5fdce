"""Export: a file of the people of a list, and the record of who took out how many."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from base.errors import Conflict, Refused, WrongInput
from desk.api.exports import file_answer, may_export
from desk.api.scope import reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.render import page
from profiles.exports.book import FILTERS
from profiles.exports.columns import FORMATS

routes = web.RouteTableDef()
HERE = "/profiles/exports"
LABELS = {
    "csv": N_("CSV"), "xlsx": N_("Excel (XLSX)"), "jsonl": N_("JSON lines"), "vcf": N_("vCard"),
}  # fmt: skip
STATES = {
    "running": (N_("Being written"), "accent"), "done": (N_("Ready"), "good"), "failed": (N_("Failed"), "danger"),
    "cancelled": (N_("Stopped"), ""), "expired": (N_("File deleted"), ""),
}  # fmt: skip


def exporting(request: web.Request) -> bool:
    """Whether the export button is shown."""
    try:
        may_export(reading(request))
    except Refused:
        return False
    return True


@routes.get(HERE)
@require("agent", "marketer")
async def exports(request: web.Request) -> web.StreamResponse:
    """The list, and a form for another, narrowed as the list of profiles was."""
    may_export(reading(request))
    try:
        found = await runtime_of(request).exports.page(50, request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    narrowed = {name: request.query[name][:200] for name in FILTERS if request.query.get(name)}
    values = {
        "exports": found.data, "formats_offered": LABELS, "states": STATES, "narrowed": narrowed,
        "working": any(each["state"] == "running" for each in found.data),
        "next_href": f"{HERE}?cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "imports/exports.html", values)


@routes.post(HERE)
@require("agent", "marketer")
async def begin(request: web.Request) -> web.StreamResponse:
    """Ask for a file."""
    may_export(reading(request))
    form, principal = await read_form(request), principal_of(request)
    kind: Any = form.get("format")
    if kind not in FORMATS:
        raise WrongInput("There is no such format.")
    wanted = {name: str(form.get(name) or "").strip()[:200] or None for name in FILTERS}
    wanted["tag"] = await runtime_of(request).tags.today(wanted["tag"])
    await runtime_of(request).exports.begin(kind, wanted, principal.id, principal.name)
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{export_id}/cancel")
@require("agent", "marketer")
async def cancel(request: web.Request) -> web.StreamResponse:
    """Stop one."""
    may_export(reading(request))
    try:
        await runtime_of(request).exports.cancel(request.match_info["export_id"])
    except Conflict:
        pass  # it has ended meanwhile
    raise web.HTTPSeeOther(HERE)


@routes.get(HERE + "/{export_id}/file")
@require("agent", "marketer")
async def fetch(request: web.Request) -> web.StreamResponse:
    """The file."""
    may_export(reading(request))
    return await file_answer(request, runtime_of(request), request.match_info["export_id"])
