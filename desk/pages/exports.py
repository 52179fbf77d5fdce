"""Export: a file of the people of a list, and the record of who took out how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from base.errors import Conflict, Refused, WrongInput
from desk.api.exports import file_answer, may_export
from desk.api.scope import reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.terms import words
from desk.render import formats_of, page
from profiles.exports.book import FILTERS
from profiles.exports.columns import FORMATS
from profiles.sheets.headings import HEADINGS as ALL_HEADINGS

routes = web.RouteTableDef()
HERE = "/profiles/exports"
LABELS = {
    "csv": N_("CSV"), "xlsx": N_("Excel (XLSX)"), "jsonl": N_("JSON lines"), "vcf": N_("vCard"),
}  # fmt: skip
#: Whether columns are called in words, or as the API calls them.
HEADINGS = {"words": N_("In words, to be read"), "keys": N_("As the API calls the fields, for programs")}
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
    names = await _names(request, found.data, narrowed := _narrowed(request))
    formats = formats_of(request, principal_of(request))
    values = {
        "exports": found.data, "formats_offered": LABELS, "states": STATES, "narrowed": narrowed, "names": names,
        "headings": {"zh" if formats.language == "zh_CN" else "en": HEADINGS["words"], "keys": HEADINGS["keys"]},
        "working": any(each["state"] == "running" for each in found.data),
        "next_href": f"{HERE}?cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "imports/exports.html", values)


def _narrowed(request: web.Request) -> dict[str, str]:
    """As the list of profiles was, which knows an owner as `owner`, and oneself as `me`."""
    found = {name: request.query[name][:200] for name in FILTERS if request.query.get(name)}
    owner = request.query.get("owner", "")[:200]
    return {**found, **({"owner_id": principal_of(request).id if owner == "me" else owner} if owner else {})}


async def _names(
    request: web.Request, rows: Sequence[Mapping[str, Any]], narrowed: Mapping[str, str]
) -> dict[str, str]:
    """What is said for a value of a filter that is an id or a key."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    filters = [narrowed, *(each["filter"] for each in rows)]
    said = await words(runtime, formats)
    segments = await runtime.segment_rows.many(list({each["segment"] for each in filters if each.get("segment")}))
    owners = await runtime.users.names([each["owner_id"] for each in filters if each.get("owner_id")])
    stages = {each["stage"]: said.stage(each["stage"]) for each in filters if each.get("stage")}
    roles = {each["role"]: said.role(each["role"]) for each in filters if each.get("role")}
    return {**{row["_id"]: str(row["name"]) for row in segments}, **owners, **stages, **roles}


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
    headings: Any = form.get("headings") if form.get("headings") in ALL_HEADINGS else "keys"
    await runtime_of(request).exports.begin(kind, wanted, principal.id, principal.name, headings=headings)
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
