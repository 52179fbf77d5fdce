"""A role is kept alive until it is told to stop, and that can be at any moment."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rapport import up

SLEEPER = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEPER}"

Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def born(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Every process a role has started; its arguments are a program for Python."""
    started: list[asyncio.subprocess.Process] = []

    async def spawn(arguments: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", *arguments, env=environment, stdout=pipe)
        started.append(process)
        return process

    monkeypatch.setattr(up, "_spawn", spawn)
    yield started
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_what_dies_is_started_again_and_stops_when_told(born: list[asyncio.subprocess.Process]) -> None:
    role = up.Role("sleeper", [SLEEPER], dict(os.environ))
    role.start()
    await until(lambda: len(born) == 1)
    born[0].kill()
    await until(lambda: len(born) == 2)
    await asyncio.wait_for(role.stop(), 20)
    assert [process.returncode for process in born] == [-signal.SIGKILL, -signal.SIGTERM]


async def test_a_stop_while_it_is_being_started_leaves_nothing_behind(
    born: list[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: Spawn = up._spawn
    begun = asyncio.Event()

    async def slow(*given: object) -> asyncio.subprocess.Process:
        begun.set()
        await asyncio.sleep(0.3)
        return await quick(*given)

    monkeypatch.setattr(up, "_spawn", slow)
    role = up.Role("sleeper", [SLEEPER], dict(os.environ))
    role.start()
    await begun.wait()
    await asyncio.wait_for(role.stop(), 20)
    assert [process.returncode for process in born] == [-signal.SIGTERM]


async def test_a_stop_between_two_lives_does_not_wait_for_the_next(
    born: list[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "BACKOFF_S", (60.0,))
    role = up.Role("mayfly", ["raise SystemExit(3)"], dict(os.environ))
    role.start()
    await until(lambda: bool(born) and born[0].returncode is not None)
    await asyncio.wait_for(role.stop(), 20)
    assert [process.returncode for process in born] == [3]


async def test_what_does_not_end_is_killed(
    born: list[asyncio.subprocess.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "STOP_S", 0.2)
    role = up.Role("deaf", [DEAF], dict(os.environ))
    role.start()
    await until(lambda: len(born) == 1)
    assert born[0].stdout is not None
    assert await born[0].stdout.readline() == b"deaf\n"
    await asyncio.wait_for(role.stop(), 20)
    assert [process.returncode for process in born] == [-signal.SIGKILL]
