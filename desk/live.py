"""The event stream of the desk (`GET /api/v1/stream`, server-sent events).

One tail per process reads the feed in order. Ids are given out before rows are visible, so the tail waits a moment at
a gap and then passes over it. A viewer who comes back with the last id seen gets what was missed from the database,
then what is live; nothing falls between, because the live part is joined first and cut at the same position.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from base.bus import Bus
from base.clock import iso
from base.errors import TooMany, WrongInput
from base.feed import TOPIC, Feed
from base.mongo import UNAVAILABLE, Document
from desk.auth import NOBODY, PRINCIPAL, Principal, authenticate, principal_of, require
from desk.whispers import Whisper

log = logging.getLogger(__name__)
GAP_WAIT_S = 2.0
POLL_S = 0.5
#: Rows before the last number given out that the tail starts with: some of them may still be on their way.
START_BEFORE = 100
QUEUE_SIZE = 1000
#: More than this many missed rows are not replayed; reading the page anew is quicker.
BACKLOG_MAX = 2000
RECHECK_S = 4.0
HEARTBEAT_S = 15.0
STREAMS_PER_PRINCIPAL = 24


@dataclass(eq=False)
class Viewer:
    """One open stream. `transport` is cut when its reader is too slow. `of`: whose it is."""

    transport: asyncio.BaseTransport | None = None
    queue: asyncio.Queue[Document | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_SIZE))
    dropped: bool = False
    of: str = ""

    @property
    def has_left(self) -> bool:
        """The window was closed. Looked up, because a quiet stream writes nothing that could fail, and a person who
        goes from page to page would soon have used up all streams."""
        return self.transport is None or self.transport.is_closing()

    def offer(self, row: Document) -> None:
        """Queue a row; a full queue ends the stream, and its reader comes back with the last id it saw."""
        try:
            self.queue.put_nowait(row)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self.dropped = True
        abort = getattr(self.transport, "abort", None)
        if abort is not None:
            abort()


class Tail:
    """Follows the feed and hands each row, in order and once, to every viewer of this process."""

    def __init__(self, feed: Feed, bus: Bus, *, gap_wait_s: float = GAP_WAIT_S) -> None:
        self.feed = feed
        self._bus = bus
        self._gap_wait_s = gap_wait_s
        self._gap_since: float | None = None
        self.viewers: set[Viewer] = set()
        self.started = asyncio.Event()
        #: Everything up to here has been handed out or passed over.
        self.position = 0

    async def run(self) -> None:
        """For ever. A database that is away is waited for."""
        while True:
            try:
                await self._start()
                async for _ in self._bus.listen(TOPIC, poll_s=POLL_S):
                    await self.advance()
            except UNAVAILABLE as error:
                log.warning("the feed can not be read", extra={"error": type(error).__name__})
                await asyncio.sleep(POLL_S)

    async def _start(self) -> None:
        """Begin a little before the last number given out, and give writers under way a moment to be seen."""
        if self.started.is_set():
            return
        target = await self.feed.position()
        self.position = max(0, target - START_BEFORE)
        until = time.monotonic() + self._gap_wait_s
        await self.advance()
        while self.position < target and time.monotonic() < until:
            await asyncio.sleep(0.05)
            await self.advance()
        self.position = max(self.position, target)
        self._gap_since = None
        self.started.set()

    async def advance(self) -> None:
        """Hand out what is there, up to the first gap that is still young."""
        while rows := await self.feed.after(self.position):
            for row in rows:
                if row["_id"] != self.position + 1 and self._gap_is_young():
                    return
                self._gap_since = None
                self.position = row["_id"]
                for viewer in tuple(self.viewers):
                    viewer.offer(row)

    def _gap_is_young(self) -> bool:
        now = time.monotonic()
        if self._gap_since is None:
            self._gap_since = now
        return now - self._gap_since < self._gap_wait_s

    def whisper(self, whisper: Whisper) -> None:
        """Pass on what is not part of the feed: it has no number, and is not there for who comes back."""
        for viewer in tuple(self.viewers):
            viewer.offer({"whisper": whisper})

    def open_of(self, who: str) -> int:
        """How many streams somebody has open here; those of closed windows do not count."""
        return sum(viewer.of == who and not viewer.has_left for viewer in self.viewers)

    def close(self) -> None:
        """End every stream politely."""
        for viewer in self.viewers:
            with suppress(asyncio.QueueFull):
                viewer.queue.put_nowait(None)


#: (who reads, profile id) → may they see the customer; set by `desk.app`, because the API stands beside, not below.
SeesPerson = Callable[[Principal, str], Awaitable[bool]]
SEES_PERSON: web.AppKey[SeesPerson] = web.AppKey("sees_person", Callable)  # type: ignore[arg-type]
#: Who has a window open is told of here, where somebody wants to know.
Seen = Callable[[str], Awaitable[None]]
SEEN: web.AppKey[Seen] = web.AppKey("seen", Callable)  # type: ignore[arg-type]
TAIL = web.AppKey("tail", Tail)


async def tailing(app: web.Application) -> AsyncIterator[None]:
    """`cleanup_ctx`: the tail lives as long as the application."""
    task = asyncio.create_task(app[TAIL].run(), name="feed tail")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def close_streams(app: web.Application) -> None:
    """`on_shutdown`: streams would hold the stop up until its time-out."""
    app[TAIL].close()


@require("viewer")
async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events. `Last-Event-ID` (or `?after=`) resumes; `reset` says that too much was missed."""
    principal, tail = principal_of(request), request.config_dict[TAIL]
    if tail.open_of(principal.id) >= STREAMS_PER_PRINCIPAL:
        raise TooMany("Too many open streams. Close some windows.", retry_after_s=5)
    after = _position(request)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await asyncio.wait_for(tail.started.wait(), 10)
    viewer = Viewer(request.transport, of=principal.id)
    tail.viewers.add(viewer)
    try:
        await response.prepare(request)
        await _Stream(request, response, viewer, tail).follow(after)
    except (ConnectionResetError, asyncio.IncompleteReadError):
        log.debug("a stream was cut", extra={"slow": viewer.dropped})
    finally:
        tail.viewers.discard(viewer)
    return response


