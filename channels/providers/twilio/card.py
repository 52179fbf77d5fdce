"""How Twilio presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit
from channels.vocabulary import AttachmentKind

API_BASE = "https://api.twilio.com"
_DOCS = "https://www.twilio.com/docs"
_NUMBER = r"(whatsapp:)?\+[1-9][0-9]{3,14}|messenger:[0-9]{1,32}|[0-9]{3,8}"
_SENDER_NAME = r"[0-9]{0,10}[A-Za-z][A-Za-z0-9 &_-]{0,10}"
_ADDRESS = r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$"


class TwilioSettings(AccountSettings):
    """A Twilio account, and the number or messaging service it sends from."""

    account_sid: str = Field(
        title="Account SID",
        description="On the console's start page: AC and 32 letters and digits.",
        pattern=r"^AC[0-9a-fA-F]{32}$",
    )
    auth_token: SecretStr = Field(
        title="Auth token",
        description="Beside the account SID. It opens the account and proves that a delivery comes from Twilio.",
        min_length=1,
    )
    from_number: str = Field(
        default="",
        title="Sender",
        description="Your number as +15551234567, a short code, a sender name, or whatsapp:+15551234567.",
        pattern=rf"^({_NUMBER}|{_SENDER_NAME})?$",
    )
    messaging_service_sid: str = Field(
        default="",
        title="Messaging service SID",
        description="Instead of a sender: MG and 32 letters and digits. Twilio then picks the number.",
        pattern=r"^(MG[0-9a-fA-F]{32})?$",
    )
    webhook_url: str = Field(
        default="",
        title="Public webhook address",
        description="Only when Twilio posts to another address than the one shown here. Twilio signs this address.",
        pattern=rf"^$|{_ADDRESS}",
    )
    api_base: str = Field(
        default=API_BASE,
        title="API address",
        description="Change it only for a region of Twilio's or a proxy of your own.",
        pattern=_ADDRESS,
    )

    @model_validator(mode="after")
    def _has_sender(self) -> Self:
        if not self.from_number and not self.messaging_service_sid:
            raise ValueError("Give a sender or a messaging service.")
        return self


CARD = Card(
    provider="twilio",
    label="Twilio",
    kind="sms",
    summary="SMS and MMS worldwide, and WhatsApp for numbers that are registered with Twilio.",
    settings=TwilioSettings,
    steps=(
        SetupStep(
            "Open the Twilio console and copy the account SID and the auth token from its start page.",
            "https://console.twilio.com/",
        ),
        SetupStep(
            "Buy a number that can send messages, or create a messaging service and add senders to it.",
            "https://console.twilio.com/us1/develop/phone-numbers/manage/incoming",
        ),
        SetupStep(
            "For WhatsApp: register the number as a WhatsApp sender and enter it as whatsapp:+15551234567.",
            "https://console.twilio.com/us1/develop/sms/senders/whatsapp-senders",
        ),
        SetupStep("Enter the number or the SID of the messaging service, and save this form."),
        SetupStep(
            'Let us register {webhook_url}, or enter it yourself under "A message comes in" of the number or as '
            "incoming webhook of the service or WhatsApp sender, with the method POST.",
            f"{_DOCS}/messaging/guides/webhook-request",
        ),
        SetupStep("Write to your number from a phone: the message appears in the inbox."),
    ),
    documentation=(
        f"{_DOCS}/messaging/api/message-resource",
        f"{_DOCS}/usage/webhooks/webhooks-security",
        f"{_DOCS}/api/errors",
    ),
    mark="Tw",
    hue=352,
)

_MB = 1_000_000
#: What one MMS may weigh; WhatsApp takes 16 MB of anything but images.
MMS_MAX_BYTES = 5 * _MB

CAPABILITIES = Capabilities(
    text_limit=1600,
    media=(
        MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=5 * _MB),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=16 * _MB),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=16 * _MB),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=16 * _MB),
        MediaLimit(kind=AttachmentKind.FILE, max_bytes=16 * _MB),
    ),
    files_by_link=True,
    templates=True,
    location=True,
    rate_per_s=1.0,
    idempotency=Idempotency.ECHO,
    delivery_receipts=True,
    read_receipts=True,
    sources=(
        f"{_DOCS}/messaging/api/message-resource (text, media, templates; by way of channels.md, read 2026-11-28)",
        f"{_DOCS}/usage/webhooks/webhooks-security (signature; by way of channels.md, read 2026-11-28)",
        f"{_DOCS}/messaging/guides/webhook-request (incoming fields; by way of channels.md, read 2026-11-28)",
    ),
)

#: What WhatsApp adds: a window of 24 hours after the person's last message, approved templates outside of it.
ON_WHATSAPP = CAPABILITIES.model_copy(
    update={
        "reply_window_s": 24 * 3600,
        "template_outside_window": True,
        "sources": (
            *CAPABILITIES.sources,
            f"{_DOCS}/whatsapp/key-concepts (the window; by way of channels.md, read 2026-11-28)",
        ),
    }
)
