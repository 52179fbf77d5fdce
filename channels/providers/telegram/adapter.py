"""Telegram bots: how the channel presents itself, and both directions of it.

https://core.telegram.org/bots/api (read 2026-11-22)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import filetype

from base.http import HttpFailed
from base.signing import same
from channels.adapter import Account, Adapter, Card, Delivery, SetupStep, Unverified
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.failures import Failure, SendFailed
from channels.providers.telegram.api import BotApi, Upload
from channels.providers.telegram.calls import REACTIONS, Call, calls_for, message_ids, reaction_of, target_of
from channels.providers.telegram.objects import name_of, person_of
from channels.providers.telegram.parse import ALLOWED_UPDATES, parse_delivery, update_id_of
from channels.providers.telegram.settings import TelegramSettings
from channels.reading import mapping, text
from channels.vocabulary import (
    Address,
    AnyEvent,
    Attachment,
    AttachmentKind,
    MessageReceived,
    OutboundMessage,
    Person,
    SendReceipt,
)

_PAGE = "https://core.telegram.org/bots/api"
_READ = "(read 2026-11-22)"
#: Telegram's own limit for downloads by bots, bytes.
DOWNLOAD_MAX_BYTES = 20_000_000
_FILE_MAX_BYTES = 50_000_000


class TelegramAdapter(Adapter):
    """One bot is one account."""

    card = Card(
        provider="telegram",
        label="Telegram",
        kind="chat",
        summary="Messages to your bot, in private, in groups and through connected business accounts.",
        settings=TelegramSettings,
        steps=(
            SetupStep(
                "Open @BotFather in Telegram, send /newbot and follow it; copy the token.", "https://t.me/BotFather"
            ),
            SetupStep("Choose a secret token: 32 random letters and digits. Telegram sends it with every delivery."),
            SetupStep(
                "Save, then let us register {webhook_url} with Telegram, or call setWebhook yourself.",
                f"{_PAGE}#setwebhook",
            ),
            SetupStep(
                "For groups: turn off privacy mode with /setprivacy, or the bot sees only commands and replies.",
                "https://core.telegram.org/bots/features#privacy-mode",
            ),
        ),
        documentation=(_PAGE, "https://core.telegram.org/bots/webhooks"),
        mark="Tg",
        hue=200,
    )
    capabilities = Capabilities(
        text_limit=4096,
        media=(
            MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=10_000_000),
            MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=_FILE_MAX_BYTES),
            MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=_FILE_MAX_BYTES),
            MediaLimit(kind=AttachmentKind.VOICE, max_bytes=_FILE_MAX_BYTES, media_types=("audio/ogg",)),
            MediaLimit(kind=AttachmentKind.FILE, max_bytes=_FILE_MAX_BYTES),
            MediaLimit(kind=AttachmentKind.STICKER, max_bytes=512_000, media_types=("image/webp",)),
        ),
        buttons=20,
        button_title_limit=64,
        location=True,
        rate_per_s=30.0,
        idempotency=Idempotency.NONE,
        reactions=True,
        reacting=Reacting(emojis=REACTIONS),
        edits=True,
        sources=(
            f"{_PAGE}#sendmessage {_READ}",
            f"{_PAGE}#sending-files {_READ}",
            f"{_PAGE}#setwebhook {_READ}",
            f"{_PAGE}#setmessagereaction, #reactiontypeemoji (one of a list, no paid ones; read 2026-11-29)",
            f"https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this {_READ}",
        ),
    )

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Telegram proves itself by a secret that it repeats; it signs neither body nor time."""
        given = delivery.header("x-telegram-bot-api-secret-token")
        matches = [same(given, secret) for secret in account.secrets("secret_token")]
        if not any(matches):
            raise Unverified("The secret token does not match.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The update's id: ascending and unique per bot."""
        return update_id_of(delivery.body) or hashlib.sha256(delivery.body).hexdigest()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.telegram.parse`."""
        return parse_delivery(account.channel_id, delivery, hashlib.sha256(delivery.body).hexdigest()[:40])

    def capabilities_for(self, external_id: str | None) -> Capabilities:
        """Through a business connection the bot speaks for somebody, and cannot react."""
        if "@" not in (external_id or ""):
            return self.capabilities
        return self.capabilities.model_copy(update={"reacting": None})

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """setMessageReaction: one of Telegram's own list, or none."""
        await BotApi(self.http, account).ask("setMessageReaction", reaction_of(message), repeatable=True)
        return SendReceipt(message_ids=())

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Telegram knows no idempotency: a repeat is a second message. Splits where one call cannot carry it all.

        A group that became a supergroup refuses and names its new id; nothing was sent, so it goes there at once.
        """
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        try:
            return await self._deliver(account, message)
        except SendFailed as failed:
            if failed.moved_to is None:
                raise
            return await self._deliver(account, _moved(message, failed.moved_to))

    async def _deliver(self, account: Account, message: OutboundMessage) -> SendReceipt:
        calls = calls_for(message)
        # Everything is fetched before the first call, so that a missing file does not leave half a message behind.
        uploads = [await self._uploads(call.files) for call in calls]
        api, sent = BotApi(self.http, account), list[str]()
        for call, files in zip(calls, uploads, strict=True):
            try:
                result = await api.ask(call.method, call.parameters, uploads=files)
            except SendFailed as failed:
                raise _partly(failed, len(sent), calls) from None
            sent += message_ids(result, target_of(message.to))
        return SendReceipt(message_ids=tuple(sent))

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """getFile, then the file; at most 20 MB, Telegram's own limit."""
        if attachment.media_id is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "This attachment has no file behind it.")
        allowed = min(max_bytes, DOWNLOAD_MAX_BYTES)
        if (attachment.size_bytes or 0) > allowed:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The file is larger than {allowed} bytes.")
        api = BotApi(self.http, account)
        found = mapping(await api.ask("getFile", {"file_id": attachment.media_id}, repeatable=True))
        path = text(found.get("file_path"))
        if path is None:
            raise SendFailed(Failure.TEMPORARY, "Telegram does not give the file out right now.")
        content = await api.file(path, allowed)
        return content, filetype.guess_mime(content) or attachment.media_type or "application/octet-stream"

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """The name by getChat. No picture: its address would hold the bot token."""
        target = target_of(Address(channel_id=account.channel_id, external_id=external_id))
        try:
            found = mapping(await BotApi(self.http, account).ask("getChat", _chat_only(target), repeatable=True))
        except SendFailed as failed:
            if failed.failure in (Failure.RECIPIENT_UNREACHABLE, Failure.RECIPIENT_BLOCKED, Failure.CONTENT_REJECTED):
                return None
            raise
        return person_of(found) if name_of(found) else None

    async def check(self, account: Account) -> str:
        """getMe and getWebhookInfo."""
        api = BotApi(self.http, account)
        bot = mapping(await api.ask("getMe", {}, repeatable=True))
        hook = mapping(await api.ask("getWebhookInfo", {}, repeatable=True))
        name = text(bot.get("username")) or name_of(bot) or "the bot"
        if not text(hook.get("url")):
            return f"The token belongs to @{name}. No webhook is registered yet."
        waiting, error = hook.get("pending_update_count"), text(hook.get("last_error_message"))
        trouble = f" Last error: {error}" if error else ""
        return f"The token belongs to @{name}. A webhook is registered; {waiting or 0} updates are waiting.{trouble}"

    async def acknowledge(self, account: Account, event: AnyEvent) -> None:
        """End the waiting sign on a pressed button (answerCallbackQuery)."""
        query = event.extra.get("callback_query_id") if isinstance(event, MessageReceived) else None
        if query is not None:
            await BotApi(self.http, account).ask("answerCallbackQuery", {"callback_query_id": query}, repeatable=True)

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """setWebhook with our secret and the kinds of update that we read."""
        secret = account.secret("secret_token")
        if secret is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Set a secret token first: without it no delivery is accepted.")
        wanted = {"url": url, "secret_token": secret, "allowed_updates": list(ALLOWED_UPDATES)}
        await BotApi(self.http, account).ask("setWebhook", wanted, repeatable=True)
        return f"Telegram now posts to {url}."

    async def _uploads(self, files: Mapping[str, Attachment]) -> dict[str, Upload]:
        return {key: await self._upload(file) for key, file in files.items()}

    async def _upload(self, file: Attachment) -> Upload:
        content = file.content if file.content is not None else await self._fetched(file.url or "")
        name = file.file_name or (file.url or "").partition("?")[0].rpartition("/")[2] or "file"
        return Upload(name, file.media_type or filetype.guess_mime(content) or "application/octet-stream", content)

    async def _fetched(self, url: str) -> bytes:
        try:
            answer = await self.http.request("GET", url, timeout_s=60.0, max_bytes=_FILE_MAX_BYTES)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url", "too_large")
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status != 200:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, f"The file's server answered {answer.status}.")
        return answer.body


def _chat_only(target: dict[str, Any]) -> dict[str, Any]:
    return {"chat_id": target["chat_id"]}


def _moved(message: OutboundMessage, external_id: str) -> OutboundMessage:
    """To the group's new id. Without a quote: the message it quotes stayed behind, and Telegram would refuse it."""
    to = message.to.model_copy(update={"external_id": external_id})
    return message.model_copy(update={"to": to, "reply_to": None})


def _partly(failed: SendFailed, sent: int, calls: list[Call]) -> SendFailed:
    """When a part was taken already, repeating the whole would double it: no failure that is retried by itself."""
    if not sent:
        return failed
    detail = f"{sent} messages of {len(calls)} parts were sent, then: {failed}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=failed.provider_code)


ADAPTER = TelegramAdapter
