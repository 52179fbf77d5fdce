"""Settings → Consent groups: what customers can say yes and no to, in every language of the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, SOURCE
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, faults_of, id_in, removed_id
from desk.render import page
from profiles.consent_groups import ConsentGroup, GroupInput

routes = web.RouteTableDef()
HERE = "/settings/consent"
#: Languages beside the main one, in which a group can be said here; the API takes any.
FURTHER = {code: label for code, label in LANGUAGES.items() if code != SOURCE}
PARTS = ("name", "description", "wording")
DEFAULTS = {
    "opt_in": N_("Nothing is sent without a yes"),
    "opt_out": N_("It is sent until somebody says no"),
}


@routes.get(HERE)
@require("viewer")
async def groups(request: web.Request) -> web.StreamResponse:
    """The list, in the order in which customers see it."""
    values = {
        "groups": await runtime_of(request).consent.groups.all(), "defaults": DEFAULTS,
        "may_change": principal_of(request).may_everywhere("marketer"),
        "removed": removed_id(request, "cgr"),
    }  # fmt: skip
    return await page(request, "settings/consent_groups.html", values)


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    return await _form(request, None, {}, {})


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """Make a group; faults stand beside their fields."""
    refuse_scoped(reading(request))
    given = written(await read_form(request))
    try:
        await runtime_of(request).consent.groups.create(checked(GroupInput, given, _SAYS))
    except (WrongInput, Conflict) as error:
        return await _form(request, None, given, faults_of(error, TAKEN))
    raise web.HTTPSeeOther(HERE)


@routes.get(HERE + "/{group_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """A group in its form."""
    group = await _group(request)
    return await _form(request, group, group.model_dump(), {})


@routes.post(HERE + "/{group_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form. Languages that only the API knows stay as they are."""
    refuse_scoped(reading(request))
    group, given = await _group(request), written(await read_form(request))
    kept = {code: each.model_dump() for code, each in group.locales.items() if code not in FURTHER}
    given = {**given, "key": group.key, "locales": {**kept, **given["locales"]}}
    try:
        checked(GroupInput, given, _SAYS)
        await runtime_of(request).consent.groups.change(group.id, given)
    except (WrongInput, Conflict) as error:
        return await _form(request, group, given, faults_of(error, TAKEN))
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{group_id}/remove")
@require("marketer")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it off the pages; the list offers to put it back."""
    refuse_scoped(reading(request))
    group = await _group(request)
    await runtime_of(request).consent.groups.archive(group.id)
    raise web.HTTPSeeOther(f"{HERE}?removed={group.id}")


@routes.post(HERE + "/{group_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    await runtime_of(request).consent.groups.restore(_id(request))
    raise web.HTTPSeeOther(HERE)


# -- the form ------------------------------------------------------------------------------------------------------


def written(form: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as the use case takes them."""

    def text(name: str) -> str:
        return str(form.get(name, "")).replace("\r\n", "\n").strip()

    locales = {}
    for code in FURTHER:
        words = {part: text(f"{part}:{code}") for part in PARTS}
        if any(words.values()):
            locales[code] = {**words, "name": words["name"] or None}
    position = text("position")
    return {
        **{part: text(part) for part in PARTS}, "key": text("key") or None, "default": text("default") or "opt_in",
        "double_opt_in": bool(form.get("double_opt_in")), "locales": locales,
        "position": int(position) if position.isascii() and position.isdigit() else 0,
    }  # fmt: skip


TAKEN = N_("There is a group with this key already.")
_SAYS = {
    "key": N_("Small letters, digits, - and _, beginning with a letter."),
    "name": N_("A group needs a name."),
}


async def _form(
    request: web.Request, group: ConsentGroup | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    values = {
        "group": group, "given": given, "faults": faults, "defaults": DEFAULTS, "further": FURTHER,
        "keys": None if group else [sorted(each) for each in await runtime_of(request).consent.groups.keys()],
        "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "settings/consent_group.html", values, status=422 if faults else 200)


def _id(request: web.Request) -> str:
    return id_in(request, "group_id", "cgr", "There is no such consent group.")


async def _group(request: web.Request) -> ConsentGroup:
    found: ConsentGroup = await runtime_of(request).consent.groups.get(_id(request))
    return found
