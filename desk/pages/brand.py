"""Settings → Look of letters: name, logo, colours, font and postal address of every e-mail made of blocks."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from base.errors import WrongInput
from campaigns.wording.blocks import Brand
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, faults_of
from desk.render import page

routes = web.RouteTableDef()
HERE = "/settings/brand"
FONTS = {"sans": N_("Without serifs"), "serif": N_("With serifs"), "mono": N_("Typewriter")}
COLOURS = {
    "accent": N_("Buttons and links"), "ink": N_("Words"), "paper": N_("Paper"), "backdrop": N_("Around the letter"),
}  # fmt: skip
_SAYS = {
    "logo_url": N_("The logo needs an address that begins with https://."),
    "logo_width_px": N_("A width from 16 to 600 pixels."),
    **dict.fromkeys(COLOURS, N_("A colour such as #1f5eff.")),
}


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The form."""
    brand = await runtime_of(request).snippets.brand()
    return await _form(request, brand.model_dump(), {}, saved="saved" in request.query)


@routes.post(HERE)
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Every letter from now on looks like this; faults stand beside their fields."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    given: dict[str, Any] = {
        name: str(form[name]).replace("\r\n", "\n").strip() for name in Brand.model_fields if name in form
    }
    try:
        brand = checked(Brand, given, _SAYS)
    except WrongInput as error:
        return await _form(request, {**Brand().model_dump(), **given}, faults_of(error, ""), status=422)
    await runtime_of(request).snippets.set_brand(brand, principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}?saved")


async def _form(
    request: web.Request, given: dict[str, Any], faults: dict[str, str], *, saved: bool = False, status: int = 200
) -> web.Response:  # fmt: skip
    values = {
        "given": given, "faults": faults, "saved": saved, "fonts": FONTS, "colours": COLOURS,
        "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "settings/brand.html", values, status=status)
