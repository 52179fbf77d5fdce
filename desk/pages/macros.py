"""Settings → Macros, and running one from a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import Conflict, Refused, WrongInput
from base.ids import is_id
from campaigns.automation.macros import MISSING, Macro, as_written, read_macro
from desk.api.macros import check_macro, macro_to_change, macro_view, one_macro, runner_of, seen_macros
from desk.api.scope import reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages import form_kinds
from desk.pages.action_forms import FORMS, action_words, actions_of, done_with, names_of, placed, views_of
from desk.pages.action_sources import action_sources, called_in
from desk.pages.action_titles import TITLES
from desk.pages.definition_forms import id_in
from desk.pages.form_kinds import Names
from desk.pages.form_views import Drawing
from desk.pages.inbox import after_act, conversation_for
from desk.render import formats_of, page

routes = web.RouteTableDef()
HERE = "/settings/macros"
TAKEN = N_("There is a macro with this name already.")
EMPTY = N_("Choose at least one action.")


@routes.get(HERE)
@require("viewer")
async def all_macros(request: web.Request) -> web.StreamResponse:
    """All that the reader sees."""
    principal, removed = principal_of(request), request.query.get("removed", "")
    formats, (sources, _) = formats_of(request, principal), await action_sources(request)
    called, channels = called_in(sources), dict(sources["accounts"])
    lines = [
        {
            "macro": each, "channels": [channels[one] for one in each.channel_ids if one in channels],
            "words": [action_words(one, called, formats) for one in as_written(each)["actions"]],
        }
        for each in await seen_macros(reading(request))
    ]  # fmt: skip
    values = {
        "lines": lines, "may_write": principal.may("agent"), "removed": removed if is_id(removed, "mac") else "",
    }  # fmt: skip
    return await page(request, "settings/macros.html", values)


@routes.get(HERE + "/new")
@require("agent")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    scope = "everybody" if principal_of(request).may_everywhere("agent") else "me"
    return await _form(request, None, {"name": "", "scope": scope, "channel_ids": ()}, {}, [])


@routes.post(HERE + "/new")
@require("agent")
async def create(request: web.Request) -> web.StreamResponse:
    """Write it down, or (any other button) change the form itself."""
    return await _saved(request, None)


@routes.get(HERE + "/{macro_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One in its form."""
    macro = await one_macro(reading(request), _id(request))
    shown = macro_view(reading(request), macro).model_dump()
    return await _form(request, macro, shown, names_of(shown["actions"]), [])


@routes.post(HERE + "/{macro_id}")
@require("agent")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form. Channels that its writer does not see stay as they are."""
    return await _saved(request, await macro_to_change(reading(request), _id(request)))


@routes.post(HERE + "/{macro_id}/remove")
@require("agent")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    macro = await macro_to_change(reading(request), _id(request))
    await runtime_of(request).macros.remove(macro.id, principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}?removed={macro.id}")


@routes.post(HERE + "/{macro_id}/restore")
@require("agent")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    macro = await macro_to_change(reading(request), _id(request), removed=True)
    await runtime_of(request).macros.restore(macro.id, principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}/{macro.id}")


# -- the form ------------------------------------------------------------------------------------------------------


async def _saved(request: web.Request, macro: Macro | None) -> web.StreamResponse:
    form = await read_form(request)
    names, act = form_kinds.sent(form.items()), str(form.get("act", "save"))
    given = {
        "name": str(form.get("name", "")).strip(),
        "scope": "everybody" if form.get("scope") == "everybody" else "me",
        "channel_ids": tuple(str(each) for each in form.getall("channel_ids", []) if is_id(str(each), "chn")),
    }  # fmt: skip
    if act != "save":
        return await _form(request, macro, given, done_with(names, _chosen(act, form)), [])
    wanted: dict[str, Any] = {**given, "actions": actions_of(names)}
    hidden = [each for each in macro.channel_ids if not principal_of(request).may_see(each)] if macro else []
    macros, by = runtime_of(request).macros, principal_of(request).id
    try:
        read_macro(wanted)
        check_macro(reading(request), wanted, macro)
        wanted["channel_ids"] = [*given["channel_ids"], *hidden]
        made = await (macros.change(macro.id, by, wanted) if macro else macros.create(read_macro(wanted), by))
    except (Conflict, Refused, WrongInput) as error:
        return await _form(request, macro, given, names, _faults_of(error, names))
    raise web.HTTPSeeOther(f"{HERE}/{made.id}?saved=1")


def _chosen(act: str, form: Mapping[str, Any]) -> str:
    """The button that adds an action says with the list beside it which one."""
    return f"new:{form.get('kind', '')}" if act == "new" else act


def _faults_of(error: Conflict | Refused | WrongInput, names: Names) -> list[tuple[str, str]]:
    if isinstance(error, Conflict):
        return [("name" if error.code == "name_taken" else "", TAKEN if error.code == "name_taken" else str(error))]
    if isinstance(error, Refused):
        return [("", str(error))]
    found = []
    for way, words in placed(error.errors, names):
        plain = way.removeprefix("f/")
        if plain == "actions":
            found.append(("", EMPTY))
        else:
            found.append((plain if plain in ("name", "scope", "channel_ids") else way, words))
    return found or [("", str(error))]


async def _form(
    request: web.Request, macro: Macro | None, given: Mapping[str, Any], names: Names, faults: list[tuple[str, str]]
) -> web.Response:  # fmt: skip
    principal = principal_of(request)
    formats, (sources, choices) = formats_of(request, principal), await action_sources(request)
    may_share = principal.may_everywhere("agent")
    drawing = Drawing(formats, sources, choices, [(way, formats.text(words)) for way, words in faults])
    values = {
        "macro": macro, "given": given, "faults": {way: words for way, words in faults if not way.startswith("f/")},
        "actions": views_of(names, drawing, formats), "kinds": [(key, TITLES[key]) for key in FORMS],
        "channels": dict(sources["accounts"]), "sources": sources, "tags": choices.tags,
        "may_change": principal.may("agent") and (macro is None or macro.owner_id is not None or may_share),
        "may_share": may_share, "saved": "saved" in request.query,
    }  # fmt: skip
    return await page(request, "settings/macro_form.html", values, status=422 if faults else 200)


def _id(request: web.Request) -> str:
    return id_in(request, "macro_id", "mac", MISSING)


# -- running one -----------------------------------------------------------------------------------------------------


@routes.post("/inbox/{conversation_id}/macro")
@require("agent")
async def run(request: web.Request) -> web.StreamResponse:
    """Run one on the open conversation. The form's `run` makes a click that is sent twice one run."""
    found, form = await conversation_for(request), await read_form(request)
    macro = await one_macro(reading(request), str(form.get("macro", "")))
    run_id = str(form.get("run", ""))
    runner = runner_of(principal_of(request))
    act = await runtime_of(request).macros.run(macro.id, found.id, runner, run_id if is_id(run_id, "act") else None)
    return await after_act(request, found, act)
