"""The doorbell: arq wakes a worker up, it never holds a duty.

A ring says "there is work of this kind", nothing more. What the work is stands in MongoDB; a lost ring costs at most
one sweep (`worker.clockwork`). So Redis may be flushed at any moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Literal

import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, TimeoutError

log = logging.getLogger(__name__)

#: The kinds of work. Each is drained by the job of the same name in `worker.jobs`.
Bell = Literal[
    "ingest", "react", "advance", "deliver", "fetch", "poll", "appraise", "call", "hook", "route", "automate", "tell"
]

#: How long a bell counts as rung when nobody answers it.
RUNG_MS = 2000
#: Seconds between two rings that nobody waits for; what comes in between is found by whom the first one woke.
APART_S = 0.02
REDIS_DOWN = (RedisError, OSError, asyncio.TimeoutError)


def redis_settings(url: str) -> RedisSettings:
    """arq's settings for `url` (`redis://`, `rediss://` or `unix://`), surviving a restart of the server."""
    settings = RedisSettings.from_dsn(url)
    settings.retry = Retry(ExponentialBackoff(cap=2, base=0.05), 12)
    settings.retry_on_error = [ConnectionError, TimeoutError, BusyLoadingError]
    settings.retry_on_timeout = True
    settings.conn_retries = 30
    settings.conn_timeout = 2
    return settings


def pack(value: dict[str, Any]) -> bytes:
    """JSON, never pickle: who can write to Redis must not be able to run code here."""
    return orjson.dumps(value, default=str)


def unpack(value: bytes) -> dict[str, Any]:
    """The reverse of `pack`."""
    loaded: dict[str, Any] = orjson.loads(value)
    return loaded


def queue_name(prefix: str) -> str:
    """Where this deployment's jobs wait."""
    return f"{prefix}:arq"


class Doorbell:
    """Rings for the workers. Never raises: when Redis is away the sweeper finds the work."""

    def __init__(self, url: str, *, prefix: str = "rapport") -> None:
        self._url = url
        self._prefix = prefix
        self._pool: ArqRedis | None = None
        self._opening = asyncio.Lock()
        self._due: set[Bell] = set()
        self._ringing: asyncio.Task[None] | None = None

    async def ring(self, *bells: Bell) -> None:
        """Wake a worker for each kind, once: a bell already rung and not yet answered is left alone."""
        try:
            pool = await self._connected()
            fresh = await self._mark(pool, bells)
            for bell in fresh:
                await pool.enqueue_job(bell, _queue_name=queue_name(self._prefix), _expires=60)
        except REDIS_DOWN as error:
            log.warning("doorbell out of reach, the sweeper will find the work", extra={"error": type(error).__name__})

    def soon(self, *bells: Bell) -> None:
        """Ring without making the caller wait; rings of the same moment become one."""
        self._due.update(bells)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_due())

    async def _ring_due(self) -> None:
        while self._due:
            bells, self._due = self._due, set()
            await self.ring(*bells)
            await asyncio.sleep(APART_S)  # a ring costs as much as a webhook

    async def answered(self, bell: Bell) -> None:
        """A worker has come. Called *before* it looks for work, so that a later ring is not taken for this one."""
        try:
            pool = await self._connected()
            await pool.delete(self._flag(bell))
        except REDIS_DOWN:
            return

    async def close(self) -> None:
        """Let go of the connections."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing], timeout=1)
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def _mark(self, pool: ArqRedis, bells: Iterable[Bell]) -> list[Bell]:
        wanted = list(dict.fromkeys(bells))
        async with pool.pipeline(transaction=False) as pipe:
            for bell in wanted:
                pipe.set(self._flag(bell), b"1", nx=True, px=RUNG_MS)
            marked = await pipe.execute()
        return [bell for bell, first in zip(wanted, marked, strict=True) if first]

    def _flag(self, bell: Bell) -> str:
        return f"{self._prefix}:rung:{bell}"

    async def _connected(self) -> ArqRedis:
        async with self._opening:
            if self._pool is None:
                settings = redis_settings(self._url)
                settings.conn_retries = 1
                settings.retry = Retry(ExponentialBackoff(cap=0.2, base=0.05), 2)
                self._pool = await create_pool(settings, job_serializer=pack, job_deserializer=unpack)
        return self._pool
