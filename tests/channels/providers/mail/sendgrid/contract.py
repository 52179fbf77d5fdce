"""SendGrid's registration for Inbound Parse; `events/contract.py` is the one for its events, which prove otherwise.

A JSON file holds the fields of a form, `files` and `charset` where it has some.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.mail.calls import basic
from channels.providers.mail.sendgrid.adapter import SendgridAdapter
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"
BOUNDARY = "xYzZY"


class SendgridInboundContract(ProviderContract):
    adapter = SendgridAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "from_address": "inbound@inbound.example.com",
        "reply_address": "test@inbound.example.com",
        "api_key": "canary-api-key",
        "inbound_user": "sendgrid",
        "inbound_password": "canary-inbound-password",
    }
    folder = "email"
    pattern = "sendgrid-inbound-*"
    secret = "inbound_password"
    proof = "secret"
    proof_headers = ("authorization",)
    content_type = f"multipart/form-data; boundary={BOUNDARY}"

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {"authorization": basic("sendgrid", secret)})

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        yield from super().damaged(signed)
        secret = self.account().secrets(self.secret)[0]
        for what, value in {
            "another user": basic("somebody", secret),
            "no user": basic("", secret),
            "another scheme": basic("sendgrid", secret).replace("Basic", "Bearer"),
            "in the clear": f"Basic sendgrid:{secret}",
        }.items():
            yield what, with_headers(signed, {"authorization": value})
        yield "called JSON", with_headers(signed, {"content-type": "application/json"})

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.post(body_of(file)))
        if file.stem == "sendgrid-inbound-form":
            yield from (Case(f"own-{own.stem}", self.post(body_of(own))) for own in sorted(EXAMPLES.glob("*.json")))


def body_of(file: Path) -> bytes:
    """A multipart body as it stands, or made of fields: each written in the charset told for it."""
    if file.suffix != ".json":
        return file.read_bytes()
    given = json.loads(file.read_text(encoding="utf-8"))
    files = given.pop("files", [])
    charsets = json.loads(given.get("charsets", "{}"))
    pieces = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode(charsets.get(name, "utf-8"))
        for name, value in given.items()
    ]
    pieces += [
        f'Content-Disposition: form-data; name="{each["field"]}"; filename="{each["name"]}"\r\n'
        f"Content-Type: {each['type']}\r\n\r\n".encode()
        + base64.b64decode(each["content"])
        for each in files
    ]
    return b"".join(f"--{BOUNDARY}\r\n".encode() + piece + b"\r\n" for piece in pieces) + f"--{BOUNDARY}--".encode()


CONTRACT = SendgridInboundContract()
