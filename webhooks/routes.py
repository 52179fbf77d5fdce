"""Where providers post: size cap, account, verify on the raw bytes, keep, answer. Nothing is parsed here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from base.clock import Clock
from base.errors import NotFound, TooLarge, Unavailable
from base.metrics import WEBHOOK_SECONDS, WEBHOOKS
from base.mongo import UNAVAILABLE
from channels.adapter import Account, Adapter, Answer, Delivery, Unverified
from channels.reading import basic_auth
from channels.registry import Registry
from channels.store import ChannelStore
from webhooks.journal import Journal
from webhooks.refusals import Refusals

log = logging.getLogger(__name__)

#: A sender slower than this is let go, seconds.
BODY_TIMEOUT_S = 10.0
RETRY_AFTER_S = "5"
#: The provider behind `/v1/…`, the calls it takes, and where it is told which one it was.
TRACKING, CALL = "segment", "call"
CALLS = ("identify", "track", "page", "screen", "group", "alias", "batch")
#: Largest single call; a batch may be as large as the provider's bodies, bytes.
MAX_CALL_BYTES = 32 * 1024

Find = Callable[[web.Request], Awaitable[tuple[Adapter, Account]]]
Handle = Callable[[web.Request, Adapter, Account], Awaitable[web.Response]]


class Tools(Protocol):
    """What the door needs of the runtime."""

    @property
    def registry(self) -> Registry: ...
    @property
    def channels(self) -> ChannelStore: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def clock(self) -> Clock: ...


class Door:
    """The handlers of `/webhooks/{provider}/{channel_id}` and of `/v1/{call}`."""

    def __init__(self, tools: Tools, *, max_inflight: int = 512) -> None:
        self._tools = tools
        self._max_inflight = max_inflight
        self._inflight = 0

    def routes(self) -> list[web.AbstractRouteDef]:
        """For `web.Application.add_routes`."""
        path = "/webhooks/{provider}/{channel_id}"
        return [
            web.get(path, self.challenge, allow_head=False),
            web.post(path, self.receive),
            web.post(f"/v1/{{{CALL}:{'|'.join(CALLS)}}}", self.track),
        ]

    async def challenge(self, request: web.Request) -> web.Response:
        """GET: the provider asks whether this address is ours."""
        return await self._guarded(request, self._account, self._challenge)

    async def receive(self, request: web.Request) -> web.Response:
        """POST: a delivery. 200 only after it is kept; 401 unsigned, 413 too large, 503 come again."""
        return await self._taken(request, self._account)

    async def track(self, request: web.Request) -> web.Response:
        """POST: a tracking call in Segment's shape, to the channel whose write key it brings. Answers as `receive`."""
        return await self._taken(request, self._holder)

    async def _taken(self, request: web.Request, find: Find) -> web.Response:
        if self._inflight >= self._max_inflight:
            WEBHOOKS.labels("any", "overload").inc()
            return _busy("Too many deliveries at once.")
        self._inflight += 1
        started = time.perf_counter()
        try:
            return await self._guarded(request, find, self._receive)
        finally:
            self._inflight -= 1
            WEBHOOK_SECONDS.observe(time.perf_counter() - started)

    async def _guarded(self, request: web.Request, find: Find, handle: Handle) -> web.Response:
        try:
            adapter, account = await find(request)
        except NotFound:
            return web.Response(status=404, text="No such channel.")
        except Unverified:
            WEBHOOKS.labels(TRACKING, "unverified").inc()
            return web.Response(status=401, text="Nobody has this write key.")
        except UNAVAILABLE:
            return _busy("The database is away.")
        provider = adapter.card.provider
        try:
            response = await handle(request, adapter, account)
        except Unverified:
            WEBHOOKS.labels(provider, "unverified").inc()
            self._tools.refusals.note(account.channel_id)
            return web.Response(status=401, text="The signature does not match.")
        except TooLarge:
            WEBHOOKS.labels(provider, "too_large").inc()
            return web.Response(status=413, text="Too large.")
        except TimeoutError:
            return web.Response(status=408, text="Too slow.")
        except (Unavailable, *UNAVAILABLE):
            WEBHOOKS.labels(provider, "unavailable").inc()
            return _busy("The delivery could not be kept.")
        except (ValueError, HttpProcessingError, web.RequestPayloadError):
            unread = web.Response(status=400, text="The request cannot be read.")
            unread.force_close()  # what is left of the body cannot be read either
            return unread
        WEBHOOKS.labels(provider, "accepted").inc()
        return response

    async def _account(self, request: web.Request) -> tuple[Adapter, Account]:
        adapter = self._tools.registry.get(request.match_info["provider"])
        account = await self._tools.channels.account(request.match_info["channel_id"])
        if account is None or account.provider != adapter.card.provider:
            raise NotFound("no such channel")
        return adapter, account

    async def _holder(self, request: web.Request) -> tuple[Adapter, Account]:
        given = basic_auth(request.headers.get("Authorization")) if _is_single(request, "Authorization") else None
        found = await self._tools.channels.holding(TRACKING, given[0]) if given is not None else None
        account = await self._tools.channels.account(found) if found is not None else None
        if account is None:
            raise Unverified("no such key")
        return self._tools.registry.get(TRACKING), account

    async def _challenge(self, request: web.Request, adapter: Adapter, account: Account) -> web.Response:
        try:
            answer = adapter.handshake(account, self._delivery(request, b""))
        except Unverified:
            return web.Response(status=403, text="The challenge does not carry our token.")
        if answer is None:
            return web.Response(status=405, text="Post deliveries here.", headers={"Allow": "POST"})
        return _response(answer)

    async def _receive(self, request: web.Request, adapter: Adapter, account: Account) -> web.Response:
        call = request.match_info.get(CALL)
        most = MAX_CALL_BYTES if call not in (None, "batch") else adapter.max_body_bytes
        body = _read_at_once(request, most)
        if body is None:
            body = await _read(request, most)
        delivery = self._delivery(request, body)
        await adapter.prepare(account, delivery)
        adapter.verify(account, delivery, delivery.received_at or self._tools.clock())
        challenge = adapter.handshake(account, delivery)
        if challenge is not None:
            await adapter.confirm(account, delivery)
            return _response(challenge)
        key = adapter.delivery_key(account, delivery)
        await self._tools.journal.keep(account.channel_id, account.provider, key, delivery)
        return _response(adapter.accepted(account, delivery))

    def _delivery(self, request: web.Request, body: bytes) -> Delivery:
        given = request.headers
        headers: dict[str, tuple[str, ...]] = {name.lower(): (value,) for name, value in given.items()}
        if len(headers) < len(given):  # some came more than once
            headers = {name: tuple(given.getall(name)) for name in headers}
        query: dict[str, tuple[str, ...]] = {}
        if request.query_string:
            query = {name: tuple(request.query.getall(name)) for name in request.query}
        if CALL in request.match_info:
            query = {CALL: (request.match_info[CALL],)}  # the path says what kind of call it is
        return Delivery(request.method, body, headers, query, self._tools.clock())


def _read_at_once(request: web.Request, max_bytes: int) -> bytes | None:
    """The body when all of it has come with its head, as most do; None: it must be waited for."""
    if not request.content.is_eof() or request.content.exception() is not None:
        return None
    body = request.content.read_nowait()
    if len(body) > max_bytes:
        raise TooLarge("body")
    return body


async def _read(request: web.Request, max_bytes: int) -> bytes:
    """The body, unpacked size capped (aiohttp's own limit does not bind a stream, nor a gzip bomb)."""
    if (request.content_length or 0) > max_bytes:
        raise TooLarge("body")
    chunks, size = [], 0
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for chunk in request.content.iter_chunked(65536):
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge("body")
            chunks.append(chunk)
    return b"".join(chunks)


def _is_single(request: web.Request, name: str) -> bool:
    return len(request.headers.getall(name, ())) == 1


def _response(answer: Answer) -> web.Response:
    headers: Mapping[str, str] = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _busy(reason: str) -> web.Response:
    return web.Response(status=503, text=reason, headers={"Retry-After": RETRY_AFTER_S})
