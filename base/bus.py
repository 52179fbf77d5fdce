"""Publish and subscribe between processes: "something after n". Data comes from MongoDB; a lost notice costs a poll."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
REDIS_DOWN = (RedisError, OSError, asyncio.TimeoutError)


class Bus:
    """One connection for publishing; each subscription holds its own."""

    def __init__(self, url: str, *, prefix: str = "rapport") -> None:
        self._redis: Redis = Redis.from_url(url, socket_connect_timeout=2, health_check_interval=15)
        self._prefix = prefix

    async def publish(self, topic: str, note: str = "") -> None:
        """Tell all listeners. Never raises: listeners also poll."""
        try:
            await self._redis.publish(f"{self._prefix}:{topic}", note)
        except REDIS_DOWN as error:
            log.warning("bus out of reach, listeners will poll", extra={"error": type(error).__name__})

    async def listen(self, topic: str, *, poll_s: float = 1.0) -> AsyncIterator[str | None]:
        """Yield each note, and None at least every `poll_s` seconds, for ever; a cut connection is made again."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(f"{self._prefix}:{topic}")
                    yield None
                    while True:
                        message = await pubsub.get_message(timeout=poll_s)
                        yield message["data"].decode() if message else None
            except REDIS_DOWN:
                yield None
                await asyncio.sleep(poll_s)

    async def count(self, name: str, by: int, *, kept_s: int) -> None:
        """Add to a figure that may be lost at any time and is forgotten `kept_s` after the last addition."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.incrby(f"{self._prefix}:count:{name}", by)
                pipe.expire(f"{self._prefix}:count:{name}", kept_s)
                await pipe.execute()
        except REDIS_DOWN as error:
            log.info("a figure is not counted", extra={"error": type(error).__name__})

    async def counted(self, name: str) -> int:
        """Such a figure; 0 when it was forgotten or cannot be read."""
        try:
            return int(await self._redis.get(f"{self._prefix}:count:{name}") or 0)
        except REDIS_DOWN:
            return 0

    async def mark(self, name: str, member: str, *, kept_s: int) -> None:
        """Say that `member` is at `name` for the next `kept_s` seconds. May be lost at any time."""
        key, now = f"{self._prefix}:marks:{name}", time.time()
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(key, {member: now + kept_s})
                pipe.zremrangebyscore(key, "-inf", now)
                pipe.expire(key, kept_s)
                await pipe.execute()
        except REDIS_DOWN as error:
            log.info("a mark is not set", extra={"error": type(error).__name__})

    async def unmark(self, name: str, member: str) -> None:
        """`member` is there no more."""
        with contextlib.suppress(*REDIS_DOWN):
            await self._redis.zrem(f"{self._prefix}:marks:{name}", member)

    async def marked(self, name: str) -> list[str]:
        """Who is there now; nobody when that cannot be read."""
        try:
            found = await self._redis.zrangebyscore(f"{self._prefix}:marks:{name}", time.time(), "+inf")
            return [member.decode() for member in found]
        except REDIS_DOWN:
            return []

    async def check(self) -> dict[str, str]:
        """Version, persistence and eviction policy, for `rapport check`. Raises when out of reach."""
        info = await self._redis.info()
        policy = await self._redis.config_get("maxmemory-policy")
        return {
            "version": str(info.get("valkey_version") or info.get("redis_version", "?")),
            "aof": str(info.get("aof_enabled", 0)),
            "policy": str(policy.get("maxmemory-policy", "?")),
        }

    async def close(self) -> None:
        """Let go of the connection."""
        with contextlib.suppress(*REDIS_DOWN):
            await self._redis.aclose()
