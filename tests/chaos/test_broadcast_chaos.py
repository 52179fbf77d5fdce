"""A broadcast to 1,200 people while workers are killed, Redis is flushed, the provider storms, somebody pauses and
resumes, and people opt out: nobody gets it twice, nobody is forgotten, and the ledger adds up with the provider's own.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import SecretStr
from redis.asyncio import Redis

from base.clock import now
from base.secret_box import SecretBox
from base.settings import load
from campaigns.broadcasts.figures import adds_up
from channels.vocabulary import Address, Person
from profiles.consent import ConsentAct
from profiles.resolve import Sighting
from rapport.embedded import EmbeddedServers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from tests.chaos.fleet import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]

SEED = int(os.environ.get("RAPPORT_TEST_SEED", "20261128"))
PEOPLE = int(os.environ.get("RAPPORT_TEST_PEOPLE", "1200"))
OPT_OUTS = 60
#: Sends that failed for a moment come again after a while; the last of them decide how long it takes.
PATIENCE_S = 330.0
#: From the no to the last call that may still have been under way on a busy machine.
HEARD_WITHIN_S = 5.0


#: From which call on there is a storm of which kind, and for how many calls it lasts.
STORMS = {100: "cut", 250: "5xx", 400: "429", 600: "cut", 800: "5xx"}
STORM_CALLS = 50


class FakeTelegram:
    """Takes messages and keeps its own ledger. In a storm it refuses, fails, or takes a message and hangs up."""

    def __init__(self, seed: int) -> None:
        self.taken: Counter[str] = Counter()
        self.at: dict[str, float] = {}
        self.answers: dict[str, int] = defaultdict(int)
        self._calls = 0
        self.begun = asyncio.Event()
        self._random = random.Random(seed)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{bot}/{method}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read() or b"{}")
        if request.match_info["method"] != "sendMessage":  # asked who somebody is
            return web.json_response({"ok": True, "result": {"id": body.get("chat_id"), "first_name": "P"}})
        self.begun.set()
        await asyncio.sleep(0.02)
        self._calls += 1
        storm = next((kind for begin, kind in STORMS.items() if begin <= self._calls < begin + STORM_CALLS), None)
        kind = storm if storm is not None and self._random.random() < 0.3 else "taken"
        self.answers[kind] += 1
        if kind == "429":
            answer = {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 1}}
            return web.json_response(answer, status=429)
        if kind == "5xx":
            return web.json_response({"ok": False, "error_code": 502, "description": "Bad Gateway"}, status=502)
        chat = str(body.get("chat_id"))
        self.taken[chat] += 1
        self.at[chat] = time.time()
        if kind == "cut" and request.transport is not None:
            request.transport.abort()  # taken, and nobody will ever say so
        message = {"message_id": len(self.taken), "date": int(time.time()), "chat": {"id": 1}}
        return web.json_response({"ok": True, "result": message})


async def test_nobody_twice_nobody_forgotten(
    private_servers: EmbeddedServers, tmp_path: Path, local_server: Any
) -> None:
    provider, started = FakeTelegram(SEED), time.monotonic()
    url = (await local_server(provider.application())).rstrip("/")
    key, addresses = SecretBox.new_key(), private_servers.servers
    runtime = await open_runtime(
        load(
            mongo_url=SecretStr(addresses.mongo_url), redis_url=SecretStr(addresses.redis_url),
            secret_keys=(SecretStr(key),), allow_private_addresses=("127.0.0.0/8",), data=tmp_path,
        )
    )  # fmt: skip
    await migrate(runtime.db)
    channel = await runtime.channels.add(
        "telegram", "Chaos", {"bot_token": "1:x", "secret_token": "s" * 20, "api_base": url}
    )
    await runtime.db.collection("channels").update_one({"_id": channel.id}, {"$set": {"rate_per_s": 30.0}})
    people = await _people(runtime, channel.id)
    fleet = _fleet(addresses, key, tmp_path)
    fleet.start()
    head = await runtime.broadcasts.create(
        {"name": "Chaos", "channel_ids": [channel.id], "content": {"text": "Hello {{ profile.name }}"},
         "audience": {"rule": {"all": []}}, "holdout_percent": 5}
    )  # fmt: skip
    broadcast = head["_id"]
    await runtime.broadcasts.set_status(broadcast, "running")
    await provider.begun.wait()
    storm = [_kills(fleet, addresses.redis_url), _pauses(runtime, broadcast)]
    noes, *_ = await asyncio.gather(_opt_outs(runtime, people), *storm)
    await _until_done(runtime, broadcast)
    codes = await fleet.stop()
    figures = await _figures(runtime, broadcast, provider, noes)
    figures |= {"seed": SEED, "exit_codes": codes, "seconds": round(time.monotonic() - started, 1)}
    await runtime.close()
    print("\nbroadcast chaos " + orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the point
    _judge(figures)


async def _people(runtime: Runtime, channel_id: str) -> list[str]:
    at = now() - timedelta(minutes=1)
    sightings = [
        Sighting(
            Address(channel_id=channel_id, external_id=str(10_000 + n)), "telegram", at, Person(name=f"P{n}"), True
        )
        for n in range(PEOPLE)
    ]
    known = []
    for start in range(0, PEOPLE, 300):
        known += await runtime.resolver.resolve(sightings[start : start + 300])
    return [each.identity_id for each in known]


def _fleet(addresses: Any, key: str, folder: Path) -> Fleet:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")},
        "RAPPORT_MONGO_URL": addresses.mongo_url, "RAPPORT_REDIS_URL": addresses.redis_url,
        "RAPPORT_SECRET_KEYS": key, "RAPPORT_ALLOW_PRIVATE_ADDRESSES": "127.0.0.0/8",
        "RAPPORT_DATA": str(folder), "RAPPORT_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    fleet = Fleet(environment, folder / "fleet.log")
    for number in (1, 2):
        fleet.add(f"worker-{number}", "worker")
    return fleet


async def _kills(fleet: Fleet, redis_url: str) -> None:
    """Six deaths and a flush, spread over the broadcast."""
    for name in ("worker-1", "worker-2", "flush", "worker-1", "worker-2", "worker-1", "worker-2"):
        await asyncio.sleep(2.5)
        if name == "flush":
            async with Redis.from_url(redis_url) as redis:
                await redis.flushall()
        else:
            fleet.kill(name)


async def _pauses(runtime: Runtime, broadcast: str) -> None:
    for _ in range(3):
        await asyncio.sleep(4)
        if (await runtime.broadcasts.get(broadcast))["status"] == "running":
            await runtime.broadcasts.set_status(broadcast, "paused")
            await asyncio.sleep(1)
            await runtime.broadcasts.set_status(broadcast, "running")


async def _opt_outs(runtime: Runtime, identity_ids: list[str]) -> dict[str, float]:
    """External id → when the no was in the ledger."""
    noes = {}
    for identity_id in random.Random(SEED).sample(identity_ids, OPT_OUTS):
        await runtime.consent.act(ConsentAct(identity_id, "marketing", False, "keyword"))
        identity = await runtime.profiles.identity(identity_id)
        assert identity is not None
        noes[str(identity.external_id)] = time.time()
        await asyncio.sleep(0.2)
    return noes


async def _until_done(runtime: Runtime, broadcast: str) -> None:
    """Somebody at the desk who resumes it whenever it has stopped itself."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S:
        status = (await runtime.broadcasts.get(broadcast))["status"]
        if status == "done":
            return
        if status == "paused":
            await runtime.broadcasts.set_status(broadcast, "running")
        await asyncio.sleep(1)


