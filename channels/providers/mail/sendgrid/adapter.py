"""The provider `sendgrid`: mail by SendGrid's API, inbound mail by Inbound Parse, receipts by the Event Webhook.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send and …/for-developers/tracking-events/
getting-started-event-webhook-security-features (read 2026-11-28).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, Field, SecretStr

from base import clock
from base.http import HttpFailed
from base.signing import same, within
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, SetupStep, Unreadable, Unverified
from channels.capabilities import Capabilities, Idempotency
from channels.failures import Failure, SendFailed
from channels.providers.mail.addresses import MailAddress, WebAddress
from channels.providers.mail.calls import credentials, failure_of_answer, files_up_to, lost, wait_s
from channels.providers.mail.compose import Outline, Sender, outline_of
from channels.providers.mail.files import loaded
from channels.providers.mail.forms import is_form, read_form
from channels.providers.mail.message import Box
from channels.providers.mail.mime import safe_file_name
from channels.providers.mail.sendgrid.events import KEY, key_of, read_events, read_inbound
from channels.reading import Json, integer, items, mapping, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, SendReceipt

#: Bytes of one file; a whole mail may have 30 MB at SendGrid, base64 included.
MAX_FILE = 20_000_000
#: Seconds for a mail with its files to go up.
SEND_S = 60.0
#: How long a signed time is taken.
TOLERANCE_S = 600.0
SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"


@lru_cache(maxsize=256)
def _key(encoded: str) -> ec.EllipticCurvePublicKey | None:
    """A public key as SendGrid's console shows it (base64 of DER); None for anything else."""
    try:
        found = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, ec.EllipticCurvePublicKey) else None


def _keys(value: str) -> str:
    if any(_key(each) is None for each in value.split()):
        raise ValueError("is not a verification key of SendGrid")
    return value


class SendgridSettings(AccountSettings):
    """A SendGrid account, the key it signs events with, and the password its inbound posts must bring."""

    from_address: MailAddress = Field(title="Address", min_length=3, description="A verified sender at SendGrid.")
    from_name: str = Field("", title="Sender's name", max_length=200, description="Shown beside the address.")
    reply_address: MailAddress = Field(
        "", title="Inbound address", description="An address of the domain of Inbound Parse; answers go there."
    )
    api_key: SecretStr = Field(title="API key")
    event_public_key: Annotated[str, AfterValidator(_keys)] = Field(
        "", title="Event verification key", max_length=1000,
        description="From the signed Event Webhook. While you change it, enter the new and the old with a space.",
    )  # fmt: skip
    inbound_user: str = Field(
        "", title="Inbound user", max_length=200, pattern=r"^[\x21-\x39\x3b-\x7e]*$", description="Think one up."
    )
    inbound_password: SecretStr = Field(SecretStr(""), title="Inbound password", description="Think one up.")
    api_base: WebAddress = Field(
        "https://api.sendgrid.com", title="API address", description="https://api.eu.sendgrid.com for EU subusers."
    )


