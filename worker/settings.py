"""arq, set up as a doorbell: JSON payloads, short time-outs, nothing kept, alive through a restart of Redis."""

from __future__ import annotations

import asyncio
import logging

from arq.connections import create_pool
from arq.worker import Worker
from redis.exceptions import RedisError

from base.queue import pack, queue_name, redis_settings, unpack
from worker.drains import TURN_S, Drains
from worker.jobs import JOBS

log = logging.getLogger(__name__)

#: A worker killed in a job frees its slot after time-out + 10 s; no duty waits for that, the sweep does not ask arq.
JOB_TIMEOUT_S = TURN_S + 10


async def listen(redis_url: str, prefix: str, drains: Drains) -> None:
    """Answer bells until cancelled. A lost Redis is waited for; the clockwork goes on meanwhile."""
    pause_s = 0.5
    while True:
        worker = None
        try:
            worker = await _worker(redis_url, prefix, drains)
            pause_s = 0.5
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis is away, sweeping goes on", extra={"error": type(error).__name__})
        except Exception:
            log.exception("the doorbell listener failed")
        finally:
            if worker is not None:
                await _close(worker)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


async def _worker(redis_url: str, prefix: str, drains: Drains) -> Worker:
    pool = await create_pool(redis_settings(redis_url), job_serializer=pack, job_deserializer=unpack)
    return Worker(
        functions=JOBS,
        queue_name=queue_name(prefix),
        redis_pool=pool,
        ctx={"drains": drains},
        handle_signals=False,
        job_timeout=JOB_TIMEOUT_S,
        max_jobs=20,
        keep_result=0,
        max_tries=2,
        poll_delay=0.1,
        job_serializer=pack,
        job_deserializer=unpack,
        health_check_interval=30,
    )


async def _close(worker: Worker) -> None:
    connections = worker.pool.connection_pool
    try:
        await worker.close()
    except (RedisError, OSError, RuntimeError):
        log.info("the doorbell's connection was already gone")
    finally:
        # arq closes nothing when one of its tasks was cancelled, and that is how we are told to stop.
        await connections.disconnect()
