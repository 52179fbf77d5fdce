"""Ports to listen on: asked for before anything is started, so that a taken one is a sentence and no traceback."""

from __future__ import annotations

import asyncio
import socket
import time

from base.errors import Misconfigured


def require_free(host: str, port: int, mend: str) -> None:
    """Raise `Misconfigured` when nothing can listen on `host`:`port` now; `mend` says where another one is given."""
    problem = objection(host, port)
    if problem:
        raise Misconfigured(f"Port {port} on {host} cannot be used ({problem}). {mend}")


async def require_free_soon(host: str, port: int, mend: str, *, patience_s: float) -> None:
    """The same, but a process that is just ending has this long to let go of it."""
    until = time.monotonic() + patience_s
    while objection(host, port) and time.monotonic() < until:
        await asyncio.sleep(0.2)
    require_free(host, port, mend)


def objection(host: str, port: int) -> str | None:
    """Why nothing can listen there; None when something can."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, *_, address in found:
            socket.create_server((str(address[0]), port), family=family).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def any_free(host: str) -> int:
    """A port of `host` that was free a moment ago."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])
