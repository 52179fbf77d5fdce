"""At most once per Idempotency-Key: the first answer is kept and given again to whoever repeats the request."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from base.errors import Conflict, WrongInput
from base.secret_box import SecretBox
from desk.auth import principal_of
from desk.keys import ACCOUNTS
from desk.store import IDEMPOTENCY_SILENT, DeskStore, Replay

HEADER = "Idempotency-Key"
KEY_MAX = 255

log = logging.getLogger(__name__)

Carry = Callable[[], Awaitable[web.StreamResponse]]


async def once(
    request: web.Request, raw: bytes, key: str, carry: Carry, box: SecretBox | None
) -> web.StreamResponse:  # fmt: skip
    """Carry out, or give the kept answer. `box`: the answer holds a secret and is kept sealed.

    Only what succeeded is kept: after an error nothing has been done, and the same key may be used for another try.
    Raises `WrongInput` when the key was used for another request, `Conflict` while the first one runs.
    """
    if not 1 <= len(key) <= KEY_MAX or not key.isprintable():
        raise WrongInput(f"{HEADER} takes 1 to {KEY_MAX} printable characters.", code="idempotency_key")
    store: DeskStore = request.config_dict[ACCOUNTS].store
    owner = principal_of(request).id
    fingerprint = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + raw).hexdigest()
    held = await store.begin_once(owner, key, fingerprint)
    if held.state == "other_body":
        raise WrongInput(f"This {HEADER} was used for another request.", code="idempotency_key_reused")
    if held.state == "running":
        raise Conflict(f"The first request with this {HEADER} is still running.", code="still_running")
    if held.state == "done":
        return _again(held, box, owner)
    return await _first(store, owner, key, carry, box)


async def _first(store: DeskStore, owner: str, key: str, carry: Carry, box: SecretBox | None) -> web.StreamResponse:
    try:
        async with _held(store, owner, key):
            response = await carry()
    except Exception:
        await store.drop_once(owner, key)
        raise
    if isinstance(response, web.Response):
        kept = {"Content-Type": response.headers.get("Content-Type", "application/json")}
        body = response.body if isinstance(response.body, bytes) else b""
        await store.finish_once(owner, key, response.status, kept, _sealed(body, box, owner))
    return response


@asynccontextmanager
async def _held(store: DeskStore, owner: str, key: str) -> AsyncIterator[None]:
    beating = asyncio.create_task(_beat(store, owner, key))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(store: DeskStore, owner: str, key: str) -> None:
    while True:
        await asyncio.sleep(IDEMPOTENCY_SILENT.total_seconds() / 4)
        try:
            await store.alive_once(owner, key)
        except Exception as error:  # the next beat tries again; silence only lets the key be taken over
            log.warning("The idempotency key of a running request could not be renewed: %s", error)


def _again(held: Replay, box: SecretBox | None, owner: str) -> web.Response:
    headers = {**(held.headers or {}), "Idempotent-Replayed": "true"}
    body = held.body if box is None else box.open(held.body.decode(), _context(owner)).encode()
    return web.Response(status=held.status, body=body or None, headers=headers)


def _sealed(body: bytes, box: SecretBox | None, owner: str) -> bytes:
    return body if box is None else box.seal(body.decode(), _context(owner)).encode()


def _context(owner: str) -> str:
    return f"idempotency:{owner}"
