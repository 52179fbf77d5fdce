"""The shop's REST API: one call, and what its refusals mean.

https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/ (excerpt read 2026-11-28); codes as in WordPress.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from base.http import HttpFailed
from channels.adapter import Account, Http
from channels.commerce import short
from channels.failures import Failure, SendFailed
from channels.providers.woocommerce.settings import WooSettings
from channels.reading import Json, mapping, text

#: HTTP status → what it means.
STATUS: dict[int, Failure] = {
    400: Failure.CONTENT_REJECTED, 401: Failure.ACCOUNT_PROBLEM, 403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM, 409: Failure.CONTENT_REJECTED, 422: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}  # fmt: skip


async def ask(http: Http, account: Account, method: str, path: str, body: Json | None = None) -> Any:
    """The answer's JSON. Raises `SendFailed`; a change whose answer was lost is `UNCERTAIN`."""
    settings: WooSettings = account.settings
    key, secret = (account.secret(name) for name in ("consumer_key", "consumer_secret"))
    if key is None or secret is None:
        raise SendFailed(Failure.ACCOUNT_PROBLEM, "No consumer key and consumer secret are set.")
    basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
    unheard = Failure.TEMPORARY if method == "GET" else Failure.UNCERTAIN
    try:
        answer = await http.request(method, f"{settings.endpoint}{path}", headers=headers, json=body)
    except HttpFailed as failed:
        lasting = failed.reason in ("refused_address", "bad_url")
        failure = Failure.ACCOUNT_PROBLEM if lasting else unheard if failed.sent else Failure.TEMPORARY
        raise SendFailed(failure, str(failed)) from None
    found = answer.json()
    if answer.status not in (200, 201):
        raise refusal(answer.status, mapping(found), answer.headers)
    if not isinstance(found, dict | list):
        raise SendFailed(unheard, "The shop's answer could not be read.", provider_code=str(answer.status))
    return found


def refusal(status: int, body: Json, headers: Mapping[str, str]) -> SendFailed:
    """An answer that is no success. WordPress gives a code and a sentence."""
    failure = STATUS.get(status) or (Failure.TEMPORARY if status >= 500 else Failure.UNKNOWN)
    words = short(body.get("message"), 500) or f"The shop answered {status}."
    wait = headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 7 else None
    return SendFailed(failure, words, provider_code=text(body.get("code")) or str(status), retry_after_s=seconds)
