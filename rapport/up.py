"""`rapport up`: one process tree with everything, started in order, kept alive, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from base.settings import Settings
from rapport.embedded import EmbeddedServers, Servers

log = logging.getLogger(__name__)

#: A role gets this long to finish what it has begun.
STOP_S = 25.0
#: Pauses between two tries to start a role that dies, seconds.
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
#: A role that lived this long starts again without a pause.
STEADY_S = 30.0


@dataclass
class Role:
    """A part of the tree: `rapport web`, `rapport worker` or the simulator. Started again whenever it dies."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    task: asyncio.Task[None] | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Begin, and keep alive until `stop`."""
        self.task = asyncio.create_task(self._keep_alive(), name=self.name)

    async def stop(self) -> None:
        """Ask it to end, wait, and only then kill. At any moment: while it lives, is being started, or waits for it."""
        self.stopping.set()
        if self.task is not None:
            await asyncio.wait([self.task])

    async def _keep_alive(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while not self.stopping.is_set():
            started = loop.time()
            process = await _spawn(self.arguments, self.environment)
            await self._unless_stopped(process.wait())
            if self.stopping.is_set():
                await self._end(process)
                return
            failures = 0 if loop.time() - started > STEADY_S else failures + 1
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            told = {"role": self.name, "code": process.returncode, "pause_s": pause}
            log.warning("role died and is started again", extra=told)
            await self._unless_stopped(asyncio.sleep(pause))

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for `work`, but no longer than until we are told to stop."""
        told, working = asyncio.create_task(self.stopping.wait()), asyncio.create_task(work)
        try:
            await asyncio.wait({told, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            working.cancel()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Also for one that has ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            log.warning("role does not end and is killed", extra={"role": self.name})
            process.kill()
            await process.wait()


async def _spawn(arguments: Sequence[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    """A session of its own: Ctrl-C reaches the root alone, and the order of stopping is ours."""
    command = [sys.executable, "-m", "rapport", *arguments, "--parent", str(os.getpid())]
    return await asyncio.create_subprocess_exec(*command, env=environment, start_new_session=True)


Prepare = Callable[[Settings, Servers], Awaitable[str]]


async def run(settings: Settings, *, demo: bool, prepare: Prepare, say: Callable[[str], None]) -> None:
    """Start, print what a person needs, serve until SIGINT or SIGTERM, stop in order.

    `prepare` is awaited with the servers' addresses before the roles start: migrations, demo data, first link.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    embedded = EmbeddedServers(
        settings.data,
        mongo=settings.mongo_url is None,
        redis=settings.redis_url is None,
        base_url=settings.base_url,
        mail_listen=settings.mail_listen or "",
    )
    roles: list[Role] = []
    try:
        servers = _addresses(settings, await embedded.start())
        if embedded.mended:
            say(embedded.mended)
        greeting = await prepare(settings, servers)
        roles = _roles(settings, servers, demo=demo)
        roles[0].start()  # the others would take half of a small machine while somebody waits for a page
        if await _served(settings, stop):
            say(greeting)
            for role in roles[1:]:
                role.start()
            await stop.wait()
    finally:
        for role in reversed(roles):
            await role.stop()
        await embedded.stop()


def _addresses(settings: Settings, started: Servers) -> Servers:
    mongo = settings.mongo_url.get_secret_value() if settings.mongo_url else started.mongo_url
    redis = settings.redis_url.get_secret_value() if settings.redis_url else started.redis_url
    return Servers(mongo, redis)


def _roles(settings: Settings, servers: Servers, *, demo: bool) -> list[Role]:
    environment = {
        **os.environ,
        "RAPPORT_MONGO_URL": servers.mongo_url,
        "RAPPORT_REDIS_URL": servers.redis_url,
        "RAPPORT_DATA": str(Path(settings.data).resolve()),
        "RAPPORT_HOST": settings.host,
        "RAPPORT_PORT": str(settings.port),
        "RAPPORT_BASE_URL": settings.base_url,
        "RAPPORT_ALLOW_PRIVATE_ADDRESSES": ",".join(settings.allow_private_addresses),
    }
    if settings.mail_listen:
        environment["RAPPORT_MAIL_LISTEN"] = settings.mail_listen
    roles = [Role("web", ("web",), environment), Role("worker", ("worker",), environment)]
    return [*roles, Role("simulator", ("demo", "play"), environment)] if demo else roles


async def _served(settings: Settings, stop: asyncio.Event) -> bool:
    """True when a page is served; False when we were asked to stop before."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    url = f"http://{host}:{settings.port}/healthz"
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            try:
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                    if answer.status == 200:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.1)
    return False
