"""The conversation with a mail server once it has greeted us: commands out, one by one or in groups, replies back.

aiosmtplib opens the connection (greeting, TLS, sign-in) and takes one command at a time: what else a server says counts
as unasked for and is dropped. Where a server lets commands be sent in groups (RFC 2920, read 2026-11-29) a mail takes
two turns instead of four, so the open connection is taken over from it here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import aiosmtplib

#: Bytes of an answer that is not at its end, and answers that nobody asked for; a server that says more is not
#: understood.
LONGEST, MOST = 65_536, 200


class Reply(NamedTuple):
    """One answer; the lines of a long one joined by line breaks."""

    code: int
    words: str


class Talk(asyncio.Protocol):
    """One open connection. One mail at a time goes over it."""

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        """Take the connection over. It has just been opened, so nothing is under way on it."""
        self.smtp = smtp
        self.in_groups = smtp.supports_extension("pipelining")
        self._before = smtp.protocol
        self._transport: asyncio.Transport | None = smtp.transport  # type: ignore[assignment]
        self._held = b""
        self._words: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        #: What a server said that is no answer; nothing more is read then.
        self.nonsense: str | None = None
        if self._transport is not None:
            self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether something may be said."""
        return self._transport is not None and not self._transport.is_closing() and self.nonsense is None

    @property
    def is_in_step(self) -> bool:
        """Open, and nothing was said that nobody asked for: a server that ends an idle connection says so."""
        return self.is_open and not self._replies and not self._held and not self._words

    async def ask(self, said: bytes, count: int, timeout_s: float) -> list[Reply]:
        """Say it; the `count` answers to it, or fewer: the connection was lost, or the server fell silent, or talked
        nonsense. Then nothing more may be said on it."""
        if self._transport is None or not self.is_open:
            return []
        self._transport.write(said)
        if len(self._replies) < count:
            loop = asyncio.get_running_loop()
            self._wanted, self._waiter = count, loop.create_future()
            timer = loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        return [self._replies.popleft() for _ in range(min(count, len(self._replies)))]

    def hang_up(self) -> None:
        """Close without another word: a mail whose end was not said is no mail."""
        if self._transport is not None:
            self._transport.close()

    # -- asyncio calls these -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Something was said."""
        self._held += data
        while self.nonsense is None and (end := self._held.find(b"\n")) >= 0:
            line, self._held = self._held[:end], self._held[end + 1 :]
            self._take(line)
        if len(self._held) + sum(map(len, self._words)) > LONGEST or len(self._replies) > MOST:
            self.nonsense = "It is too long."
        if self.nonsense is not None:
            self._held = b""
            self.hang_up()
        if len(self._replies) >= self._wanted or self.nonsense is not None:
            self._wake()

    def eof_received(self) -> bool:
        """The server hangs up."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._transport = None
        if self._before is not None:
            self._before.connection_lost(exc)
        self._wake()

    def _take(self, line: bytes) -> None:
        if not line[:3].isdigit():
            self.nonsense = line.decode("utf-8", "replace")
            return
        self._words.append(line[4:].strip().decode("utf-8", "surrogateescape"))
        if line[3:4] != b"-":
            self._replies.append(Reply(int(line[:3]), "\n".join(self._words)))
            self._words = []

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
