"""Access tokens in memory: one for each account, fetched once by whoever comes first, replaced when it is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

#: Taken out of use this long before Tencent lets it end; the old one works for five more minutes.
_MARGIN_S = 300.0


class Fetched(NamedTuple):
    """A token and the seconds that it lives."""

    token: str
    lives_s: float


#: Fetch a token; the flag asks for a new one although the present one has not ended.
Fetch = Callable[[bool], Awaitable[Fetched]]


@dataclass(frozen=True, repr=False)
class _Held:
    token: str
    until: float


class Tokens:
    """The tokens of all accounts of one adapter. The key holds the credentials, so changed ones get their own."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], _Held] = {}
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def get(self, key: tuple[str, ...], fetch: Fetch, *, refused: str | None = None) -> str:
        """The token of `key`. `refused`: one that has just been refused; many may say so, one fetches anew."""
        usable = self._usable(key, refused)
        if usable is not None:
            return usable
        async with self._locks.setdefault(key, asyncio.Lock()):
            usable = self._usable(key, refused)
            if usable is not None:
                return usable
            found = await fetch(False)
            if found.token == refused:
                found = await fetch(True)
            self._held[key] = _Held(found.token, time.monotonic() + max(0.0, found.lives_s - _MARGIN_S))
            return found.token

    def _usable(self, key: tuple[str, ...], refused: str | None) -> str | None:
        held = self._held.get(key)
        return held.token if held and held.token != refused and time.monotonic() < held.until else None
