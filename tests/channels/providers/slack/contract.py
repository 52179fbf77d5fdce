"""Slack's registration for the contract test. `examples/` holds what the given fixtures leave out, by the pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from channels.adapter import Delivery
from channels.providers.slack.adapter import SlackAdapter
from channels.providers.slack.signature import HEADER, TIME_HEADER, signature
from tests.channels.contract import Case, ProviderContract, Vector, with_headers


class SlackContract(ProviderContract):
    adapter = SlackAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "bot_token": "xoxb-canary-bot-token",
        "signing_secret": "canary-signing-secret",
    }
    folder = "slack"
    exempt: ClassVar[Mapping[str, str]] = {"signature-vector.json": "a published signature, see test_parse"}
    secret = "signing_secret"
    proof_headers = (HEADER, TIME_HEADER)
    time_tolerance_s = 300

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        stamp = str(int(at.timestamp()))
        return with_headers(delivery, {TIME_HEADER: stamp, HEADER: signature(secret, stamp, delivery.body)})

    def cases(self, file: Path) -> Iterable[Case]:
        """A body; a bare interaction payload goes into the form field that it has on the wire."""
        body = file.read_bytes()
        if file.suffix == ".json" and json.loads(body).get("type") == "block_actions":
            body = urlencode({"payload": json.dumps(json.loads(body))}).encode()
        yield Case(file.stem, self.post(body))

    def vectors(self, folder: Path) -> Iterable[Vector]:
        """None: the published body is a form, and the test writes it again as JSON. See test_parse."""
        return ()

    @staticmethod
    def at(timestamp: str) -> datetime:
        """A signed time."""
        return datetime.fromtimestamp(int(timestamp), UTC)


CONTRACT = SlackContract()
