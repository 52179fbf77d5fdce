"""The mail server channel's registration for the contract test: what the listener hands over is the delivery."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from channels.adapter import Delivery
from channels.providers.mail.email.adapter import EmailAdapter
from tests.channels.contract import NOW, Case, ProviderContract
from webhooks.mail_listener import as_delivery

EXAMPLES = Path(__file__).parent / "examples"


class EmailContract(ProviderContract):
    adapter = EmailAdapter
    settings = {  # noqa: RUF012
        "from_address": "care@example.com",
        "from_name": "Care",
        "smtp_host": "smtp.example.com",
        "smtp_user": "care",
        "smtp_password": "canary-smtp-password",
        "imap_password": "canary-imap-password",
    }
    folder = "email"
    pattern = "*.eml"
    secret = "smtp_password"
    proof = "none"  # the listener is the proof; see test_listener_is_the_only_way_in
    api_base_exempt = "SMTP has host and port"

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return delivery

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, handed_over(file.read_bytes()))
        if file.stem == "chatwoot-only_text":
            yield from (
                Case(f"own-{own.stem}", handed_over(own.read_bytes())) for own in sorted(EXAMPLES.glob("*.eml"))
            )


def handed_over(raw: bytes, recipient: str = "care@example.com", sender: str = "envelope@example.net") -> Delivery:
    return as_delivery(recipient, sender, raw, NOW)


CONTRACT = EmailContract()
