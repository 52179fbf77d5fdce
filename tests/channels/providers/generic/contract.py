"""The generic provider's registration for the contract test, signed by Standard Webhooks.

One vector is given; everything else in `examples/` follows our own public contract (`stripe/` signs the same ones).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from base.signing import sign_standard
from channels.adapter import Delivery
from channels.providers.generic.adapter import GenericAdapter
from tests.channels.contract import Case, ProviderContract, Vector, with_headers

EXAMPLES = Path(__file__).parent / "examples"
SECRET = "whsec_" + base64.b64encode(b"canary-generic-secret-24").decode()


class GenericContract(ProviderContract):
    adapter = GenericAdapter
    settings = {  # noqa: RUF012
        "scheme": "standard",
        "secret": SECRET,
        "send_url": "https://shop.example.com/rapport",
    }
    folder = "webhooks"
    secret = "secret"
    proof_headers = ("webhook-id", "webhook-timestamp", "webhook-signature")
    time_tolerance_s = 300
    other_secret = "whsec_" + base64.b64encode(b"canary-other-secret-here").decode()

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        stamp = int(at.timestamp())
        signature = sign_standard(secret, "msg_contract", stamp, delivery.body)
        headers = {"webhook-id": "msg_contract", "webhook-timestamp": str(stamp), "webhook-signature": signature}
        return with_headers(delivery, headers)

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.post(json.loads(file.read_bytes())["raw_body"].encode()))
        yield from (Case(f"own-{own.stem}", self.post(own.read_bytes())) for own in sorted(EXAMPLES.glob("*.json")))

    def vectors(self, folder: Path) -> Iterable[Vector]:
        given = json.loads((folder / "webhooks" / "standard-webhooks-vector.json").read_bytes())
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        delivery = with_headers(self.post(given["raw_body"].encode()), {name: given[name] for name in names})
        at = datetime.fromtimestamp(int(given["webhook-timestamp"]), UTC)
        yield Vector("standard-webhooks", delivery, {"secret": given["secret"]}, at)


CONTRACT = GenericContract()
