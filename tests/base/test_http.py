"""The outbound client: what it refuses, and what it says about a request that got no answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from base.http import AddressGuard, HttpClient, HttpFailed
from tests.conftest import LocalServer

LOOPBACK = ("127.0.0.0/8", "::1/128")


def _answering(response: web.Response) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return response

    return answer


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    opened = HttpClient(AddressGuard(LOOPBACK))
    yield opened
    await opened.close()


@pytest.fixture
async def strict() -> AsyncIterator[HttpClient]:
    opened = HttpClient(AddressGuard())
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1",
     "169.254.169.254", "10.0.0.1", "192.168.1.1", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
     "224.0.0.1", "①②⑦.⓪.⓪.①"],
)  # fmt: skip
async def test_private_addresses_are_never_dialled(strict: HttpClient, local_server: LocalServer, host: str) -> None:
    reached: list[str] = []

    async def note(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    port = (await local_server(app)).rsplit(":", 1)[1].strip("/")
    with pytest.raises(HttpFailed) as caught:
        await strict.request("GET", f"http://{host}:{port}/", timeout_s=3)
    assert not caught.value.sent
    assert not reached


@pytest.mark.parametrize(
    "address",
    ["::127.0.0.1", "::a00:1", "::ffff:0:127.0.0.1", "192.88.99.1", "fec0::1", "2001::1", "5f00::1", "3fff::1",
     "64:ff9b::a00:1", "2002:a00:1::", "ff0e::1", "100.64.0.1", "198.18.0.1", "240.0.0.1", "255.255.255.255",
     "fe80::1%eth0"],
)  # fmt: skip
def test_addresses_that_lead_to_others_or_nowhere_are_private_too(address: str) -> None:
    assert not AddressGuard().permits(address)
    assert AddressGuard().permits("2606:4700::1111")


def test_the_guard_lets_listed_networks_through_and_nothing_else() -> None:
    guard = AddressGuard(["10.1.0.0/16"])
    assert guard.permits("10.1.2.3") and guard.permits("8.8.8.8")
    assert not guard.permits("10.2.0.1") and not guard.permits("not an address")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "[::1]",
     "::ffff:127.0.0.1", "10.0.0.8", "169.254.169.254", "0", "fe80::1%25eth0"],
)  # fmt: skip
def test_a_private_address_is_known_by_its_looks(host: str) -> None:
    assert AddressGuard().refuses(host)
    assert not AddressGuard(["10.0.0.0/8"]).refuses("10.0.0.8")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "2606:4700::1111", "10.example", "1e100.net", ""])
def test_what_a_name_leads_to_is_not_guessed(host: str) -> None:
    assert not AddressGuard().refuses(host)


async def test_a_redirect_is_an_answer_not_a_journey(client: HttpClient, local_server: LocalServer) -> None:
    app = web.Application()
    app.router.add_get("/", _answering(web.Response(status=302, headers={"Location": "http://169.254.169.254/"})))
    reply = await client.request("GET", await local_server(app))
    assert reply.status == 302


async def test_an_answer_larger_than_the_cap_is_cut(client: HttpClient, local_server: LocalServer) -> None:
    app = web.Application()
    app.router.add_get("/", _answering(web.Response(body=b"x" * 5000)))
    with pytest.raises(HttpFailed) as caught:
        await client.request("GET", await local_server(app), max_bytes=1000)
    assert caught.value.reason == "too_large"


async def test_silence_after_sending_is_uncertain(client: HttpClient, local_server: LocalServer) -> None:
    async def sleep(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", sleep)
    with pytest.raises(HttpFailed) as caught:
        await client.request("POST", await local_server(app), json={}, timeout_s=0.3)
    assert caught.value.reason == "timeout" and caught.value.sent


async def test_a_cut_after_sending_is_uncertain(client: HttpClient, local_server: LocalServer) -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", cut)
    with pytest.raises(HttpFailed) as caught:
        await client.request("POST", await local_server(app), json={})
    assert caught.value.reason == "cut" and caught.value.sent


async def test_nobody_listening_is_safe_to_repeat(client: HttpClient, free_port: Callable[[], int]) -> None:
    with pytest.raises(HttpFailed) as caught:
        await client.request("GET", f"http://127.0.0.1:{free_port()}/")
    assert caught.value.reason == "connect" and not caught.value.sent


async def test_resolve_refuses_private_hosts(strict: HttpClient, client: HttpClient) -> None:
    with pytest.raises(HttpFailed) as caught:
        await strict.guard.resolve("localhost", 25)
    assert "RAPPORT_ALLOW_PRIVATE_ADDRESSES" in str(caught.value)
    assert await client.guard.resolve("127.0.0.1", 25) == "127.0.0.1"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/x", "nonsense", "http://", "http://a b/", "//x", ""]
)
async def test_what_is_no_web_address_is_not_called(client: HttpClient, url: str) -> None:
    with pytest.raises(HttpFailed) as caught:
        await client.request("GET", url, timeout_s=2)
    assert not caught.value.sent
