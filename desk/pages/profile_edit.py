"""What a person is called, speaks and is tagged with, changed in its place on the page."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import WrongInput
from desk.api.reading import faults
from desk.api.scope import must_see_person, reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.news import tell_of
from desk.pages.customer import language_name
from desk.pages.panels import Opened
from profiles.edit import ProfilePatch
from profiles.models import PostalAddress

routes = web.RouteTableDef()
#: Parts of the address, as they stand in the form.
ADDRESS = ("street", "postal_code", "city", "region", "country")
LANGUAGES = ("en", "zh-CN", "zh-TW", "de", "fr", "es", "it", "nl", "pt-BR", "ja", "ko", "ru", "ar", "tr", "pl", "vi")


async def edit_panel(opened: Opened) -> dict[str, Any] | None:
    """The form; nothing for who may only look."""
    if not opened.principal.may("agent", "marketer"):
        return None
    if "addresses" in opened.principal.masks:
        return None
    person, formats = opened.person, opened.formats
    codes = dict.fromkeys([*LANGUAGES, *([person.locale] if person.locale else [])])
    return {
        "name": person.name or "", "locale": person.locale or "", "time_zone": person.time_zone or "",
        "address": (person.address or PostalAddress()).model_dump(),
        "tags": ", ".join(person.tags), "languages": [(code, language_name(code, formats), code) for code in codes],
    }  # fmt: skip


@routes.post("/profiles/{profile_id}/edit")
@require("agent", "marketer")
async def edit(request: web.Request) -> web.StreamResponse:
    """Change what the form holds."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    given: dict[str, Any] = {name: str(form[name]).strip() or None for name in ("name", "locale", "time_zone")
                             if name in form}  # fmt: skip
    if "city" in form:
        parts = {name: str(form.get(name, "")).strip() or None for name in ADDRESS}
        given["address"] = {**parts, "country": (parts["country"] or "").upper() or None}
    if "tags" in form:
        given["tags"] = [each.strip() for each in str(form["tags"]).replace("，", ",").split(",") if each.strip()]
    try:
        patch = ProfilePatch.model_validate(given)
    except ValidationError as error:
        raise WrongInput("These values cannot be set.", faults(error)) from None
    await runtime_of(request).editor.patch(who, patch, source="person", by=principal_of(request).id)
    await tell_of(runtime_of(request), who)
    raise web.HTTPSeeOther(f"/profiles/{who}")
