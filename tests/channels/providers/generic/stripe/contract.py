"""The generic provider's second registration: the Stripe style of signing, over its own and the given bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from base.signing import hmac_hex
from channels.adapter import Delivery
from channels.providers.generic.adapter import GenericAdapter
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"


class StripeStyleContract(ProviderContract):
    adapter = GenericAdapter
    settings = {"scheme": "stripe", "secret": "whsec_canary-stripe-style-secret"}  # noqa: RUF012
    folder = "webhooks"
    secret = "secret"
    proof_headers = ("stripe-signature",)
    time_tolerance_s = 300

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        stamp = int(at.timestamp())
        right = hmac_hex(secret, f"{stamp}.".encode() + delivery.body)
        return with_headers(delivery, {"stripe-signature": f"t={stamp},v1={right}"})

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.post(json.loads(file.read_bytes())["raw_body"].encode()))
        yield from (Case(f"own-{own.stem}", self.post(own.read_bytes())) for own in sorted(EXAMPLES.glob("*.json")))


CONTRACT = StripeStyleContract()
