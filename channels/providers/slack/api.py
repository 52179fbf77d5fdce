"""One call of Slack's Web API, one upload, one download: request, answer, and what a refusal means.

https://docs.slack.dev/apis/web-api, …/messaging/working-with-files (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from base.http import HttpFailed
from channels.adapter import Account, Http, HttpAnswer
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.slack.card import SlackSettings
from channels.providers.slack.failures import failure_of
from channels.reading import Json, items, mapping, number, text

_DETAIL_LIMIT = 500
#: Slack's own hosts: the token goes to these alone.
_HOSTS = ("slack.com", "slack-files.com")


class SlackApi:
    """The Web API for one account. The token goes into a header only."""

    def __init__(self, http: Http, account: Account, timeout_s: float = 15.0) -> None:
        settings: SlackSettings = account.settings
        self._http = http
        self._base = settings.api_base
        self._timeout_s = timeout_s
        self._authorization = {"Authorization": f"Bearer {settings.bot_token.get_secret_value()}"}

    async def ask(self, method: str, **parameters: str) -> Json:
        """Ask for something. Raises `SendFailed`; a lost answer is TEMPORARY, for asking again harms nobody."""
        return (await self.ask_with_headers(method, **parameters))[0]

    async def ask_with_headers(self, method: str, **parameters: str) -> tuple[Json, Mapping[str, str]]:
        """The same, and the answer's headers, which tell what the token may do."""
        answer = await self._call(method, Failure.TEMPORARY, form=parameters)
        return _object(answer, Failure.TEMPORARY), answer.headers

    async def do(self, method: str, body: Json, *, repeatable: bool = False) -> Json:
        """Have something done. Raises `SendFailed`; UNCERTAIN where it may have been done without our knowing."""
        lost = Failure.TEMPORARY if repeatable else Failure.UNCERTAIN
        return _object(await self._call(method, lost, json=body), lost)

    async def upload(self, url: str, content: bytes) -> None:
        """Put bytes where files.getUploadURLExternal said; nobody sees them before the upload is completed."""
        if not self.is_slack(url):
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Slack named an upload address that is not its own.")
        headers = {"Content-Type": "application/octet-stream"}
        answer = await self._request("POST", url, Failure.TEMPORARY, headers=headers, data=content, slow=True)
        if answer.status != 200:
            raise _refused(answer)

    async def download(self, url: str, max_bytes: int) -> HttpAnswer:
        """A file. Without the scope for it Slack leads to its sign-in page instead of refusing."""
        if not self.is_slack(url):
            raise SendFailed(Failure.CONTENT_REJECTED, "This file does not lie with Slack.")
        try:
            answer = await self._http.request(
                "GET", url, headers=self._authorization, timeout_s=4 * self._timeout_s, max_bytes=max_bytes
            )
        except HttpFailed as failed:
            lasting = not failed.is_passing
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status in (404, 410):
            raise SendFailed(Failure.CONTENT_REJECTED, "Slack does not keep this file any more.", provider_code="404")
        if 300 <= answer.status < 400:
            raise missing_scope()
        if answer.status != 200:
            raise _refused(answer)
        return answer

    def is_slack(self, url: str) -> bool:
        """True for an address on Slack's own hosts (or on the API address set)."""
        try:
            asked, base = urlsplit(url), urlsplit(self._base)
            host = (asked.hostname or "").lower()
        except ValueError:
            return False
        if (asked.scheme, asked.netloc) == (base.scheme, base.netloc):
            return True
        return asked.scheme == "https" and (host in _HOSTS or host.endswith(tuple(f".{each}" for each in _HOSTS)))

    async def _call(self, method: str, lost: Failure, **body: Any) -> HttpAnswer:
        return await self._request("POST", f"{self._base}/{method}", lost, headers=self._authorization, **body)

    async def _request(self, method: str, url: str, lost: Failure, *, slow: bool = False, **more: Any) -> HttpAnswer:
        try:
            return await self._http.request(method, url, timeout_s=self._timeout_s * (4 if slow else 1), **more)
        except HttpFailed as failed:
            raise SendFailed(_unanswered(failed, lost), str(failed)) from None


def missing_scope() -> SendFailed:
    """What a sign-in page in place of a file means."""
    words = "Slack showed its sign-in page instead of the file: the bot token lacks the scope files:read."
    return SendFailed(Failure.ACCOUNT_PROBLEM, words, provider_code="missing_scope")


def _object(answer: HttpAnswer, unreadable: Failure) -> Json:
    found = answer.json()
    if isinstance(found, dict) and found.get("ok") is True and 200 <= answer.status < 300:
        return found
    if 200 <= answer.status < 300 and mapping(found).get("ok") is not False:
        raise SendFailed(unreadable, "Slack's answer could not be read.", provider_code=str(answer.status))
    raise _refused(answer)


def _refused(answer: HttpAnswer) -> SendFailed:
    found = mapping(answer.json())
    word = text(found.get("error"))
    failure = failure_of(word, answer.status)
    if answer.status == 504 and word is None:
        failure = Failure.UNCERTAIN  # a gateway gave up waiting; what stands behind it may have gone on
    wait = number(answer.headers.get("retry-after"))
    return SendFailed(
        failure,
        (_said(found, word) or CONSEQUENCES[failure].sentence)[:_DETAIL_LIMIT],
        provider_code=(word or str(answer.status))[:100],
        retry_after_s=wait if wait is not None and wait >= 0 and CONSEQUENCES[failure].retry else None,
    )


def _said(found: Json, word: str | None) -> str:
    """Slack's word, the scope it misses, and what it says of single fields."""
    needed = text(found.get("needed"))
    more = [said for each in items(mapping(found.get("response_metadata")).get("messages")) if (said := text(each))]
    parts = [word or "", f"needs {needed}" if needed else "", *more]
    return "; ".join(each for each in parts if each)


def _unanswered(failed: HttpFailed, lost: Failure) -> Failure:
    if failed.sent:
        return lost
    # A private or malformed address is a fault of `api_base`: no number of tries mends it.
    return Failure.TEMPORARY if failed.is_passing else Failure.ACCOUNT_PROBLEM
