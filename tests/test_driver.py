"""The driver's connecting may be cancelled at any moment and leaves no socket behind: see tests/driver.py."""

import asyncio
import gc
import warnings

import pytest
from pymongo import pool_shared
from pymongo.pool_options import PoolOptions


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_connection_leaves_no_socket_open(steps: int) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always", ResourceWarning)
        connecting = asyncio.create_task(pool_shared._async_create_connection(address, PoolOptions(connect_timeout=5)))
        for _ in range(steps):
            await asyncio.sleep(0)
        connecting.cancel()
        (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            outcome.close()  # it was quicker than we were
        del connecting, outcome
        gc.collect()
    server.close()
    await server.wait_closed()
    assert not [str(each.message) for each in complaints]
