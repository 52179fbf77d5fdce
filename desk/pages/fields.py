"""Settings → Fields: definitions of attributes, in order, and the form of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, faults_of, id_in, removed_id
from desk.render import page
from profiles.custom_fields import CustomField, FieldInput

routes = web.RouteTableDef()
HERE = "/settings/fields"
TYPES = {
    "text": N_("Text"), "long_text": N_("Long text"), "number": N_("Number"), "boolean": N_("Yes or no"),
    "date": N_("Date"), "choice": N_("One of a list"), "choices": N_("Several of a list"),
    "rating": N_("Rating, 1 to 5"), "url": N_("Web address"), "file": N_("Link to a file"),
}  # fmt: skip
SHOWN = {"profile": N_("Profile"), "inbox": N_("Beside a conversation"), "list": N_("List of profiles")}


@routes.get(HERE)
@require("viewer")
async def fields(request: web.Request) -> web.StreamResponse:
    """The list, in the order in which people see it."""
    values = {
        "fields": await runtime_of(request).fields.all(), "types": TYPES,
        "may_change": principal_of(request).may_everywhere("marketer"),
        "removed": removed_id(request, "fld"),
    }  # fmt: skip
    return await page(request, "settings/fields.html", values)


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    return await _form(request, None, {"shown": ["profile"]}, {})


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """Define a field; faults stand beside what they are about."""
    refuse_scoped(reading(request))
    given = written(await read_form(request))
    try:
        await runtime_of(request).fields.create(checked(FieldInput, given, _SAYS))
    except (WrongInput, Conflict) as error:
        return await _form(request, None, given, faults_of(error, TAKEN))
    raise web.HTTPSeeOther(HERE)


@routes.get(HERE + "/{field_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """A definition in its form."""
    field = await _field(request)
    return await _form(request, field, field.model_dump(), {})


@routes.post(HERE + "/{field_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form. Languages that only the API knows stay as they are."""
    refuse_scoped(reading(request))
    field, given = await _field(request), written(await read_form(request))
    kept = {code: label for code, label in field.labels.items() if code not in LANGUAGES}
    given = {**given, "key": field.key, "position": field.position, "labels": {**kept, **given["labels"]}}
    try:
        checked(FieldInput, given, _SAYS)
        await runtime_of(request).fields.change(field.id, given)
    except (WrongInput, Conflict) as error:
        return await _form(request, field, given, faults_of(error, TAKEN))
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{field_id}/move")
@require("marketer")
async def move(request: web.Request) -> web.StreamResponse:
    """One place up or down."""
    refuse_scoped(reading(request))
    await runtime_of(request).fields.move(_id(request), (await read_form(request)).get("way") == "up")
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{field_id}/remove")
@require("marketer")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take the definition away; the list offers to put it back. Values stay."""
    refuse_scoped(reading(request))
    await runtime_of(request).fields.archive(_id(request))
    raise web.HTTPSeeOther(f"{HERE}?removed={_id(request)}")


@routes.post(HERE + "/{field_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    await runtime_of(request).fields.restore(_id(request))
    raise web.HTTPSeeOther(HERE)


def written(form: Any) -> dict[str, Any]:
    """The fields as the use case takes them. Options: one a line, `value = English = 中文`."""

    def text(name: str) -> str:
        return str(form.get(name, "")).replace("\r\n", "\n").strip()

    labels = {code: text(f"label:{code}")[:80] for code in LANGUAGES}
    options = []
    for line in text("options").split("\n"):
        value, *names = (part.strip() for part in line.split("="))
        if value:
            said = {code: name[:80] for code, name in zip(LANGUAGES, names, strict=False) if name}
            options.append({"value": value[:80], "labels": said})
    return {
        "key": text("key") or None, "type": text("type") or "text", "labels": {k: v for k, v in labels.items() if v},
        "options": options, "required": "required" in form, "personal": "personal" in form,
        "shown": [place for place in SHOWN if f"shown:{place}" in form],
    }  # fmt: skip


def options_text(options: Any) -> str:
    """Options as they are written in the form."""
    lines = []
    for each in options or ():
        names = [each["labels"].get(code, "") for code in LANGUAGES]
        lines.append(" = ".join([each["value"], *names]).rstrip(" ="))
    return "\n".join(lines)


_BLANK: dict[str, Any] = {
    "key": None, "labels": {}, "type": "text", "required": False, "personal": False, "shown": [], "options": [],
}  # fmt: skip
TAKEN = N_("There is a field with this key already.")
_SAYS = {
    "key": N_("1 to 64 characters without dots and dollar signs, not only digits."),
    "labels": N_("A field needs a name."),
}


async def _form(
    request: web.Request, field: CustomField | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    values = {
        "field": field, "given": {**_BLANK, **given}, "faults": faults, "types": TYPES, "shown": SHOWN,
        "may_change": principal_of(request).may_everywhere("marketer"),
        "languages_shown": LANGUAGES, "options_text": options_text(given.get("options")),
        "keys": None if field else [sorted(each) for each in await runtime_of(request).fields.keys()],
    }  # fmt: skip
    return await page(request, "settings/field.html", values, status=422 if faults else 200)


def _id(request: web.Request) -> str:
    return id_in(request, "field_id", "fld", "There is no such field.")


async def _field(request: web.Request) -> CustomField:
    found: CustomField = await runtime_of(request).fields.get(_id(request))
    return found
