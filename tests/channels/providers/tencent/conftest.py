"""A Tencent played by a local server: tokens by themselves, everything else by script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from base.http import HttpClient
from tests.channels.peer import Asked, Peer, loopback_client
from tests.conftest import LocalServer

TOKEN_PATHS = ("/cgi-bin/stable_token", "/cgi-bin/gettoken")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


@dataclass
class Tencent(Peer):
    """`tokens_asked` are kept apart from `asked`. A new token comes when one is forced, in WeCom each time."""

    tokens_asked: list[Asked] = field(default_factory=list)
    token_answer: dict[str, Any] | None = None
    uploads: list[Asked] = field(default_factory=list)
    serial: int = 1

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.path, dict(request.query), headers, await request.read())
        if request.path in TOKEN_PATHS:
            self.tokens_asked.append(asked)
            if request.path == "/cgi-bin/gettoken" and len(self.tokens_asked) > 1:
                self.serial += 1
            if request.path == "/cgi-bin/stable_token" and asked.json["force_refresh"]:
                self.serial += 1
            given = {"access_token": f"canary-access-{self.serial}", "expires_in": 7200}
            return web.json_response(self.token_answer or given)
        if request.path == "/cgi-bin/media/upload":
            self.uploads.append(asked)
            return web.json_response({"type": request.query["type"], "media_id": f"laid-{len(self.uploads)}"})
        self.asked.append(asked)
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await reply(request)


@pytest.fixture
def tencent() -> Tencent:
    return Tencent()


@pytest.fixture
async def api_base(tencent: Tencent, local_server: LocalServer) -> str:
    return await local_server(tencent.app())


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = loopback_client()
    yield client
    await client.close()
