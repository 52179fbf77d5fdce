"""`/u/{token}`: the way out of a mailing. Looking shows, posting acts; mail programs post by themselves (RFC 8058).

https://www.rfc-editor.org/rfc/rfc8058 (read 2026-11-28): the body is `List-Unsubscribe=One-Click`, as a form of either
packing; there are no cookies, and no redirect may be answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import WrongInput
from desk.auth import public
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.strangers import (
    HEADERS,
    TOKEN,
    Stranger,
    back_to,
    count_act,
    for_stranger,
    formats_for,
    masked,
    nobody_page,
    open_page,
    own_consent,
    stranger_of,
)
from profiles.consent import MARKETING, ConsentAct
from profiles.consent_groups import ConsentGroup
from profiles.consent_links import ConsentLink

routes = web.RouteTableDef()
#: What may be named as the reason; whatever else is sent counts as none.
REASONS = {
    "too_many": N_("Too many messages"),
    "not_relevant": N_("Not interesting to me"),
    "not_asked": N_("I never asked for them"),
    "other": N_("Another reason"),
}


@routes.get("/u/" + TOKEN)
@public
@for_stranger("unsubscribe")
async def show(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """What the link does, and how it stands."""
    formats, own = formats_for(request, stranger), await own_consent(request, stranger)
    purpose = stranger.link.purpose or MARKETING
    values = {
        "group": await name_of(request, purpose, formats), "address": masked(stranger.identity),
        "wanted": own.wants(purpose), "is_all": purpose == MARKETING, "reasons": REASONS,
        "none_left": own.states.get(MARKETING) is not None and not own.states[MARKETING].granted,
        "preferences_href": preferences_href(request, stranger, formats),
        "just_now": request.query.get("done", ""),
    }  # fmt: skip
    return open_page(request, "public/unsubscribe.html", formats, values)


@routes.post("/u/" + TOKEN)
@public
async def act(request: web.Request) -> web.StreamResponse:
    """Unsubscribe; with `all` from all marketing, with `again` take it back."""
    stranger = await stranger_of(request, "unsubscribe")
    form = await _form(request)
    one_click = str(form.get("List-Unsubscribe", "")).casefold() == "one-click"
    if stranger is None:
        # There is nobody left to write to, which is what was asked for.
        return _told("There is nothing to unsubscribe from.") if one_click else nobody_page(request)
    await count_act(request, stranger)
    if one_click:
        await _say(request, stranger, stranger.link.purpose or MARKETING, granted=False, reason="one_click")
        return _told("Unsubscribed.")
    reason = str(form.get("reason", ""))
    reason = reason if reason in REASONS else ""
    if "again" in form:
        await _again(request, stranger)
        return back_to(request, done="again")
    purpose = MARKETING if "all" in form else stranger.link.purpose or MARKETING
    await _say(request, stranger, purpose, granted=False, reason=reason)
    return back_to(request, done="no")


async def _again(request: web.Request, stranger: Stranger) -> None:
    """A yes wherever the no stands: for this group, for all marketing."""
    own, purpose = await own_consent(request, stranger), stranger.link.purpose or MARKETING
    for each in dict.fromkeys((MARKETING, purpose)):
        state = own.states.get(each)
        if each == purpose or (state is not None and not state.granted):
            await _say(request, stranger, each, granted=True)


async def _say(
    request: web.Request, stranger: Stranger, purpose: str, *, granted: bool, reason: str = ""
) -> None:  # fmt: skip
    runtime, formats = runtime_of(request), formats_for(request, stranger)
    await runtime.consent.act(
        ConsentAct(
            stranger.identity.id, purpose, granted, "unsubscribe_link", proof=stranger.link.about,
            language=formats.language, reason=reason or None, if_news=True,
        )
    )  # fmt: skip
    runtime.doorbell.soon("react")


async def _form(request: web.Request) -> Mapping[str, Any]:
    """What was sent; a body that cannot be read is no reason to go on writing to somebody."""
    try:
        return await read_form(request)
    except WrongInput:
        return {}


def _told(text: str) -> web.Response:
    return web.Response(text=f"{text}\n", content_type="text/plain", headers=HEADERS)


async def name_of(request: web.Request, purpose: str, formats: Formats) -> str:
    """What a purpose is called, in the reader's language."""
    group: ConsentGroup | None = await runtime_of(request).consent.groups.of(purpose)
    if group is not None:
        return group.said(formats.language).name or group.name
    return formats.text(N_("News and offers")) if purpose == MARKETING else purpose.replace("_", " ").capitalize()


def preferences_href(request: web.Request, stranger: Stranger, formats: Formats) -> str:
    """The preference centre of the same address."""
    link = ConsentLink("preferences", stranger.identity.id, "", stranger.link.about)
    return f"/p/{runtime_of(request).consent_links.token(link)}?lang={formats.language}"
