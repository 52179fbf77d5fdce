"""SES's registration for the contract test: envelopes of SNS, signed with a certificate of the tests' own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from channels.adapter import Adapter, Delivery
from channels.providers.mail.ses.adapter import SesAdapter
from tests.channels.contract import NOW, Case, ProviderContract

TOPIC = "arn:aws:sns:us-east-1:123456789012:Contract"
CERTIFICATE = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
EXAMPLES = Path(__file__).parent / "examples"
#: As Amazon's page lists them; written down again here, so that the adapter's own list is tried against it.
NAMES = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": [
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ],
}  # fmt: skip
NAMES["UnsubscribeConfirmation"] = NAMES["SubscriptionConfirmation"]


@lru_cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str = "amazon", at: datetime = NOW) -> bytes:
    """PEM of a certificate that is valid for a month around `at`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    key = private_key(name)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(at - timedelta(days=15)).not_valid_after(at + timedelta(days=15))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM)


def signature(envelope: Mapping[str, Any], key: str = "amazon") -> str:
    """Over name and value of each field of its list, a line each."""
    names = [name for name in NAMES[envelope["Type"]] if envelope.get(name) is not None]
    signed = "".join(f"{name}\n{envelope[name]}\n" for name in names).encode()
    algorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
    return base64.b64encode(private_key(key).sign(signed, padding.PKCS1v15(), algorithm)).decode()


def stamped(envelope: Mapping[str, Any], topic: str, at: datetime, version: str = "2") -> dict[str, Any]:
    """The envelope as SNS would sign it then, for that topic."""
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    made = {
        **envelope,
        "TopicArn": topic,
        "Timestamp": stamp,
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
    }
    return {**made, "Signature": signature(made)}


class SesContract(ProviderContract):
    adapter = SesAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "from_address": "inbound@example.com",
        "region": "us-east-1",
        "access_key_id": "AKIDEXAMPLE000000",
        "secret_access_key": "canary-secret-access-key",
        "topic_arn": TOPIC,
    }
    folder = "email"
    pattern = "*sns-*.json"
    secret = "topic_arn"
    other_secret = "arn:aws:sns:us-east-1:123456789012:Another"
    proof = "public_key"
    signer = TOPIC
    signs_any_bytes = False
    time_tolerance_s = 3600
    content_type = "text/plain; charset=UTF-8"

    def prepared(self, adapter: Adapter) -> Adapter:
        assert isinstance(adapter, SesAdapter)
        adapter.certificates.keep(CERTIFICATE, certificate())
        return adapter

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return replace(delivery, body=json.dumps(stamped(json.loads(delivery.body), secret, at)).encode())

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        good = json.loads(signed.body)
        host = "sns.us-east-1.amazonaws.com"
        changes: dict[str, Mapping[str, Any]] = {
            "no signature": {"Signature": ""},
            "a cut signature": {"Signature": good["Signature"][:-4]},
            "not base64": {"Signature": good["Signature"][:-1] + "é"},
            "a number": {"Signature": 7},
            "another key": {"Signature": signature(good, "somebody")},
            "another version": {"SignatureVersion": "1"},
            "an unknown version": {"SignatureVersion": "3"},
            "a certificate nobody fetched": {"SigningCertURL": CERTIFICATE.replace("0123", "4567")},
            "a certificate by http": {"SigningCertURL": CERTIFICATE.replace("https", "http")},
            "a certificate elsewhere": {
                "SigningCertURL": CERTIFICATE.replace(host, "sns.us-east-1.amazonaws.com.example.com")
            },
            "a certificate in a bucket": {"SigningCertURL": CERTIFICATE.replace("sns.", "s3.")},
            "a certificate behind a user": {"SigningCertURL": CERTIFICATE.replace("https://", "https://sns@")},
            "no certificate": {"SigningCertURL": None},
            "another kind": {"Type": "Notice"},
            **{f"another {name}": {name: f"{good.get(name)}x"} for name in NAMES[good["Type"]] if good.get(name)},
        }
        for what, change in changes.items():
            yield what, replace(signed, body=json.dumps({**good, **change}).encode())

    def tampered(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        """Fields are signed, not bytes: white space around them is nobody's."""
        around = ("a byte more", "a BOM before it", "written again")
        yield from ((what, delivery) for what, delivery in super().tampered(signed) if what not in around)

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.post(file.read_bytes()))
        if file.stem == "ses-sns-bounce":
            yield from (Case(f"own-{own.stem}", self._wrapped(own)) for own in sorted(EXAMPLES.glob("*.json")))

    def _wrapped(self, file: Path) -> Delivery:
        """An example is a whole envelope, or an object of SES for the `Message` of one."""
        given = json.loads(file.read_text(encoding="utf-8"))
        if "Type" not in given:
            given = {
                "Type": "Notification",
                "MessageId": f"sns-{file.stem}",
                "Message": json.dumps(given),
                "Timestamp": "2026-11-22T09:59:59.000Z",
            }
        return self.post(json.dumps(given).encode())


CONTRACT = SesContract()
