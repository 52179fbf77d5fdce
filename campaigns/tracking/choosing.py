"""What the workspace chooses about tracking."""

from __future__ import annotations

from dataclasses import dataclass

from base.errors import Conflict
from campaigns.tracking.settings import TrackingSettings, settings_of
from campaigns.tracking.store import TrackingStore


@dataclass(frozen=True)
class Choice:
    """As it stands; `rev` 0: nothing was chosen yet."""

    settings: TrackingSettings
    rev: int


class Choosing:
    """Reads and keeps the choice."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store

    async def now(self) -> Choice:
        """What holds."""
        row = await self._store.settings()
        return Choice(settings_of(row), row["rev"] if row else 0)

    async def counted(self) -> frozenset[str]:
        """Of `clicked` and `opened` what is tracked now."""
        return (await self.now()).settings.counted

    async def choose(self, settings: TrackingSettings, by: str, rev: int | None = None) -> Choice:
        """From now on this. Other windows are applied to all orders, in the background. `rev`: of what was read; left
        out, whatever holds is replaced. Raises `Conflict`."""
        held = await self.now()
        if rev is not None and rev != held.rev:
            raise Conflict("Somebody has changed this meanwhile. Read it again and write yours on top.")
        if not await self._store.choose(settings.model_dump(), held.rev, by):
            raise Conflict("Somebody has changed this meanwhile. Read it again and write yours on top.")
        return await self.now()
