"""WhatsApp's registration for the contract test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.meta.signature import HEADER, hub_signature
from channels.providers.meta.whatsapp.adapter import WhatsAppAdapter
from tests.channels.contract import Case, ProviderContract, Vector, with_headers


class WhatsAppContract(ProviderContract):
    adapter = WhatsAppAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "phone_number_id": "409552778964973",
        "business_account_id": "880480571844883",
        "access_token": "canary-access-token",
        "app_secret": "canary-app-secret",
        "verify_token": "canary-verify-token",
    }
    folder = "whatsapp"
    secret = "app_secret"
    proof = "signature"
    proof_headers = (HEADER,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hub_signature(secret, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        """A file is one body, a container with a whole body under each key, or a body beside its signature."""
        body = file.read_bytes()
        payload = json.loads(body)
        if "raw_body" in payload:
            body = payload["raw_body"].encode()
            payload = json.loads(body)
        if "entry" in payload:
            yield Case(file.stem, self.post(body), _addressed_to(payload))
            return
        for key, part in payload.items():
            yield Case(f"{file.stem}--{key}", self.post(json.dumps(part).encode()), _addressed_to(part))

    def vectors(self, folder: Path) -> Iterable[Vector]:
        vector = json.loads((folder / "whatsapp" / "signature-vector.json").read_text())
        delivery = self.post(vector["raw_body"].encode())
        yield Vector(
            "pywa",
            with_headers(delivery, {vector["header"].lower(): vector["value"]}),
            {"app_secret": vector["app_secret"]},
        )


def _addressed_to(payload: dict[str, Any]) -> dict[str, str]:
    """The settings of the account that the sample was sent to."""
    entry = payload["entry"][0]
    metadata = entry["changes"][0]["value"].get("metadata", {})
    number = {"phone_number_id": metadata["phone_number_id"]} if metadata else {}
    return {"business_account_id": entry["id"], **number}


CONTRACT = WhatsAppContract()
