"""The Admin API (GraphQL): what it is asked, and what its refusals mean.

https://shopify.dev/docs/api/usage/response-codes and https://shopify.dev/changelog/consolidate-webhook-graphql-surfaces
(excerpts read 2026-11-28). A token comes from the settings or, since no admin-made apps can be made any more
(https://shopify.dev/docs/apps/build/authentication-authorization/legacy/admin-custom-apps, excerpt read 2026-11-28), by
the client credentials grant: it lasts a day and is asked for anew for each task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.http import HttpFailed
from channels.adapter import Account, Http
from channels.commerce import short
from channels.failures import Failure, SendFailed
from channels.providers.shopify.settings import ShopifySettings
from channels.reading import Json, items, mapping, text

SHOP = "query { shop { name myshopifyDomain } }"
CUSTOMER = "query($id: ID!) { customer(id: $id) { firstName lastName locale email } }"
LIST = "query($first: Int!) { webhookSubscriptions(first: $first) { nodes { id topic uri } } }"
CREATE = (
    "mutation($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) { "
    "webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) { "
    "webhookSubscription { id } userErrors { field message } } }"
)
#: HTTP status → what it means.
STATUS: dict[int, Failure] = {
    400: Failure.ACCOUNT_PROBLEM, 401: Failure.ACCOUNT_PROBLEM, 402: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM, 404: Failure.ACCOUNT_PROBLEM, 406: Failure.CONTENT_REJECTED,
    422: Failure.CONTENT_REJECTED, 423: Failure.ACCOUNT_PROBLEM, 429: Failure.RATE_LIMITED, 430: Failure.RATE_LIMITED,
}  # fmt: skip
#: `extensions.code` of a GraphQL error → what it means.
CODES: dict[str, Failure] = {
    "THROTTLED": Failure.RATE_LIMITED, "ACCESS_DENIED": Failure.ACCOUNT_PROBLEM,
    "SHOP_INACTIVE": Failure.ACCOUNT_PROBLEM, "INTERNAL_SERVER_ERROR": Failure.TEMPORARY, "TIMEOUT": Failure.TEMPORARY,
    "MAX_COST_EXCEEDED": Failure.CONTENT_REJECTED,
}  # fmt: skip


class Admin:
    """The Admin API of one account, for one task. Every call may be repeated."""

    def __init__(self, http: Http, account: Account) -> None:
        self._http = http
        self._account = account
        self._settings: ShopifySettings = account.settings
        self._token = account.secret("access_token")

    @staticmethod
    def is_open_to(account: Account) -> bool:
        """Whether the account has what a call needs."""
        settings: ShopifySettings = account.settings
        return bool(account.secret("access_token") or settings.client_id)

    async def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Json:
        """`data` of the answer. Raises `SendFailed`."""
        headers = {"X-Shopify-Access-Token": await self._opened(), "Accept": "application/json"}
        body = {"query": query, "variables": dict(variables or {})}
        found = await self._post(self._settings.endpoint, headers=headers, json=body)
        if items(found.get("errors")):
            raise _first_error(found)
        data = found.get("data")
        if not isinstance(data, dict):
            raise _unreadable()
        return data

    async def _opened(self) -> str:
        if self._token is not None:
            return self._token
        secret = self._account.secret("app_secret")
        if self._settings.client_id is None or secret is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Neither a client ID nor an Admin API access token is set.")
        grant = {
            "grant_type": "client_credentials", "client_id": self._settings.client_id, "client_secret": secret,
        }  # fmt: skip
        found = await self._post(self._settings.token_endpoint, headers={"Accept": "application/json"}, form=grant)
        self._token = text(found.get("access_token"))
        if self._token is None:
            raise _unreadable()
        return self._token

    async def _post(self, url: str, **given: Any) -> Json:
        try:
            answer = await self._http.request("POST", url, **given)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url")
            raise SendFailed(Failure.ACCOUNT_PROBLEM if lasting else Failure.TEMPORARY, str(failed)) from None
        found = mapping(answer.json())
        if answer.status != 200:
            raise refusal(answer.status, found, answer.headers)
        return found


def _unreadable() -> SendFailed:
    return SendFailed(Failure.TEMPORARY, "Shopify's answer could not be read.", provider_code="200")


def refusal(status: int, body: Json, headers: Mapping[str, str]) -> SendFailed:
    """An answer other than 200."""
    failure = STATUS.get(status) or (Failure.TEMPORARY if status >= 500 else Failure.UNKNOWN)
    words = short(body.get("errors"), 500) or short(body.get("error_description"), 500) or f"Shopify answered {status}."
    return SendFailed(failure, words, provider_code=str(status), retry_after_s=_wait(headers.get("retry-after", "")))


def _wait(value: str) -> float | None:
    """Shopify writes seconds with a fraction: `2.0`."""
    plain = value.removesuffix(".0")
    return float(plain) if plain.isdecimal() and plain.isascii() and len(plain) < 7 else None


def _first_error(found: Json) -> SendFailed:
    error = mapping(items(found.get("errors"))[0])
    code = text(mapping(error.get("extensions")).get("code"))
    words = short(error.get("message"), 500) or "Shopify refused the query."
    return SendFailed(CODES.get(code or "", Failure.CONTENT_REJECTED), words, provider_code=code)
