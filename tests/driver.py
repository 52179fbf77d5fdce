"""A fault of the driver that tests would be blamed for: it leaves a socket open when its connecting is cancelled."""

import asyncio
import socket
from functools import wraps
from types import FunctionType
from typing import Any

from pymongo import pool_shared


def close_cancelled_sockets() -> None:
    """From now on PyMongo closes the socket with which it was connecting as it was cancelled.

    Seen in PyMongo 4.20: `_async_create_connection` closes it after TimeoutError and OSError alone, and a client
    that is closed while its server restarts cancels it. The garbage collector then complains of an unclosed socket, in
    whatever test runs at that moment. Mended here and not among `filterwarnings`: any other socket must still be told.
    """
    connect = pool_shared._async_create_connection

    @wraps(connect)
    async def connecting(*args: Any) -> socket.socket:
        try:
            return await connect(*args)
        except asyncio.CancelledError as cancelled:
            _close_socket_of(connect, cancelled)
            raise

    pool_shared._async_create_connection = connecting


def _close_socket_of(connect: FunctionType, error: BaseException) -> None:
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code is connect.__code__ and "sock" in step.tb_frame.f_locals:
            step.tb_frame.f_locals["sock"].close()
        step = step.tb_next
