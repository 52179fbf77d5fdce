"""Any system that speaks signed JSON: Standard Webhooks or Stripe style in, Standard Webhooks out."""

from __future__ import annotations

from datetime import datetime

import filetype

from base.clock import now as current_time
from base.http import HttpFailed
from base.ids import new_id
from channels.adapter import Account, Adapter, Card, Delivery, HttpAnswer, SetupStep, Unverified
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.failures import Failure, SendFailed
from channels.providers.generic.outgoing import body_of, no_answer, ping, reaction_body, receipt_of, refusal, webhook_id
from channels.providers.generic.parse import delivery_id, parse_delivery
from channels.providers.generic.settings import GenericSettings
from channels.providers.generic.signature import is_standard, is_stripe, signed_headers
from channels.vocabulary import AnyEvent, Attachment, AttachmentKind, OutboundMessage, SendReceipt

_STANDARD = "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"
_STRIPE = "https://docs.stripe.com/webhooks"
_FILE_MAX_BYTES = 25_000_000
_RECEIVES_ONLY = "This channel only receives: no address for outgoing messages is set."


class GenericAdapter(Adapter):
    """The operator's own systems, or any that can be taught to sign."""

    card = Card(
        provider="generic",
        label="Your own system",
        kind="chat",
        summary="Connect anything that can post signed JSON: messages, orders, consents and events of your own.",
        settings=GenericSettings,
        steps=(
            SetupStep("Make a secret (openssl rand -base64 32) and give it to both sides.", _STANDARD),
            SetupStep("Let your system post its events to {webhook_url}, each signed with that secret."),
            SetupStep("To answer from here, give the address where your system takes message.send."),
        ),
        documentation=(_STANDARD, _STRIPE),
        mark="{}",
        hue=265,
    )
    capabilities = Capabilities(
        text_limit=100_000,
        media=tuple(MediaLimit(kind=kind, max_bytes=_FILE_MAX_BYTES) for kind in AttachmentKind),
        buttons=20,
        button_title_limit=100,
        location=True,
        rate_per_s=50.0,
        idempotency=Idempotency.KEY,
        delivery_receipts=True,
        read_receipts=True,
        reactions=True,
        reacting=Reacting(),
        edits=True,
        deletes=True,
        sources=(f"{_STANDARD} (read 2026-11-22)", "our own public contract, section 6"),
    )

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """By the scheme of the account, never by whichever header happens to be there."""
        settings: GenericSettings = account.settings
        proved = is_stripe if settings.scheme == "stripe" else is_standard
        if not proved(delivery, account.secrets("secret"), now):
            raise Unverified("The signature does not match, or its time is more than five minutes from ours.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """`webhook-id`, else the event's `id`. Under the Stripe scheme the header is not signed and not looked at."""
        return delivery_id(_as_signed(account, delivery))

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.generic.parse`."""
        return parse_delivery(account.channel_id, _as_signed(account, delivery))

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """POST `message.send`. May be repeated: the id is the same for the same key, and the receiver honours it."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        answer = await self._post(account, webhook_id(message.key), body_of(message))
        return receipt_of(answer, message.key, current_time())

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """POST `message.react`, the mirror of `message.reaction`."""
        answer = await self._post(account, webhook_id(message.key), reaction_body(message))
        receipt_of(answer, message.key, current_time())
        return SendReceipt(message_ids=())

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """The file behind the URL that came with the message. No signature and no credentials go with the request."""
        if attachment.url is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "This attachment has no address.")
        try:
            answer = await self.http.request("GET", attachment.url, timeout_s=60.0, max_bytes=max_bytes)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url", "too_large")
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status != 200:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, f"The file's server answered {answer.status}.", provider_code=str(answer.status))
        sniffed = filetype.guess_mime(answer.body)
        return answer.body, sniffed or attachment.media_type or "application/octet-stream"

    async def check(self, account: Account) -> str:
        """Posts a signed `ping`, which a receiver may answer as it likes, but for a refusal of the signature."""
        settings: GenericSettings = account.settings
        if settings.destination is None:
            return _RECEIVES_ONLY
        answer = await self._post(account, new_id("whk"), ping())
        failed = None if 200 <= answer.status < 300 else refusal(answer, current_time())
        if failed is not None and failed.failure is not Failure.CONTENT_REJECTED:
            raise failed
        return f"The receiver answered a signed ping with {answer.status}."

    async def _post(self, account: Account, message_id: str, body: bytes) -> HttpAnswer:
        settings: GenericSettings = account.settings
        secret = account.secret("secret")
        if settings.destination is None:
            raise SendFailed(Failure.NOT_SUPPORTED, _RECEIVES_ONLY)
        if secret is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Without a secret nothing can be signed.")
        signed = signed_headers(settings.scheme, secret, message_id, current_time(), body)
        try:
            return await self.http.request(
                "POST", settings.destination, data=body, headers={"Content-Type": "application/json", **signed}
            )
        except HttpFailed as failed:
            raise no_answer(failed) from None


def _as_signed(account: Account, delivery: Delivery) -> Delivery:
    settings: GenericSettings = account.settings
    if settings.scheme == "standard" or "webhook-id" not in delivery.headers:
        return delivery
    headers = {name: values for name, values in delivery.headers.items() if name != "webhook-id"}
    return Delivery(delivery.method, delivery.body, headers, delivery.query, delivery.received_at)


ADAPTER = GenericAdapter
