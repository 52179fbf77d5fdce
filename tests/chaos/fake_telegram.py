"""A bot's side of Telegram that keeps a ledger of its own and has storms; and people whom it knows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

import orjson
from aiohttp import web

from base.clock import now
from channels.vocabulary import Address, Person
from profiles.resolve import Known, Resolver, Sighting

#: From which call on there is a storm of which kind, and for how many calls it lasts.
STORMS = {100: "cut", 250: "5xx", 400: "429", 500: "slow", 600: "cut", 800: "5xx"}
STORM_CALLS = 50
#: How long a slow answer takes, seconds.
SLOW_S = 2.5
#: The chat of the first stranger.
FIRST = 10_000


class FakeTelegram:
    """Takes messages and keeps its own ledger. In a storm it refuses, fails, answers late, or takes a message and hangs
    up."""

    def __init__(self, seed: int) -> None:
        self.taken: Counter[tuple[str, str]] = Counter()
        self.answers: dict[str, int] = defaultdict(int)
        self.begun = asyncio.Event()
        self._last: dict[str, float] = {}
        self._calls = 0
        self._random = random.Random(seed)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{bot}/{method}", self._take)
        return app

    def of(self, chat: str) -> int:
        """Messages taken for a chat."""
        return sum(count for (whose, _), count in self.taken.items() if whose == chat)

    def last_to(self, chat: str) -> float:
        """When the last one was taken, Unix seconds; 0: never."""
        return self._last.get(chat, 0.0)

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
        self.taken[(chat, str(body.get("text")))] += 1
        self._last[chat] = time.time()
        if kind == "cut" and request.transport is not None:
            request.transport.abort()  # taken, and nobody will ever say so
        if kind == "slow":
            await asyncio.sleep(SLOW_S)
        message = {"message_id": len(self.taken), "date": int(time.time()), "chat": {"id": 1}}
        return web.json_response({"ok": True, "result": message})


async def strangers(resolver: Resolver, channel_id: str, count: int) -> list[Known]:
    """So many people who wrote to the bot a minute ago."""
    at = now() - timedelta(minutes=1)
    sightings = [
        Sighting(Address(channel_id=channel_id, external_id=str(FIRST + n)), "telegram", at, Person(name=f"P{n}"), True)
        for n in range(count)
    ]
    known: list[Known] = []
    for start in range(0, count, 300):
        known += await resolver.resolve(sightings[start : start + 300])
    return known


def storms_struck(answers: dict[str, int], kinds: Sequence[str] = ("cut", "5xx", "429", "slow")) -> bool:
    """Whether every kind has been met."""
    return all(answers.get(each, 0) > 0 for each in kinds)
