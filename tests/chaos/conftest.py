"""What the stories of disaster share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rapport.embedded import EmbeddedServers


@pytest.fixture
async def private_servers(tmp_path: Path) -> AsyncIterator[EmbeddedServers]:
    """Servers of our own: this test kills them, or takes from them what they know."""
    servers = EmbeddedServers(tmp_path / "data")
    await servers.start()
    yield servers
    await servers.stop()
