"""What an administrator fills in to connect a Telegram bot."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from channels.adapter import AccountSettings

API_BASE = "https://api.telegram.org"
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_BOT_TOKEN = re.compile(r"[^\s/?#%\\]+", re.ASCII)


def _bot_token(value: SecretStr) -> SecretStr:
    # It becomes part of a path: nothing in it may lead elsewhere.
    if not _BOT_TOKEN.fullmatch(value.get_secret_value().strip()):
        raise ValueError("This is not a bot token. BotFather shows it as digits, a colon and 35 characters.")
    return SecretStr(value.get_secret_value().strip())


def _secret_token(value: SecretStr) -> SecretStr:
    if not _SECRET_TOKEN.fullmatch(value.get_secret_value().strip()):
        raise ValueError("Use 1 to 256 letters A-Z and a-z, digits, _ and -.")
    return SecretStr(value.get_secret_value().strip())


def _api_base(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("Give an address such as https://api.telegram.org.")
    return value.rstrip("/")


class TelegramSettings(AccountSettings):
    """https://core.telegram.org/bots/api#setwebhook (read 2026-11-22)."""

    bot_token: Annotated[SecretStr, AfterValidator(_bot_token)] = Field(
        title="Bot token", description="From @BotFather, after /newbot or /token."
    )
    secret_token: Annotated[SecretStr, AfterValidator(_secret_token)] = Field(
        title="Secret token",
        description="Your own choice, hard to guess. Telegram repeats it with every delivery: that is its proof.",
    )
    api_base: Annotated[str, AfterValidator(_api_base)] = Field(
        default=API_BASE, title="API address", description="Only for a proxy or your own Bot API server."
    )
