"""One web and one worker process on a database of their own, with a client of the API and helpers for channels."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import os
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
from aiohttp import web
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from base.clock import now
from base.mongo import UNAVAILABLE
from base.secret_box import SecretBox
from base.settings import Settings
from campaigns.live import FRESH_S
from inbox.answering import AnsweringRules
from rapport.embedded import Servers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from tests.channels.providers.mail.email.sink import real_sink
from tests.chaos.fleet import Fleet
from tests.journeys.outside import Outside, eventually
from tests.journeys.talks import Mailbox, OwnSystem, Person, Telegram, WhatsApp

#: Rows that change by themselves while nothing happens.
RESTLESS = frozenset({"workers", "tokens", "sessions", "attempts", "value_settings"})


@dataclass
class Api:
    """The REST API with one token."""

    session: aiohttp.ClientSession
    token: str

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 0, key: str | None = None) -> Any:
        """The answer's JSON. `status` 0: any success will do."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key} if key else {})}
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        async with self.session.request(method, f"/api/v1{path}", data=data, headers=headers) as answer:
            text = await answer.text()
            wanted = answer.status == status if status else answer.status < 300
            assert wanted, f"{method} {path} {answer.status}: {text[:1500]}"
            return orjson.loads(text) if text else None

    async def get(self, path: str, **more: Any) -> Any:
        """GET."""
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """POST."""
        return await self.call("POST", path, body, **more)

    async def rows(self, path: str) -> list[dict[str, Any]]:
        """The first 200 rows of a list, as the list has them."""
        joined = "&" if "?" in path else "?"
        found: list[dict[str, Any]] = (await self.get(f"{path}{joined}limit=200"))["data"]
        return found


