"""Postmark's registration for the contract test. `examples/` holds the events that the given fixtures leave out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from channels.adapter import Delivery
from channels.providers.mail.postmark.adapter import PostmarkAdapter
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"


class PostmarkContract(ProviderContract):
    adapter = PostmarkAdapter
    settings = {  # noqa: RUF012
        "from_address": "shop@example.com",
        "reply_address": "mailbox@inbound.postmarkapp.com",
        "server_token": "canary-server-token",
        "webhook_user": "postmark",
        "webhook_password": "canary-webhook-password",
    }
    folder = "email"
    pattern = "postmark-*.json"
    secret = "webhook_password"
    proof = "secret"
    proof_headers = ("authorization",)

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {"authorization": basic("postmark", secret)})

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        yield from super().damaged(signed)
        secret = self.account().secrets(self.secret)[0]
        for what, value in {
            "another user": basic("somebody", secret),
            "no user": basic("", secret),
            "no colon": "Basic " + base64.b64encode(secret.encode()).decode(),
            "another scheme": basic("postmark", secret).replace("Basic", "Bearer"),
            "in the clear": f"Basic postmark:{secret}",
            "no base64": "Basic ????",
        }.items():
            yield what, with_headers(signed, {"authorization": value})

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.post(file.read_bytes()))
        if file.stem == "postmark-bounce":
            yield from (Case(f"own-{own.stem}", self.post(own.read_bytes())) for own in sorted(EXAMPLES.glob("*.json")))


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


CONTRACT = PostmarkContract()
