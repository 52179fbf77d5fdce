"""How Slack presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.providers.slack.words import REACTIONS
from channels.vocabulary import AttachmentKind

_DOCS = "https://docs.slack.dev"
#: What the bot token must be allowed, and what for.
SCOPES = {
    "chat:write": "to write messages",
    "im:history": "to hear direct messages",
    "im:write": "to send files to a person",
    "users:read": "to see names and pictures",
    "files:read": "to fetch files",
    "files:write": "to send files",
    "reactions:write": "to react to messages",
}


class SlackSettings(AccountSettings):
    """One Slack app, installed in one workspace."""

    bot_token: SecretStr = Field(
        title="Bot token",
        description='From "OAuth & Permissions" after the app was installed; begins with xoxb-.',
        min_length=1,
    )
    signing_secret: SecretStr = Field(
        title="Signing secret",
        description='From "Basic Information" of the app. Proves that a delivery comes from Slack.',
        min_length=1,
    )
    api_base: str = Field(
        default="https://slack.com/api",
        title="API address",
        description="Change it only to go through a proxy of your own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    )

    @field_validator("bot_token")
    @classmethod
    def _is_for_a_bot(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        # It goes into a header; and a user's token would make us write in that person's name.
        if not token.isascii() or not token.isprintable() or token.startswith(("xoxp-", "xapp-")):
            raise ValueError("This is not a bot token; one begins with xoxb-.")
        return value


CARD = Card(
    provider="slack",
    label="Slack",
    kind="chat",
    summary="Messages to your app, in private and in the channels it was invited to, also those shared with customers.",
    settings=SlackSettings,
    steps=(
        SetupStep("Create an app from scratch in your workspace.", "https://api.slack.com/apps"),
        SetupStep(
            'Under "OAuth & Permissions" add the bot token scopes chat:write, im:history, im:write, users:read, '
            "files:read and files:write; for channels also channels:history, groups:history and reactions:read; "
            "for e-mail addresses users:read.email.",
            f"{_DOCS}/reference/scopes",
        ),
        SetupStep('Under "App Home" switch on the messages tab and let people write in it.'),
        SetupStep("Install the app, copy the bot token and, from the basic information, the signing secret; save."),
        SetupStep(
            'Under "Event Subscriptions" enter {webhook_url} and subscribe to the bot events message.im, '
            "tokens_revoked and app_uninstalled; for channels also message.channels, message.groups, "
            "app_mention, reaction_added and reaction_removed.",
            f"{_DOCS}/apis/events-api/using-http-request-urls",
        ),
        SetupStep('Under "Interactivity & Shortcuts", and for each slash command, enter {webhook_url} as well.'),
        SetupStep("Invite the app to the channels it shall hear. Then write to it: the message appears in the inbox."),
    ),
    documentation=(
        f"{_DOCS}/apis/events-api",
        f"{_DOCS}/reference/methods/chat.postMessage",
        f"{_DOCS}/messaging/working-with-files",
    ),
    mark="Sl",
    hue=320,
)

#: Slack takes 1 GB; what we send goes through our own memory.
FILE_MAX_BYTES = 50_000_000
BUTTON_TITLE_LIMIT = 75

CAPABILITIES = Capabilities(
    text_limit=40_000,
    media=tuple(
        MediaLimit(kind=kind, max_bytes=FILE_MAX_BYTES) for kind in AttachmentKind if kind is not AttachmentKind.STICKER
    ),
    buttons=25,
    button_title_limit=BUTTON_TITLE_LIMIT,
    rate_per_s=1.0,
    idempotency=Idempotency.NONE,
    reactions=True,
    reacting=Reacting(emojis=REACTIONS),
    edits=True,
    deletes=True,
    sources=(
        f"{_DOCS}/reference/methods/chat.postMessage (text, blocks, threads; by way of channels.md, read 2026-11-28)",
        f"{_DOCS}/reference/methods/files.completeUploadExternal (files; read 2026-11-28)",
        f"{_DOCS}/reference/methods/reactions.add, reactions.remove (by names; read 2026-11-29)",
        f"{_DOCS}/apis/web-api/rate-limits (a message a second for each channel; channels.md, read 2026-11-28)",
    ),
)
