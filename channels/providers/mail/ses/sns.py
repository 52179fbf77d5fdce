"""What Amazon SNS posts: an envelope whose fields are signed with a certificate of Amazon's, fetched and kept.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html (read 2026-11-28). The certificate's
address comes in the very message that is to be proved: only Amazon's own hosts are ever asked.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from base.errors import Unavailable
from base.http import HttpFailed
from base.signing import within
from channels.adapter import Http, Unreadable, Unverified
from channels.reading import Json, instant, mapping, read_json

NOTIFICATION, SUBSCRIBED, UNSUBSCRIBED = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
#: How old a delivery may be: SNS can be told to go on trying for an hour.
TOLERANCE_S = 3600.0
#: Certificates kept, and seconds for which one that could not be had is not asked for again.
MAX_CERTIFICATES = 16
AGAIN_S = 30.0

_HOST = r"https://sns\.([a-z]{2}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2})\.amazonaws\.com(?:\.cn)?/"
_CERTIFICATE = re.compile(_HOST + r"[A-Za-z0-9_-]{1,200}\.pem", re.ASCII)
_SUBSCRIBE = re.compile(_HOST + r"\?[\x21-\x7e]{1,2000}", re.ASCII)
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIBED: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    UNSUBSCRIBED: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - SNS's version 1


def read_envelope(body: bytes) -> Json:
    """The envelope; an empty one for bytes that are none."""
    try:
        return mapping(read_json(body))
    except Unreadable:
        return {}


def kind_of(envelope: Json) -> str:
    """Type of an envelope; empty when it is none of the three."""
    kind = envelope.get("Type")
    return kind if isinstance(kind, str) and kind in _SIGNED else ""


def certificate_url(envelope: Json, topics: Sequence[str]) -> str | None:
    """Where the certificate of a delivery of ours lies; None for what is not worth a call.

    Amazon's name alone is not enough: `sns.s3.amazonaws.com` is whatever somebody laid into a bucket called sns. A
    topic is signed for in its own region.
    """
    topic = envelope.get("TopicArn")
    if not kind_of(envelope) or topic not in topics:
        return None
    return _in_region(envelope.get("SigningCertURL"), _CERTIFICATE, topic)


def subscribe_url(envelope: Json) -> str | None:
    """The address that confirms a subscription; None when it is not Amazon's."""
    return _in_region(envelope.get("SubscribeURL"), _SUBSCRIBE, envelope.get("TopicArn"))


def _in_region(url: object, wanted: re.Pattern[str], topic: object) -> str | None:
    """The address, when it is SNS's in the region of the topic (`arn:aws:sns:region:…`)."""
    found = wanted.fullmatch(url) if isinstance(url, str) else None
    region = topic.split(":")[3:4] if isinstance(topic, str) else []
    return found[0] if found is not None and region == [found[1]] else None


def check_envelope(envelope: Json, topics: Sequence[str], certificates: Certificates, now: datetime) -> None:
    """Return when the fields are signed by Amazon, for a topic of ours, and fresh. Raises `Unverified`."""
    url = certificate_url(envelope, topics)
    key = certificates.key(url, now) if url else None
    if key is None:
        raise Unverified("The delivery is not of our topic, or not signed by Amazon.")
    algorithm = _HASHES.get(str(envelope.get("SignatureVersion")))
    if algorithm is None:
        raise Unverified("The version of the signature is unknown.")
    try:
        signature = base64.b64decode(str(envelope.get("Signature")), validate=True)
        key.verify(signature, _signed_text(envelope), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unverified("The signature does not match.") from None
    stamp = instant(envelope.get("Timestamp"))
    if stamp is None or not within(stamp.timestamp(), now, TOLERANCE_S):
        raise Unverified("The delivery is too old.")


def _signed_text(envelope: Json) -> bytes:
    """Each signed field as two lines. Subject may be missing, nothing else. Raises `ValueError`."""
    lines = []
    for name in _SIGNED[kind_of(envelope)]:
        value = envelope.get(name)
        if value is None and name == "Subject":
            continue
        if not isinstance(value, str):
            raise ValueError(name)
        lines.append(f"{name}\n{value}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


class Certificates:
    """Amazon's public keys by the address they were fetched from."""

    def __init__(self) -> None:
        self._kept: dict[str, x509.Certificate] = {}
        self._not_before: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()

    def key(self, url: str, now: datetime) -> rsa.RSAPublicKey | None:
        """The key of a certificate that was fetched and is valid now."""
        found = self._kept.get(url)
        if found is None or not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            return None
        key = found.public_key()
        return key if isinstance(key, rsa.RSAPublicKey) else None

    def keep(self, url: str, pem: bytes) -> None:
        """Keep a certificate; the oldest of too many goes. Raises `ValueError` for bytes that are none."""
        certificate = x509.load_pem_x509_certificate(pem)
        while len(self._kept) >= MAX_CERTIFICATES:
            del self._kept[next(iter(self._kept))]
        self._kept[url] = certificate

    async def need(self, http: Http, url: str) -> None:
        """Fetch what is not kept yet. `url` has passed `certificate_url`. Raises `Unavailable` or `Unverified`."""
        if url in self._kept:
            return
        async with self._one_at_a_time:
            if url in self._kept:
                return
            if time.monotonic() < self._not_before.get(url, 0.0):
                raise Unavailable("The certificate could not be had a moment ago.")
            self._wait(url)
            await self._fetch(http, url)
            self._not_before.pop(url, None)

    def _wait(self, url: str) -> None:
        while len(self._not_before) >= MAX_CERTIFICATES:
            del self._not_before[next(iter(self._not_before))]
        self._not_before[url] = time.monotonic() + AGAIN_S

    async def _fetch(self, http: Http, url: str) -> None:
        try:
            answer = await http.request("GET", url, timeout_s=5.0, max_bytes=20_000)
        except HttpFailed as error:
            raise Unavailable(f"The certificate could not be fetched: {error}") from None
        if answer.status >= 500:
            raise Unavailable(f"Amazon answered {answer.status} for its certificate.")
        if answer.status != 200:
            raise Unverified("There is no such certificate.")
        try:
            self.keep(url, answer.body)
        except ValueError:
            raise Unverified("That is no certificate.") from None
