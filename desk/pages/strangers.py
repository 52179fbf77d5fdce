"""What people see who follow a link from a message: no sign-in, no script, no cookie, nothing from elsewhere.

The link itself is the right to act, so no form carries a token; a page that is only looked at changes nothing, because
mail programs and scanners look at everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from aiohttp import web

from base.errors import TooMany
from desk.auth import Handler, address_of
from desk.i18n import LANGUAGES, Formats, chosen_language, zone_of
from desk.keys import runtime_of
from desk.render import RENDERER
from profiles.consent import AddressConsent
from profiles.consent_links import ConsentLink, Kind
from profiles.models import Identity, Profile

#: `data:` is the arrow of a list, which stands in the style sheet.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
}
#: Links that open nothing, per address in a quarter of an hour; then it is told to wait. Links that are right always
#: work, because a mail provider that unsubscribes many people does so from few addresses.
WRONG_MAX, WRONG_KEPT_S = 60, 900
#: Acts on one address in a minute.
ACTS_MAX, ACTS_KEPT_S = 30, 60
TOKEN = r"{token:[A-Za-z0-9_-]{1,400}}"


@dataclass(frozen=True)
class Stranger:
    """Who holds a link that works: the address it was sent to, and the person behind it."""

    link: ConsentLink
    identity: Identity
    profile: Profile


ForStranger = Callable[[web.Request, Stranger], Awaitable[web.StreamResponse]]


async def stranger_of(request: web.Request, kind: Kind) -> Stranger | None:
    """Who came by this link; None when it opens nothing, or the person was erased. Raises `TooMany`."""
    runtime = runtime_of(request)
    link = runtime.consent_links.open(kind, request.match_info["token"])
    if link is None:
        await _limit(request, f"links:wrong:{address_of(request)}", WRONG_MAX, WRONG_KEPT_S)
        return None
    identity = await runtime.profiles.identity(link.identity_id)
    profile = await runtime.profiles.get(identity.profile_id) if identity else None
    return Stranger(link, identity, profile) if identity and profile else None


def for_stranger(kind: Kind, *, acts: bool = False) -> Callable[[ForStranger], Handler]:
    """The handler is given who came by the link; a link that opens nothing gets a page that says so. `acts`: it is
    counted, and refused when there are too many."""

    def wrapped(handler: ForStranger) -> Handler:
        @wraps(handler)
        async def opened(request: web.Request) -> web.StreamResponse:
            stranger = await stranger_of(request, kind)
            if stranger is None:
                return nobody_page(request)
            if acts:
                await count_act(request, stranger)
            return await handler(request, stranger)

        return opened

    return wrapped


async def count_act(request: web.Request, stranger: Stranger) -> None:
    """Raises `TooMany` for a link that is played with."""
    await _limit(request, f"links:acts:{stranger.identity.id}", ACTS_MAX, ACTS_KEPT_S)


async def _limit(request: web.Request, name: str, most: int, kept_s: int) -> None:
    bus = runtime_of(request).bus
    await bus.count(name, 1, kept_s=kept_s)
    if await bus.counted(name) > most:
        raise TooMany("This was asked too often. Please try again in a while.", retry_after_s=kept_s)


def formats_for(request: web.Request, stranger: Stranger | None) -> Formats:
    """The language chosen on the page, else the customer's, else the browser's; their own clock."""
    runtime, profile = runtime_of(request), stranger.profile if stranger else None
    locale = (profile.locale or "").casefold() if profile else ""
    own = "zh_CN" if locale.startswith("zh") else "en" if locale else None
    asked = request.query.get("lang", "")
    language = chosen_language(asked if asked in LANGUAGES else own, request.headers.get("Accept-Language", ""))
    zone = zone_of(profile.time_zone if profile else None, runtime.settings.time_zone)
    return Formats(language, zone, runtime.clock())


def open_page(
    request: web.Request, template: str, formats: Formats, values: Mapping[str, Any], *, status: int = 200
) -> web.Response:
    """An HTML answer for somebody who is not signed in, whoever else is in this browser."""
    known = {
        "formats": formats, "language": formats.language, "languages": LANGUAGES, "theme": "system", "nonce": "",
        "csrf": "", "business": runtime_of(request).settings.business_name, "here": request.path,
    }  # fmt: skip
    text = request.config_dict[RENDERER].draw(template, formats.language, {**known, **values})
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def nobody_page(request: web.Request) -> web.Response:
    """For a link that opens nothing, or whose person was erased."""
    return open_page(request, "public/nobody.html", formats_for(request, None), {}, status=404)


def back_to(request: web.Request, **query: str) -> web.Response:
    """Look at the page again, in the language it was in."""
    lang = request.query.get("lang", "")
    given = {**query, **({"lang": lang} if lang in LANGUAGES else {})}
    where = request.rel_url.with_query(given)
    return web.Response(status=303, headers={"Location": str(where), **HEADERS})


async def own_consent(request: web.Request, stranger: Stranger) -> AddressConsent:
    """What was said at the address the link was sent to."""
    addresses: list[AddressConsent] = await runtime_of(request).consent.of_person(stranger.profile.id)
    return next(
        (each for each in addresses if each.identity.id == stranger.identity.id), AddressConsent(stranger.identity, {})
    )


def masked(identity: Identity) -> str:
    """Enough of an address for its holder to know it, too little for anybody else."""
    text = identity.value or identity.external_id or ""
    local, at, domain = text.rpartition("@")
    if at and local:
        return f"{local[0]}•••@{domain}"
    digits = "".join(each for each in text if each.isdigit())
    return f"•••{digits[-4:]}" if len(digits) >= 7 and identity.provider not in ("telegram", "messenger") else ""
