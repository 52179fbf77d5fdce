"""What makes the desk an application of its own on a phone: its manifest, and the worker that shows pushes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from desk.assets import FOLDER
from desk.auth import public
from desk.render import RENDERER

routes = web.RouteTableDef()
COLOURS = {"background_color": "#f4f3ef", "theme_color": "#f4f3ef"}
ICONS = (("icon-192.png", 192), ("icon-512.png", 512))
_WORKER = (FOLDER / "sw.js").read_text()


@routes.get("/manifest.webmanifest")
@public
async def manifest(request: web.Request) -> web.StreamResponse:
    """Name, colours and pictures."""
    assets = request.config_dict[RENDERER].assets
    pictures: list[dict[str, Any]] = [
        {"src": assets.url(name), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for name, size in ICONS
        for purpose in ("any", "maskable")
    ]
    told = {
        "name": "Rapport", "short_name": "Rapport", "id": "/", "start_url": "/inbox", "scope": "/",
        "display": "standalone", "icons": pictures, **COLOURS,
    }  # fmt: skip
    return web.json_response(told, content_type="application/manifest+json", headers={"Cache-Control": "no-cache"})


@routes.get("/sw.js")
@public
async def worker(request: web.Request) -> web.StreamResponse:
    """The worker stands at the root, because that is how far it reaches."""
    return web.Response(text=_WORKER, content_type="text/javascript", headers={"Cache-Control": "no-cache"})
