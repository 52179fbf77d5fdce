"""One call of Twilio's API, and one download: request, answer, and what a refusal means.

https://www.twilio.com/docs/messaging/api/message-resource (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, urlencode, urljoin, urlsplit

from base.http import HttpFailed
from channels.adapter import Account, Http, HttpAnswer
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.twilio.card import API_BASE, TwilioSettings
from channels.providers.twilio.failures import failure_of
from channels.reading import Json, identifier, integer, mapping, number, text

#: Where messaging services are kept; an API address of one's own stands for both.
MESSAGING_BASE = "https://messaging.twilio.com"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS = 4
_DETAIL_LIMIT = 500


class TwilioApi:
    """Twilio's API for one account. The credentials go into a header only, and only to Twilio's own hosts."""

    def __init__(self, http: Http, account: Account, timeout_s: float = 15.0) -> None:
        settings: TwilioSettings = account.settings
        self._http = http
        self._base = settings.api_base
        self._sid = settings.account_sid
        self._timeout_s = timeout_s
        pair = f"{settings.account_sid}:{settings.auth_token.get_secret_value()}"
        self._authorization = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def url(self, *path: str, **query: str) -> str:
        """An address below the account; every part is quoted. Without parts the account itself."""
        parts = "".join(f"/{quote(part, safe='')}" for part in path)
        return f"{self._base}/2010-04-01/Accounts/{self._sid}{parts}.json" + (f"?{urlencode(query)}" if query else "")

    def service_url(self, service_sid: str) -> str:
        """The address of a messaging service."""
        base = MESSAGING_BASE if self._base == API_BASE else self._base
        return f"{base}/v1/Services/{quote(service_sid, safe='')}"

    async def get(self, url: str) -> Json:
        """Ask. Raises `SendFailed`; a lost answer is TEMPORARY, for asking again harms nobody."""
        return _object(await self._ask("GET", url, lost=Failure.TEMPORARY), Failure.TEMPORARY)

    async def post(self, url: str, pairs: Iterable[tuple[str, str]], *, repeatable: bool = False) -> Json:
        """Have something done. Raises `SendFailed`; UNCERTAIN where it may have been done without our knowing."""
        lost = Failure.TEMPORARY if repeatable else Failure.UNCERTAIN
        return _object(await self._ask("POST", url, lost=lost, body=urlencode(list(pairs)).encode()), lost)

    async def download(self, url: str, max_bytes: int) -> bytes:
        """The bytes of a file. The credentials go with the first request alone, none with a redirect to storage."""
        headers = self._authorization
        for _ in range(_MAX_HOPS):
            answer = await self._fetch(url, headers, max_bytes)
            if answer.status not in _REDIRECTS:
                return _content(answer)
            url, headers = self._followed(url, answer), {}
        raise SendFailed(Failure.CONTENT_REJECTED, "The file is passed on and on and never given out.")

    def keeps(self, url: str) -> bool:
        """True for an address on Twilio's own hosts (or on the API address set): there the credentials may go."""
        try:
            asked, base = urlsplit(url), urlsplit(self._base)
            host = (asked.hostname or "").lower()
        except ValueError:
            return False
        if (asked.scheme, asked.netloc) == (base.scheme, base.netloc):
            return True
        return asked.scheme == "https" and (host == "twilio.com" or host.endswith(".twilio.com"))

    def _followed(self, url: str, answer: HttpAnswer) -> str:
        try:
            target = urljoin(url, answer.headers.get("location", ""))
            safe = urlsplit(target).scheme == "https" or self._base.startswith("http://")
        except ValueError:
            safe, target = False, ""
        if not safe or target == url:
            raise SendFailed(Failure.CONTENT_REJECTED, "Twilio passed the file on to an address that is not safe.")
        return target

    async def _fetch(self, url: str, headers: dict[str, str], max_bytes: int) -> HttpAnswer:
        try:
            return await self._http.request(
                "GET", url, headers=headers, timeout_s=4 * self._timeout_s, max_bytes=max_bytes
            )
        except HttpFailed as failed:
            lasting = not failed.is_passing
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None

    async def _ask(self, method: str, url: str, *, lost: Failure, body: bytes | None = None) -> HttpAnswer:
        headers = {**self._authorization, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            return await self._http.request(method, url, headers=headers, data=body, timeout_s=self._timeout_s)
        except HttpFailed as failed:
            raise SendFailed(_unanswered(failed, lost), str(failed)) from None


def refusal(status: int, answer: object, retry_after: object = None) -> SendFailed:
    """The failure an error answer stands for (`code`, `message`, `more_info`)."""
    found = mapping(answer)
    code = integer(found.get("code"))
    failure = failure_of(code, status)
    if status == 504 and code is None:
        failure = Failure.UNCERTAIN  # a gateway gave up waiting; what stands behind it may have gone on
    wait = number(retry_after)
    return SendFailed(
        failure,
        (text(found.get("message")) or CONSEQUENCES[failure].sentence)[:_DETAIL_LIMIT],
        provider_code=identifier(found.get("code")) or str(status),
        retry_after_s=wait if wait is not None and wait >= 0 and CONSEQUENCES[failure].retry else None,
    )


def _object(answer: HttpAnswer, unreadable: Failure) -> Json:
    found = answer.json()
    if not 200 <= answer.status < 300:
        raise refusal(answer.status, found, answer.headers.get("retry-after"))
    if not isinstance(found, dict):
        raise SendFailed(unreadable, "Twilio's answer could not be read.", provider_code=str(answer.status))
    return found


def _content(answer: HttpAnswer) -> bytes:
    if answer.status == 200:
        return answer.body
    if answer.status in (404, 410):
        raise SendFailed(Failure.CONTENT_REJECTED, "Twilio does not keep this file any more.", provider_code="404")
    raise refusal(answer.status, answer.json(), answer.headers.get("retry-after"))


def _unanswered(failed: HttpFailed, lost: Failure) -> Failure:
    if failed.sent:
        return lost
    # A private or malformed address is a fault of `api_base`: no number of tries mends it.
    return Failure.TEMPORARY if failed.is_passing else Failure.ACCOUNT_PROBLEM
