"""The routes of the web chat, open to everybody whose page is allowed: script, looks, socket, and the same by HTTP.

Every request of a page names its origin, which must be one of the channel's; a channel without any lets nobody in.
Nothing here knows cookies: a visitor is whoever holds a token (`desk.widget.tokens`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from aiohttp import WSMsgType, web

from base.errors import NotFound, RapportError, Refused, TooLarge, TooMany, WrongInput
from base.ids import is_id
from base.mongo import UNAVAILABLE
from channels.adapter import Account, Unreadable
from channels.origins import is_allowed
from channels.providers.webchat.adapter import VISITORS_REACTIONS
from channels.providers.webchat.settings import WebchatSettings
from channels.reading import Json, mapping, read_json, text
from desk import live
from desk.api.files import send_file
from desk.auth import address_of, public
from desk.keys import runtime_of
from desk.problems import problem_of
from desk.whispers import WHISPERS
from desk.widget import script
from desk.widget.hub import HUB, Hub, Window, gathering
from desk.widget.limits import Limits
from desk.widget.talk import KEY, Room, Talk
from desk.widget.thread import Threads
from desk.widget.tokens import read_token
from inbox.file_links import make_link
from inbox.file_types import NEUTRAL, safe_name, type_of

log = logging.getLogger(__name__)

PROVIDER = "webchat"
#: Bytes of one frame, and of one HTTP request with several.
FRAME_MAX, FRAMES_MAX = 40_000, 120_000
#: A socket that has not said hello by then is closed, seconds; then one that has not answered a ping.
HELLO_S, HEARTBEAT_S = 10.0, 25.0
#: How often a window that is open is noted as such, seconds.
PRESENT_S = 30.0
FRAMES_PER_REQUEST = 20
#: A socket we close has so long to take the last frames, seconds.
FAREWELL_S = 3.0
UPLOAD_S = 60.0
#: Files read at once by one process; each is held in memory whole.
UPLOADS_AT_ONCE = 12
ABOUT = "X-Rapport-About"

ROOM = web.AppKey("widget room", Room)
SCRIPT = web.AppKey("widget script", script.Script)

Handler = Callable[[web.Request, Account], Awaitable[web.StreamResponse]]


# -- who may ask -----------------------------------------------------------------------------------------------------


async def _account(request: web.Request) -> Account:
    """The channel of the address. Raises `NotFound` for one that is no connected web chat."""
    channel_id = request.match_info["channel_id"]
    opened = await runtime_of(request).channels.both(channel_id) if is_id(channel_id, "chn") else None
    if opened is None or opened[1].provider != PROVIDER or opened[0].state == "disconnected":
        raise NotFound("There is no such chat.")
    account: Account = opened[1]
    return account


def allowed(account: Account, origin: str | None) -> bool:
    """Whether a page of this origin may show the chat."""
    settings: WebchatSettings = account.settings
    return is_allowed(origin, settings.allowed_origins)


def _shared(origin: str) -> dict[str, str]:
    """Headers by which a browser lets a page of this origin read the answer."""
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Cross-Origin-Resource-Policy": "cross-origin"}


def _of(request: web.Request) -> dict[str, str]:
    return _shared(request.headers["Origin"])


def from_allowed_page(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Only for allowed pages; errors as JSON that those may read. Nobody else learns whether there is a channel."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        headers: dict[str, str] = {"Vary": "Origin"}
        try:
            account = await _account(request)
            if len(request.headers.getall("Origin", [])) != 1 or not allowed(account, origin):
                raise Refused("This page may not show the chat.", code="origin")
            headers = _shared(origin)
            return await handler(request, account)
        except (RapportError, *UNAVAILABLE) as error:
            problem = problem_of(error)
            told = {"code": problem.code, "detail": problem.detail}
            return _json(told, problem.status, {**headers, **problem.headers})

    return public(guarded)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    more = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=more)


async def preflight(request: web.Request, account: Account) -> web.StreamResponse:
    """OPTIONS: what a page may send."""
    more = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": f"Authorization, Content-Type, {ABOUT}",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers={**_of(request), **more})


# -- what a page loads -----------------------------------------------------------------------------------------------


@public
async def widget(request: web.Request) -> web.StreamResponse:
    """`/widget/{channel_id}.js`. A page that may not show the chat gets a sentence for its console instead."""
    account = await _account(request)
    headers = {
        "Cross-Origin-Resource-Policy": "cross-origin", "Vary": "Accept-Encoding, Referer",
        "Content-Type": "text/javascript; charset=utf-8",
    }  # fmt: skip
    page = _origin_of(request.headers.get("Referer", ""))
    if page and not allowed(account, page):
        return web.Response(body=script.refusal(page), headers={**headers, "Cache-Control": "no-store"})
    found = request.config_dict[SCRIPT]
    headers |= {"Cache-Control": "public, max-age=300", "ETag": found.tag}
    if found.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=found.packed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=found.body, headers=headers)


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


async def looks(request: web.Request, account: Account) -> web.StreamResponse:
    """How the chat looks and what it asks for."""
    _hold_back(request, "load", None)
    settings: WebchatSettings = account.settings
    names = ("greeting", "hours_text", "away_text", "colour", "position", "theme", "language", "ask_name", "ask_email")
    told: dict[str, Any] = {name: getattr(settings, name) for name in names}
    told |= {
        "title": settings.title or account.name,
        "file_max_bytes": settings.file_max_bytes if settings.files else 0,
        "by_mail": bool(settings.continuity_channel), "reactions": VISITORS_REACTIONS,
    }
    return _json(told, headers=_of(request))


async def file(request: web.Request) -> web.StreamResponse:
    """A file of a line, by the link that stood in it. Pictures are loaded without an origin: the link counts."""
    account = await _account(request)
    origin = request.headers.get("Origin")
    if origin is not None and not allowed(account, origin):
        raise Refused("This page may not show the chat.", code="origin")
    files = runtime_of(request).files
    found = await files.linked(request.match_info["link"])
    if found is None or found.message_id is None:
        raise NotFound("This link does not lead anywhere (any more).")
    headers = _shared(origin) if origin else {"Cross-Origin-Resource-Policy": "cross-origin"}
    return await send_file(request, files, found, more=headers)


# -- what a visitor says ---------------------------------------------------------------------------------------------


async def frames(request: web.Request, account: Account) -> web.StreamResponse:
    """POST `{"frames": [hello, …]}` → `{"frames": […]}`: for networks that let no socket through."""
    body = await _body(request, FRAMES_MAX)
    asked = mapping(_read(body)).get("frames")
    if not isinstance(asked, list) or not 0 < len(asked) <= FRAMES_PER_REQUEST:
        raise WrongInput("Send 1 to 20 frames.")
    talk = Talk(request.config_dict[ROOM], account, address_of(request))
    answers: list[Json] = []
    for each in asked:
        answers += await talk.answer(mapping(each))
    return _json({"frames": answers}, headers=_of(request))


async def upload(request: web.Request, account: Account) -> web.StreamResponse:
    """POST the bytes of a file, its key and name percent-encoded JSON in `X-Rapport-About`. 201 once it is kept."""
    settings: WebchatSettings = account.settings
    room = request.config_dict[ROOM]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    visitor = read_token([room.key], account.channel_id, token.strip(), room.clock()) if scheme == "Bearer" else None
    if visitor is None:
        raise Refused("Say hello first.", code="token")
    if not settings.files:
        raise Refused("This chat takes no files.", code="no_files")
    about = _about(request)
    if (request.content_length or 0) > settings.file_max_bytes:
        raise TooLarge(f"A file may have {settings.file_max_bytes} bytes.")
    _hold_back(request, "file", f"{account.channel_id}:{visitor.id}")
    async with request.config_dict[UPLOADS]:
        content = await _body(request, settings.file_max_bytes)
        name, media_type = _checked(content, about, request.headers.get("Content-Type"))
        talk = Talk(room, account, address_of(request), visitor=visitor)
        if visitor.customer_id is not None:
            talk.person = {"customer_id": visitor.customer_id, "verified": False}
        await talk.bring(about, name, media_type, content)
    return _json({"key": about["key"]}, 201, _of(request))


UPLOADS = web.AppKey("widget uploads", asyncio.Semaphore)


def _about(request: web.Request) -> Json:
    about = mapping(_read(unquote(request.headers.get(ABOUT, "")).encode("utf-8", "surrogatepass")))
    if not KEY.fullmatch(text(about.get("key")) or ""):
        raise WrongInput("A file needs a key.")
    return about


def _checked(content: bytes, about: Json, told: str | None) -> tuple[str, str]:
    """Name and type of a visitor's file. Raises `WrongInput` for an empty one, and for bytes nobody knows."""
    if not content:
        raise WrongInput("The file is empty.")
    claimed = text(about.get("name"))
    media_type = type_of(content, told, claimed)
    if media_type == NEUTRAL:
        raise WrongInput("Files of this kind are not taken.", code="file_type")
    return safe_name(claimed, media_type), media_type


