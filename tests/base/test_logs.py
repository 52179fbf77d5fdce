"""Nothing secret or personal reaches a log line."""

import logging
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, web

from base.logs import configure, redact, scrub
from tests.conftest import LocalServer


@pytest.mark.parametrize(
    "secret",
    ["https://api.telegram.org/bot12345:AAF-x_y/getMe", "Authorization: Bearer abcdefghijk", "access_token=EAAB123",
     "mongodb://user:hunter2@db:27017/", "whsec_MfKQ9r8GKYqrTw", "anna@example.org wrote", "call +4915112345678 now"],
)  # fmt: skip
def test_free_text_is_scrubbed(secret: str) -> None:
    clean = scrub(secret)
    for leak in ("AAF-x_y", "abcdefghijk", "EAAB123", "hunter2", "MfKQ9r8", "anna@example", "15112345678"):
        assert leak not in clean


def test_secret_keys_are_hidden_and_tracebacks_scrubbed() -> None:
    event = redact(None, "", {"event": "x", "app_secret": "s3", "exception": "token=abc", "channel": "chn_1"})
    assert event == {"event": "x", "app_secret": "[hidden]", "exception": "token=[secret]", "channel": "chn_1"}


@pytest.fixture
def configured() -> Iterator[None]:
    root, server = logging.getLogger(), logging.getLogger("aiohttp.server")
    handlers, level, filters = root.handlers[:], root.level, server.filters[:]
    configure()
    root.handlers[:] = handlers
    yield
    root.level = level
    server.filters[:] = filters


async def test_broken_requests_of_strangers_fill_no_logs(
    configured: None, local_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def unread(_: web.Request) -> web.Response:
        return web.Response(status=400)

    async def fault(_: web.Request) -> web.Response:
        raise RuntimeError("ours")

    app = web.Application()
    app.router.add_post("/", unread)
    app.router.add_get("/", fault)
    url = await local_server(app)
    for packing in ("gzip", "br"):
        async with ClientSession() as client:
            headers = {"Content-Encoding": packing}
            assert (await client.post(url, data=b"nothing packed", headers=headers)).status == 400
    async with ClientSession() as client:
        assert (await client.get(url)).status == 500
    assert "ours" in caplog.text and "ContentEncodingError" not in caplog.text
