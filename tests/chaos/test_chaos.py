"""2,000 webhooks × 1.3, five `kill -9`, the database once, Redis flushed: the ledgers of both sides must agree.

The generator keeps its own ledger (event → first 200) and never looks into ours while it works. At the end:
lost = acknowledged − stored, doubled = events with more than one message, stuck = rows with neither an end nor a
due time. Figures are printed as JSON.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from base.mongo import Database
from base.secret_box import SecretBox
from base.settings import load
from rapport.embedded import EmbeddedServers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from tests.chaos.fake_graph import FakeGraph, Poster, envelope, text_message
from tests.chaos.fleet import Fleet, surroundings
from tests.chaos.hurry import hurried

pytestmark = pytest.mark.timeout(480)

SEED = int(os.environ.get("RAPPORT_TEST_SEED", "20261122"))
EVENTS = int(os.environ.get("RAPPORT_TEST_EVENTS", "2000"))
PEOPLE = 150
REPLIES = 120
PATIENCE_S = 240.0
PHONE, SECRET = "277321005464405", "chaos-app-secret"
JOURNEY: dict[str, Any] = {
    "name": "Welcome",
    "trigger": {"type": "message_received", "first_contact": True},
    "reentry": {"mode": "once"},
    "class": "marketing",
    "steps": [
        {"id": "hello", "type": "send", "channels": ["whatsapp"], "content": {"text": "Welcome!"}, "next": "pause"},
        {"id": "pause", "type": "wait", "for": "PT5S", "next": "tip"},
        {"id": "tip", "type": "send", "channels": ["whatsapp"], "content": {"text": "A tip."}, "next": "bye"},
        {"id": "bye", "type": "exit", "reason": "done"},
    ],
}


class Storm:
    """The world around Rapport: customers, agents, a provider, and somebody pulling plugs."""

    def __init__(self, fleet: Fleet, servers: EmbeddedServers, graph: FakeGraph, poster: Poster, api: str) -> None:
        self.fleet, self.servers, self.graph, self.poster, self.api = fleet, servers, graph, poster, api
        self.random = random.Random(SEED)
        self.kills: list[str] = []
        self.replied: dict[str, str] = {}
        self.calm = asyncio.Event()

    async def customers(self, session: aiohttp.ClientSession) -> None:
        """Every event once or twice, shuffled, forty at a time."""
        events = [(f"wamid.IN{n}", f"4915{n % PEOPLE:08d}", f"message {n}") for n in range(EVENTS)]
        deliveries = [*events, *self.random.sample(events, int(EVENTS * 0.3))]
        self.random.shuffle(deliveries)
        gate = asyncio.Semaphore(40)

        async def deliver(event: tuple[str, str, str]) -> None:
            async with gate:
                await self.poster.post(session, event[0], _body(*event))
                await asyncio.sleep(0.4)

        await asyncio.gather(*(deliver(event) for event in deliveries))

    async def provider(self, session: aiohttp.ClientSession) -> None:
        """Posts the receipts of what it accepted."""
        while not (self.calm.is_set() and self.graph.receipts.empty()):
            try:
                status = await asyncio.wait_for(self.graph.receipts.get(), 0.5)
            except TimeoutError:
                continue
            name = f"receipt:{status['id']}:{status['status']}"
            await self.poster.post(session, name, envelope(PHONE, statuses=[status]))

    async def agents(self, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        """Answer conversations through the API; each POST is tried until it is answered, with the same key."""
        while len(self.replied) < REPLIES:
            listed = await self._api(session, "GET", "/api/v1/conversations?limit=50", headers)
            for conversation in listed["data"]:
                if len(self.replied) >= REPLIES:
                    break
                key = f"reply-{len(self.replied)}"
                path = f"/api/v1/conversations/{conversation['id']}/messages"
                keyed = {**headers, "Idempotency-Key": key}
                answer = await self._api(session, "POST", path, keyed, {"text": f"Answer {key}"})
                self.replied[key] = answer["id"]
                await asyncio.sleep(0.15)

    async def _api(
        self, session: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> Any:
        for _ in range(200):
            try:
                timeout = aiohttp.ClientTimeout(total=10)
                url = self.api + path
                async with session.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
                    if answer.status < 300:
                        return await answer.json()
                    if answer.status not in (409, 429, 503):
                        raise AssertionError(f"{method} {path} {answer.status}: {await answer.text()}")
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.3)
        raise AssertionError(f"{method} {path} was never answered")

    async def plugs(self, redis_url: str) -> None:
        """Five processes, the database, Redis: spread over the storm."""
        for name in ("worker-1", "web-1", "worker-2", "mongod", "flush", "web-2", "worker-1"):
            await asyncio.sleep(3.5)
            if name == "mongod":
                pid = self.servers.mongod_pid
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            elif name == "flush":
                async with Redis.from_url(redis_url) as redis:
                    await redis.flushall()
            else:
                self.fleet.kill(name)
            self.kills.append(name)


def _body(message_id: str, sender: str, text: str) -> bytes:
    # The same event must be the same bytes each time, as a provider's redelivery is.
    if message_id not in _BODIES:
        _BODIES[message_id] = text_message(PHONE, sender, message_id, text)
    return _BODIES[message_id]


_BODIES: dict[str, bytes] = {}


async def _prepare(runtime: Runtime, graph_url: str) -> tuple[str, str]:
    await migrate(runtime.db)
    channel = await runtime.channels.add(
        "whatsapp",
        "Chaos",
        {"phone_number_id": PHONE, "business_account_id": "1", "access_token": "t", "app_secret": SECRET,
         "verify_token": "v", "api_base": graph_url},
    )  # fmt: skip
    token, _ = await runtime.accounts.new_token("agent", "admin")
    journey = await runtime.journeys.create(JOURNEY)
    await runtime.journeys.publish(journey["_id"])
    return channel.id, token


async def test_nothing_lost_nothing_doubled_nothing_stuck(
    private_servers: EmbeddedServers, tmp_path: Path, local_server: Any, free_port: Callable[[], int]
) -> None:
    started = time.monotonic()
    graph = FakeGraph(SEED)
    graph_url = (await local_server(graph.application())).rstrip("/")
    key, addresses = SecretBox.new_key(), private_servers.servers
    overrides = {
        "mongo_url": SecretStr(addresses.mongo_url), "redis_url": SecretStr(addresses.redis_url),
        "secret_keys": (SecretStr(key),), "allow_private_addresses": ("127.0.0.0/8",), "data": tmp_path,
    }  # fmt: skip
    runtime = await open_runtime(load(**overrides))
    channel_id, token = await _prepare(runtime, graph_url)
    ports = (free_port(), free_port())
    fleet = _fleet(addresses, key, tmp_path, ports)
    fleet.start()
    hooks = [f"http://127.0.0.1:{port}/webhooks/whatsapp/{channel_id}" for port in ports]
    storm = Storm(fleet, private_servers, graph, Poster(hooks, SECRET, SEED), f"http://127.0.0.1:{ports[0]}")
    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as session:
        receipts = asyncio.create_task(storm.provider(session))
        await asyncio.gather(storm.customers(session), storm.agents(session, headers), storm.plugs(addresses.redis_url))
        quiet_s = await _until_quiet(runtime.db, storm.graph)
        storm.calm.set()
        await receipts
        await _until_quiet(runtime.db, storm.graph)
    memory = fleet.resident_mb()
    codes = await fleet.stop()
    figures = await _figures(runtime.db, storm, channel_id)
    figures |= {"seed": SEED, "kills": storm.kills, "exit_codes": codes, "quiet_after_s": round(quiet_s, 1),
                "resident_mb": {name: round(mb) for name, mb in memory.items()},
                "seconds": round(time.monotonic() - started, 1)}  # fmt: skip
    await runtime.close()
    print("\nchaos " + orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the figures are the point
    _judge(figures)


def _fleet(addresses: Any, key: str, folder: Path, ports: tuple[int, int]) -> Fleet:
    fleet = Fleet(surroundings(addresses, key, folder), folder / "fleet.log")
    for number, port in enumerate(ports, 1):
        fleet.add(f"web-{number}", "web", "--port", str(port))
        fleet.add(f"worker-{number}", "worker")
    return fleet


async def _until_quiet(database: Database, graph: FakeGraph) -> float:
    """Wait until no duty is open; how long it took. Open runs may wait for their own time. Tries to come are not waited
    for, nor echoes that never will: of calls that died with their worker before the provider took them."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE_S:
        open_duties = [
            await database.collection("deliveries").count_documents({"state": "pending"}),
            await database.collection("events").count_documents({"state": "pending"}),
            await database.collection("sends").count_documents(
                {"state": {"$in": ["planned", "claimed", "deferred", "handed"]}}
            ),
            await database.collection("enrolments").count_documents({"state": {"$ne": "ended"}}),
        ]
        if not any(open_duties):
            break
        await hurried(database, echoes=graph.receipts.empty() and not open_duties[0])
        await asyncio.sleep(0.5)
    return time.monotonic() - started


