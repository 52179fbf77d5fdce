"""What an administrator fills in to connect a Shopify shop."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from channels.adapter import AccountSettings

#: Webhook subscriptions take `uri` from 2025-10 on (https://shopify.dev/changelog/consolidate-webhook-graphql-surfaces).
API_VERSION = "2026-04"
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)


def _shop_domain(value: str) -> str:
    found = value.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    if not _DOMAIN.fullmatch(found):
        raise ValueError("Give the shop's own domain, such as my-shop.myshopify.com.")
    return found


def _api_base(value: str | None) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("Give an address such as https://my-shop.myshopify.com.")
    return value.rstrip("/")


class ShopifySettings(AccountSettings):
    """One shop and the app that was installed in it."""

    shop_domain: Annotated[str, AfterValidator(_shop_domain)] = Field(
        title="Shop domain", description="The one that ends in .myshopify.com, not the one customers see."
    )
    app_secret: SecretStr = Field(
        title="Client secret",
        min_length=1,
        description="Of the app, also called API secret key. Shopify signs every delivery with it.",
    )
    client_id: str | None = Field(
        None,
        title="Client ID",
        max_length=100,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Of an app from the Dev Dashboard. Needed to register the webhooks and to look up names.",
    )
    access_token: SecretStr | None = Field(
        None,
        title="Admin API access token",
        description="Only of an older app that was made in the shop's own admin; then no client ID is needed.",
    )
    api_version: str = Field(
        API_VERSION, title="API version", pattern=r"^20[0-9]{2}-(01|04|07|10)$", description="Of the Admin API."
    )
    api_base: Annotated[str | None, AfterValidator(_api_base)] = Field(
        None, title="API address", description="Only for a proxy. Otherwise the shop's own domain."
    )

    @property
    def endpoint(self) -> str:
        """Where the Admin API takes GraphQL."""
        return f"{self._host}/admin/api/{self.api_version}/graphql.json"

    @property
    def token_endpoint(self) -> str:
        """Where a token is had for client ID and secret."""
        return f"{self._host}/admin/oauth/access_token"

    @property
    def _host(self) -> str:
        return self.api_base or f"https://{self.shop_domain}"
