"""Forms of strangers: the doors that need no session take bytes of every kind without a fault or an open end."""

import asyncio
import logging

import pytest
from aiohttp import ClientSession

FORM = "application/x-www-form-urlencoded"
DOORS = ("/sign-in", "/language", "/welcome/nobody")


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    ("media_type", "body", "more"),
    [
        (f"{FORM}; charset=nonsense", b"email=a", {}),
        (FORM, b"email=\xff\xfe", {}),
        (FORM, b"not packed", {"Content-Encoding": "gzip"}),
        ("multipart/form-data", b"--x\r\nfoo", {}),
        ("multipart/form-data; boundary=x", b"--x\r\nfoo", {}),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nunfinished", {}),
    ],
)
async def test_what_is_no_form_is_the_senders_fault(desk, path, media_type, body, more):
    async with (
        ClientSession(desk.url) as client,
        client.post(path, data=body, headers={"Content-Type": media_type, **more}, allow_redirects=False) as answer,
    ):
        assert answer.status in (303, 403, 404, 422), await answer.text()


@pytest.mark.parametrize("path", DOORS)
async def test_a_slow_form_is_let_go(desk, path, monkeypatch):
    monkeypatch.setattr("desk.forms.BODY_TIMEOUT_S", 0.3)
    reader, writer = await _began(desk, path)
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_who_hangs_up_in_the_middle_is_no_fault_of_ours(desk, caplog):
    caplog.set_level(logging.INFO)
    _, writer = await _began(desk, "/sign-in")
    await asyncio.sleep(0.2)
    writer.transport.abort()
    async with asyncio.timeout(10):
        while "the caller hung up" not in caplog.text:
            await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def _began(desk, path):
    host, port = desk.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 99\r\n\r\nem".encode())
    await writer.drain()
    return reader, writer
