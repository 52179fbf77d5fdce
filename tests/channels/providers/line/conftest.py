"""An account, the adapter, and a LINE played by a local server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.adapter import Account
from channels.providers.line.adapter import LineAdapter
from channels.providers.line.card import LineSettings
from tests.channels.peer import Peer, loopback_client
from tests.conftest import LocalServer


def account(**settings: str) -> Account:
    given = {"channel_secret": "canary-channel-secret", "access_token": "canary-token", **settings}
    return Account("chn_line", "line", "Tea", LineSettings.model_validate(given))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def connected(peer: Peer, local_server: LocalServer) -> Account:
    """An account whose API, files included, is the peer."""
    return account(api_base=await local_server(peer.app()))


@pytest.fixture
async def adapter() -> AsyncIterator[LineAdapter]:
    client = loopback_client()
    made = LineAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()
