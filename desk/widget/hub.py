"""The open windows of visitors in this process: notices of the feed become lines, whispers become "is typing".

A window that cannot follow (a slow network, a feed that was missed) is closed; its browser comes back, says what it
has, and gets what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from base.mongo import UNAVAILABLE, Document
from desk.live import Tail, Viewer
from desk.whispers import Whisper
from desk.widget.limits import SOCKETS_PER_ADDRESS, SOCKETS_PER_VISITOR
from desk.widget.thread import Shown, Threads, public_name
from inbox.models import Author
from inbox.store import ConversationStore
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: Frames that may wait for one window.
QUEUE = 300
#: Kinds of notices that change what a visitor sees.
_OF_LINES = ("message.created", "message.updated", "message.deleted")


@dataclass(eq=False)
class Window:
    """One open socket."""

    channel_id: str
    address: str
    visitors: tuple[str, ...] = ()
    conversations: set[str] = field(default_factory=set)
    queue: asyncio.Queue[Shown | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    #: It has fallen behind, or we are about to stop: to be closed.
    closing: bool = False

    def push(self, frame: Shown) -> None:
        """Send soon. A window that does not keep up is closed."""
        try:
            self.queue.put_nowait(frame)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        """Close politely; the browser comes back."""
        self.closing = True
        with suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)


class Hub:
    """Who is there, and what they are told."""

    def __init__(self, tail: Tail, threads: Threads, conversations: ConversationStore, profiles: ProfileStore) -> None:
        self._tail = tail
        self._threads = threads
        self._conversations = conversations
        self._profiles = profiles
        self._windows: set[Window] = set()
        self._by_conversation: dict[str, set[Window]] = {}
        self._by_visitor: dict[tuple[str, str], set[Window]] = {}
        self._per_address: Counter[str] = Counter()

    # -- windows -----------------------------------------------------------------------------------------------

    def has_room(self, address: str) -> bool:
        """Whether this address may open one more window."""
        return self._per_address[address] < SOCKETS_PER_ADDRESS

    def enter(self, window: Window) -> None:
        """A window was opened."""
        self._windows.add(window)
        self._per_address[window.address] += 1

    def name(self, window: Window, visitors: Iterable[str]) -> bool:
        """It is known whose window it is; False when that one has too many open."""
        self._forget(window)
        window.visitors = tuple(visitors)
        places = [(window.channel_id, each) for each in window.visitors]
        if len(self._by_visitor.get(places[0], ())) >= SOCKETS_PER_VISITOR:
            window.visitors = ()
            return False
        for place in places:
            self._by_visitor.setdefault(place, set()).add(window)
        return True

    def join(self, window: Window, conversation_ids: Iterable[str]) -> None:
        """From now on it hears of these conversations."""
        for each in conversation_ids:
            window.conversations.add(each)
            self._by_conversation.setdefault(each, set()).add(window)

    def leave(self, window: Window) -> None:
        """It was closed."""
        self._forget(window)
        if window in self._windows:
            self._windows.discard(window)
            self._per_address[window.address] -= 1
            self._per_address += Counter()  # drops zeros

    def _forget(self, window: Window) -> None:
        _drop(self._by_conversation, window.conversations, window)
        _drop(self._by_visitor, [(window.channel_id, each) for each in window.visitors], window)
        window.conversations, window.visitors = set(), ()

    def close(self) -> None:
        """All windows, politely."""
        for window in tuple(self._windows):
            window.close()

    # -- what is told ------------------------------------------------------------------------------------------

    def whisper(self, whisper: Whisper) -> None:
        """An agent is typing an answer."""
        if whisper.type != "typing" or not whisper.data.get("to_customer"):
            return
        for window in self._by_conversation.get(whisper.conversation_id, ()):
            window.push({"t": "typing", "name": _typist(whisper.data.get("name"))})

    async def run(self) -> None:
        """Follow the feed for ever."""
        while True:
            viewer = Viewer()
            self._tail.viewers.add(viewer)
            try:
                while not viewer.dropped:
                    row = await viewer.queue.get()
                    if row is not None and "whisper" not in row and self._windows:
                        await self._told(row)
            except UNAVAILABLE as error:
                log.warning("a line could not be read for visitors", extra={"error": type(error).__name__})
            finally:
                self._tail.viewers.discard(viewer)
            self.close()  # something was missed: whoever is there comes back and asks
            await asyncio.sleep(0.5)

    async def _told(self, row: Document) -> None:
        kind, conversation_id = row["type"], row["data"].get("conversation_id")
        if conversation_id is None:
            return
        if kind == "conversation.created" and any(each.channel_id == row["channel_id"] for each in self._windows):
            await self._placed(conversation_id)
        windows = tuple(self._by_conversation.get(conversation_id, ()))
        if not windows:
            return
        frame = await self._frame(kind, conversation_id, row["data"].get("message_id"))
        if frame is not None:
            for window in windows:
                window.push(frame)

    async def _frame(self, kind: str, conversation_id: str, message_id: str | None) -> Shown | None:
        if kind in _OF_LINES and message_id:
            line = await self._threads.line(message_id)
            return {"t": "lines", "lines": [line]} if line else {"t": "hide", "id": message_id}
        if kind == "conversation.updated":
            conversation = await self._conversations.get(conversation_id)
            if conversation is not None and conversation.unread == 0:
                return {"t": "seen"}
        return None

    async def _placed(self, conversation_id: str) -> None:
        """A conversation was made: windows of its visitor hear of it."""
        conversation = await self._conversations.get(conversation_id)
        if conversation is None:
            return
        identity = await self._profiles.identity(conversation.identity_id)
        names = {conversation.address.external_id, *([identity.external_id] if identity else ())}
        for name in names - {None}:
            for window in tuple(self._by_visitor.get((conversation.channel_id, str(name)), ())):
                self.join(window, [conversation_id])


def _drop(index: dict[Any, set[Window]], keys: Iterable[Any], window: Window) -> None:
    for key in keys:
        found = index.get(key)
        if found is not None:
            found.discard(window)
            if not found:
                del index[key]


def _typist(name: object) -> str:
    return public_name(Author(type="agent", name=str(name or "")))


HUB = web.AppKey("hub", Hub)


async def gathering(app: web.Application) -> AsyncIterator[None]:
    """`cleanup_ctx`: the hub follows as long as the application lives."""
    task = asyncio.create_task(app[HUB].run(), name="web chat")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