class SendgridAdapter(Adapter):
    """Mail by SendGrid."""

    card: ClassVar[Card] = Card(
        provider="sendgrid",
        label="SendGrid",
        kind="email",
        summary="Mail through SendGrid: sending by its API, receiving by Inbound Parse, receipts by its Event Webhook.",
        settings=SendgridSettings,
        steps=(
            SetupStep(
                "In SendGrid verify your domain, and make an API key that may send mail.",
                "https://app.sendgrid.com/settings/api_keys",
            ),
            SetupStep(
                "Under Mail Settings, Event Webhooks, add {webhook_url} for all events, switch on Signed Event Webhook "
                "and copy its verification key to here.",
                "https://app.sendgrid.com/settings/mail_settings/webhook_settings",
            ),
            SetupStep(
                "To receive mail, think up a user and a password and enter them here. Under Inbound Parse add a domain "
                "of your own with {webhook_url}, user and password before the host (https://user:password@…), and "
                "point the MX record of that domain to mx.sendgrid.net.",
                "https://app.sendgrid.com/settings/parse",
            ),
        ),
        documentation=(
            "https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send",
            "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
            "https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook",
        ),
        mark="Sg",
        hue=199,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=500_000,
        media=files_up_to(MAX_FILE),
        caption=False,
        rate_per_s=100.0,
        idempotency=Idempotency.ECHO,
        delivery_receipts=True,
        sources=("https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations (read 2026-11-28)",),
    )
    #: Larger mails would not fit the journal's one document, and SendGrid drops what is refused with 413.
    max_body_bytes: ClassVar[int] = 15_000_000

    # -- in ----------------------------------------------------------------------------------------

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """A form is a mail and brings our password; everything else is events and brings their signature."""
        if is_form(delivery):
            _check_password(account, delivery)
        else:
            _check_signature(account, delivery, now)

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """A mail's Message-ID and our addresses; the hash of the body for events, which have ids of their own."""
        if is_form(delivery):
            try:
                found = key_of(read_form(delivery), _box(account))
            except Unreadable:
                found = None
            if found:
                return found
        return super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """The mail of a form, or every event of the array."""
        if is_form(delivery):
            return read_inbound(read_form(delivery), _box(account), delivery.received_at)
        return read_events(delivery.body, _box(account), delivery.received_at)

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One mail under our own Message-ID. The send key comes back as a custom argument of its events."""
        settings: SendgridSettings = account.settings
        message = await loaded(self.http, message, max_bytes=MAX_FILE)
        outline = outline_of(message, Sender(settings.from_address, settings.from_name, settings.reply_address))
        if not all(address.isascii() for address in (outline.to, *outline.cc)):
            raise SendFailed(Failure.NOT_SUPPORTED, "SendGrid takes no addresses with letters outside of ASCII.")
        _, headers = await self._ask(settings, "POST", "/v3/mail/send", _body(outline, message))
        given = headers.get("x-message-id", "")[:200]
        return SendReceipt(message_ids=(given, outline.message_id) if given else (outline.message_id,))

    async def check(self, account: Account) -> str:
        """Ask what the key may do."""
        found, _ = await self._ask(account.settings, "GET", "/v3/scopes", None)
        scopes = items(mapping(found).get("scopes"))
        if "mail.send" not in scopes:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "The API key may not send mail (scope mail.send).")
        missing = "" if account.settings.event_public_key else " Without the verification key no receipts are taken."
        return f"The API key may send mail.{missing}"

    async def _ask(
        self, settings: SendgridSettings, method: str, path: str, body: Json | None
    ) -> tuple[Any, Mapping[str, str]]:
        headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}", "Accept": "application/json"}
        url = f"{settings.api_base}{path}"
        try:
            answer = await self.http.request(method, url, headers=headers, json=body, timeout_s=SEND_S)
        except HttpFailed as error:
            raise lost(error) from None
        if 200 <= answer.status < 300:
            return answer.json(), answer.headers
        raise _refusal(answer.status, mapping(answer.json()), answer.headers)


def _check_password(account: Account, delivery: Delivery) -> None:
    user, password = credentials(delivery.header("authorization"))
    right_user = same(user, account.settings.inbound_user)
    known = [same(password, secret) for secret in account.secrets("inbound_password")]
    if not (right_user and any(known)):
        raise Unverified("The inbound user or password is wrong.")


def _check_signature(account: Account, delivery: Delivery, now: datetime) -> None:
    """ECDSA over P-256 and SHA-256 of time and raw body, by any of the keys."""
    stamp, given = delivery.header(TIMESTAMP), delivery.header(SIGNATURE)
    if not (stamp and stamp.isascii() and given and given.isascii()):
        raise Unverified("The delivery carries no signature.")
    try:
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise Unverified("The signature is not base64.") from None
    signed = stamp.encode() + delivery.body
    keys = [key for each in account.settings.event_public_key.split() if (key := _key(each)) is not None]
    if not any(_is_signed(key, signature, signed) for key in keys):
        raise Unverified("The signature does not match.")
    if not within(stamp, now, TOLERANCE_S):
        raise Unverified("The signature is too old.")


def _is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _box(account: Account) -> Box:
    settings: SendgridSettings = account.settings
    return Box(account.channel_id, tuple(each for each in (settings.from_address, settings.reply_address) if each))


def _body(outline: Outline, message: OutboundMessage) -> Json:
    to: Json = {"to": [{"email": outline.to}]}
    copies = [address for address in outline.cc if address.lower() != outline.to.lower()]  # one address, one place
    if copies:
        to["cc"] = [{"email": address} for address in copies]
    sender: Json = {"email": outline.from_address}
    if outline.from_name:
        sender["name"] = outline.from_name
    content = [{"type": "text/plain", "value": outline.text or " "}]
    if outline.html:
        content.append({"type": "text/html", "value": outline.html})
    body: Json = {
        "personalizations": [to],
        "from": sender,
        "subject": outline.subject or "…",  # an empty one is refused
        "content": content,
        "headers": {"Message-ID": f"<{outline.message_id}>", **dict(outline.fields)},
        "custom_args": {KEY: message.key},
    }
    if outline.reply_to:
        body["reply_to"] = {"email": outline.reply_to}
    if message.attachments:
        body["attachments"] = [_file(file, outline) for file in message.attachments]
    return body


def _file(file: Attachment, outline: Outline) -> Json:
    entry: Json = {
        "content": base64.b64encode(file.content or b"").decode(),
        "filename": safe_file_name(file.file_name) or "file",
        "type": file.media_type or "application/octet-stream",
        "disposition": "attachment",
    }
    if file.inline and file.content_id and outline.html:
        entry |= {"disposition": "inline", "content_id": file.content_id}
    return entry


def _refusal(status: int, found: Json, headers: Mapping[str, str]) -> SendFailed:
    errors = [mapping(each) for each in items(found.get("errors"))[:5]]
    words = " ".join(said for each in errors if (said := text(each.get("message"))))[:500]
    failure = failure_of_answer(status)
    fields = " ".join(field for each in errors if (field := text(each.get("field"))))
    if status == 400 and ".to." in f"{fields}.":
        failure = Failure.RECIPIENT_UNREACHABLE
    wait = wait_s(headers)
    reset = integer(headers.get("x-ratelimit-reset"))
    if wait is None and reset is not None and status == 429:
        wait = min(max(0.0, reset - clock.now().timestamp()), 3600.0)
    return SendFailed(failure, words or f"SendGrid answered {status}.", provider_code=str(status), retry_after_s=wait)


ADAPTER = SendgridAdapter
