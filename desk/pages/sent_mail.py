"""`/v/{token}`: a marketing mail in the browser of whom it was sent to. It loads pictures and runs nothing."""

from __future__ import annotations

from html import escape

from aiohttp import web

from desk.auth import public
from desk.keys import runtime_of
from desk.pages.mails import clean_mail
from desk.pages.strangers import HEADERS, TOKEN, Stranger, for_stranger, nobody_page

routes = web.RouteTableDef()
#: Its own pictures may be loaded: the author put them there, and the receiver asked to see them.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.get("/v/" + TOKEN)
@public
@for_stranger("view")
async def show(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """The mail, cleaned; the page for links that lead nowhere once it is too old."""
    about = stranger.link.about or ""
    viewed = await runtime_of(request).sent_mails.view(about, stranger.identity.id)
    if viewed is None:
        return nobody_page(request)
    text = (
        f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>'
        f'{escape(viewed.subject)}</title><base target="_blank"><style>body{{margin:16px auto;max-width:720px;'
        "padding:0 16px;font:16px/1.5 sans-serif;color:#222;background:#fff;overflow-wrap:anywhere}img{max-width:100%;"
        f"height:auto}}</style>{clean_mail(viewed.html, pictures=True)}"
    )
    return web.Response(text=text, content_type="text/html", headers={**HEADERS, "Content-Security-Policy": POLICY})
