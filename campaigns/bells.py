"""What campaigns ask of the doorbell; `base.queue.Doorbell` is one. Without it the sweeps find the work."""

from __future__ import annotations

from typing import Protocol

from base.queue import Bell


class Ringer(Protocol):
    """Wakes workers."""

    async def ring(self, *bells: Bell) -> None:
        """Say that there is work of these kinds. Never raises."""
        ...
