"""How Viber presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit
from channels.vocabulary import AttachmentKind

_DOCS = "https://developers.viber.com/docs/api/rest-bot-api/"
_KEYBOARDS = "https://creators.viber.com/docs/bots-api/resources/messaging/keyboards"
_READ = "(read 2026-11-28)"
SENDER_LIMIT = 28
FILE_MAX_BYTES = 50_000_000
VIDEO_MAX_BYTES = 26_000_000


class ViberSettings(AccountSettings):
    """One bot."""

    auth_token: SecretStr = Field(
        title="Authentication token",
        description="In Viber: More, Settings, Bots, Edit info, Your app key. It also signs what Viber sends us.",
        min_length=1,
    )
    sender_name: str = Field(
        default="",
        title="Name shown to people",
        description=f"At most {SENDER_LIMIT} characters. Empty: the name of this channel.",
        max_length=SENDER_LIMIT,
    )
    sender_avatar: str | None = Field(
        default=None,
        title="Picture shown to people",
        description="An https address of a square picture of at most 100 kB. Empty: the bot's own.",
        pattern=r"^https://[^\s]{1,1000}$",
    )
    api_base: str = Field(
        default="https://chatapi.viber.com",
        title="API address",
        description="Change it only to go through a proxy of your own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    )


CARD = Card(
    provider="viber",
    label="Viber",
    kind="chat",
    summary="Messages to your Viber bot, with receipts for delivered and seen.",
    settings=ViberSettings,
    steps=(
        SetupStep(
            "Get a bot: since February 2024 Viber gives them out on commercial terms, by itself or through a partner.",
            "https://www.forbusiness.viber.com/",
        ),
        SetupStep("As the bot's administrator open More, Settings, Bots, Edit info in Viber and copy the app key."),
        SetupStep(
            "Save, then let us register {webhook_url} with Viber. Viber tries the address while it registers it, so it "
            "must be reachable from outside with a valid certificate.",
            _DOCS,
        ),
        SetupStep("Open the bot in Viber and write to it: the message appears in the inbox."),
    ),
    documentation=(_DOCS, _KEYBOARDS),
    mark="Vi",
    hue=265,
)

CAPABILITIES = Capabilities(
    text_limit=7000,
    media=(
        MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=FILE_MAX_BYTES),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=FILE_MAX_BYTES),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=FILE_MAX_BYTES),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=FILE_MAX_BYTES),
        MediaLimit(kind=AttachmentKind.FILE, max_bytes=FILE_MAX_BYTES),
        # Only Viber's own, by number; compose refuses all others.
        MediaLimit(kind=AttachmentKind.STICKER, max_bytes=1_000_000),
    ),
    files_by_link=True,
    buttons=20,
    button_title_limit=250,
    location=True,
    idempotency=Idempotency.NONE,
    delivery_receipts=True,
    read_receipts=True,
    sources=(
        f"{_DOCS}#send-message (message kinds, lengths and sizes) {_READ}",
        f"{_KEYBOARDS} {_READ}",
        f"https://www.infobip.com/docs/viber/bots/message-types.md (pictures of 1 MB, MP4 of 26 MB) {_READ}",
    ),
)
