"""Settings → Website tracking: the lines to copy into a website, and whether its calls arrive."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from base.ids import is_id
from channels.adapter import Account
from channels.origins import normal_origin
from channels.store import Channel
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import base_url_of, runtime_of
from desk.render import page
from desk.tracking.door import PROVIDER

routes = web.RouteTableDef()
HERE = "/settings/tracking"
#: Deliveries looked at for what a website has told lately.
LOOKED = 20
#: How long a key that nobody may read afterwards is shown to who has made it.
SHOWN_FOR = timedelta(minutes=10)
#: Hosts that speak no https: somebody tries it at their own machine.
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[\d.:\[\]]+$")
#: Calls made before the script is there wait in a list.
STUB = (
    "<script>\n"
    "window.rapport=window.rapport||[];\n"
    '["track","page","identify","consent","reset"].forEach(function(m){\n'
    "  rapport[m]=rapport[m]||function(){rapport.push([m].concat([].slice.call(arguments)))}});\n"
    "</script>\n"
)


@dataclass(frozen=True)
class Site:
    """One key, and what came under it. `key`: empty where servers hold it."""

    id: str
    name: str
    key: str
    snippet: str
    origins: tuple[str, ...]
    waits: bool
    trusted: bool
    pages: tuple[tuple[str, datetime], ...]
    last_at: datetime | None


@routes.get(HERE)
@require("marketer")
async def show(request: web.Request) -> web.StreamResponse:
    """All tracking accounts the reader may see."""
    runtime, principal = runtime_of(request), principal_of(request)
    found = await runtime.channels.list(provider=PROVIDER)
    made = request.query.get("new", "")
    sites = []
    for channel in found:
        opened = await runtime.channels.both(channel.id) if principal.may_see(channel.id) else None
        if opened is not None:
            sites.append(await _site(request, *opened))
    values = {"sites": sites, "admin": principal.may_everywhere("admin"), "made": made if is_id(made, "chn") else ""}
    return await page(request, "settings/tracking.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """Asks for the address of a website, and for nothing else."""
    refuse_scoped(reading(request))
    return await page(request, "settings/new_site.html", {"website": "", "fault": ""})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Make a key for a website; what is to be copied stands on the page that follows."""
    refuse_scoped(reading(request))
    runtime, website = runtime_of(request), str((await read_form(request)).get("website", "")).strip()[:300]
    try:
        name, origins = website_of(website)
        fault = N_("There is a key for this website already.") if await _known(runtime, origins[0]) else ""
    except ValueError:
        fault = N_("This is no address of a website. Write it as in a browser, such as www.example.com.")
    if fault:
        return await page(request, "settings/new_site.html", {"website": website, "fault": fault}, status=422)
    channel = await runtime.channels.add(PROVIDER, name, {"allowed_origins": origins})
    raise web.HTTPSeeOther(f"{HERE}?new={channel.id}#site-{channel.id}")


async def _known(runtime: Any, origin: str) -> bool:
    accounts = await runtime.channels.list(provider=PROVIDER)
    return any(origin in (each.settings.get("allowed_origins") or ()) for each in accounts)


def website_of(text: str) -> tuple[str, list[str]]:
    """What a website is called, and the origins of its pages: with and without `www`. Raises `ValueError`. Pure."""
    given = text if "://" in text else f"{'http' if _LOCAL.match(text) else 'https'}://{text}"
    parts = urlsplit(given)
    origin = normal_origin(f"{parts.scheme.lower()}://{parts.netloc}")
    scheme, _, host = origin.partition("://")
    bare = host.removeprefix("www.")
    if "*" in host or (host == bare and ("." not in host or _NUMBER.match(host))):
        return host, [origin]
    return bare, [origin, f"{scheme}://{bare if host != bare else f'www.{bare}'}"]


async def _site(request: web.Request, channel: Channel, account: Account) -> Site:
    settings, key = account.settings, account.secrets("write_key")[0]
    shown = await runtime_of(request).journal.latest(channel.id, LOOKED)
    pages = []
    for row in shown:
        for call in _calls(bytes(row["body"])):
            if call.get("type") == "page":
                properties = call.get("properties") or {}
                pages.append((str(properties.get("url") or properties.get("path") or "")[:200], row["received_at"]))
    return Site(
        channel.id, channel.name, "" if settings.trusted and not _just_made(request, channel) else key,
        snippet_of(base_url_of(request), key), settings.allowed_origins,
        settings.wait_for_consent, settings.trusted, tuple(pages[:5]), shown[0]["received_at"] if shown else None,
    )  # fmt: skip


def _just_made(request: web.Request, channel: Channel) -> bool:
    """A key that servers hold is a secret: who has made it reads it once, and nobody afterwards."""
    young = runtime_of(request).clock() - channel.created_at < SHOWN_FOR
    return young and request.query.get("new") == channel.id and principal_of(request).may("admin")


def snippet_of(base_url: str, key: str) -> str:
    """What is copied into every page of the website."""
    return f'{STUB}<script src="{base_url}/t/{key}.js" async></script>'


def _calls(body: bytes) -> list[dict[str, Any]]:
    """The calls of a kept delivery; none where it cannot be read."""
    try:
        told = json.loads(body)
    except ValueError:
        return []
    calls = told.get("batch", [told]) if isinstance(told, dict) else []
    return [each for each in calls if isinstance(each, dict)]
