"""Alive, able to take webhooks, figures: for load balancers and Prometheus, outside `/api/v1`."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any, Literal

from aiohttp import web

from base.errors import Unauthenticated
from base.metrics import exposition
from base.mongo import UNAVAILABLE
from desk.api.contract import Call, Operations, json_response
from desk.api.shapes import View
from desk.auth import authenticate, public
from desk.keys import ACCOUNTS, runtime_of

operations = Operations("health")

#: Load balancers ask every few seconds and give up early.
CHECK_S = 2.0
#: Headers of a proxy: the caller behind it is not on this machine, whatever the connection says.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
Found = Literal["ok", "away", "read_only"]


class Alive(View):
    """The process answers."""

    status: Literal["ok"]


class Readiness(View):
    """`database`: it answers; `journal`: it takes writes, so a webhook would be kept."""

    status: Literal["ready", "not_ready"]
    checks: dict[Literal["database", "journal"], Found]


@operations("GET", "/healthz", roles=(), returns=Alive, base="", elsewhere=True)
async def healthz(call: Call) -> Any:
    """Whether the process is alive. Asks nobody else."""


@operations("GET", "/readyz", roles=(), returns=Readiness, base="", elsewhere=True)
async def readyz(call: Call) -> Any:
    """Whether webhooks can be taken: the database answers and takes writes. 503 when not.

    Redis is not asked: without it webhooks are still kept, and worked off a little later.
    """


@operations("GET", "/metrics", roles=(), base="", elsewhere=True, media_type="text/plain")
async def metrics(call: Call) -> Any:
    """Figures for Prometheus. Open to this machine itself; from elsewhere, or through a proxy, with any token."""


@public
async def answer_healthz(request: web.Request) -> web.Response:
    """`GET /healthz`."""
    return json_response(Alive(status="ok"))


@public
async def answer_readyz(request: web.Request) -> web.Response:
    """`GET /readyz`."""
    found = await _checked(runtime_of(request))
    ready = all(each == "ok" for each in found.values())
    answer = Readiness(status="ready" if ready else "not_ready", checks=found)
    return json_response(answer, 200 if ready else 503, None if ready else {"Retry-After": "2"})


@public
async def answer_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`."""
    if not _from_here(request) and not await _known(request):
        raise Unauthenticated("Send a token: Authorization: Bearer …")
    return web.Response(body=exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _checked(runtime: Any) -> dict[Literal["database", "journal"], Found]:
    try:
        async with asyncio.timeout(CHECK_S):
            hello = await runtime.db.require_replica_set()
    except (TimeoutError, *UNAVAILABLE):
        return {"database": "away", "journal": "away"}
    return {"database": "ok", "journal": "ok" if hello.get("isWritablePrimary") else "read_only"}


def _from_here(request: web.Request) -> bool:
    """True for a caller on this very machine that came by no proxy."""
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple):
        return peer is not None  # a unix socket
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def _known(request: web.Request) -> bool:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return await authenticate(request) is not None
    store = request.config_dict[ACCOUNTS].store
    return 0 < len(secret) <= 200 and await store.token(secret.strip()) is not None


def routes() -> list[web.RouteDef]:
    """For the application."""
    return [
        web.get("/healthz", answer_healthz),
        web.get("/readyz", answer_readyz),
        web.get("/metrics", answer_metrics),
    ]
