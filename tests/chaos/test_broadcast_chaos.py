"""A broadcast to 1,200 people while workers are killed, Redis is flushed, the provider storms, somebody pauses and
resumes, and people opt out: nobody gets it twice, nobody is forgotten, and the ledger adds up with the provider's own.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from base.secret_box import SecretBox
from base.settings import load
from campaigns.broadcasts.figures import adds_up
from profiles.consent import ConsentAct
from rapport.embedded import EmbeddedServers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from tests.chaos.fake_telegram import FakeTelegram, strangers
from tests.chaos.fleet import kills, workers
from tests.chaos.hurry import hurried

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]

SEED = int(os.environ.get("RAPPORT_TEST_SEED", "20261128"))
PEOPLE = int(os.environ.get("RAPPORT_TEST_PEOPLE", "1200"))
OPT_OUTS = 60
#: Six deaths and a flush, spread over the broadcast.
KILLS = ("worker-1", "worker-2", "flush", "worker-1", "worker-2", "worker-1", "worker-2")
PATIENCE_S = 330.0
#: From the no to the last call that may still have been under way on a busy machine.
HEARD_WITHIN_S = 5.0


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
    people = [known.identity_id for known in await strangers(runtime.resolver, channel.id, PEOPLE)]
    fleet = workers(addresses, key, tmp_path, 2)
    fleet.start()
    head = await runtime.broadcasts.create(
        {"name": "Chaos", "channel_ids": [channel.id], "content": {"text": "Hello {{ profile.name }}"},
         "audience": {"rule": {"all": []}}, "holdout_percent": 5}
    )  # fmt: skip
    broadcast = head["_id"]
    await runtime.broadcasts.set_status(broadcast, "running")
    await provider.begun.wait()
    storm = [kills(fleet, addresses.redis_url, KILLS), _pauses(runtime, broadcast)]
    noes, *_ = await asyncio.gather(_opt_outs(runtime, people), *storm)
    await _until_done(runtime, broadcast)
    codes = await fleet.stop()
    figures = await _figures(runtime, broadcast, provider, noes)
    figures |= {"seed": SEED, "exit_codes": codes, "seconds": round(time.monotonic() - started, 1)}
    await runtime.close()
    print("\nbroadcast chaos " + orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the point
    _judge(figures)


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
    """Somebody at the desk who resumes it whenever it has stopped itself; times that prove nothing pass quickly."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S:
        status = (await runtime.broadcasts.get(broadcast))["status"]
        if status == "done":
            return
        if status == "paused":
            await runtime.broadcasts.set_status(broadcast, "running")
        await hurried(runtime.db)
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
        state: sum(provider.of(chats.get(row["_id"], "")) for row in rows if row["state"] == state) for state in states
    }
    return {
        "status": (await runtime.broadcasts.get(broadcast))["status"], "people": counts["people"],
        "rows_per_person": max(Counter(row["profile_id"] for row in rows).values()),
        "states": dict(states), "reasons": counts["reasons"], "taken_by_state": taken, "adds_up": adds_up(counts),
        "open": counts["waiting"] + counts["handed"], "doubled": sum(1 for n in provider.taken.values() if n > 1),
        "answers": dict(provider.answers), "opted_out": len(noes),
        "against_a_no": sum(1 for chat, at in noes.items() if provider.last_to(chat) > at + HEARD_WITHIN_S),
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
