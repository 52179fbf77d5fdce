"""Shopify's registration for the contract test. `examples/` holds what the given fixtures leave out, by topic:
`orders--cancelled.json` is a body of `orders/cancelled`, and what follows a further `--` tells two apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from base.signing import hmac_b64
from channels.adapter import Delivery
from channels.providers.shopify.adapter import HMAC, ShopifyAdapter
from tests.channels.contract import Case, ProviderContract, Vector, with_headers

EXAMPLES = Path(__file__).parent / "examples"
TRIGGERED = "2026-11-22T09:59:58.123456789Z"
#: Fixture → the topics under which Shopify sends such a body.
TOPICS = {
    "shopify-order": ("orders/create", "orders/updated", "orders/paid"),
    "shopify-checkouts": ("checkouts/create",),
    "shopify-customer": ("customers/update",),
    "shopify-fulfillment": ("fulfillments/create",),
    "shopify-refund": ("refunds/create",),
}


class ShopifyContract(ProviderContract):
    adapter = ShopifyAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "shop_domain": "tea-house.myshopify.com",
        "app_secret": "canary-app-secret",
        "access_token": "shpat_canary-access-token",
    }
    folder = "shopify"
    exempt: ClassVar[Mapping[str, str]] = {"signature-vector.json": "a published signature, see vectors()"}
    secret = "app_secret"
    proof_headers = (HMAC,)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HMAC: hmac_b64(secret, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        """The given files wrap the object, and for checkouts list it; a webhook's body is the bare object."""
        (inner,) = json.loads(file.read_bytes()).values()
        body = json.dumps(inner[0] if isinstance(inner, list) else inner).encode()
        for topic in TOPICS[file.stem]:
            yield Case(f"{file.stem}--{topic.replace('/', '-')}", self.told(topic, body))

    def own(self) -> Iterable[Case]:
        """Our examples under the topics in their names."""
        for own in sorted(EXAMPLES.glob("*.json")):
            topic = "/".join(own.stem.split("--")[:2])
            yield Case(f"own-{own.stem}", self.told(topic, own.read_bytes()))

    def told(self, topic: str, body: bytes) -> Delivery:
        """A delivery with Shopify's headers."""
        names = {
            "x-shopify-topic": topic, "x-shopify-shop-domain": self.settings["shop_domain"],
            "x-shopify-event-id": hashlib.md5(topic.encode() + body, usedforsecurity=False).hexdigest(),
            "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", "x-shopify-triggered-at": TRIGGERED,
            "x-shopify-api-version": "2026-04",
        }  # fmt: skip
        return with_headers(self.post(body), names)

    def vectors(self, folder: Path) -> Iterable[Vector]:
        vector = json.loads((folder / "shopify" / "signature-vector.json").read_text())
        delivery = self.post(vector["raw_body"].encode())
        signed = with_headers(delivery, {vector["header"].lower(): vector["value"]})
        yield Vector("go-shopify", signed, {"app_secret": vector["secret"]})


CONTRACT = ShopifyContract()