async def _figures(database: Database, storm: Storm, channel_id: str) -> dict[str, Any]:
    acked = {event for event in storm.poster.acknowledged if event.startswith("wamid.IN")}
    messages = database.collection("messages")
    inbound = [row async for row in messages.find({"direction": "in"}, {"provider_message_id": 1})]
    stored = {row["provider_message_id"] for row in inbound}
    sends = [row async for row in database.collection("sends").find({})]
    latencies = sorted(storm.poster.latencies_ms)
    marketing = [row for row in sends if row["class"] == "marketing"]
    replies = [row for row in sends if row["source"]["kind"] == "reply"]
    texts: dict[str, int] = {}
    for send_key, text in storm.graph.texts.items():
        texts[text] = texts.get(text, 0) + storm.graph.accepted[send_key]
    return {
        "events": EVENTS, "acknowledged": len(acked), "requests": storm.poster.requests,
        "lost": len(acked - stored), "doubled_in": len(inbound) - len(stored),
        "deliveries_unfinished": await database.collection("deliveries").count_documents({"state": {"$ne": "done"}}),
        "profiles": await database.collection("profiles").count_documents({}),
        "conversations": await database.collection("conversations").count_documents({"channel_id": channel_id}),
        "runs": await database.collection("enrolments").count_documents({}),
        "runs_stuck": await database.collection("enrolments").count_documents(
            {"state": {"$ne": "ended"}, "due_at": None}
        ),
        "runs_open": await database.collection("enrolments").count_documents({"state": {"$ne": "ended"}}),
        "marketing_sends": len(marketing), "marketing_states": _states(marketing),
        "marketing_doubled": sum(1 for row in marketing if storm.graph.accepted[row["send_key"]] > 1),
        "replies": len(storm.replied), "reply_sends": len(replies), "reply_states": _states(replies),
        "replies_unsent": sum(1 for key in storm.replied if texts.get(f"Answer {key}", 0) == 0),
        "replies_repeated": sum(max(0, texts.get(f"Answer {key}", 0) - 1) for key in storm.replied),
        "p50_ms": round(latencies[len(latencies) // 2], 1), "p99_ms": round(latencies[int(len(latencies) * 0.99)], 1),
    }  # fmt: skip


def _states(rows: list[dict[str, Any]]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows:
        counted[row["state"]] = counted.get(row["state"], 0) + 1
    return counted


def _judge(figures: dict[str, Any]) -> None:
    assert figures["acknowledged"] == EVENTS
    assert figures["lost"] == 0 and figures["doubled_in"] == 0 and figures["deliveries_unfinished"] == 0
    assert figures["profiles"] == figures["conversations"] == figures["runs"] == PEOPLE
    assert figures["runs_stuck"] == 0 and figures["runs_open"] == 0
    assert figures["marketing_sends"] == 2 * PEOPLE and figures["marketing_doubled"] == 0
    ended = {"accepted", "delivered", "read", "failed", "skipped", "unknown"}
    assert set(figures["marketing_states"]) | set(figures["reply_states"]) <= ended
    assert figures["reply_sends"] == figures["replies"] == REPLIES and figures["replies_unsent"] == 0
    # At least once: a repeat is allowed only where a worker was killed with the call under way.
    assert figures["replies_repeated"] <= 3 * 8
    assert set(figures["exit_codes"]) == {0}
