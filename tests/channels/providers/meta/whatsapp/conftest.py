"""An account, the adapter, and short ways to write deliveries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.adapter import Account, Delivery
from channels.providers.meta.whatsapp.adapter import WhatsAppAdapter
from channels.providers.meta.whatsapp.card import WhatsAppSettings
from channels.vocabulary import AnyEvent
from tests.channels.contract import NOW
from tests.channels.peer import Peer, loopback_client
from tests.conftest import LocalServer

NUMBER, BUSINESS = "106540352242922", "102290129340398"
ANNA = {"profile": {"name": "Anna"}, "wa_id": "491701234567", "user_id": "DE.13491208655302741918"}


def account(**settings: str) -> Account:
    given = {
        "phone_number_id": NUMBER, "business_account_id": BUSINESS, "access_token": "canary-token",
        "app_secret": "canary-app-secret", "verify_token": "canary-word", **settings,
    }  # fmt: skip
    return Account("chn_wa", "whatsapp", "Shop", WhatsAppSettings.model_validate(given))


def change(field: str, value: dict[str, Any], number: str | None = NUMBER) -> dict[str, Any]:
    metadata = {"metadata": {"display_phone_number": "15550783881", "phone_number_id": number}} if number else {}
    return {"field": field, "value": {"messaging_product": "whatsapp", **metadata, **value}}


def delivery(*changes: Any, business: Any = BUSINESS, **entry: Any) -> Delivery:
    payload = {
        "object": "whatsapp_business_account",
        "entry": [{"id": business, "changes": list(changes), **entry}],
    }
    return Delivery("POST", json.dumps(payload).encode(), received_at=NOW)


def parse(given: Delivery) -> list[AnyEvent]:
    return WhatsAppAdapter(loopback_client()).parse(account(), given)


def message(**fields: Any) -> dict[str, Any]:
    base = {"from": "491701234567", "from_user_id": ANNA["user_id"], "id": "wamid.A", "timestamp": "1749416383"}
    return {name: value for name, value in {**base, **fields}.items() if value is not None}


def parse_message(**fields: Any) -> AnyEvent:
    """One message of Anna's as one event; a field given as None is left out."""
    [event] = parse(delivery(change("messages", {"contacts": [ANNA], "messages": [message(**fields)]})))
    return event


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def connected(peer: Peer, local_server: LocalServer) -> Account:
    """An account whose Graph API is the peer."""
    return account(api_base=await local_server(peer.app()))


@pytest.fixture
async def adapter() -> AsyncIterator[WhatsAppAdapter]:
    client = loopback_client()
    made = WhatsAppAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()
