"""`/t/{write key}.js` and the address it sends to. A key that stands in a page proves nothing: who may send is told by
the page's origin, and who somebody is by a hash that the operator's server made."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from base.errors import NotFound, RapportError, Refused, TooLarge, TooMany, WrongInput
from base.mongo import UNAVAILABLE
from channels.adapter import Account, Delivery, Unreadable
from channels.origins import is_allowed
from channels.providers.segment.adapter import SegmentSettings
from channels.providers.segment.browsers import CODE, refused_calls
from channels.providers.segment.parse import BROWSER, CALL
from channels.reading import read_json
from desk.auth import address_of, public
from desk.keys import runtime_of
from desk.problems import problem_of
from desk.tracking.script import script_for
from desk.widget.limits import Limits

PROVIDER = "segment"
#: What browsers send when a page goes away is no larger than 64 KiB.
BODY_MAX, CALLS_MAX = 65_536, 100
BODY_S = 15.0
LIMITS = web.AppKey("tracking limits", Limits)
_PATH = "/t/{key:[A-Za-z0-9_.~-]{8,200}}"


async def _account(request: web.Request) -> Account:
    """The account that holds the key. Raises `NotFound`, also for one that only servers may hold."""
    runtime = runtime_of(request)
    key = request.match_info["key"].removesuffix(".js")
    channel_id = await runtime.channels.holding(PROVIDER, key)
    opened = await runtime.channels.both(channel_id) if channel_id is not None else None
    if opened is None or opened[0].state == "disconnected" or opened[1].settings.trusted:
        raise NotFound("There is no such website key.")
    account: Account = opened[1]
    return account


def config_of(settings: SegmentSettings) -> dict[str, object]:
    """What the script is told."""
    return {"consent": settings.wait_for_consent, "signals": settings.honour_signals, "storage": settings.storage}


@public
async def load(request: web.Request) -> web.StreamResponse:
    """The script. It says nothing of anybody and may be loaded by any page; what it sends is judged by its origin."""
    account = await _account(request)
    made = script_for(config_of(account.settings))
    headers = {
        "Content-Type": "text/javascript; charset=utf-8", "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": "public, max-age=300", "ETag": made.tag, "Vary": "Accept-Encoding",
    }  # fmt: skip
    if made.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=made.packed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=made.body, headers=headers)


@public
async def take(request: web.Request) -> web.StreamResponse:
    """POST `{"batch": […]}` as text, so that browsers ask for no leave before. 200 only after a majority has it."""
    headers: dict[str, str] = {"Vary": "Origin", "Cross-Origin-Resource-Policy": "cross-origin"}
    try:
        account = await _account(request)
        origin = request.headers.get("Origin", "")
        settings: SegmentSettings = account.settings
        if len(request.headers.getall("Origin", [])) != 1 or not is_allowed(origin, settings.allowed_origins):
            raise Refused("This website is not among the allowed ones.", code="origin")
        headers["Access-Control-Allow-Origin"] = origin
        _hold_back(request, account.channel_id)
        body, refused = await _body(request)
        await _keep(request, account, body)
    except (RapportError, *UNAVAILABLE) as error:
        problem = problem_of(error)
        told = orjson.dumps({"code": problem.code, "detail": problem.detail})
        more = {**headers, **problem.headers, "Cache-Control": "no-store"}
        return web.Response(body=told, status=problem.status, content_type="application/json", headers=more)
    answer = orjson.dumps({"success": True, **({"refused": refused} if refused else {})})
    return web.Response(body=answer, content_type="application/json", headers=headers)


async def _keep(request: web.Request, account: Account, body: bytes) -> None:
    runtime = runtime_of(request)
    query = {CALL: ("batch",), BROWSER: ("1",)}
    delivery = Delivery("POST", body, {"content-type": ("application/json",)}, query, runtime.clock())
    adapter = runtime.registry.get(PROVIDER)
    await runtime.journal.keep(account.channel_id, PROVIDER, adapter.delivery_key(account, delivery), delivery)


async def _body(request: web.Request) -> tuple[bytes, list[dict[str, Any]]]:
    """The batch, and which of its calls a browser may not make. Raises `TooLarge`, `WrongInput` for what is no batch,
    and `Refused` when no other call is in it."""
    if (request.content_length or 0) > BODY_MAX:
        raise TooLarge("This is too large.")
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_chunked(16384):
                content += piece
                if len(content) > BODY_MAX:
                    raise TooLarge("This is too large.")
        batch = read_json(bytes(content))
    except TimeoutError:
        raise WrongInput("This took too long.") from None
    except Unreadable:
        raise WrongInput("This is no JSON.") from None
    calls = batch.get("batch") if isinstance(batch, dict) else None
    if not isinstance(calls, list) or not 0 < len(calls) <= CALLS_MAX:
        raise WrongInput("Send a batch of 1 to 100 calls.")
    refused = refused_calls(batch)
    if len(refused) == len(calls):
        names = ", ".join(dict.fromkeys(each["event"] for each in refused[:5]))
        raise Refused(f"A browser cannot know this, only your servers: {names}.", code=CODE)
    return bytes(content), refused


def _hold_back(request: web.Request, channel_id: str) -> None:
    wait = request.config_dict[LIMITS].wait_s("track", channel_id, address_of(request))
    if wait:
        raise TooMany("Too many calls. Wait a moment.", retry_after_s=max(1, round(wait)))


def routes() -> list[web.AbstractRouteDef]:
    """For `web.Application.add_routes`."""
    return [web.get(_PATH + ".js", load), web.post(_PATH, take)]


def equip(app: web.Application) -> None:
    """Give an application what the routes need."""
    app[LIMITS] = Limits()
