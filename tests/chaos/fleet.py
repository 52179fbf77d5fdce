"""Two web and two worker processes that are killed and started again, as a supervisor would."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from rapport.embedded import Servers

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Member:
    """One process of the fleet."""

    name: str
    arguments: tuple[str, ...]
    process: asyncio.subprocess.Process | None = None
    lives: int = 0


@dataclass
class Fleet:
    """Keeps its members alive until stopped."""

    environment: dict[str, str]
    log: Path
    members: list[Member] = field(default_factory=list)
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)
    _stopping: bool = False

    def add(self, name: str, *arguments: str) -> None:
        """A member such as `web-1`, `web`, `--port`, `8001`."""
        self.members.append(Member(name, arguments))

    def start(self) -> None:
        """Start all and keep them alive."""
        self._keepers = [asyncio.create_task(self._keep(member)) for member in self.members]

    def kill(self, name: str) -> None:
        """`kill -9`, no warning."""
        self._signal(name, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """It stands still in the middle of whatever it does, and does not know it."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """It goes on where it stood."""
        self._signal(name, signal.SIGCONT)

    async def stop(self) -> list[int | None]:
        """SIGTERM to all; their exit codes."""
        self._stopping = True
        for member in self.members:
            if member.process is not None and member.process.returncode is None:
                member.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*self._keepers), 40)
        return [member.process.returncode if member.process else None for member in self.members]

    def resident_mb(self) -> dict[str, float]:
        """Memory of each member now, MiB."""
        return {m.name: _resident_mb(m.process.pid) for m in self.members if m.process and m.process.returncode is None}

    def _signal(self, name: str, number: signal.Signals) -> None:
        member = next(each for each in self.members if each.name == name)
        if member.process is not None and member.process.returncode is None:
            os.kill(member.process.pid, number)

    async def _keep(self, member: Member) -> None:
        with self.log.open("ab") as log:
            while not self._stopping:
                member.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "rapport", *member.arguments,
                    env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
                member.lives += 1
                await member.process.wait()
                if not self._stopping:
                    await asyncio.sleep(0.2)


def _resident_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def surroundings(servers: Servers, key: str, folder: Path) -> dict[str, str]:
    """The environment of processes on these servers, without anybody's own settings."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")},
        "RAPPORT_MONGO_URL": servers.mongo_url, "RAPPORT_REDIS_URL": servers.redis_url, "RAPPORT_SECRET_KEYS": key,
        "RAPPORT_ALLOW_PRIVATE_ADDRESSES": "127.0.0.0/8", "RAPPORT_DATA": str(folder), "RAPPORT_LOG_LEVEL": "WARNING",
    }  # fmt: skip


def workers(servers: Servers, key: str, folder: Path, count: int) -> Fleet:
    """Workers `worker-1` and so on, not started yet."""
    fleet = Fleet(surroundings(servers, key, folder), folder / "fleet.log")
    for number in range(1, count + 1):
        fleet.add(f"worker-{number}", "worker")
    return fleet


async def kills(fleet: Fleet, redis_url: str, names: Sequence[str], every_s: float = 2.5) -> None:
    """These members die one after the other; at `flush` Redis forgets everything."""
    for name in names:
        await asyncio.sleep(every_s)
        if name == "flush":
            async with Redis.from_url(redis_url) as redis:
                await redis.flushall()
        else:
            fleet.kill(name)
