"""One web or one worker process: open everything, serve, and leave in order on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator

from aiohttp import web

from base.settings import Settings
from rapport import ports
from rapport.app import application, mail_listener
from rapport.patience import Patience
from rapport.runtime import open_runtime
from webhooks.mail_listener import MailListener
from worker.clockwork import Clockwork
from worker.settings import listen

log = logging.getLogger(__name__)

#: Work begun is finished within this time, then the process goes.
FINISH_S = 20.0
#: Pause before a port for mail that something else holds is asked for again, seconds.
MAIL_AGAIN_S = 5.0
#: New objects between two looks for circular garbage. Batches make many rows that live for a moment; at Python's own
#: 700 every few of them had all modules and models looked through.
GARBAGE_AFTER = (20_000, 20, 50)


async def serve_web(settings: Settings, *, parent: int | None = None) -> None:
    """Serve HTTP (and mail, when `mail_listen` is set) until told to stop."""
    stop = stop_event(parent)
    ports.require_free(settings.host, settings.port, "Give another one with --port or RAPPORT_PORT.")
    runtime = await open_runtime(settings)
    rarely_collected()
    runner = web.AppRunner(
        application(runtime), access_log=None, keepalive_timeout=75, shutdown_timeout=FINISH_S, handle_signals=False
    )
    try:
        await runner.setup()
        async with _listening(runner, settings.host, settings.port), _mail(mail_listener(runtime)):
            log.info("web is serving", extra={"host": settings.host, "port": settings.port})
            await stop.wait()
    finally:
        await runner.cleanup()
        await runtime.close()


@contextlib.asynccontextmanager
async def _listening(runner: web.AppRunner, host: str, port: int) -> AsyncIterator[None]:
    serves = runner.server
    if serves is None:
        raise RuntimeError("the runner was not set up")
    listening = await asyncio.get_running_loop().create_server(lambda: Patience(serves()), host, port, backlog=1024)
    try:
        yield
    finally:
        listening.close()


@contextlib.asynccontextmanager
async def _mail(listener: MailListener | None) -> AsyncIterator[None]:
    """Take mail meanwhile. Something else may hold the port (a mail catcher, a second deployment, a process that is
    about to end): pages and webhooks must not wait for that.
    """
    if listener is None:
        yield
        return
    opening = None if await _opened(listener) else asyncio.create_task(_open_later(listener), name="mail listener")
    try:
        yield
    finally:
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        await listener.stop()


async def _opened(listener: MailListener, *, again: bool = False) -> bool:
    try:
        await listener.start()
    except OSError as error:
        if not again:
            log.error("no mail is taken until RAPPORT_MAIL_LISTEN can be listened on", extra={"error": str(error)})
        return False
    if again:
        log.warning("mail is taken from now on")
    return True


async def _open_later(listener: MailListener) -> None:
    while True:
        await asyncio.sleep(MAIL_AGAIN_S)
        if await _opened(listener, again=True):
            return


async def serve_worker(settings: Settings, *, parent: int | None = None) -> None:
    """Drain what is due until told to stop; what is under way is finished first."""
    stop = stop_event(parent)
    runtime = await open_runtime(settings)
    rarely_collected()
    drains, chores = runtime.drains(), runtime.chores()
    clockwork = Clockwork(drains, chores)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    listening = asyncio.create_task(listen(redis_url, settings.queue_prefix, drains), name="doorbell")
    try:
        clockwork.start()
        log.info("worker is working", extra={"pid": os.getpid()})
        await stop.wait()
    finally:
        drains.stopping = True
        await clockwork.stop()
        await drains.idle(FINISH_S)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await runtime.close()


def rarely_collected() -> None:
    """What is loaded by now stays for good: the garbage collector passes it by, and comes less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_AFTER)


def stop_event(parent: int | None) -> asyncio.Event:
    """Set by SIGTERM or SIGINT, and when the process that started us is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    if parent is not None:
        loop.call_later(1.0, _watch, parent, stop)
    return stop


def _watch(parent: int, stop: asyncio.Event) -> None:
    if os.getppid() != parent:
        log.warning("the process that started this one is gone")
        stop.set()
    elif not stop.is_set():
        asyncio.get_running_loop().call_later(1.0, _watch, parent, stop)
