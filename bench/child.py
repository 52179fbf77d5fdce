"""Processes of the bench: JSON, one value a line. The first line in says what to do, each line out is an answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: An answer may hold the time of every request.
LINE_MAX = 64 * 1024 * 1024
#: No single measurement takes longer, seconds.
PATIENCE_S = 180.0

Json = dict[str, Any]


class Child:
    """One process, `python -m MODULE`. It ends when its input ends, so that nothing is left behind."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, **task: Any) -> Child:
        """Start it on its task; `answer` then waits for its first word."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=LINE_MAX,
        )  # fmt: skip
        child = cls(process)
        child._say(task)
        return child

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def answer(self) -> Json:
        """Its next word. Raises when it died instead (its own words are on stderr)."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)
        if not line:
            raise RuntimeError(f"a process of the bench ended with {await self._process.wait()}")
        found: Json = json.loads(line)
        return found

    async def ask(self, **question: Any) -> Json:
        """Say something and wait for the answer."""
        self._say(question)
        return await self.answer()

    async def stop(self) -> None:
        """Close its input and wait for it to end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _say(self, value: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")


async def once(module: str, **task: Any) -> Json:
    """The only answer of a process that does one thing."""
    child = await Child.start(module, **task)
    try:
        return await child.answer()
    finally:
        await child.stop()


def tell(value: Json) -> None:
    """In the child: answer."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def run(main: Callable[[Json, AsyncIterator[Json]], Awaitable[None]]) -> None:
    """In the child: read the task, do it. `main` also gets the questions that come later, until the input ends."""
    asyncio.run(_run(main))


async def _run(main: Callable[[Json, AsyncIterator[Json]], Awaitable[None]]) -> None:
    reader = asyncio.StreamReader(limit=LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    task: Json = json.loads(await reader.readline())
    await main(task, _questions(reader))


async def _questions(reader: asyncio.StreamReader) -> AsyncIterator[Json]:
    while line := await reader.readline():
        yield json.loads(line)