@dataclass
class World:
    """Everything a story needs. `runtime` and `db` are for looking only: nothing is served from here."""

    url: str
    api: Api
    outside: Outside
    fleet: Fleet
    runtime: Runtime
    db: AsyncDatabase[dict[str, Any]]
    mail_port: int
    folder: Path
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _journeys: list[str] = field(default_factory=list)
    _known_at: float = 0.0

    def number(self) -> int:
        """Never the same twice."""
        return int(next(self._numbers))

    # -- channels ----------------------------------------------------------------------------------------------

    async def channel(self, provider: str, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Connected through the API."""
        body = {"provider": provider, "name": name, "settings": settings}
        made: dict[str, Any] = await self.api.post("/channels", body, status=201)
        return made

    async def whatsapp(self) -> WhatsApp:
        """A number of our own."""
        phone_id, secret = f"27732100{self.number():07d}", secrets.token_hex(16)
        settings = {
            "phone_number_id": phone_id, "business_account_id": "104996122399160", "access_token": "EAAB-not-real",
            "app_secret": secret, "verify_token": "v", "api_base": f"{self.outside.url}/graph",
        }  # fmt: skip
        made = await self.channel("whatsapp", f"WhatsApp {phone_id}", settings)
        return WhatsApp(self.api.session, made["id"], self._path(made), phone_id, secret)

    async def telegram(self) -> Telegram:
        """A bot of our own."""
        bot, secret = f"{self.number():04d}:{secrets.token_urlsafe(24)}", secrets.token_hex(16)
        settings = {"bot_token": bot, "secret_token": secret, "api_base": f"{self.outside.url}/telegram"}
        made = await self.channel("telegram", f"Telegram {bot[:4]}", settings)
        return Telegram(self.api.session, made["id"], self._path(made), bot, secret)

    async def own_system(self) -> OwnSystem:
        """Somebody's own system, Standard Webhooks both ways."""
        name, secret = f"shop{self.number()}", "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        settings = {"scheme": "standard", "secret": secret, "send_url": f"{self.outside.url}/own/{name}"}
        made = await self.channel("generic", f"Own {name}", settings)
        return OwnSystem(self.api.session, made["id"], self._path(made), name, secret)

    async def mailbox(self) -> Mailbox:
        """An address of our own: in by the listener, out by the SMTP sink. Bounces come to it, too."""
        address = f"care{self.number()}@harbour-tea.example"
        settings = {"from_address": address, "from_name": "Harbour Tea", "smtp_host": "127.0.0.1",
                    "smtp_port": self.outside.sink.port, "smtp_tls": "none", "return_address": address}  # fmt: skip
        made = await self.channel("email", address, settings)
        return Mailbox(made["id"], address, self.mail_port)

    def _path(self, channel: dict[str, Any]) -> str:
        return str(channel["webhook_url"]).removeprefix(self.url)

    # -- journeys ----------------------------------------------------------------------------------------------

    async def recipe(self, name: str, **params: Any) -> str:
        """A ready-made journey, live; archived when the test ends. See `journeys_known`."""
        made = await self.api.post(f"/journeys/recipes/{name}", {"params": params, "live": True}, status=201)
        return self._changed(made["id"])

    async def journey(self, definition: dict[str, Any]) -> str:
        """A journey of the test's own, live; archived when the test ends. See `journeys_known`."""
        made = await self.api.post("/journeys", definition, status=201)
        await self.api.post(f"/journeys/{made['id']}/publish", {})
        return self._changed(made["id"])

    async def journeys_known(self) -> None:
        """Return when every process has seen which journeys run: their picture is at most two seconds old."""
        await asyncio.sleep(max(0.0, self._known_at - time.monotonic()))

    async def end_journeys(self) -> None:
        """Nobody enters the journeys of this test any more."""
        for journey_id in self._journeys[:]:
            await self.api.call("PUT", f"/journeys/{journey_id}/status", {"status": "archived"})
            self._changed(journey_id)
        self._journeys.clear()

    def _changed(self, journey_id: str) -> str:
        self._journeys.append(journey_id)
        self._known_at = time.monotonic() + FRESH_S + 0.1
        return journey_id

    # -- looking -----------------------------------------------------------------------------------------------

    async def conversation(self, channel_id: str, one: Person | None = None) -> dict[str, Any]:
        """The one conversation of a channel (with somebody), as soon as it is there."""

        async def look() -> list[dict[str, Any]]:
            rows = await self.api.rows(f"/conversations?channel={channel_id}")
            return [row for row in rows if one is None or row["address"]["external_id"] == one.phone]

        found = await eventually(look, f"a conversation on {channel_id}")
        assert len(found) == 1, found
        row: dict[str, Any] = found[0]
        return row

    async def messages(self, conversation_id: str, direction: str = "") -> list[dict[str, Any]]:
        """Lines of a conversation, oldest first."""
        rows = await self.api.rows(f"/conversations/{conversation_id}/messages")
        return [each for each in reversed(rows) if direction in ("", each["direction"])]

    async def quiet(self) -> None:
        """Return when no duty is due within a minute."""
        at_once = {"state": {"$in": ["pending", "claimed", "handed"]}}

        async def still() -> bool:
            soon = {"state": {"$in": ["planned", "deferred"]}, "due_at": {"$lte": now() + timedelta(minutes=1)}}
            figures = {"state": "due", "due_at": soon["due_at"]}
            wanted = {"$or": [at_once, soon, figures]}
            books = ("deliveries", "events", "sends", "inbox_facts_due")
            return not sum([await self.db[each].count_documents(wanted) for each in books])

        await eventually(still, "quiet")

    async def digest(self) -> dict[str, str]:
        """Collection → a hash of all that is in it, apart from what changes by itself."""
        found = {}
        for name in sorted(await self.db.list_collection_names()):
            if name not in RESTLESS:
                rows = [repr(row) async for row in self.db[name].find({}).sort("_id", 1)]
                found[name] = f"{len(rows)}:{hashlib.sha256(''.join(rows).encode()).hexdigest()[:16]}"
        return found


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def clean_environment(**more: str) -> dict[str, str]:
    """Ours without anybody's Rapport settings, plus `more`. Byte code is kept as on any machine, if in a folder apart:
    without it a process needs three times as long to start."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "rapport-tests-pycache"), **more}


@asynccontextmanager
async def opened_world(servers: Servers, folder: Path, name: str) -> AsyncIterator[World]:
    """Start both processes, wait until they serve; stop them in order and drop the database."""
    database = f"test_{name}_{uuid4().hex[:8]}"
    port, mail_port = free_ports(2)
    url, key = f"http://127.0.0.1:{port}", SecretBox.new_key()
    environment = clean_environment(
        RAPPORT_MONGO_URL=servers.mongo_url, RAPPORT_REDIS_URL=servers.redis_url, RAPPORT_SECRET_KEYS=key,
        RAPPORT_DATABASE=database, RAPPORT_QUEUE_PREFIX=database, RAPPORT_BASE_URL=url, RAPPORT_PORT=str(port),
        RAPPORT_DATA=str(folder), RAPPORT_MAIL_LISTEN=f"127.0.0.1:{mail_port}", RAPPORT_LOG_LEVEL="INFO",
        RAPPORT_ALLOW_PRIVATE_ADDRESSES="127.0.0.0/8", RAPPORT_DEFAULT_REGION="DE",
    )  # fmt: skip
    settings = Settings(
        _env_file=None, mongo_url=SecretStr(servers.mongo_url), redis_url=SecretStr(servers.redis_url), data=folder,
        database=database, queue_prefix=database, secret_keys=(SecretStr(key),), base_url=url,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        runtime = await open_runtime(settings)
        stack.push_async_callback(runtime.close)
        await eventually(partial(_migrated, runtime), "a database in shape", within_s=150)
        stack.push_async_callback(runtime.db.drop)
        client = await stack.enter_async_context(AsyncMongoClient[dict[str, Any]](servers.mongo_url))
        # Stories answer often; those about taking back choose a time for it themselves.
        await runtime.answering.choose(AnsweringRules(undo_s=0), "stories")
        token, _ = await runtime.accounts.new_token("stories", "admin")
        outside = await _outside(stack)
        fleet = Fleet(environment, folder / "fleet.log")
        fleet.add("web", "web")
        fleet.add("worker", "worker")
        fleet.start()
        stack.push_async_callback(_stop, fleet)
        timeout = aiohttp.ClientTimeout(total=60)
        session = await stack.enter_async_context(aiohttp.ClientSession(url, timeout=timeout))
        world = World(url, Api(session, token), outside, fleet, runtime, client[database], mail_port, folder)
        await _until_served(world)
        yield world


async def _migrated(runtime: Runtime) -> bool:
    """False when the servers are too busy to answer: a test run may share them with others."""
    try:
        await migrate(runtime.db)
    except UNAVAILABLE:
        return False
    return True


async def _outside(stack: AsyncExitStack) -> Outside:
    sink = await stack.enter_async_context(real_sink())
    outside = Outside(sink=sink)
    runner = web.AppRunner(outside.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    outside.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return outside


async def _stop(fleet: Fleet) -> None:
    codes = await fleet.stop()
    assert set(codes) == {0}, f"processes ended with {codes}; see {fleet.log}"


async def _until_served(world: World) -> None:
    async def served() -> bool:
        try:
            async with world.api.session.get("/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(served, "the web process", within_s=90)
        await eventually(world.runtime.heartbeats.alive, "the worker process", within_s=90)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_tail(world.fleet.log)}") from None


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:] if log.exists() else "no log"


def failures_in(log: Path, known: Iterable[str] = ()) -> list[str]:
    """Lines of the processes' log that say something went wrong."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    bad = [line for line in lines if "ERROR" in line or "error    " in line or line.startswith("Traceback")]
    return [line for line in bad if not any(word in line for word in known)]
