"""A shop's page with the chat on it: another origin, and a content security policy as strict as the chat allows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

PAGE = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>Harbour Tea – Pots</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css"></head>
<body><main><h1>Glass teapot</h1><p>Holds 0.6 litres, and the water stays in sight.</p>
<p><button type="button">Put into the basket</button></p></main>
<script nonce="page">window.RapportSettings = {settings};</script>
<script src="{desk}/widget/{channel}.js" data-lang="{lang}" async></script></body></html>"""
CSS = """body { margin: 0; font: 17px/1.6 Georgia, serif; color: #2b2620; background: #f6f1e7; }
main { max-width: 46rem; margin: 4rem auto; padding: 0 1.5rem; } button { font: inherit; padding: .4rem 1rem; }
h1, h2, p, button, textarea { color: #7a2e1d; text-transform: uppercase; letter-spacing: .2em; }"""


@dataclass
class Shop:
    """`desk` and `channel` are filled in once they exist."""

    desk: str = ""
    channel: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/page.css", self._css)
        app.router.add_get("/{path:.*}", self._page)
        return app

    async def _css(self, request: web.Request) -> web.Response:
        return web.Response(text=CSS, content_type="text/css")

    async def _page(self, request: web.Request) -> web.Response:
        settings: dict[str, Any] = json.loads(request.query.get("settings", "{}"))
        channel, lang = request.query.get("channel", self.channel), request.query.get("lang", "en")
        text = PAGE.format(desk=self.desk, channel=channel, lang=lang, settings=json.dumps(settings))
        policy = (
            f"default-src 'none'; script-src {self.desk} 'nonce-page'; style-src 'self'; img-src {self.desk} data:; "
            f"media-src {self.desk}; connect-src {self.desk} {self.desk.replace('http', 'ws', 1)}; base-uri 'none'"
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})
