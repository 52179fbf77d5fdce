"""Instagram's registration for the contract test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.meta.instagram.adapter import InstagramAdapter
from channels.providers.meta.signature import HEADER, hub_signature
from tests.channels.contract import Case, ProviderContract, with_headers


class InstagramContract(ProviderContract):
    adapter = InstagramAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "account_id": "17841452691600098",
        "access_token": "canary-access-token",
        "app_secret": "canary-app-secret",
        "verify_token": "canary-verify-token",
    }
    folder = "instagram"
    secret = "app_secret"
    proof = "signature"
    proof_headers = (HEADER,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hub_signature(secret, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        """Where the entry's id is none of the account's, the recipient is; the dashboard's samples name nobody."""
        body = file.read_bytes()
        thread = next(iter(json.loads(body)["entry"][0].get("messaging", ())), None)
        yield Case(file.stem, self.post(body), {"account_id": thread["recipient"]["id"]} if thread else {})


CONTRACT = InstagramContract()
