"""Receivers that do as little as possible: an SMTP server and an HTTP provider that take everything and count."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

from bench.child import Json, run, tell


class Count:
    """What came, and the last mail as it came."""

    def __init__(self) -> None:
        self.taken = 0
        self.last = b""


class SmtpSink(asyncio.Protocol):
    """RFC 5321 as far as a client that behaves needs it."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._bytes = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        transport.write(b"220 sink ESMTP\r\n")  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while self._bytes:
            mark = b"\r\n.\r\n" if self._in_data else b"\r\n"
            found, mark_here, rest = self._bytes.partition(mark)
            if not mark_here:
                return
            self._bytes = rest
            self._mail(found + b"\r\n") if self._in_data else self._command(found.upper())

    def _mail(self, mail: bytes) -> None:
        self._in_data = False
        self._count.taken += 1
        self._count.last = mail
        self._transport.write(b"250 taken\r\n")

    def _command(self, line: bytes) -> None:
        verb = line[:4]
        if verb == b"EHLO":
            self._transport.write(
                b"250-sink\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
            )
        elif verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 ok\r\n")


class HttpSink(asyncio.Protocol):
    """Answers every POST as the Graph API does when it has taken a message."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while (end := self._bytes.find(b"\r\n\r\n")) >= 0:
            head = self._bytes[:end].lower()
            _, _, length = head.partition(b"content-length:")
            whole = end + 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self._bytes) < whole:
                return
            self._bytes = self._bytes[whole:]
            self._count.taken += 1
            body = b'{"messaging_product":"whatsapp","messages":[{"id":"wamid.OUT%d"}]}' % self._count.taken
            head_out = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head_out + body)


async def main(task: Json, questions: AsyncIterator[Json]) -> None:
    """Says `{smtp, http}` (ports), then for every question what has been taken so far."""
    loop, mails, posts = asyncio.get_running_loop(), Count(), Count()
    smtp = await loop.create_server(lambda: SmtpSink(mails), "127.0.0.1", 0)
    http = await loop.create_server(lambda: HttpSink(posts), "127.0.0.1", 0)
    tell({"smtp": smtp.sockets[0].getsockname()[1], "http": http.sockets[0].getsockname()[1]})
    async for _ in questions:
        tell({"mails": mails.taken, "posts": posts.taken, "last_mail": base64.b64encode(mails.last).decode()})


if __name__ == "__main__":
    run(main)
