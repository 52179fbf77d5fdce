"""How Instagram presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.providers.meta.messaging.compose import QUICK_REPLIES, TEMPLATE_BUTTONS, TITLE_LIMIT
from channels.providers.meta.settings import VERSION, ApiBase, ApiVersion, AppId, AppSecret, HumanAgent, VerifyToken
from channels.vocabulary import AttachmentKind

_DOCS = "https://developers.facebook.com/documentation/instagram-platform"
_MESSAGING = "https://developers.facebook.com/documentation/business-messaging/instagram-messaging"


class InstagramSettings(AccountSettings):
    """One professional account."""

    account_id: str = Field(
        title="Instagram account ID",
        description="The professional account's number, which begins with 1784; it stands beside the token at Meta.",
        min_length=1,
        max_length=64,
    )
    access_token: SecretStr = Field(
        title="Access token",
        description="The account's, from Instagram login; or that of its linked page, with another API address below.",
        min_length=1,
    )
    app_secret: AppSecret
    verify_token: VerifyToken
    app_id: AppId = ""
    human_agent: HumanAgent = False
    api_base: ApiBase = Field(
        default="https://graph.instagram.com",
        title="API address",
        description="https://graph.facebook.com for the token of a linked page; else as it stands, or your own proxy.",
    )
    api_version: ApiVersion = VERSION


CARD = Card(
    provider="instagram",
    label="Instagram",
    kind="social",
    summary="Answer direct messages, story replies and mentions, and see comments beside them.",
    settings=InstagramSettings,
    steps=(
        SetupStep("Make the Instagram account a professional one, and allow access to messages in its settings."),
        SetupStep(
            "In Meta's developer console create an app of the type Business and add the product Instagram.",
            "https://developers.facebook.com/apps",
        ),
        SetupStep(
            "In the product's set-up with Instagram login add the account and generate its access token, with "
            "instagram_business_basic, instagram_business_manage_messages and instagram_business_manage_comments.",
            f"{_DOCS}/overview",
        ),
        SetupStep(
            "Copy the Instagram app secret from the same page, choose a verify token, and save this form. With a "
            "linked page it is the app secret of the basic settings."
        ),
        SetupStep(
            "In the same set-up enter {webhook_url} as callback address with the same verify token, and subscribe to "
            "messages, message_reactions, message_edit, messaging_postbacks, messaging_seen, messaging_referral, "
            "messaging_handover, standby, comments, live_comments and mentions.",
            f"{_DOCS}/webhooks",
        ),
        SetupStep("Let us register the webhook: it switches the account's own deliveries on."),
        SetupStep("Write to the account from another one: the message appears in the inbox."),
    ),
    documentation=(
        f"{_DOCS}/webhooks/examples",
        f"{_MESSAGING}/features/attachment-upload",
        f"{_DOCS}/private-replies",
    ),
    mark="Ig",
    hue=326,
)

_AUDIO = ("audio/aac", "audio/x-m4a", "audio/mp4", "audio/wav", "audio/x-wav")
_IMAGE = ("image/png", "image/jpeg", "image/gif")
_VIDEO = ("video/mp4", "video/ogg", "video/x-msvideo", "video/quicktime", "video/webm")
_FILE_MAX_BYTES = 25_000_000

CAPABILITIES = Capabilities(
    text_limit=1000,
    text_unit="bytes",
    media=(
        MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=8_000_000, media_types=_IMAGE),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=_FILE_MAX_BYTES, media_types=_VIDEO),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=_FILE_MAX_BYTES, media_types=_AUDIO),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=_FILE_MAX_BYTES, media_types=_AUDIO),
        MediaLimit(kind=AttachmentKind.FILE, max_bytes=_FILE_MAX_BYTES, media_types=("application/pdf",)),
    ),
    caption=False,
    files_by_link=True,
    buttons=QUICK_REPLIES,
    buttons_with_link=TEMPLATE_BUTTONS,
    button_title_limit=TITLE_LIMIT,
    reply_window_s=24 * 3600,
    human_window_s=7 * 24 * 3600,
    idempotency=Idempotency.NONE,
    read_receipts=True,
    reactions=True,
    reacting=Reacting(),
    edits=True,
    deletes=True,
    sources=(
        "https://developers.facebook.com/docs/messenger-platform/instagram/features/send-message "
        "(1000 bytes of text; read 2026-11-28)",
        f"{_MESSAGING}/features/attachment-upload (media types and sizes; read 2026-11-28)",
        f"{_MESSAGING}/features/quick-replies.md (13 quick replies of 20 characters; read 2026-11-28)",
        f"{_DOCS}/private-replies (one private reply within seven days; read 2026-11-28)",
    ),
)
