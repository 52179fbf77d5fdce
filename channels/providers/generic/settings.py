"""What an administrator fills in to connect a system of their own."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from base.signing import standard_key
from channels.adapter import AccountSettings


def _web_address(value: str | None) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
        raise ValueError("Give an address such as https://shop.example.com/rapport.")
    return value


class GenericSettings(AccountSettings):
    """`scheme` stands before `secret`, because it says what a secret looks like."""

    scheme: Literal["standard", "stripe"] = Field(
        default="standard",
        title="Signature",
        description="standard: Standard Webhooks (webhook-signature). stripe: Stripe-Signature: t=…,v1=….",
    )
    secret: SecretStr = Field(
        title="Signing secret",
        description="Both sides sign with it. Standard: base64, 24 to 64 bytes, usually shown as whsec_….",
    )
    send_url: Annotated[str | None, AfterValidator(_web_address)] = Field(
        default=None, title="Address for outgoing messages", description="Leave empty to receive only."
    )
    api_base: Annotated[str | None, AfterValidator(_web_address)] = Field(
        default=None,
        title="Proxy address",
        description="Takes the place of scheme and host of the address above.",
    )

    @field_validator("secret")
    @classmethod
    def _usable(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        secret = value.get_secret_value().strip()
        if not secret:
            raise ValueError("Without a secret nothing could be told apart from a forgery.")
        if info.data.get("scheme") == "standard" and standard_key(secret) is None:
            raise ValueError("A Standard Webhooks secret is base64, with or without whsec_ before it.")
        return SecretStr(secret)

    @property
    def destination(self) -> str | None:
        """Where messages are posted to; None when this channel only receives."""
        if self.send_url is None or self.api_base is None:
            return self.send_url
        base, target = urlsplit(self.api_base), urlsplit(self.send_url)
        return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + target.path, target.query, ""))
