"""Whether a visitor has the chat open: noted by their window, forgotten by itself. Nothing depends on it for long."""

from __future__ import annotations

from base.bus import Bus

#: A window that is open notes so at least twice within this time, seconds.
COUNTS_S = 75


class Presence:
    """Over the bus; a note that is lost makes somebody look away for a minute."""

    def __init__(self, bus: Bus | None) -> None:
        self._bus = bus

    async def note(self, channel_id: str, external_id: str) -> None:
        """They are here."""
        if self._bus is not None:
            await self._bus.count(_name(channel_id, external_id), 1, kept_s=COUNTS_S)

    async def here(self, channel_id: str, external_id: str) -> bool:
        """Whether they were within the last minute."""
        return self._bus is not None and await self._bus.counted(_name(channel_id, external_id)) > 0


def _name(channel_id: str, external_id: str) -> str:
    return f"present:{channel_id}:{external_id}"
