"""Twilio's registration for the contract test. `examples/` holds what the given fixtures leave out, as forms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from channels.adapter import Delivery
from channels.providers.twilio.adapter import TwilioAdapter
from channels.providers.twilio.signature import BODY_HASH, HEADER, form_pairs, signature
from tests.channels.contract import CHANNEL_ID, Case, ProviderContract, Vector, with_headers

URL = f"https://crm.example.com/webhooks/twilio/{CHANNEL_ID}"


class TwilioContract(ProviderContract):
    adapter = TwilioAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "account_sid": "AC" + "0" * 32,
        "auth_token": "canary-auth-token",
        "from_number": "+15550001111",
    }
    folder = "twilio"
    exempt: ClassVar[Mapping[str, str]] = {
        "signature-vectors.json": "published signatures, see vectors() and test_parse"
    }
    secret = "auth_token"
    proof_headers = (HEADER,)
    content_type = "application/x-www-form-urlencoded"

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        query = "".join(f"?{name}={values[0]}" for name, values in delivery.query.items())
        pairs = [] if BODY_HASH in delivery.query else form_pairs(delivery.body)
        return with_headers(delivery, {HEADER: signature(secret, URL + query, pairs)})

    def cases(self, file: Path) -> Iterable[Case]:
        """A form, or its fields written as JSON."""
        body = file.read_bytes()
        yield Case(file.stem, self.post(urlencode(json.loads(body)).encode() if file.suffix == ".json" else body))

    def walk(self, root: Path | None) -> Iterable[Case]:  # type: ignore[override]
        """Status callbacks bring our key in the query, JSON its hash."""
        for case in super().walk(root):
            yield replace(case, delivery=replace(case.delivery, query=_query(case)))

    def vectors(self, folder: Path) -> Iterable[Vector]:
        """The JSON one; the form's body is no JSON to write again, so it stands in test_parse."""
        given = json.loads((folder / "twilio" / "signature-vectors.json").read_text())
        url, _, query = given["json_body"]["url"].partition("?")
        delivery = self.post(given["json_body"]["raw_body"].encode(), "application/json")
        pairs = (pair.split("=") for pair in query.split("&"))
        delivery = replace(delivery, query={name: (value,) for name, value in pairs})
        settings = {"auth_token": given["auth_token"], "webhook_url": url}
        yield Vector("twilio-python-json", with_headers(delivery, {HEADER: given["json_body"]["value"]}), settings)


def _query(case: Case) -> dict[str, tuple[str, ...]]:
    if "status" in case.name:
        return {"send": ("snd_contract",)}
    if case.name.startswith("own-json"):
        return {BODY_HASH: (hashlib.sha256(case.delivery.body).hexdigest(),)}
    return {}


CONTRACT = TwilioContract()
