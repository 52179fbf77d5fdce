"""Viber's registration for the contract test. `examples/` holds what the given fixtures leave out, by the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from base.signing import hmac_hex
from channels.adapter import Delivery
from channels.providers.viber.adapter import HEADER, ViberAdapter
from tests.channels.contract import ProviderContract, Vector, with_headers


class ViberContract(ProviderContract):
    adapter = ViberAdapter
    settings: ClassVar[Mapping[str, Any]] = {"auth_token": "canary-auth-token"}
    folder = "viber"
    exempt: ClassVar[Mapping[str, str]] = {"signature-vector.json": "a published signature, see vectors()"}
    secret = "auth_token"
    proof = "signature"
    proof_headers = (HEADER,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hmac_hex(secret, delivery.body)})

    def vectors(self, folder: Path) -> Iterable[Vector]:
        given = json.loads((folder / "viber" / "signature-vector.json").read_text())
        delivery = with_headers(self.post(given["raw_body"].encode()), {given["header"].lower(): given["value"]})
        yield Vector("viberbot", delivery, {"auth_token": given["auth_token"]})


CONTRACT = ViberContract()
