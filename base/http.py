"""The only outbound HTTP client: time-outs, size caps, no redirects, and no address inside the house.

The guard looks at the address really dialled (a socket factory), because a check of the name is passed by literals,
odd notations and names that change between two look-ups.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
import orjson

from base.errors import Misconfigured, RapportError

_NO_ADDRESS = "That is not an address we can call."

FailedBecause = Literal["refused_address", "connect", "timeout", "cut", "too_large", "bad_url"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Global to Python's `ipaddress`, but tunnels, mappings and retired ranges that can reach private addresses:
#: `::a.b.c.d` and `::ffff:0:a.b.c.d` (IPv4 in IPv6), NAT64, 6to4 and its relays, Teredo, site-local, SRv6, examples.
_TUNNELS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "192.88.99.0/24", "2001::/32",
        "fec0::/10", "5f00::/16", "3fff::/20",
    )
)  # fmt: skip


class HttpFailed(RapportError):
    """No answer. `sent` False: nothing reached the peer, safe to repeat; True: it may have been carried out."""

    code = "http_failed"

    def __init__(self, reason: FailedBecause, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.sent = sent

    @property
    def is_passing(self) -> bool:
        """Whether another try may not meet it."""
        return self.reason in ("connect", "timeout", "cut")


class AddressRefused(OSError):
    """The address dialled is private and not on the list."""


#: Said where an address of somebody's own is refused before anything is sent there.
INSIDE = (
    "is an address inside the house. If that is meant, list it in RAPPORT_ALLOW_PRIVATE_ADDRESSES, for example "
    "10.2.0.0/16"
)


class AddressGuard:
    """Decides which addresses may be dialled."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        """`allowed`: networks such as `10.2.0.0/16` or single addresses, let through although private."""
        try:
            self._allowed: tuple[Network, ...] = tuple(ipaddress.ip_network(text.strip()) for text in allowed)
        except ValueError as error:
            raise Misconfigured(
                f"RAPPORT_ALLOW_PRIVATE_ADDRESSES: {error}. Give networks such as 127.0.0.0/8, separated by commas."
            ) from None

    def permits(self, address: str) -> bool:
        """True when an IP literal may be dialled."""
        try:
            ip = ipaddress.ip_address(address.split("%", 1)[0])
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip.version == network.version and ip in network for network in self._allowed):
            return True
        if ip.is_multicast or any(ip.version == tunnel.version and ip in tunnel for tunnel in _TUNNELS):
            return False
        return ip.is_global

    def refuses(self, host: str) -> bool:
        """True for a host that can be judged without a look-up and may not be dialled: a private address in whatever
        notation (`127.1`, `0x7f000001`), `localhost`. What a name leads to is judged when it is dialled."""
        host = host.strip("[]").rstrip(".").lower()
        if host == "localhost" or host.endswith(".localhost"):
            host = "127.0.0.1"
        literal = host if ":" in host else _as_ipv4(host)
        return literal is not None and not self.permits(literal)

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address about to be dialled, or `AddressRefused`. aiohttp's `socket_factory`."""
        family, kind, protocol, _, address = info
        if not self.permits(address[0]):
            raise AddressRefused(f"{address[0]} is a private address")
        opened = socket.socket(family=family, type=kind, proto=protocol)
        opened.setblocking(False)
        return opened

    async def resolve(self, host: str, port: int) -> str:
        """One permitted address of `host`, for protocols other than HTTP. Raises `HttpFailed` with `sent=False`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise HttpFailed("connect", f"The host {host} was not found.", sent=False) from None
        for *_, address in found:
            if self.permits(ip := str(address[0])):
                return ip
        raise HttpFailed("refused_address", _refusal(host), sent=False)


@dataclass(frozen=True)
class HttpReply:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON; None when it is none (an error page is a normal thing to get)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def asks_again_at(self, now: datetime) -> datetime | None:
        """When the peer wants to be asked again, by its `Retry-After`: seconds or a date. None: it says nothing."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdecimal() and len(text) < 7:
            return now + timedelta(seconds=int(text))
        try:
            at = parsedate_to_datetime(text) if text else None
        except (ValueError, IndexError, OverflowError):
            return None
        return at if at is not None and at.tzinfo is not None else None


class HttpClient:
    """One pool of connections for everything that goes out."""

    def __init__(self, guard: AddressGuard, *, user_agent: str = "Rapport/1", limit: int = 100) -> None:
        self.guard = guard
        self._limit = limit
        self._headers = {"User-Agent": user_agent}
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, json: Any = None,
        data: bytes | None = None, form: Mapping[str, str] | None = None, timeout_s: float = 15.0,
        max_bytes: int = 1_000_000,
    ) -> HttpReply:  # fmt: skip
        """Ask once; redirects are answers, not followed. Raises `HttpFailed` when no whole answer came."""
        if not url.lower().startswith(("http://", "https://")):
            raise HttpFailed("bad_url", _NO_ADDRESS, sent=False)
        body, extra = _body(json, data, form)
        try:
            async with self._open().request(
                method, url, headers={**extra, **(headers or {})}, data=body, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(5.0, timeout_s)),
            ) as answer:  # fmt: skip
                content = await _read(answer, max_bytes)
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return HttpReply(answer.status, lower, content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _failed(error, url) from None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._limit,
                ttl_dns_cache=30,
                socket_factory=self.guard.open_socket,
                keepalive_timeout=15,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _as_ipv4(host: str) -> str | None:
    """The address that the resolver makes of a number without asking anybody: `1.2.3.4`, `1.2`, `16909060`, `0x…`."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host[-1:].isalnum() and " " not in host else None
    except OSError:
        return None


def _body(json: Any, data: bytes | None, form: Mapping[str, str] | None) -> tuple[Any, dict[str, str]]:
    if json is not None:
        return orjson.dumps(json), {"Content-Type": "application/json"}
    if form is not None:
        return aiohttp.FormData(dict(form))(), {}
    return data, {}


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(65536):
        size += len(chunk)
        if size > max_bytes:
            answer.close()
            raise HttpFailed("too_large", f"The answer is larger than {max_bytes} bytes.", sent=True)
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(host: str) -> str:
    return (
        f"{host} is a private address. If that is meant, list it in RAPPORT_ALLOW_PRIVATE_ADDRESSES, "
        "for example 10.2.0.0/16."
    )


def _failed(error: Exception, url: str) -> HttpFailed:
    host = url.split("/")[2].rsplit("@", 1)[-1] if url.count("/") >= 2 else "the address"
    if isinstance(error.__cause__ or error, AddressRefused) or isinstance(
        getattr(error, "os_error", None), AddressRefused
    ):
        return HttpFailed("refused_address", _refusal(host), sent=False)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return HttpFailed("bad_url", _NO_ADDRESS, sent=False)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return HttpFailed("connect", f"{host} could not be reached.", sent=False)
    if isinstance(error, TimeoutError):
        return HttpFailed("timeout", f"{host} did not answer in time.", sent=True)
    return HttpFailed("cut", f"The connection to {host} broke before an answer came.", sent=True)