def _read(body: bytes) -> Any:
    try:
        return read_json(body)
    except Unreadable:
        raise WrongInput("This is no JSON.") from None


async def _body(request: web.Request, max_bytes: int) -> bytes:
    if (request.content_length or 0) > max_bytes:
        raise TooLarge("This is too large.")
    content = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_S):
            async for piece in request.content.iter_chunked(65536):
                content += piece
                if len(content) > max_bytes:
                    raise TooLarge("This is too large.")
    except TimeoutError:
        raise WrongInput("This took too long.") from None
    return bytes(content)


def _hold_back(request: web.Request, what: str, visitor: str | None) -> None:
    wait = request.config_dict[ROOM].limits.wait_s(what, visitor, address_of(request))
    if wait:
        raise TooMany("Too many requests. Wait a moment.", retry_after_s=max(1, round(wait)))


# -- the socket ------------------------------------------------------------------------------------------------------


async def socket(request: web.Request, account: Account) -> web.StreamResponse:
    """`/widget/{channel_id}/socket`: the same frames, and whatever happens as it happens."""
    hub, address = request.config_dict[HUB], address_of(request)
    if not hub.has_room(address):
        raise TooMany("Too many windows are open.", retry_after_s=10)
    ws = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=FRAME_MAX, timeout=5.0)
    if not ws.can_prepare(request).ok:
        raise WrongInput("This is the address of a socket.")
    await ws.prepare(request)
    window = Window(account.channel_id, address)
    hub.enter(window)
    talk = Talk(request.config_dict[ROOM], account, address, window)
    writing = asyncio.create_task(_write(ws, window, talk))
    try:
        await _listen(ws, window, talk)
    except ConnectionError:
        log.debug("a visitor's socket was cut")
    finally:
        hub.leave(window)
        if window.closing:  # what was said last is still to be heard
            await asyncio.wait([writing], timeout=FAREWELL_S)
        writing.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await writing
        await ws.close()
    return ws


