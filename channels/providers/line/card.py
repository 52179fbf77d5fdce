"""How LINE presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit
from channels.vocabulary import AttachmentKind

_DOCS = "https://developers.line.biz/en/docs/messaging-api"
_REFERENCE = "https://developers.line.biz/en/reference/messaging-api"
_READ = "(read 2026-11-28)"
API_BASE = "https://api.line.me"
DATA_API_BASE = "https://api-data.line.me"


class LineSettings(AccountSettings):
    """One official account, that is one Messaging API channel."""

    channel_secret: SecretStr = Field(
        title="Channel secret",
        description="LINE Developers console, tab Basic settings. Proves that a delivery comes from LINE.",
        min_length=1,
    )
    access_token: SecretStr = Field(
        title="Channel access token",
        description="Tab Messaging API, at the bottom: issue a long-lived token.",
        min_length=1,
    )
    api_base: str = Field(
        default=API_BASE,
        title="API address",
        description="Change it only to go through a proxy of your own, which then serves files, too.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    )

    @property
    def files_from(self) -> str:
        """Where inbound files are fetched from: LINE's own host for them, or the proxy that serves everything else."""
        return DATA_API_BASE if self.api_base == API_BASE else self.api_base


CARD = Card(
    provider="line",
    label="LINE",
    kind="chat",
    summary="Messages to your LINE official account, from friends and from groups it is in.",
    settings=LineSettings,
    steps=(
        SetupStep(
            "Create a LINE official account and, in its settings, enable the Messaging API for it.",
            f"{_DOCS}/getting-started/",
        ),
        SetupStep(
            "Open the channel in the LINE Developers console: copy the channel secret from Basic settings, and issue a "
            "long-lived channel access token on the tab Messaging API.",
            "https://developers.line.biz/console/",
        ),
        SetupStep("Save this form, then let us register {webhook_url} with LINE, or enter it there yourself."),
        SetupStep("On the tab Messaging API switch on Use webhook and Webhook redelivery, then press Verify."),
        SetupStep(
            "In the LINE Official Account Manager, under response settings, switch off automatic replies and "
            "greetings, and allow the account to join groups if you want them.",
            "https://manager.line.biz/",
        ),
        SetupStep("Add the account as a friend and write to it: the message appears in the inbox."),
    ),
    documentation=(f"{_DOCS}/receiving-messages/", f"{_REFERENCE}/", f"{_DOCS}/retrying-api-request/"),
    mark="Ln",
    hue=130,
)

CAPABILITIES = Capabilities(
    text_limit=5000,
    text_unit="utf16",
    media=(
        MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=10_000_000, media_types=("image/jpeg", "image/png")),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=200_000_000, media_types=("video/mp4",)),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=200_000_000, media_types=("audio/mp4", "audio/mpeg")),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=200_000_000, media_types=("audio/mp4", "audio/mpeg")),
        # Only LINE's own, by package and number; compose refuses all others.
        MediaLimit(kind=AttachmentKind.STICKER, max_bytes=1_000_000),
    ),
    caption=False,
    files_by_link=True,
    buttons=13,
    button_title_limit=20,
    location=True,
    rate_per_s=2000.0,
    idempotency=Idempotency.KEY,
    edits=True,
    deletes=True,
    sources=(
        f"{_REFERENCE}/#message-objects, #rate-limits (lengths, sizes, 2,000 pushes a second) {_READ}",
        f"{_DOCS}/retrying-api-request/ (the retry key lives for 24 hours) {_READ}",
        f"{_DOCS}/using-quick-reply (13 quick replies) {_READ}",
        f"https://line.github.io/line-bot-sdk-nodejs/apidocs/type-aliases/TemplateButtons.html {_READ}",
    ),
)
