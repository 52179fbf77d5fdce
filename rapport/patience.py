"""Lets connections go whose first request does not come: aiohttp itself would wait for ever.

It stands before aiohttp only until the head of the first request is whole, and costs nothing afterwards: bodies have
their own time, and aiohttp closes a kept connection whose next request does not come.
"""

from __future__ import annotations

import asyncio

#: Time from the connection to the end of the first request's head, seconds.
HEAD_S = 15.0
#: What ends a head, however carelessly it is written.
_ENDS = (b"\n\r\n", b"\n\n")


class Patience(asyncio.Protocol):
    """Hands everything on to the protocol that serves, with an eye on the clock."""

    def __init__(self, serves: asyncio.Protocol, *, head_s: float = HEAD_S) -> None:
        self._serves = serves
        self._head_s = head_s
        self._tail = b""
        self._transport: asyncio.Transport | None = None
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The time begins."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport
        self._clock = asyncio.get_running_loop().call_later(self._head_s, transport.abort)
        self._serves.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """A piece of the head. With its end this one steps aside."""
        seen = self._tail + data
        self._tail = seen[-2:]
        if self._transport is not None and any(end in seen for end in _ENDS):
            self._stop()
            self._transport.set_protocol(self._serves)
        self._serves.data_received(data)

    def eof_received(self) -> bool | None:
        """The other side says no more."""
        return self._serves.eof_received()

    def pause_writing(self) -> None:
        """The other side reads too slowly."""
        self._serves.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._serves.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Gone."""
        self._stop()
        self._serves.connection_lost(error)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
