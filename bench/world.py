"""The world of a run: private servers, one web and one worker process, and a runtime that prepares and looks."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from base.clock import now
from base.secret_box import SecretBox
from base.settings import load
from bench.child import ROOT, Child, once
from channels.store import Channel
from rapport.embedded import EmbeddedServers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime

PHONE, SECRET = "277321005464405", "bench-app-secret"
#: How long the worker may take to come to rest, seconds.
UNREST_S = 120.0
#: And to start, seconds; a busy machine imports slowly.
START_S = 90.0
#: Messages a second that accounts may send: the providers' own limits would be what is measured.
NO_LIMIT = 1_000_000.0


@dataclass
class World:
    """What every scenario needs."""

    runtime: Runtime
    mongo_url: str
    environment: dict[str, str]
    log: Path
    sinks: Child
    ports: dict[str, int]
    token: str
    quick: bool
    #: How large the crowd is that segments are tried on.
    people: int
    whatsapp: Channel
    email: Channel
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    web_port: int = 0

    @property
    def web(self) -> str:
        """Address of the web process."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def hook(self) -> str:
        """Where WhatsApp posts."""
        return f"{self.web}/webhooks/whatsapp/{self.whatsapp.id}"

    def rounds(self, quick: int, full: int) -> int:
        """How often something is measured, or how many of something are made."""
        return quick if self.quick else full

    async def floor(self, name: str, **task: object) -> float:
        """The rate of one bare floor, per second."""
        return float((await once("bench.floor", floor=name, mongo=self.mongo_url, **task))["per_s"])

    async def load(self, **task: object) -> dict[str, object]:
        """What the load generator found; every run has its own customers and message ids."""
        mark = f"{secrets.randbelow(10**6):06d}"
        given = {"url": self.hook, "secret": SECRET, "phone": PHONE, "connections": 64, "mark": mark, **task}
        return await once("bench.load", **given)

    async def start(self, role: str) -> None:
        """`web` or `worker`, as an operator starts it; returns when it serves."""
        arguments = ("web", "--port", str(self.web_port)) if role == "web" else (role,)
        arguments += ("--parent", str(os.getpid()))  # it ends when we are killed
        with self.log.open("ab") as log:
            self.processes[role] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rapport", *arguments, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        await (self._serving() if role == "web" else self._working())

    async def at_rest(self) -> None:
        """Return when no delivery, event or send is due. Raises TimeoutError with the worker's last words."""
        due = {"deliveries": ["pending"], "events": ["pending"], "sends": ["planned", "claimed", "handed"]}
        async with asyncio.timeout(UNREST_S):
            for name, states in due.items():
                rows = self.runtime.db.collection(name)
                while await rows.find_one({"state": {"$in": states}}, {"_id": 1}) is not None:
                    await asyncio.sleep(0.02)

    def resident_mb(self, role: str) -> float:
        """Memory of a process and of those it started, MiB."""
        return sum(each.resident_mb for each in family(self.processes[role].pid))

    def cpu_s(self, role: str) -> float:
        """Processor time it and those have used so far, seconds."""
        return cpu_s(self.processes[role].pid)

    async def stop(self) -> None:
        """End the processes in order."""
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(asyncio.wait_for(each.wait(), 40) for each in self.processes.values()))
        await self.sinks.stop()
        await self.runtime.close()

    async def _serving(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_S):
            while self.processes["web"].returncode is None:
                try:
                    async with session.get(f"{self.web}/healthz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise RuntimeError("the web process died as it started")

    async def _working(self) -> None:
        async with asyncio.timeout(START_S):
            while not await self.runtime.heartbeats.alive():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def opened(folder: Path, *, quick: bool, people: int = 50_000) -> AsyncIterator[World]:
    """A world of its own in `folder`; nothing is left running."""
    servers = EmbeddedServers(folder / "data")
    addresses = await servers.start()
    try:
        world = await _made(folder, addresses.mongo_url, addresses.redis_url, quick=quick, people=people)
        try:
            yield world
        finally:
            await world.stop()
    finally:
        await servers.stop()


async def _made(folder: Path, mongo_url: str, redis_url: str, *, quick: bool, people: int) -> World:
    key = SecretBox.new_key()
    settings = load(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), secret_keys=(SecretStr(key),),
        allow_private_addresses=("127.0.0.0/8",), data=folder,
    )  # fmt: skip
    runtime = await open_runtime(settings)
    await migrate(runtime.db)
    sinks = await Child.start("bench.sinks")
    ports = await sinks.answer()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")},
        "RAPPORT_MONGO_URL": mongo_url, "RAPPORT_REDIS_URL": redis_url, "RAPPORT_SECRET_KEYS": key,
        "RAPPORT_ALLOW_PRIVATE_ADDRESSES": "127.0.0.0/8", "RAPPORT_DATA": str(folder),
        "RAPPORT_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    return World(
        runtime=runtime, mongo_url=mongo_url, environment=environment, log=folder / "processes.log", sinks=sinks,
        ports=ports, token=await runtime.accounts.issue_token("bench", "admin"), quick=quick, people=people,
        whatsapp=await _whatsapp(runtime, ports["http"]), email=await _email(runtime, ports["smtp"]),
        web_port=_free_port(),
    )  # fmt: skip


