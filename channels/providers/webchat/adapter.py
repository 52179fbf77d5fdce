"""The provider `webchat`: a chat on the operator's own pages. Its door is ours too (`desk/widget/`).

That door is the proof of origin: what it journals says `WIDGET` as its method and carries no headers. Nothing that
came over HTTP can look like that, so a post to /webhooks/webchat/… is refused, whatever it holds.

There is nobody to hand a message to. A line is in the database before it is sent; being handed over is what makes
it visible to the visitor, whose browser reads it from there. So a repeat is the same line.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import ClassVar

from channels.adapter import Account, Adapter, Card, Delivery, SetupStep, Unverified
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.failures import Failure, SendFailed
from channels.providers.webchat.envelope import WIDGET, key_of
from channels.providers.webchat.parse import parse_delivery, visitor_of
from channels.providers.webchat.settings import WebchatSettings
from channels.vocabulary import AnyEvent, AttachmentKind, OutboundMessage, SendReceipt

TEXT_MAX = 4000
#: What visitors may react with, as the widget offers it.
VISITORS_REACTIONS = ("👍", "❤️", "😁", "🎉", "🙏", "😢")
#: Files of agents. What visitors may send is a setting of the account.
FILE_MAX_BYTES = 25_000_000
NO_PAGE = (
    "No website is allowed to show this chat yet. Enter the address of your site under “Allowed websites”, "
    "such as https://www.example.com."
)
_VISITOR = re.compile(r"[uv]_[0-9a-z]{16,64}", re.ASCII)


class WebchatAdapter(Adapter):
    """Our own chat window."""

    card: ClassVar[Card] = Card(
        provider="webchat",
        label="Web chat",
        kind="chat",
        summary="A chat window on your own website. One script tag, no third party.",
        settings=WebchatSettings,
        steps=(
            SetupStep("Enter the address of each website that may show the chat, and connect."),
            SetupStep("Copy the script tag into those pages, before the closing body tag."),
            SetupStep(
                "If a page has a content security policy, allow this address for script-src, connect-src, img-src and "
                "media-src."
            ),
            SetupStep(
                "To know signed-in customers: make a secret (openssl rand -hex 32), enter it here and on your server, "
                "and call Rapport.identify({user_id, name, email, hash}), where hash is the HMAC-SHA256 of the user id "
                "under that secret, in hex. A wrong hash leaves the visitor anonymous."
            ),
            SetupStep("To answer people who have left the page, choose an e-mail channel below."),
        ),
        documentation=("https://www.rfc-editor.org/rfc/rfc2104", "https://www.w3.org/TR/CSP3/"),
        embed='<script src="{base_url}/widget/{channel_id}.js" async></script>',
        mark="Wc",
        hue=175,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_MAX,
        media=tuple(
            MediaLimit(kind=kind, max_bytes=FILE_MAX_BYTES)
            for kind in AttachmentKind
            if kind is not AttachmentKind.STICKER
        ),
        buttons=10,
        button_title_limit=60,
        rate_per_s=500.0,
        idempotency=Idempotency.KEY,
        delivery_receipts=True,
        read_receipts=True,
        typing=True,
        reactions=True,
        reacting=Reacting(),
        sources=("our own widget: desk/widget/",),
    )
    max_body_bytes: ClassVar[int] = 11_000_000

    def address_of(self, account: Account, kind: str, value: str) -> str | None:
        """The visitor that a customer is once the operator's page has said so."""
        known = kind == "customer_id" and account.secrets("identity_secret")
        return visitor_of(account.channel_id, value) if known else None

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Only what the widget's own door journalled. HTTP never is."""
        if delivery.method != WIDGET or delivery.headers or delivery.query:
            raise Unverified("Messages of visitors come in by the widget, not by this address.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The visitor and the key their browser made: a message that is sent again is the same one."""
        return key_of(delivery) or hashlib.sha256(delivery.body).hexdigest()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.webchat.parse`."""
        return parse_delivery(account.channel_id, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Nothing leaves the house: the visitor's browser reads the line as soon as it counts as sent."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        if not _VISITOR.fullmatch(message.to.external_id):
            raise SendFailed(Failure.RECIPIENT_UNREACHABLE, "This is no visitor of a web chat.")
        return SendReceipt(message_ids=(message.key,))

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """The same: what stands on the line is shown as soon as it counts as sent."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        return SendReceipt(message_ids=())

    async def check(self, account: Account) -> str:
        """Whether any page may show it, and whether customers can be known."""
        settings: WebchatSettings = account.settings
        if not settings.allowed_origins:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, NO_PAGE)
        pages = ", ".join(settings.allowed_origins[:5])
        known = "" if account.secrets("identity_secret") else " Without an identity secret all visitors are anonymous."
        return f"The chat may be shown on {pages}.{known}"


ADAPTER = WebchatAdapter
