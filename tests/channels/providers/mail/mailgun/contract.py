"""Mailgun's registration for the contract test.

Events are JSON; a fixture or example called `…inbound…` holds the fields of a form, and `files` where it has some.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from base.signing import hmac_hex
from channels.adapter import Delivery
from channels.providers.mail.forms import write_form
from channels.providers.mail.mailgun.adapter import MailgunAdapter
from channels.vocabulary import Attachment, AttachmentKind
from tests.channels.contract import Case, ProviderContract

EXAMPLES = Path(__file__).parent / "examples"
ENCODED = "application/x-www-form-urlencoded"
TOKEN = "06c96bafc3f42a66b9edd546347a2fe18dc23461fe80dc52f0"
PROOF = ("timestamp", "token", "signature")


class MailgunContract(ProviderContract):
    adapter = MailgunAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "from_address": "test@inbound.example.com",
        "domain": "inbound.example.com",
        "api_key": "canary-api-key",
        "signing_key": "canary-signing-key",
    }
    folder = "email"
    pattern = "mailgun-*.json"
    secret = "signing_key"
    proof = "secret"  # a signature, but not of the body
    time_tolerance_s = 600

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        stamp = str(int(at.timestamp()))
        return proved(delivery, (stamp, TOKEN, hmac_hex(secret, (stamp + TOKEN).encode())))

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        stamp, token, signature = proof_of(signed)
        for what, proof in {
            "no signature": (stamp, token, ""),
            "a cut signature": (stamp, token, signature[:-1]),
            "in upper case": (stamp, token, signature.upper()),
            "not ascii": (stamp, token, signature[:-1] + "é"),
            "another token": (stamp, token[::-1], signature),
            "no token": (stamp, "", signature),
            "another time": (str(int(stamp) + 1), token, signature),
            "no time": ("", token, signature),
            "moved between time and token": (stamp + token[:2], token[2:], signature),
        }.items():
            yield what, proved(signed, proof)
        if signed.header("content-type") == ENCODED:
            yield "a second signature", replace(signed, body=signed.body + b"&signature=x")
        yield "nothing", replace(signed, body=b"")

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self._delivery(file))
        if file.stem == "mailgun-delivered":
            yield from (Case(f"own-{own.stem}", self._delivery(own)) for own in sorted(EXAMPLES.glob("*.json")))

    def _delivery(self, file: Path) -> Delivery:
        given = json.loads(file.read_text(encoding="utf-8"))
        if "inbound" not in file.stem:
            return self.post(file.read_bytes())
        files = given.pop("files", None)
        if files is None:
            return self.post(urlencode(given).encode(), ENCODED)
        kind, body = write_form(given.items(), [_file(each) for each in files])
        return self.post(body, kind)


def proved(delivery: Delivery, proof: tuple[str, str, str]) -> Delivery:
    """The same post with this proof in its body."""
    fields = dict(zip(PROOF, proof, strict=True))
    kind = delivery.header("content-type") or ""
    if kind == "application/json":
        return replace(delivery, body=json.dumps({**json.loads(delivery.body), "signature": fields}).encode())
    if kind == ENCODED:
        kept = [pair for pair in parse_qsl(delivery.body.decode(), keep_blank_values=True) if pair[0] not in PROOF]
        return replace(delivery, body=urlencode([*kept, *fields.items()]).encode())
    boundary = kind.partition('boundary="')[2].rstrip('"')
    parts = [part for part in delivery.body.split(f"--{boundary}\r\n".encode()) if not part.startswith(_HEADS)]
    added = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    body = f"--{boundary}\r\n".encode().join([parts[0], *(each.encode() for each in added), *parts[1:]])
    return replace(delivery, body=body)


def proof_of(signed: Delivery) -> tuple[str, str, str]:
    stamp = str(int(NOW_S))
    if signed.header("content-type") == "application/json":
        found = json.loads(signed.body)["signature"]
        return found["timestamp"], found["token"], found["signature"]
    signature = signed.body.partition(b"signature")[2].lstrip(b'=" \r\n')[:64].decode()
    return stamp, TOKEN, signature


def _file(given: Mapping[str, str]) -> tuple[str, Attachment, str]:
    content = base64.b64decode(given["content"])
    file = Attachment(kind=AttachmentKind.FILE, media_type=given["type"], content=content)
    return given["field"], file, given["name"]


_HEADS = tuple(f'Content-Disposition: form-data; name="{name}"\r\n'.encode() for name in PROOF)
NOW_S = 1795341600


CONTRACT = MailgunContract()
