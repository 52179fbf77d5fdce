"""An account, the adapter, and a Viber played by a local server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.adapter import Account
from channels.providers.viber.adapter import ViberAdapter
from channels.providers.viber.card import ViberSettings
from tests.channels.peer import Peer, loopback_client
from tests.conftest import LocalServer


def account(**settings: str) -> Account:
    given = {"auth_token": "canary-token", **settings}
    return Account("chn_viber", "viber", "Tea", ViberSettings.model_validate(given))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def connected(peer: Peer, local_server: LocalServer) -> Account:
    """An account whose API is the peer."""
    return account(api_base=await local_server(peer.app()))


@pytest.fixture
async def adapter() -> AsyncIterator[ViberAdapter]:
    client = loopback_client()
    made = ViberAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()
