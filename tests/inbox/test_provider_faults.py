"""A provider behind real HTTP that does everything providers do: each send ends, and in the right place."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp import web

from tests.conftest import LocalServer
from tests.inbox.conftest import House

KINDS = ("ok", "busy", "storm", "slow", "cut", "silent", "refused", "ok")


@dataclass
class FakeProvider:
    """What it did with each key; the kind of behaviour follows from the number in the key."""

    accepted: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    honest: bool = False
    times: list[float] = field(default_factory=list)
    #: The whole account is told to wait until then.
    busy_until: float = 0.0
    too_early: int = 0

    async def send(self, request: web.Request) -> web.StreamResponse:
        key = (await request.json())["key"]
        self.asked[key] += 1
        self.times.append(time.monotonic())
        kind = "ok" if self.honest else KINDS[int(key.rsplit("-", 1)[1]) % len(KINDS)]
        if time.monotonic() < self.busy_until:
            self.too_early += 1
            return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "1"})
        if kind == "busy" and self.asked[key] == 1:
            self.busy_until = time.monotonic() + 1
            return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "1"})
        if kind == "storm" and self.asked[key] <= 2:
            return web.json_response({"error": "storm"}, status=503)
        if kind == "refused":
            return web.json_response({"error": "no such template"}, status=400)
        self.accepted[key] += 1
        if kind == "slow":
            await asyncio.sleep(0.4)
        if kind in ("cut", "silent") and self.accepted[key] == 1:
            if kind == "silent":
                await asyncio.sleep(8)
            if request.transport is not None:
                request.transport.abort()
        return web.json_response({"id": f"w-{key}"})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/send", self.send)
        return app


@pytest.mark.parametrize("send_class", ["marketing", "transactional"])
async def test_every_send_ends(house: House, local_server: LocalServer, send_class: str) -> None:
    provider = FakeProvider()
    channel_id = await house.channel("wired", api_base=await local_server(provider.app()))
    await house.plan(channel_id, await house.people(channel_id, 80, "wired"), send_class)
    for _ in range(14):
        await house.deliver_all()
        await asyncio.sleep(max(0.0, provider.busy_until - time.monotonic()))
        await house.all_due()
        if set(await house.states()) <= {"accepted", "failed", "unknown"}:
            break
    verdicts = await house.verdicts()
    for number in range(80):
        key, kind = f"key-{number}", KINDS[number % len(KINDS)]
        state, accepted = verdicts[key][0], provider.accepted[key]
        if kind == "refused":
            assert (state, accepted, verdicts[key][1]) == ("failed", 0, "content_rejected")
        elif kind in ("cut", "silent") and send_class == "marketing":
            assert (state, accepted) == ("unknown", 1), (key, kind)
        elif kind in ("cut", "silent"):
            assert (state, accepted) == ("accepted", 2), (key, kind)
        else:
            assert (state, accepted) == ("accepted", 1), (key, kind)
    assert sorted(key for key, _ in house.planner.settled_with) == sorted(verdicts)


async def test_a_busy_account_is_left_alone_for_as_long_as_it_asked(house: House, local_server: LocalServer) -> None:
    """F19: Retry-After is kept by all workers; only what was already under way may come too early."""
    provider = FakeProvider()
    channel_id = await house.channel("wired", api_base=await local_server(provider.app()))
    await house.plan(channel_id, await house.people(channel_id, 300, "wired"), key="busy-{}-1")
    begun = time.monotonic()
    while longest_pause(provider.times) <= 0.7 and time.monotonic() - begun < 30:
        await house.inbox.delivery.deliver(250)
        await asyncio.sleep(0.02)
    assert longest_pause(provider.times) > 0.7, "it was asked again, and there was a pause before"
    assert provider.too_early <= 3 * 50


def longest_pause(times: list[float]) -> float:
    """Seconds between two calls of the provider, where they lie furthest apart."""
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


async def test_a_provider_that_is_down_loses_nothing(house: House, local_server: LocalServer) -> None:
    provider = FakeProvider(honest=True)
    base = await local_server(provider.app())
    channel_id = await house.channel("wired", api_base="http://127.0.0.1:9")
    await house.plan(channel_id, await house.people(channel_id, 30, "wired"))
    await house.deliver_all()
    assert set(await house.states()) == {"deferred"}
    await house.channels.update(channel_id, settings={"api_base": base})
    for _ in range(3):
        await house.all_due()
        await house.deliver_all()
    assert await house.states() == {"accepted": 30} and set(provider.accepted.values()) == {1}