async def _figures(
    runtime: Runtime, broadcast: str, provider: FakeTelegram, noes: dict[str, float]
) -> dict[str, Any]:  # fmt: skip
    rows = await runtime.sends.raw({"source.id": broadcast})
    counts = (await runtime.broadcasts.figures(broadcast)).counts
    identities = await runtime.profiles.identities({row["identity_id"] for row in rows})
    chats = {row["_id"]: str(identities[row["identity_id"]].external_id) for row in rows if row["identity_id"]}
    states = Counter(row["state"] for row in rows)
    taken = {
        state: sum(provider.taken[chats.get(row["_id"], "")] for row in rows if row["state"] == state)
        for state in states
    }
    return {
        "status": (await runtime.broadcasts.get(broadcast))["status"], "people": counts["people"],
        "rows_per_person": max(Counter(row["profile_id"] for row in rows).values()),
        "states": dict(states), "reasons": counts["reasons"], "taken_by_state": taken, "adds_up": adds_up(counts),
        "open": counts["waiting"] + counts["handed"], "doubled": sum(1 for n in provider.taken.values() if n > 1),
        "answers": dict(provider.answers), "opted_out": len(noes),
        "against_a_no": sum(1 for chat, at in noes.items() if provider.at.get(chat, 0.0) > at + HEARD_WITHIN_S),
    }  # fmt: skip


def _judge(figures: dict[str, Any]) -> None:
    assert figures["status"] == "done" and figures["people"] == PEOPLE and figures["rows_per_person"] == 1
    assert figures["adds_up"] and figures["open"] == 0
    assert figures["doubled"] == 0 and figures["against_a_no"] == 0
    states, taken = figures["states"], figures["taken_by_state"]
    assert set(states) <= {"accepted", "failed", "skipped", "unknown"}
    assert taken["accepted"] == states["accepted"] and taken.get("skipped", 0) == taken.get("failed", 0) == 0
    assert taken.get("unknown", 0) <= states.get("unknown", 0)
    assert all(figures["answers"].get(each, 0) > 0 for each in ("cut", "429", "5xx")), "every storm has struck"
    assert set(figures["exit_codes"]) == {0}
