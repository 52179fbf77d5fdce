"""Settings → Consent groups: what customers can say yes and no to, in every language of the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import is_id
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, SOURCE
from desk.keys import runtime_of
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
        "removed": await _removed(request),
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
        await runtime_of(request).consent.groups.create(_input(given))
    except (WrongInput, Conflict) as error:
        return await _form(request, None, given, faults_of(error))
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
        _input(given)
        await runtime_of(request).consent.groups.change(group.id, given)
    except (WrongInput, Conflict) as error:
        return await _form(request, group, given, faults_of(error))
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
        **{part: text(part) for part in PARTS}, "key": text("key"), "default": text("default") or "opt_in",
        "double_opt_in": bool(form.get("double_opt_in")), "locales": locales,
        "position": int(position) if position.isascii() and position.isdigit() else 0,
    }  # fmt: skip


def _input(given: Mapping[str, Any]) -> GroupInput:
    try:
        return GroupInput.model_validate(dict(given))
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), _SAYS.get(str(each["loc"][0]), N_("Please check this.")))
                  for each in error.errors()]  # fmt: skip
        raise WrongInput("Please look at the marked fields.", faults) from None


_SAYS = {
    "key": N_("Small letters, digits, - and _, beginning with a letter."),
    "name": N_("A group needs a name."),
}


def faults_of(error: WrongInput | Conflict) -> dict[str, str]:
    """Field → what is wrong with it."""
    if isinstance(error, Conflict):
        return {"key": N_("There is a group with this key already.")}
    return {fault.path: fault.message for fault in error.errors} or {"": str(error)}


async def _form(
    request: web.Request, group: ConsentGroup | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    values = {
        "group": group, "given": given, "faults": faults, "defaults": DEFAULTS, "further": FURTHER,
        "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "settings/consent_group.html", values, status=422 if faults else 200)


def _id(request: web.Request) -> str:
    group_id = request.match_info["group_id"]
    if not is_id(group_id, "cgr"):
        raise NotFound("There is no such consent group.")
    return group_id


async def _group(request: web.Request) -> ConsentGroup:
    found: ConsentGroup = await runtime_of(request).consent.groups.get(_id(request))
    return found


async def _removed(request: web.Request) -> str:
    """The group that was just taken away, for the way back."""
    group_id = request.query.get("removed", "")
    return group_id if is_id(group_id, "cgr") and principal_of(request).may_everywhere("marketer") else ""