def _position(request: web.Request) -> int | None:
    given = request.headers.get("Last-Event-ID") or request.query.get("after")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise WrongInput("Last-Event-ID is a number that this stream gave out.")
    return int(given)


class _Stream:
    """What one stream does from its first byte to its last."""

    def __init__(self, request: web.Request, response: web.StreamResponse, viewer: Viewer, tail: Tail) -> None:
        self._request = request
        self._response = response
        self._viewer = viewer
        self._tail = tail
        self._principal: Principal = principal_of(request)
        #: The viewer was joined before this was read: whatever comes later is in its queue.
        self._joined_at = tail.position
        self._checked = self._beaten = time.monotonic()

    async def follow(self, after: int | None) -> None:
        start = self._joined_at if after is None else after
        await self._response.write(b"retry: 1000\n\n")
        if after is not None and await self._too_old(after):
            await self._send(self._joined_at, "reset", b"{}")
            start = self._joined_at
        await self._send(min(start, self._joined_at), "hello", b"{}")
        await self._note_window()
        await self._replay(start)
        while await self._is_still_in() and not self._viewer.dropped and not self._viewer.has_left:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_S):
                    row = await self._viewer.queue.get()
                    if row is None:
                        return
                if "whisper" in row:
                    await self._pass_on(row["whisper"])
                elif row["_id"] > start:
                    await self._show(row)
            await self._beat()

    async def _too_old(self, after: int) -> bool:
        if after > self._joined_at:
            return after > await self._tail.feed.position()
        oldest = await self._tail.feed.oldest()
        return self._joined_at - after > BACKLOG_MAX or (oldest is not None and after < oldest - 1)

    async def _replay(self, start: int) -> None:
        while start < self._joined_at:
            rows = [row for row in await self._tail.feed.after(start) if row["_id"] <= self._joined_at]
            for row in rows:
                await self._show(row)
            if not rows:
                return
            start = rows[-1]["_id"]

    async def _show(self, row: Document) -> None:
        if await self._may_see(row):
            notice: dict[str, Any] = {"type": row["type"], "at": iso(row["at"]), "data": row["data"]}
            await self._send(row["_id"], "notice", orjson.dumps(notice))

    async def _may_see(self, row: Document) -> bool:
        """What belongs to no channel (an order) is seen by whoever may see the person."""
        profile_id, told = row["data"].get("profile_id"), row.get("user_ids")
        if not self._principal.may_see(row["channel_id"]) or (told is not None and self._principal.id not in told):
            return False
        if self._principal.channels is None or row["channel_id"] is not None or profile_id is None:
            return True
        return await self._request.config_dict[SEES_PERSON](self._principal, profile_id)

    async def _pass_on(self, whisper: Whisper) -> None:
        if self._principal.may_see(whisper.channel_id) and whisper.by != self._principal.id:
            about = {"type": whisper.type, "conversation_id": whisper.conversation_id, **whisper.data}
            await self._response.write(b"event: whisper\ndata: %s\n\n" % orjson.dumps(about))
            self._beaten = time.monotonic()

    async def _send(self, position: int, event: str, data: bytes) -> None:
        await self._response.write(b"id: %d\nevent: %s\ndata: %s\n\n" % (position, event.encode(), data))
        self._beaten = time.monotonic()

    async def _beat(self) -> None:
        if time.monotonic() - self._beaten > HEARTBEAT_S:
            await self._response.write(b": still here\n\n")
            self._beaten = time.monotonic()

    async def _is_still_in(self) -> bool:
        """Look again who this is: a closed session, a revoked token or a smaller scope counts within seconds."""
        if time.monotonic() - self._checked < RECHECK_S:
            return True
        self._checked = time.monotonic()
        self._request.pop(PRINCIPAL, None)
        self._request.pop(NOBODY, None)
        try:
            again = await authenticate(self._request)
        except UNAVAILABLE:
            return True
        if again is None:
            return False
        self._principal = again
        await self._note_window()
        return True

    async def _note_window(self) -> None:
        seen = self._request.config_dict.get(SEEN)
        if seen is not None and self._principal.kind == "user":
            with suppress(*UNAVAILABLE):  # the next look comes
                await seen(self._principal.id)


def position_of(request: web.Request) -> int:
    """Where the stream stands: a page that reads its data after this misses nothing by following from here."""
    tail = request.config_dict.get(TAIL)
    return tail.position if tail is not None else 0


routes = [web.get("/api/v1/stream", stream)]
