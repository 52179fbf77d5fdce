"""`rapport up` as a person runs it: a process tree on a data directory, its output, its parts by name, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from rapport import embedded
from tests.chaos.fleet import ROOT
from tests.journeys.outside import eventually
from tests.journeys.world import clean_environment, free_ports


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


async def rapport(*arguments: str, **environment: str) -> Said:
    """One command of the command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rapport", *arguments, cwd=ROOT, env=clean_environment(**environment),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


@dataclass
class Tree:
    """One data directory with its `up`. The parts: web, worker, mongod, valkey-server."""

    data: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    mail_port: int = field(default_factory=lambda: free_ports(1)[0])
    process: asyncio.subprocess.Process | None = None
    #: Further settings of the environment.
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> Path:
        """Everything it and its parts said."""
        return self.data.parent / "up.log"

    async def start(self) -> float:
        """Seconds until a page was served to somebody who kept asking."""
        begun = time.monotonic()
        environment = clean_environment(RAPPORT_MAIL_LISTEN=f"127.0.0.1:{self.mail_port}", **self.settings)
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rapport", "up", "--port", str(self.port), "--data", str(self.data),
                cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            await eventually(self._page, "a page", within_s=170)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text(errors='replace')[-3000:]}") from None
        return time.monotonic() - begun

    async def _page(self) -> bool:
        assert self.process is not None and self.process.returncode is None, self.log.read_text(errors="replace")
        return await self.answers("/sign-in")

    async def answers(self, path: str) -> bool:
        """Whether a page is served now."""
        try:
            timeout = aiohttp.ClientTimeout(total=30)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url + path) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def said(self, words: str) -> str:
        """The line of its output that holds these words, as soon as it is there."""

        def find() -> str | None:
            lines = self.log.read_text(errors="replace").splitlines()
            return next((line for line in lines if words in line), None)

        return str(await eventually(find, f"{words!r} in the output", within_s=90))

    def parts(self) -> dict[str, int]:
        """Name → process id of what lives now."""
        found: dict[str, int] = {}
        assert self.process is not None
        for pid in _children_of(self.process.pid):
            command = embedded._command_of(pid)
            for name, mark in (("web", "rapport web"), ("worker", "rapport worker"), ("valkey-server", "valkey-server"),
                               ("mongod", "/mongod ")):  # fmt: skip
                if mark in command:
                    found[name] = pid
        return found

    async def stop(self) -> list[str]:
        """Ctrl-C, as a terminal does it; the parts in the order in which they were seen to go."""
        assert self.process is not None
        alive, gone = self.parts(), []
        os.killpg(self.process.pid, signal.SIGINT)
        end = time.monotonic() + 90
        while (self.process.returncode is None or alive) and time.monotonic() < end:
            dead = sorted(name for name, pid in alive.items() if not embedded._lives(pid))
            gone += dead
            for name in dead:
                del alive[name]
            await asyncio.sleep(0.005)
        assert not alive, f"still there after Ctrl-C: {alive}"
        return gone

    async def kill(self) -> None:
        """For whatever a failed test left behind."""
        if self.process is not None and self.process.returncode is None:
            left = self.parts()
            self.process.kill()
            await self.process.wait()
            for pid in left.values():
                embedded._signal(pid, signal.SIGKILL)

    def servers(self) -> dict[str, object]:
        """What the supervisor wrote down for other commands."""
        found: dict[str, object] = json.loads((self.data / "servers.json").read_text())
        return found


def _children_of(pid: int) -> list[int]:
    """The living children of a process, on Linux and elsewhere."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            fields = (each / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(each.name))
    return found
