"""`/c/{token}` leads on to where a link of a message points; `/o/{token}` is the picture that tells it was opened.

Nobody signs in, no cookie is read or set, and a redirect goes only to the target kept under the link's own id.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from aiohttp import web

from campaigns.tracking.machines import Caller
from campaigns.tracking.tokens import HONEYPOT, PIXEL, TrackedLink
from desk.auth import address_of, public
from desk.keys import runtime_of
from desk.pages.strangers import HEADERS, formats_for, open_page

routes = web.RouteTableDef()
#: Transparent, one by one.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_TOKEN = r"{token:[A-Za-z0-9_-]{1,100}}"
#: What may stand in a header of an address; all else is percent-encoded, line breaks above all.
_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~-._"
_QUIET = {
    "Referrer-Policy": "no-referrer", "Cache-Control": "no-store, private", "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Resource-Policy": "cross-origin",
}  # fmt: skip


@routes.get("/c/" + _TOKEN)
@public
async def follow(request: web.Request) -> web.StreamResponse:
    """Lead on; a link that leads nowhere (any more) gets a page that says so."""
    hits = runtime_of(request).hits
    link = hits.read(request.match_info["token"])
    if link is None or link.link_id == PIXEL:
        return _nowhere(request)
    target = None if link.link_id == HONEYPOT else await hits.target(link)
    if target is not None or link.link_id == HONEYPOT:
        await hits.note(link, _caller(request))
    if target is None:
        return _nowhere(request)
    return web.Response(status=302, headers={"Location": quote(target, safe=_AS_IT_IS), **_QUIET})


@routes.get("/o/" + _TOKEN)
@public
async def opened(request: web.Request) -> web.StreamResponse:
    """The picture, whatever the token is worth and whether or not the store is there."""
    hits = runtime_of(request).hits
    link: TrackedLink | None = hits.read(request.match_info["token"])
    if link is not None and link.link_id == PIXEL:
        await hits.note(link, _caller(request))
    return web.Response(body=GIF, content_type="image/gif", headers=_QUIET)


def _caller(request: web.Request) -> Caller:
    said: Any = request.headers
    purpose = f"{said.get('Purpose', '')} {said.get('Sec-Purpose', '')} {said.get('X-Moz', '')}".lower()
    prefetch = "prefetch" in purpose or "preview" in purpose
    return Caller(request.method, said.get("User-Agent", "")[:1000], address_of(request), prefetch)


def _nowhere(request: web.Request) -> web.Response:
    answer = open_page(request, "public/nowhere.html", formats_for(request, None), {}, status=404)
    answer.headers.update(HEADERS)
    return answer
