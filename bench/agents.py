"""Agents at their desks, a process of its own: everybody has a stream and the inbox open, and does what the page's
script does (`desk/static/js/inbox.js`): reads changed rows, the open thread and the counts anew, each a moment later.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import aiohttp
import orjson

from bench.child import Json, run, tell

#: How long the script waits before it reads: rows (after the last time, and at least), the open thread, the counts.
ROWS_S, ROWS_LEAST_S, THREAD_S, COUNTS_S = 0.4, 0.03, 0.06, 1.5
#: Conversations read anew at once.
ROWS_MAX = 100
_LINE = re.compile(r'data-id="(msg_\w+)"')


class Agent:
    """One of them. `mine`: their conversations, of which the first is open."""

    def __init__(self, task: Json, session: str, user_id: str, mine: list[str]) -> None:
        self._web = task["web"]
        self._client = aiohttp.ClientSession(
            cookies={task["cookie"]: session}, timeout=aiohttp.ClientTimeout(total=30, sock_read=30),
            connector=aiohttp.TCPConnector(limit=6),
        )  # fmt: skip
        self._user_id, self._mine, self._open = user_id, frozenset(mine), mine[0]
        self._changed: set[str] = set()
        self._told: dict[str, list[str]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self.seen: dict[str, float] = {}
        self.requests = 0
        self._rows_read = 0.0

    async def watch(self, opened: asyncio.Event) -> None:
        """For ever."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._client.get(f"{self._web}/api/v1/stream", timeout=timeout) as answer:
            answer.raise_for_status()
            rest = b""
            async for data in answer.content.iter_any():
                blocks = (rest + data).split(b"\n\n")
                rest = blocks.pop()
                for block in blocks:
                    if b"event: hello" in block:
                        opened.set()
                    self._heard(block)

    async def close(self) -> None:
        """Go home."""
        for each in self._timers.values():
            each.cancel()
        await self._client.close()

    def _heard(self, block: bytes) -> None:
        notice = next((line[6:] for line in block.split(b"\n") if line.startswith(b"data: {")), None)
        told = orjson.loads(notice) if notice else {}
        data = told.get("data", told)
        talk = data.get("conversation_id")
        if talk is None:
            return
        if talk in self._mine and data.get("message_id"):
            self._told.setdefault(talk, []).append(data["message_id"])
        comes_here = b'"type":"message.' not in block and data.get("assignee_id") in (None, self._user_id)
        if talk not in self._mine and not comes_here:
            return  # not in this list, and nothing that could bring it there
        self._changed.add(talk)
        pause_s = max(ROWS_LEAST_S, self._rows_read + ROWS_S - time.monotonic())
        self._soon("rows", pause_s, self._rows)
        if talk == self._open:
            self._soon("thread", THREAD_S, self._thread)

    def _soon(self, name: str, after_s: float, work: Callable[[], Awaitable[None]]) -> None:
        if name in self._timers:
            return

        async def later() -> None:
            await asyncio.sleep(after_s)
            del self._timers[name]
            await work()

        self._timers[name] = asyncio.create_task(later())

    async def _rows(self) -> None:
        self._rows_read = time.monotonic()
        ids = sorted(self._changed)[:ROWS_MAX]
        self._changed.difference_update(ids)
        told = {talk: self._told.pop(talk) for talk in ids if talk in self._told and talk != self._open}
        await self._read(f"/inbox/rows?view=mine&ids={','.join(ids)}")
        self._shown(message for messages in told.values() for message in messages)
        self._soon("counts", COUNTS_S, self._counts)

    async def _thread(self) -> None:
        text = await self._read(f"/inbox/{self._open}/lines?view=mine")
        self._told.pop(self._open, None)
        self._shown(_LINE.findall(text))

    async def _counts(self) -> None:
        await self._read("/inbox/tabs?view=mine")

    async def _read(self, path: str) -> str:
        self.requests += 1
        async with self._client.get(self._web + path, headers={"X-Desk": "1"}) as answer:
            answer.raise_for_status()
            return await answer.text()

    def _shown(self, messages: Iterable[str]) -> None:
        now = time.monotonic()
        for each in messages:
            self.seen.setdefault(each, now)


async def main(task: Json, questions: AsyncIterator[Json]) -> None:
    """Open everything, say so; when asked, say what was shown when."""
    agents = [Agent(task, each["session"], each["user_id"], each["mine"]) for each in task["agents"]]
    opened = [asyncio.Event() for _ in agents]
    watching = [asyncio.create_task(each.watch(event)) for each, event in zip(agents, opened, strict=True)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(event.wait() for event in opened))
    tell({"open": len(agents)})
    async for _ in questions:
        seen = {message: at for each in agents for message, at in each.seen.items()}
        tell({"seen": seen, "requests": sum(each.requests for each in agents)})
    for each in watching:
        each.cancel()
    await asyncio.gather(*(each.close() for each in agents))


if __name__ == "__main__":
    run(main)
