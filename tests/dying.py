"""Deaths on purpose: a worker that dies right before or right after a named call to the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from base.mongo import Collection

#: Calls that change something.
WRITES = ("update_many", "update_one", "bulk_write", "insert_many", "insert_one", "find_one_and_update")


class Died(BaseException):
    """As `kill -9` looks from inside: nothing after it runs."""


class Dying:
    """Counts the calls by these names while armed, and dies before or after the one that is named by its number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: Iterable[str] = WRITES) -> None:
        self.count, self.at, self.after, self.armed = 0, -1, False, False
        for name in calls:
            monkeypatch.setattr(Collection, name, self._wrapped(getattr(Collection, name)))

    def _wrapped(self, real: Any) -> Any:
        async def call(collection: Any, *args: Any, **more: Any) -> Any:
            if not self.armed:
                return await real(collection, *args, **more)
            self.count += 1
            if 0 < self.at < self.count:
                raise Died  # what ran beside it is dead, too
            mine = self.count == self.at
            if mine and not self.after:
                raise Died
            result = await real(collection, *args, **more)
            if mine:
                raise Died
            return result

        return call

    async def on(self, at: int, after: bool, work: Callable[[], Awaitable[object]]) -> bool:
        """Do it and die at that call; whether it died."""
        self.count, self.at, self.after, self.armed = 0, at, after, True
        try:
            await work()
        except Died:
            return True
        finally:
            self.armed = False
        return False
