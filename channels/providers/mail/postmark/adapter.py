"""The provider `postmark`: mail by Postmark's API, its inbound and event webhooks behind basic authentication.

https://postmarkapp.com/developer/api/email-api, …/webhooks/webhooks-overview (read 2026-11-22).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from base.http import HttpFailed
from base.signing import same
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, SetupStep, Unreadable, Unverified
from channels.capabilities import Capabilities, Idempotency
from channels.failures import Failure, SendFailed
from channels.providers.mail.addresses import MailAddress, WebAddress
from channels.providers.mail.calls import credentials, files_up_to, lost, wait_s
from channels.providers.mail.compose import Outline, Sender, outline_of, phrase
from channels.providers.mail.files import loaded
from channels.providers.mail.message import Box
from channels.providers.mail.mime import safe_file_name
from channels.providers.mail.postmark.events import delivery_key, read_event
from channels.providers.mail.threading import is_ours
from channels.reading import Json, identifier, integer, mapping, read_json, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, SendReceipt

#: Bytes of one file; a whole mail may have 10 MB at Postmark, base64 included.
MAX_FILE = 7_000_000
#: Postmark keeps at most 80 characters of a metadata value.
MAX_METADATA = 80

#: ErrorCode of an answer → what it means (https://postmarkapp.com/developer/api/overview#error-codes).
_REASONS = {
    10: Failure.ACCOUNT_PROBLEM,  # token missing or wrong
    100: Failure.TEMPORARY,  # maintenance
    300: Failure.CONTENT_REJECTED,  # invalid request, e.g. an address
    400: Failure.ACCOUNT_PROBLEM,  # sender signature not found
    401: Failure.ACCOUNT_PROBLEM,  # sender signature not confirmed
    405: Failure.ACCOUNT_PROBLEM,  # no credits left
    406: Failure.RECIPIENT_UNREACHABLE,  # inactive: bounced or complained before
    411: Failure.CONTENT_REJECTED,  # forbidden attachment type
    412: Failure.ACCOUNT_PROBLEM,  # account pending
    413: Failure.ACCOUNT_PROBLEM,  # account may not send
    1235: Failure.ACCOUNT_PROBLEM,  # message stream not found
}


class PostmarkSettings(AccountSettings):
    """A Postmark server and the credentials its webhooks must bring."""

    from_address: MailAddress = Field(title="Address", min_length=3, description="A confirmed sender at Postmark.")
    from_name: str = Field("", title="Sender's name", max_length=200, description="Shown beside the address.")
    reply_address: MailAddress = Field(
        "", title="Inbound address", description="Postmark's inbound address or your forwarding one; answers go there."
    )
    server_token: SecretStr = Field(title="Server API token")
    webhook_user: str = Field(title="Webhook user", min_length=1, max_length=200, pattern=r"^[\x21-\x39\x3b-\x7e]+$")
    webhook_password: SecretStr = Field(title="Webhook password", min_length=8)
    message_stream: str = Field(
        "outbound", title="Message stream", max_length=100, description="For answers and orders."
    )
    broadcast_stream: str = Field(
        "", title="Broadcast stream", max_length=100, description="For mail with an unsubscribe link; empty: the same."
    )
    api_base: WebAddress = Field("https://api.postmarkapp.com", title="API address")


class PostmarkAdapter(Adapter):
    """Mail by Postmark."""

    card: ClassVar[Card] = Card(
        provider="postmark",
        label="Postmark",
        kind="email",
        summary="Mail through Postmark: sending by its API, receiving and receipts by its webhooks.",
        settings=PostmarkSettings,
        steps=(
            SetupStep(
                "In Postmark open your server and copy its API token.", "https://account.postmarkapp.com/servers"
            ),
            SetupStep("Think up a webhook user and password and enter them here."),
            SetupStep(
                "In Postmark set {webhook_url}, with user and password before the host (https://user:password@…), as "
                "inbound webhook and webhook for delivery, bounce, spam complaint, open, click, subscription change."
            ),
        ),
        documentation=(
            "https://postmarkapp.com/developer/api/email-api",
            "https://postmarkapp.com/developer/webhooks/inbound-webhook",
            "https://postmarkapp.com/developer/webhooks/bounce-webhook",
        ),
        mark="Pm",
        hue=48,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=500_000,
        media=files_up_to(MAX_FILE),
        caption=False,
        rate_per_s=50.0,
        idempotency=Idempotency.ECHO,
        delivery_receipts=True,
        sources=("https://postmarkapp.com/developer/api/email-api (read 2026-11-22)",),
    )
    #: An inbound mail of 35 MB would not fit the journal's one document; Postmark keeps it and shows the refusal.
    max_body_bytes: ClassVar[int] = 15_000_000

    # -- in ----------------------------------------------------------------------------------------

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Basic authentication against user and password. Postmark signs nothing."""
        user, password = credentials(delivery.header("authorization"))
        right_user = same(user, account.settings.webhook_user)
        known = [same(password, secret) for secret in account.secrets("webhook_password")]
        if not (right_user and any(known)):
            raise Unverified("The webhook user or password is wrong.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """MessageID with record type, recipient, bounce id and time."""
        try:
            return delivery_key(mapping(read_json(delivery.body)), delivery.body)
        except Unreadable:
            return super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """One event; a bounce report mailed to the inbound address may name several receivers."""
        payload = read_json(delivery.body)
        if not isinstance(payload, dict):
            raise Unreadable("The body is not a JSON object.")
        settings: PostmarkSettings = account.settings
        own = tuple(address for address in (settings.from_address, settings.reply_address) if address)
        return read_event(payload, Box(account.channel_id, own), delivery.received_at)

    def answers_to(self, account: Account, recipient: str) -> bool:
        """True when mail to `recipient` (plus tags allowed) is this account's."""
        return any(is_ours(recipient, own) for own in (account.settings.from_address, account.settings.reply_address))

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One mail. Postmark takes no idempotency key; the send key comes back as metadata of its events."""
        settings: PostmarkSettings = account.settings
        message = await loaded(self.http, message, max_bytes=MAX_FILE)
        sender = Sender(settings.from_address, settings.from_name, settings.reply_address)
        outline = outline_of(message, sender)
        answer = await self._ask(settings, "POST", "/email", _body(settings, outline, message))
        found = mapping(answer)
        given = identifier(found.get("MessageID"))
        ids = (given, outline.message_id) if given else (outline.message_id,)
        return SendReceipt(message_ids=ids, raw={"to": text(found.get("To")), "at": text(found.get("SubmittedAt"))})

    async def check(self, account: Account) -> str:
        """Ask for the server's name with the token."""
        found = mapping(await self._ask(account.settings, "GET", "/server", None))
        return f"The token belongs to the Postmark server {(text(found.get('Name')) or '?')[:100]!r}."

    async def _ask(self, settings: PostmarkSettings, method: str, path: str, body: Json | None) -> Any:
        headers = {"Accept": "application/json", "X-Postmark-Server-Token": settings.server_token.get_secret_value()}
        try:
            answer = await self.http.request(method, f"{settings.api_base}{path}", headers=headers, json=body)
        except HttpFailed as error:
            raise lost(error) from None
        found = answer.json()
        if answer.status == 200 and not isinstance(found, dict):
            raise SendFailed(Failure.UNCERTAIN, "Postmark's answer could not be read.", provider_code="200")
        if answer.status == 200 and not integer(found.get("ErrorCode")):
            return found
        raise _refusal(answer.status, mapping(found), answer.headers)


def _body(settings: PostmarkSettings, outline: Outline, message: OutboundMessage) -> Json:
    name = outline.from_name
    body: Json = {
        "From": f"{phrase(name)} <{outline.from_address}>" if name else outline.from_address,
        "To": outline.to,
        "Subject": outline.subject,
        "TextBody": outline.text,
        "MessageStream": _stream(settings, message),
        # Without X-PM-KeepID Postmark replaces the id, and answers could not be threaded by it.
        "Headers": [
            {"Name": "Message-ID", "Value": f"<{outline.message_id}>"},
            {"Name": "X-PM-KeepID", "Value": "true"},
            *({"Name": name, "Value": value} for name, value in outline.fields),
        ],
    }
    if len(message.key) <= MAX_METADATA:
        body["Metadata"] = {"key": message.key}
    optional = {"HtmlBody": outline.html, "Cc": ", ".join(outline.cc), "ReplyTo": outline.reply_to}
    body |= {name: value for name, value in optional.items() if value}
    if message.attachments:
        body["Attachments"] = [_file(file) for file in message.attachments]
    return body


def _stream(settings: PostmarkSettings, message: OutboundMessage) -> str:
    bulk = message.mail is not None and message.mail.list_unsubscribe_url is not None
    return (settings.broadcast_stream if bulk else "") or settings.message_stream


def _file(file: Attachment) -> Json:
    entry: Json = {
        "Name": safe_file_name(file.file_name) or "file",
        "Content": base64.b64encode(file.content or b"").decode(),
        "ContentType": file.media_type or "application/octet-stream",
    }
    if file.inline and file.content_id:
        entry["ContentID"] = f"cid:{file.content_id}"
    return entry


def _refusal(status: int, found: Json, headers: Mapping[str, str]) -> SendFailed:
    code = integer(found.get("ErrorCode"))
    words = (text(found.get("Message")) or f"Postmark answered {status}.")[:500]
    if status == 429:
        failure = Failure.RATE_LIMITED
    elif code in _REASONS:
        failure = _REASONS[code]
    elif status in (401, 403):
        failure = Failure.ACCOUNT_PROBLEM
    elif status >= 500:
        failure = Failure.TEMPORARY
    else:
        failure = Failure.UNKNOWN
    code_shown = str(code if code is not None else status)
    return SendFailed(failure, words, provider_code=code_shown, retry_after_s=wait_s(headers))


ADAPTER = PostmarkAdapter
