"""The Admin API (GraphQL): what it is asked, and what its refusals mean.

https://shopify.dev/docs/api/admin-graphql (2026-04) and …/usage/response-codes (read 2026-11-28 in the search tool).
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
    400: Failure.CONTENT_REJECTED, 401: Failure.ACCOUNT_PROBLEM, 402: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM, 404: Failure.ACCOUNT_PROBLEM, 406: Failure.CONTENT_REJECTED,
    422: Failure.CONTENT_REJECTED, 423: Failure.ACCOUNT_PROBLEM, 429: Failure.RATE_LIMITED, 430: Failure.RATE_LIMITED,
}  # fmt: skip
#: `extensions.code` of a GraphQL error → what it means.
CODES: dict[str, Failure] = {
    "THROTTLED": Failure.RATE_LIMITED, "ACCESS_DENIED": Failure.ACCOUNT_PROBLEM,
    "SHOP_INACTIVE": Failure.ACCOUNT_PROBLEM, "INTERNAL_SERVER_ERROR": Failure.TEMPORARY, "TIMEOUT": Failure.TEMPORARY,
    "MAX_COST_EXCEEDED": Failure.CONTENT_REJECTED,
}  # fmt: skip


async def ask(http: Http, account: Account, query: str, variables: Mapping[str, Any] | None = None) -> Json:
    """`data` of the answer. Every call may be repeated. Raises `SendFailed`."""
    settings: ShopifySettings = account.settings
    token = next(iter(account.secrets("access_token")), None)
    if token is None:
        raise SendFailed(Failure.ACCOUNT_PROBLEM, "No Admin API access token is set.")
    headers = {"X-Shopify-Access-Token": token, "Accept": "application/json"}
    body = {"query": query, "variables": dict(variables or {})}
    try:
        answer = await http.request("POST", settings.endpoint, headers=headers, json=body)
    except HttpFailed as failed:
        lasting = failed.reason in ("refused_address", "bad_url")
        raise SendFailed(Failure.ACCOUNT_PROBLEM if lasting else Failure.TEMPORARY, str(failed)) from None
    if answer.status != 200:
        raise refusal(answer.status, mapping(answer.json()), answer.headers)
    found = mapping(answer.json())
    if items(found.get("errors")):
        raise _first_error(found)
    data = found.get("data")
    if not isinstance(data, dict):
        raise SendFailed(Failure.TEMPORARY, "Shopify's answer could not be read.", provider_code="200")
    return data


def refusal(status: int, body: Json, headers: Mapping[str, str]) -> SendFailed:
    """An answer other than 200."""
    failure = STATUS.get(status) or (Failure.TEMPORARY if status >= 500 else Failure.UNKNOWN)
    words = short(body.get("errors"), 500) or f"Shopify answered {status}."
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
