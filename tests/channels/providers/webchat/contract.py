"""The web chat's registration for the contract test: what the widget's door journals is the delivery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.webchat.adapter import WebchatAdapter
from channels.providers.webchat.envelope import WIDGET
from tests.channels.contract import NOW, Case, ProviderContract


class WebchatContract(ProviderContract):
    adapter = WebchatAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "allowed_origins": ["https://shop.example.com"],
        "identity_secret": "canary-identity-secret",
    }
    folder = ""
    secret = "identity_secret"
    proof = "none"  # the door is the proof; see tests/desk/widget
    api_base_exempt = "there is no third party"

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return delivery

    def _walk(self, root: Path | None) -> Iterator[Case]:
        for own in sorted((self.home / "examples").glob("*")):
            yield Case(f"own-{own.stem}", kept(own.read_bytes()))


def kept(body: bytes) -> Delivery:
    return Delivery(method=WIDGET, body=body, received_at=NOW)


CONTRACT = WebchatContract()
