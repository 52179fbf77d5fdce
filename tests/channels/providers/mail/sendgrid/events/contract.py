"""SendGrid's registration for its events: signed by a key of SendGrid's, of which the account knows the public side."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from channels.adapter import Delivery
from channels.providers.mail.sendgrid.adapter import SIGNATURE, TIMESTAMP, SendgridAdapter
from tests.channels.contract import ProviderContract, Vector, with_headers


def private_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Always the same key for a name."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()) >> 8, ec.SECP256R1())


def public_key(name: str) -> str:
    """As SendGrid's console shows it."""
    der = private_key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


class SendgridEventContract(ProviderContract):
    adapter = SendgridAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "from_address": "care@example.com",
        "api_key": "canary-api-key",
        "event_public_key": public_key("own"),
        "inbound_user": "sendgrid",
        "inbound_password": "canary-inbound-password",
    }
    folder = "email"
    pattern = "sendgrid-*.json"
    exempt: ClassVar[Mapping[str, str]] = {
        "sendgrid-inbound-form.json": "inbound mail, see the folder above",
        "sendgrid-signature-vector.json": "a published signature, see vectors()",
    }
    secret = "event_public_key"
    proof = "public_key"
    signer = "own"
    proof_headers = (SIGNATURE, TIMESTAMP)
    time_tolerance_s = 600

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        stamp = str(int(at.timestamp()))
        signature = private_key(secret).sign(stamp.encode() + delivery.body, ec.ECDSA(hashes.SHA256()))
        return with_headers(delivery, {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: stamp})

    def vectors(self, folder: Path) -> Iterable[Vector]:
        given = json.loads((folder / "email" / "sendgrid-signature-vector.json").read_text())
        proof = {SIGNATURE: given["signature_b64"], TIMESTAMP: given["timestamp"]}
        delivery = with_headers(self.post(given["raw_body"].encode()), proof)
        then = datetime.fromtimestamp(int(given["timestamp"]), UTC)
        yield Vector("sendgrid-python", delivery, {"event_public_key": given["public_key_spki_b64"]}, then)


CONTRACT = SendgridEventContract()
