"""How WhatsApp presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.providers.meta.settings import VERSION, ApiBase, ApiVersion, AppSecret, VerifyToken
from channels.providers.meta.whatsapp.compose import LIST_ROWS, TITLE_LIMIT
from channels.vocabulary import AttachmentKind

_DOCS = "https://developers.facebook.com/documentation/business-messaging/whatsapp"


class WhatsAppSettings(AccountSettings):
    """One business phone number."""

    phone_number_id: str = Field(
        title="Phone number ID",
        description="The long number below the phone number on the app's API set-up page; not the phone number itself.",
        min_length=1,
        max_length=64,
    )
    business_account_id: str = Field(
        title="WhatsApp Business account ID",
        description="On the same page. Notices about templates, quality and restrictions are addressed to it.",
        min_length=1,
        max_length=64,
    )
    access_token: SecretStr = Field(
        title="Access token",
        description="A system user's permanent token with whatsapp_business_messaging and …_management.",
        min_length=1,
    )
    app_secret: AppSecret
    verify_token: VerifyToken
    list_label: str = Field(
        default="Options",
        title="Label of lists",
        description="Stands on the button that opens a list: more than three replies are shown as one.",
        min_length=1,
        max_length=20,
    )
    api_base: ApiBase = "https://graph.facebook.com"
    api_version: ApiVersion = VERSION


CARD = Card(
    provider="whatsapp",
    label="WhatsApp",
    kind="chat",
    summary="Answer on your business number, and send approved templates when the 24 hours are over.",
    settings=WhatsAppSettings,
    steps=(
        SetupStep(
            "In Meta's developer console create an app of the type Business and add the product WhatsApp.",
            "https://developers.facebook.com/apps",
        ),
        SetupStep(
            "Register your business phone number and copy its ID and the account's ID from the API set-up page.",
            f"{_DOCS}/get-started",
        ),
        SetupStep(
            "In the business settings create a system user, give it the app and the account, and make a permanent "
            "token with the permissions whatsapp_business_messaging and whatsapp_business_management.",
            "https://business.facebook.com/settings/system-users",
        ),
        SetupStep("Copy the app secret from the app's basic settings, choose a verify token, and save this form."),
        SetupStep(
            "In the app's WhatsApp configuration enter {webhook_url} as callback address with the same verify token.",
            f"{_DOCS}/webhooks/overview",
        ),
        SetupStep(
            "Subscribe to the fields messages, message_template_status_update, account_update, "
            "phone_number_quality_update, user_preferences and user_id_update."
        ),
        SetupStep(
            "For a further number of the same app let us register the webhook: the number gets an address of its own.",
            f"{_DOCS}/webhooks/override",
        ),
        SetupStep("Write to your number from a phone: the message appears in the inbox."),
    ),
    documentation=(
        f"{_DOCS}/webhooks/reference/messages",
        f"{_DOCS}/messages/send-messages",
        f"{_DOCS}/support/error-codes",
    ),
    mark="Wa",
    hue=142,
)

_MB = 1024 * 1024
_AUDIO = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")

CAPABILITIES = Capabilities(
    text_limit=4096,
    media=(
        MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=5 * _MB, media_types=("image/jpeg", "image/png")),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=16 * _MB, media_types=("video/mp4", "video/3gpp")),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=16 * _MB, media_types=_AUDIO),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=16 * _MB, media_types=("audio/ogg",)),
        MediaLimit(kind=AttachmentKind.FILE, max_bytes=100 * _MB),
        MediaLimit(kind=AttachmentKind.STICKER, max_bytes=500 * 1024, media_types=("image/webp",)),
    ),
    buttons=LIST_ROWS,
    buttons_with_link=1,
    button_title_limit=TITLE_LIMIT,
    templates=True,
    location=True,
    reply_window_s=24 * 3600,
    template_outside_window=True,
    rate_per_s=80.0,
    idempotency=Idempotency.ECHO,
    delivery_receipts=True,
    read_receipts=True,
    reactions=True,
    reacting=Reacting(within_s=30 * 24 * 3600),
    edits=True,
    deletes=True,
    typing=False,
    sources=(
        f"{_DOCS}/messages/send-messages (window, templates, text and button limits; read 2026-11-22)",
        "https://developers.facebook.com/docs/whatsapp/guides/interactive-messages/ (lists of ten; read 2026-11-28)",
        f"{_DOCS}/business-phone-numbers/media (media types and sizes; read 2026-11-22)",
        f"{_DOCS}/messages/reaction-messages (any emoji, on messages of at most 30 days; read 2026-11-29)",
        f"{_DOCS}/throughput (80 messages a second for each number; read 2026-11-22)",
        f"{_DOCS}/webhooks/reference/messages/status (biz_opaque_callback_data comes back; read 2026-11-22)",
    ),
)
