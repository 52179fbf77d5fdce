"""Telegram's registration for the contract test. `examples/` holds what the given fixtures leave out, by the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from channels.adapter import Delivery
from channels.providers.telegram.adapter import TelegramAdapter
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"


class TelegramContract(ProviderContract):
    adapter = TelegramAdapter
    settings = {"bot_token": "4839574812:canary-bot-token", "secret_token": "canary-secret-token"}  # noqa: RUF012
    folder = "telegram"
    secret = "secret_token"
    proof = "secret"
    proof_headers = ("x-telegram-bot-api-secret-token",)
    unique_event_ids = True

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {"x-telegram-bot-api-secret-token": secret})

    def cases(self, file: Path) -> Iterable[Case]:
        body = json.loads(file.read_bytes())
        if "update_id" not in body:  # a bare Message object
            body = {"update_id": 700000001, "message": body}
            yield Case(file.stem, self.post(json.dumps(body, ensure_ascii=False).encode()))
        else:
            yield Case(file.stem, self.post(file.read_bytes()))
        if file.stem == "teloxide-message":
            yield from (Case(f"own-{own.stem}", self.post(own.read_bytes())) for own in sorted(EXAMPLES.glob("*.json")))


CONTRACT = TelegramContract()
