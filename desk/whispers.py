"""What is gone as soon as it is seen: somebody is typing. Over the bus alone, to every process, never kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from aiohttp import web

from base.bus import Bus

TOPIC = "whispers"
#: Longer ones are none of ours.
LONGEST = 4000


@dataclass(frozen=True)
class Whisper:
    """One thing that is going on in a conversation. `by`: whose window it came from; that one need not hear it."""

    type: str
    channel_id: str
    conversation_id: str
    by: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class Whispers:
    """Says them to all processes, and gives those of all processes to whoever listens in this one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.listeners: set[Callable[[Whisper], None]] = set()

    async def say(self, whisper: Whisper) -> None:
        """Never raises; one that is lost is no loss."""
        await self._bus.publish(TOPIC, orjson.dumps(asdict(whisper)).decode())

    async def run(self) -> None:
        """For ever."""
        async for note in self._bus.listen(TOPIC, poll_s=5.0):
            whisper = _read(note) if note else None
            if whisper is not None:
                for listener in tuple(self.listeners):
                    listener(whisper)


def _read(note: str) -> Whisper | None:
    try:
        return Whisper(**orjson.loads(note)) if len(note) <= LONGEST else None
    except (orjson.JSONDecodeError, TypeError):  # of another version, while processes are replaced one by one
        return None


WHISPERS = web.AppKey("whispers", Whispers)


async def whispering(app: web.Application) -> AsyncIterator[None]:
    """`cleanup_ctx`: listens as long as the application lives."""
    task = asyncio.create_task(app[WHISPERS].run(), name="whispers")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
