"""Messenger's registration for the contract test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.meta.messenger.adapter import MessengerAdapter
from channels.providers.meta.signature import HEADER, hub_signature
from tests.channels.contract import Case, ProviderContract, with_headers


class MessengerContract(ProviderContract):
    adapter = MessengerAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "page_id": "12345654332",
        "access_token": "canary-access-token",
        "app_secret": "canary-app-secret",
        "verify_token": "canary-verify-token",
        "app_id": "1517776481860111",
    }
    folder = "messenger"
    secret = "app_secret"
    proof = "signature"
    proof_headers = (HEADER,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hub_signature(secret, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        """Each sample is addressed to a page of its own."""
        body = file.read_bytes()
        yield Case(file.stem, self.post(body), {"page_id": str(json.loads(body)["entry"][0]["id"])})


CONTRACT = MessengerContract()
