"""What an administrator fills in to connect a WooCommerce shop."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from channels.adapter import AccountSettings


def _address(value: str | None) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or "@" in value:
        raise ValueError("Give the shop's address, such as https://shop.example.com.")
    return value.rstrip("/")


def _site(value: str) -> str:
    found = _address(value)
    if found is None:
        raise ValueError("Give the shop's address, such as https://shop.example.com.")
    return found


class WooSettings(AccountSettings):
    """One shop, the secret of its webhooks and the keys of its API."""

    site_url: Annotated[str, AfterValidator(_site)] = Field(
        title="Shop address", description="Where WordPress runs, such as https://shop.example.com."
    )
    webhook_secret: SecretStr = Field(
        title="Webhook secret",
        min_length=1,
        description="Your own choice, hard to guess. WooCommerce signs every delivery with it.",
    )
    consumer_key: SecretStr | None = Field(
        None, title="Consumer key", description="Starts with ck_. Needed to register the webhooks and look up names."
    )
    consumer_secret: SecretStr | None = Field(None, title="Consumer secret", description="Starts with cs_.")
    api_base: Annotated[str | None, AfterValidator(_address)] = Field(
        None, title="API address", description="Only for a proxy. Otherwise the shop's own address."
    )

    @property
    def endpoint(self) -> str:
        """Where the REST API begins."""
        return f"{self.api_base or self.site_url}/wp-json/wc/v3"
