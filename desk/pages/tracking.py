"""Settings → Website tracking: the lines to copy into a website, and whether its calls arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from channels.adapter import Account
from channels.store import Channel
from desk.auth import principal_of, require
from desk.keys import base_url_of, runtime_of
from desk.render import page
from desk.tracking.door import PROVIDER

routes = web.RouteTableDef()
HERE = "/settings/tracking"
#: Deliveries looked at for what a website has told lately.
LOOKED = 20
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
    """One key, and what came under it."""

    id: str
    name: str
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
    sites = []
    for channel in found:
        opened = await runtime.channels.both(channel.id) if principal.may_see(channel.id) else None
        if opened is not None:
            sites.append(await _site(request, *opened))
    return await page(request, "settings/tracking.html", {"sites": sites, "admin": principal.may("admin")})


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
        channel.id, channel.name, snippet_of(base_url_of(request), key), settings.allowed_origins,
        settings.wait_for_consent, settings.trusted, tuple(pages[:5]), shown[0]["received_at"] if shown else None,
    )  # fmt: skip


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
