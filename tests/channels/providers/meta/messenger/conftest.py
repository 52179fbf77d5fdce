"""An account, the adapter, and short ways to write deliveries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.adapter import Account, Delivery
from channels.providers.meta.messenger.adapter import MessengerAdapter
from channels.providers.meta.messenger.card import MessengerSettings
from channels.vocabulary import AnyEvent
from tests.channels.contract import NOW
from tests.channels.peer import Peer, loopback_client
from tests.conftest import LocalServer

PAGE, ANNA_ID = "12345654332", "987654321432"


def account(**settings: Any) -> Account:
    given = {
        "page_id": PAGE, "access_token": "canary-token", "app_secret": "canary-app-secret",
        "verify_token": "canary-word", **settings,
    }  # fmt: skip
    return Account("chn_ms", "messenger", "Shop", MessengerSettings.model_validate(given))


def entry(**fields: Any) -> Delivery:
    payload = {"object": "page", "entry": [{"id": PAGE, "time": 1763800000500, **fields}]}
    return Delivery("POST", json.dumps(payload).encode(), received_at=NOW)


def parse(given: Delivery) -> list[AnyEvent]:
    return MessengerAdapter(loopback_client()).parse(account(), given)


def parse_item(**fields: Any) -> AnyEvent:
    """One item of Anna's as one event; a field given as None is left out."""
    frame = {"sender": {"id": ANNA_ID}, "recipient": {"id": PAGE}, "timestamp": 1763800000000, **fields}
    [event] = parse(entry(messaging=[{name: value for name, value in frame.items() if value is not None}]))
    return event


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def connected(peer: Peer, local_server: LocalServer) -> Account:
    """An account whose Graph API is the peer."""
    return account(api_base=await local_server(peer.app()))


@pytest.fixture
async def adapter() -> AsyncIterator[MessengerAdapter]:
    client = loopback_client()
    made = MessengerAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()
