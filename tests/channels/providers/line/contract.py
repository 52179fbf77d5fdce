"""LINE's registration for the contract test. `examples/` holds what the given fixtures leave out, by the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from base.signing import hmac_b64
from channels.adapter import Delivery
from channels.providers.line.adapter import HEADER, LineAdapter
from tests.channels.contract import ProviderContract, with_headers


class LineContract(ProviderContract):
    adapter = LineAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "channel_secret": "canary-channel-secret",
        "access_token": "canary-access-token",
    }
    folder = "line"
    exempt: ClassVar[Mapping[str, str]] = {"signature-vector.json": "signs a body that is no JSON; see test_parse"}
    secret = "channel_secret"
    proof = "signature"
    proof_headers = (HEADER,)
    #: The SDK's batch repeats one placeholder.
    unique_event_ids = False

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hmac_b64(secret, delivery.body)})


CONTRACT = LineContract()
