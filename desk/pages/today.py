"""Today: one list of all that waits for one's hand, and what is done with its rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from base.errors import NotFound, WrongInput
from campaigns.reminders import MENTION
from campaigns.stream.acting import Undo
from campaigns.stream.items import Item
from desk.api.scope import reading
from desk.api.today import act_on, list_of, part_of, seen_item, take_back
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.composer import snoozes
from desk.pages.moments import read_local
from desk.pages.reads import people, together
from desk.pages.stream_words import TABS, Known, stream_row, tab_kinds
from desk.render import arriving_of, formats_of, page
from desk.today_figure import TODAY_FIGURES
from inbox.counting import BUILT_IN

routes = web.RouteTableDef()
HERE = "/today"
PER_PAGE = 40
#: What was done, as the notice above the list says it.
DID = {"done": N_("Done."), "snooze": N_("Put off."), "hand_over": N_("Handed over.")}


@routes.get(HERE)
@require("viewer")
async def today(request: web.Request) -> web.StreamResponse:
    """The list, what matters most first."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats, tab = formats_of(request, principal), request.query.get("show", "")
    found = await together(items=list_of(reading(request), principal), people=people(runtime))
    items: list[Item] = found["items"]
    request.config_dict[TODAY_FIGURES].know(principal.id, runtime.clock(), len(items))
    kinds = tab_kinds(tab)
    wanted = [each for each in items if not kinds or each.kind in kinds]
    shown, following = part_of(wanted, PER_PAGE, request.query.get("cursor") or None)
    colleagues = {each.id: each.name or each.email for each in found["people"]}
    known = await known_for(request, shown, colleagues)
    more = urlencode({"show": tab, "cursor": following}) if following else ""
    values: dict[str, Any] = {
        "rows": [stream_row(each, known, formats) for each in shown], "total": len(wanted),
        "people": list(colleagues.items()), "snoozes": snoozes(formats), "tab": tab if kinds else "",
        "tabs": [(key, label, sum(not of or each.kind in of for each in items)) for key, label, of in TABS],
        "more": f"{HERE}?{more}" if more else "", "may_act": principal.may("agent", "marketer"),
        **undo_in(request),
    }  # fmt: skip
    return await page(request, "today.html", values)


@routes.post("/today/acts")
@require("agent", "marketer")
async def act(request: web.Request) -> web.StreamResponse:
    """Done, later, or somebody else; with a way back."""
    form, asking = await read_form(request), reading(request)
    what, back = str(form.get("act") or "done"), local_path(str(form.get("back") or HERE))
    until = None
    if what == "snooze":
        chosen = str(form.get("until") or "") or str(form.get("until_on") or "")
        until = read_local(chosen, formats_of(request, principal_of(request)), "until")
    if what not in DID:
        raise WrongInput("There is no such act.")
    try:
        item = await seen_item(asking, str(form.get("key") or ""))
    except NotFound:
        if form.get("key"):  # it was done elsewhere meanwhile: the list says so
            raise web.HTTPSeeOther(back) from None
        raise
    undo = await act_on(asking, item, what, until, str(form.get("assignee") or "") or None)
    request.config_dict[TODAY_FIGURES].forget(principal_of(request).id)
    raise web.HTTPSeeOther(_with(back, undo=undo.model_dump_json(exclude_none=True)))


@routes.post("/today/undo")
@require("agent", "marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last act back."""
    form = await read_form(request)
    wanted = _read_undo(str(form.get("undo") or ""))
    if wanted is None:
        raise NotFound("There is nothing to take back.")
    await take_back(reading(request), wanted)
    request.config_dict[TODAY_FIGURES].forget(principal_of(request).id)
    raise web.HTTPSeeOther(local_path(str(form.get("back") or HERE)))


@routes.get("/counts")
@require("viewer")
async def counts(request: web.Request) -> web.StreamResponse:
    """The figures on the rail: conversations of one's own in which a customer waits, and the rows of Today, these as
    they were up to half a minute ago."""
    principal, runtime = principal_of(request), runtime_of(request)
    scope = principal.reach
    waiting = await runtime.counting.counts({"waiting": BUILT_IN["waiting"]}, principal.id, scope)

    async def read() -> int:
        return len(await list_of(reading(request), principal))

    today = await request.config_dict[TODAY_FIGURES].of(principal.id, runtime.clock(), read)
    figures = {"inbox": waiting.get("waiting", 0), "today": today, "arriving": arriving_of(request)}
    return web.json_response(figures)


async def known_for(request: web.Request, items: list[Item], colleagues: dict[str, str]) -> Known:
    """What the rows of this part are said with."""
    runtime, principal = runtime_of(request), principal_of(request)
    profiles = await runtime.profiles.many({each for item in items for each in item.people})
    sources = [item.source.get("source") or {} for item in items if item.kind == "task"]
    called = [each["id"] for each in sources if each.get("kind") == MENTION]
    notes = await runtime.notes.words(called) if called else {}
    others = {each.assignee_id for each in items if each.assignee_id} - colleagues.keys()
    names = await runtime.users.names(sorted(others)) if others else {}
    return Known(
        {key: person.display_name for key, person in profiles.items()}, colleagues | names, notes, principal.id,
        principal.may("agent"),
    )  # fmt: skip


def undo_in(request: web.Request) -> dict[str, Any]:
    """The notice above the list: what was done, and what takes it back."""
    text = request.query.get("undo", "")
    wanted = _read_undo(text)
    return {"undo": text if wanted else "", "did": DID[wanted.what] if wanted else ""}


def _read_undo(text: str) -> Undo | None:
    try:
        return Undo.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _with(path: str, **query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"