async def _listen(ws: web.WebSocketResponse, window: Window, talk: Talk) -> None:
    while not window.closing:
        message = await ws.receive(timeout=HELLO_S if talk.visitor is None else None)
        if message.type is not WSMsgType.TEXT:
            if message.type is WSMsgType.BINARY:
                await ws.close(code=1003, message=b"frames are text")
            return
        try:
            frame = mapping(read_json(message.data.encode("utf-8", "surrogatepass")))
        except RapportError:
            await ws.close(code=1007, message=b"frames are JSON")
            return
        for answer in await talk.answer(frame):
            window.push(answer)
            if answer["t"] == "error":
                window.close()


async def _write(ws: web.WebSocketResponse, window: Window, talk: Talk) -> None:
    """One frame after the other; a window that stays open is noted as such."""
    loop = asyncio.get_running_loop()
    noted = loop.time()
    while True:
        try:
            async with asyncio.timeout(PRESENT_S):
                frame = await window.queue.get()
        except TimeoutError:
            frame = {}
        if frame is None:
            await ws.close(code=1012, message=b"come back")
            return
        if frame:
            await ws.send_str(orjson.dumps(frame).decode())
        if talk.visitor is not None and loop.time() - noted > PRESENT_S / 2:
            noted = loop.time()
            await talk.room.present(window.channel_id, talk.visitor.id)


# -- the parts -------------------------------------------------------------------------------------------------------


def routes() -> list[web.AbstractRouteDef]:
    """For `web.Application.add_routes`."""
    here = "/widget/{channel_id:chn_[0-9a-z]{26}}"
    asked = {"looks": looks, "frames": frames, "files": upload}
    return [
        web.get(f"{here}.js", widget),
        web.get(f"{here}/looks", from_allowed_page(looks), allow_head=False),
        web.get(f"{here}/socket", from_allowed_page(socket), allow_head=False),
        web.post(f"{here}/frames", from_allowed_page(frames)),
        web.post(f"{here}/files", from_allowed_page(upload)),
        web.get(f"{here}/files/{{link}}", public(file)),
        *(web.options(f"{here}/{name}", from_allowed_page(preflight)) for name in asked),
    ]


def equip(app: web.Application, runtime: Any) -> None:
    """Give an application that has a tail and whispers what the routes need."""

    def link(file_id: str) -> str:
        return f"files/{make_link(runtime.box.signing_key, file_id, runtime.clock())}"

    threads = Threads(runtime.conversations, runtime.messages, link)
    hub = Hub(app[live.TAIL], threads, runtime.conversations, runtime.profiles)
    app[HUB] = hub
    app[SCRIPT] = script.load()
    app[UPLOADS] = asyncio.Semaphore(UPLOADS_AT_ONCE)
    app[ROOM] = Room(
        profiles=runtime.profiles, messages=runtime.messages, sends=runtime.sends, journal=runtime.journal,
        threads=threads, hub=hub, whispers=app[WHISPERS], limits=Limits(), clock=runtime.clock,
        key=runtime.box.signing_key, present=runtime.presence.note,
    )  # fmt: skip
    app[WHISPERS].listeners.add(hub.whisper)
    app.cleanup_ctx.append(gathering)
    app.on_shutdown.append(_close_windows)


async def _close_windows(app: web.Application) -> None:
    app[HUB].close()
