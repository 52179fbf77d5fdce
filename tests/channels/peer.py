"""A provider played by a local server: answers by script, remembers what it was asked, and can misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from base.http import AddressGuard, HttpClient


@dataclass(frozen=True)
class Asked:
    """One request as the peer received it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(value: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer; bytes and text go out as they are."""

    async def reply(request: web.Request) -> web.StreamResponse:
        if isinstance(value, bytes | str):
            body = value if isinstance(value, bytes) else value.encode()
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(value, status=status, headers=headers)

    return reply


def slow(seconds: float) -> Reply:
    """Takes the request and lets the caller wait."""

    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response({})

    return reply


async def cut(request: web.Request) -> web.StreamResponse:
    """Takes the whole request (and would carry it out), then breaks the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Peer:
    """`script` is worked off in order; its last reply stays for everything that follows."""

    script: list[Reply] = field(default_factory=lambda: [answer({})])
    asked: list[Asked] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        """Replace the script."""
        self.script = list(replies)

    def app(self) -> web.Application:
        """For the fixture `local_server`."""
        app = web.Application(client_max_size=50_000_000)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.asked.append(Asked(request.method, request.path, dict(request.query), headers, body))
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await reply(request)


def loopback_client() -> HttpClient:
    """The real outbound client, allowed to dial this machine."""
    return HttpClient(AddressGuard(["127.0.0.0/8"]))
