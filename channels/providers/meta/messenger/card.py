"""How Messenger presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.providers.meta.messaging.compose import QUICK_REPLIES, TEMPLATE_BUTTONS, TITLE_LIMIT
from channels.providers.meta.settings import VERSION, ApiBase, ApiVersion, AppId, AppSecret, HumanAgent, VerifyToken
from channels.vocabulary import AttachmentKind

_DOCS = "https://developers.facebook.com/docs/messenger-platform"


class MessengerSettings(AccountSettings):
    """One Facebook page."""

    page_id: str = Field(
        title="Page ID",
        description="The page's number, in its settings under Page transparency; not its name in the address.",
        min_length=1,
        max_length=64,
    )
    access_token: SecretStr = Field(
        title="Page access token",
        description="Made for this page, by somebody who may answer its messages, with pages_messaging.",
        min_length=1,
    )
    app_secret: AppSecret
    verify_token: VerifyToken
    app_id: AppId = ""
    human_agent: HumanAgent = False
    api_base: ApiBase = "https://graph.facebook.com"
    api_version: ApiVersion = VERSION


CARD = Card(
    provider="messenger",
    label="Messenger",
    kind="chat",
    summary="Answer what people write to your Facebook page, and see their comments beside it.",
    settings=MessengerSettings,
    steps=(
        SetupStep(
            "In Meta's developer console create an app of the type Business and add the product Messenger.",
            "https://developers.facebook.com/apps",
        ),
        SetupStep(
            "In the product's settings connect your page and generate its access token; for people without a role on "
            "the app it needs the permissions pages_messaging and pages_manage_metadata.",
            f"{_DOCS}/getting-started/quick-start",
        ),
        SetupStep("Copy the app secret from the app's basic settings, choose a verify token, and save this form."),
        SetupStep(
            "In the Messenger settings enter {webhook_url} as callback address with the same verify token. With an app "
            "ID in this form, the button that registers the webhook does this and the next step.",
            f"{_DOCS}/webhooks",
        ),
        SetupStep(
            "Subscribe the page to messages, message_echoes, message_edits, message_deliveries, message_reads, "
            "message_reactions, messaging_postbacks, messaging_referrals, messaging_optins, messaging_handovers, "
            "standby, feed and mention."
        ),
        SetupStep("Write to your page from a person's account: the message appears in the inbox."),
    ),
    documentation=(
        f"{_DOCS}/reference/webhook-events",
        f"{_DOCS}/reference/send-api",
        f"{_DOCS}/error-codes",
    ),
    mark="Ms",
    hue=212,
)

_FILE_MAX_BYTES = 25_000_000
_KINDS = (
    AttachmentKind.IMAGE, AttachmentKind.VIDEO, AttachmentKind.AUDIO, AttachmentKind.VOICE, AttachmentKind.FILE,
)  # fmt: skip

CAPABILITIES = Capabilities(
    text_limit=2000,
    media=tuple(MediaLimit(kind=kind, max_bytes=_FILE_MAX_BYTES) for kind in _KINDS),
    caption=False,
    buttons=QUICK_REPLIES,
    buttons_with_link=TEMPLATE_BUTTONS,
    button_title_limit=TITLE_LIMIT,
    reply_window_s=24 * 3600,
    human_window_s=7 * 24 * 3600,
    idempotency=Idempotency.ECHO,
    delivery_receipts=True,
    read_receipts=True,
    reactions=True,
    reacting=Reacting(),
    edits=True,
    deletes=True,
    sources=(
        f"{_DOCS}/reference/send-api (text, 25 MB, metadata, window and HUMAN_AGENT; read 2026-11-28)",
        "https://developers.facebook.com/documentation/business-messaging/instagram-messaging/features/"
        "quick-replies.md (13 quick replies of 20 characters; read 2026-11-28)",
    ),
)
