"""Kept SMTP connections of one account: at most so many, each used for so many mails, closed when idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiosmtplib

from channels.failures import SendFailed
from channels.providers.mail.email.talk import Talk

#: Connections of one account at a time, mails over one connection, seconds a connection may lie unused.
MAX_CONNECTIONS = 10
MAX_MAILS = 100
IDLE_S = 30.0


@dataclass
class Line:
    """One open connection."""

    talk: Talk
    mails: int = 0
    used_at: float = 0.0
    #: Set when the conversation on it is out of step or over; it is then closed instead of kept.
    broken: bool = False

    @property
    def reused(self) -> bool:
        """True when mails went over it before: then a loss before MAIL says only that it was idle too long."""
        return self.mails > 0


class Pool:
    """Lends connections. Whoever waits for the eleventh waits in order."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[aiosmtplib.SMTP]],
        *,
        connections: int = MAX_CONNECTIONS,
        mails: int = MAX_MAILS,
        idle_s: float = IDLE_S,
    ) -> None:
        """`connect` gives a connection that has greeted and signed in."""
        self._connect = connect
        self._mails = mails
        self._idle_s = idle_s
        self._free = asyncio.Semaphore(connections)
        self._kept: list[Line] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @asynccontextmanager
    async def line(self, *, fresh: bool = False) -> AsyncIterator[Line]:
        """A connection for one mail. It goes back when the block ends, by `SendFailed` too, unless called broken."""
        async with self._free:
            line = None if fresh else self._take()
            if line is None:
                line = Line(Talk(await self._connect()))
            well = False
            try:
                yield line
                well = True
            except SendFailed:  # the server's no; the borrower says whether the connection is in step again
                well = True
                raise
            finally:
                self._give_back(line, well)

    def close(self) -> None:
        """Hang up on every kept connection; lent ones are closed when they come back."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        while self._kept:
            hang_up(self._kept.pop().talk.smtp)

    @property
    def idle(self) -> bool:
        """True when no connection is kept."""
        return not self._kept

    def _take(self) -> Line | None:
        now = time.monotonic()
        while self._kept:
            line = self._kept.pop()  # the one used last: the others get the chance to grow old
            if line.talk.is_in_step and now - line.used_at < self._idle_s:
                return line
            hang_up(line.talk.smtp)
        return None

    def _give_back(self, line: Line, well: bool) -> None:
        line.mails += 1
        line.used_at = time.monotonic()
        usable = well and not line.broken and line.talk.is_in_step and line.mails < self._mails
        if not usable or self._closed:
            hang_up(line.talk.smtp)
            return
        self._kept.append(line)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(self._idle_s, self._reap)

    def _reap(self) -> None:
        now = time.monotonic()
        old = [line for line in self._kept if now - line.used_at >= self._idle_s or not line.talk.is_in_step]
        for line in old:
            self._kept.remove(line)
            hang_up(line.talk.smtp)
        again = self._kept and not self._closed
        self._reaper = asyncio.get_running_loop().call_later(self._idle_s, self._reap) if again else None


def hang_up(smtp: aiosmtplib.SMTP) -> None:
    """Say QUIT and close without waiting for the answer: nobody needs it."""
    protocol = smtp.protocol
    if protocol is not None and protocol.is_connected:
        try:
            protocol.write(b"QUIT\r\n")
        except aiosmtplib.SMTPServerDisconnected:
            pass  # gone already, which is what was wanted
    smtp.close()
