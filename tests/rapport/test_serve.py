"""How the web process listens: nobody holds a connection by silence, and mail never stands in the way of pages."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from rapport import serve
from rapport.patience import Patience
from webhooks.mail_listener import MailListener


@pytest.fixture
async def door() -> AsyncIterator[tuple[str, int]]:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.6)
        return web.Response(text=await request.text())

    app = web.Application()
    app.router.add_post("/", slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    serves = runner.server
    assert serves is not None
    server = await asyncio.get_running_loop().create_server(lambda: Patience(serves(), head_s=0.3), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()
    await runner.cleanup()


@pytest.mark.parametrize("piece", [b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n"])
async def test_who_does_not_finish_the_head_is_let_go(door: tuple[str, int], piece: bytes) -> None:
    reader, writer = await asyncio.open_connection(*door)
    writer.write(piece)
    async with asyncio.timeout(5):
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
    writer.close()


async def test_who_asks_in_time_is_answered_however_long_it_takes(door: tuple[str, int]) -> None:
    async with ClientSession() as client:
        for _ in range(2):
            async with client.post(f"http://{door[0]}:{door[1]}/", data="x" * 100_000) as answer:
                assert len(await answer.text()) == 100_000
    reader, writer = await asyncio.open_connection(*door)
    for piece in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r", b"\n\r", b"\na", b"b"):
        writer.write(piece)
        await asyncio.sleep(0.03)
    async with asyncio.timeout(5):
        assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_port_that_is_taken_keeps_mail_waiting_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAIL_AGAIN_S", 0.05)

    async def nobody(*_: object) -> bool:
        return False

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listener = MailListener("127.0.0.1", other.getsockname()[1], nobody, nobody)
        async with serve._mail(listener):
            with pytest.raises(RuntimeError):
                _ = listener.address
            other.close()
            async with asyncio.timeout(5):
                while True:
                    try:
                        host, port = listener.address
                        break
                    except RuntimeError:
                        await asyncio.sleep(0.02)
            reader, writer = await asyncio.open_connection(host, port)
            assert (await reader.readline()).startswith(b"220")
            writer.close()