async def _whatsapp(runtime: Runtime, port: int) -> Channel:
    settings = {"phone_number_id": PHONE, "business_account_id": "1", "access_token": "t", "app_secret": SECRET,
                "verify_token": "v", "api_base": f"http://127.0.0.1:{port}"}  # fmt: skip
    return await _unlimited(runtime, await runtime.channels.add("whatsapp", "Bench chat", settings))


async def _email(runtime: Runtime, port: int) -> Channel:
    settings = {"from_address": "shop@example.com", "from_name": "The shop", "smtp_host": "127.0.0.1",
                "smtp_port": port, "smtp_tls": "none"}  # fmt: skip
    return await _unlimited(runtime, await runtime.channels.add("email", "Bench mail", settings))


async def _unlimited(runtime: Runtime, channel: Channel) -> Channel:
    change = {"$set": {"rate_per_s": NO_LIMIT, "updated_at": now()}}
    await runtime.db.collection("channels").update_one({"_id": channel.id}, change)
    return channel


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class _Process:
    """What the system says of a process."""

    pid: int
    parent: int
    resident_mb: float
    cpu_s: float


def family(pid: int) -> list[_Process]:
    """The process and its descendants."""
    everybody = _processes()
    found = [each for each in everybody if each.pid == pid]
    for one in found:
        found += [each for each in everybody if each.parent == one.pid]
    return found


def cpu_s(pid: int) -> float:
    """Processor time that a process and its descendants have used, seconds."""
    return sum(each.cpu_s for each in family(pid))


def _processes() -> list[_Process]:
    """Everybody; from /proc where it is, because small systems have no ps."""
    if not Path("/proc/self/stat").exists():
        ps = ["ps", "-A", "-o", "pid=,ppid=,rss=,time="]
        listed = subprocess.run(ps, capture_output=True, text=True, check=True).stdout.splitlines()
        fields = [line.split() for line in listed]
        return [_Process(int(f[0]), int(f[1]), int(f[2]) / 1024, _seconds(f[3])) for f in fields]
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            f = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        used = (int(f[11]) + int(f[12])) / tick
        found.append(_Process(int(stat.parent.name), int(f[1]), int(f[21]) * page / 1024**2, used))
    return found


def _seconds(text: str) -> float:
    """`MM:SS.ss` or `HH:MM:SS` in seconds."""
    total = 0.0
    for part in text.replace("-", ":").split(":"):
        total = total * 60 + float(part)
    return total


def stopwatch() -> float:
    """The clock that all processes of the machine share, seconds."""
    return time.monotonic()
