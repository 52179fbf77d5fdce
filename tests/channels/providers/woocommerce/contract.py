"""WooCommerce's registration for the contract test. `examples/` holds what the given fixtures leave out, by topic:
`order.deleted.json` is a body of `order.deleted`, and what follows `--` tells two apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from base.signing import hmac_b64
from channels.adapter import Delivery
from channels.providers.woocommerce.adapter import SIGNATURE, WooAdapter
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"
TOPICS = {"order-created": ("order.created", "order.updated"), "customer-created": ("customer.created",)}


class WooContract(ProviderContract):
    adapter = WooAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "site_url": "https://shop.example.com",
        "webhook_secret": "canary-webhook-secret",
        "consumer_key": "ck_canary-consumer-key",
        "consumer_secret": "cs_canary-consumer-secret",
    }
    folder = "woocommerce"
    secret = "webhook_secret"
    proof_headers = (SIGNATURE,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {SIGNATURE: hmac_b64(secret, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        for topic in TOPICS[file.stem]:
            yield Case(f"{file.stem}--{topic}", self.told(topic, file.read_bytes()))

    def own(self) -> Iterable[Case]:
        """Our examples under the topics in their names."""
        for own in sorted(EXAMPLES.glob("*.json")):
            yield Case(f"own-{own.stem}", self.told(own.stem.partition("--")[0], own.read_bytes()))

    def told(self, topic: str, body: bytes) -> Delivery:
        """A delivery with WooCommerce's headers."""
        resource, _, event = topic.partition(".")
        names = {
            "x-wc-webhook-source": "https://shop.example.com/", "x-wc-webhook-topic": topic,
            "x-wc-webhook-resource": resource, "x-wc-webhook-event": event, "x-wc-webhook-id": "7",
            "x-wc-webhook-delivery-id": hashlib.md5(topic.encode() + body, usedforsecurity=False).hexdigest(),
        }  # fmt: skip
        return with_headers(self.post(body), names)


CONTRACT = WooContract()
