"""One call of the Bot API: request, answer, and what a refusal means.

https://core.telegram.org/bots/api#making-requests (read 2026-11-22). The bot token is part of every URL, so no URL
and no text that may hold one ever leaves this file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from base.http import HttpFailed
from channels.adapter import Account, Http, HttpAnswer
from channels.failures import Failure, SendFailed
from channels.providers.telegram.settings import TelegramSettings
from channels.reading import integer, mapping, number, text

#: An upload of 50 MB over a slow line.
UPLOAD_TIMEOUT_S = 120.0
#: How much of Telegram's words is kept.
_DETAIL_MAX = 300


class Upload(NamedTuple):
    """Bytes that go with a call."""

    name: str
    media_type: str
    content: bytes


class BotApi:
    """The Bot API for one account."""

    def __init__(self, http: Http, account: Account) -> None:
        settings: TelegramSettings = account.settings
        self._http = http
        self._base = settings.api_base
        self._token = settings.bot_token.get_secret_value()

    async def ask(
        self,
        method: str,
        parameters: Mapping[str, Any],
        *,
        repeatable: bool = False,
        uploads: Mapping[str, Upload] | None = None,
    ) -> Any:
        """Call `method`; its `result`. Raises `SendFailed`: `UNCERTAIN` without an answer, unless `repeatable`."""
        url = f"{self._base}/bot{quote(self._token, safe=':')}/{method}"
        try:
            if uploads:
                content_type, body = multipart(parameters, uploads)
                answer = await self._http.request(
                    "POST", url, data=body, headers={"Content-Type": content_type}, timeout_s=UPLOAD_TIMEOUT_S
                )
            else:
                answer = await self._http.request("POST", url, json=dict(parameters))
        except HttpFailed as failed:
            raise no_answer(failed, repeatable=repeatable) from None
        return self._result(answer, repeatable)

    async def file(self, path: str, max_bytes: int) -> bytes:
        """The bytes behind a `file_path` of getFile. Raises `SendFailed`."""
        if path.startswith("/") or ".." in path.split("/") or "://" in path:
            raise SendFailed(Failure.CONTENT_REJECTED, "Telegram named a file that is not on its server.")
        url = f"{self._base}/file/bot{quote(self._token, safe=':')}/{quote(path)}"
        try:
            answer = await self._http.request("GET", url, timeout_s=60.0, max_bytes=max_bytes)
        except HttpFailed as failed:
            raise no_answer(failed, repeatable=True) from None
        if answer.status != 200:
            raise self._refusal(answer)
        return answer.body

    def _result(self, answer: HttpAnswer, repeatable: bool) -> Any:
        body = answer.json()
        if isinstance(body, dict) and body.get("ok") is True and "result" in body:
            return body["result"]
        if 200 <= answer.status < 300 and not isinstance(body, dict):
            failure = Failure.TEMPORARY if repeatable else Failure.UNCERTAIN
            raise SendFailed(failure, "Telegram's answer cannot be read.", provider_code=str(answer.status))
        raise self._refusal(answer)

    def _refusal(self, answer: HttpAnswer) -> SendFailed:
        return refusal(answer.status, answer.headers, answer.json(), self._token)


# -- what a refusal means -----------------------------------------------------------------------------------

#: Read in order against Telegram's description, lower case. Telegram documents no codes, only these words.
_WORDS: tuple[tuple[str, Failure], ...] = (
    ("business_peer_usage_missing", Failure.WINDOW_CLOSED),
    ("blocked by the user", Failure.RECIPIENT_BLOCKED),
    ("was kicked", Failure.RECIPIENT_BLOCKED),
    ("chat not found", Failure.RECIPIENT_UNREACHABLE),
    ("user not found", Failure.RECIPIENT_UNREACHABLE),
    ("user is deactivated", Failure.RECIPIENT_UNREACHABLE),
    ("peer_id_invalid", Failure.RECIPIENT_UNREACHABLE),
    ("have no rights to send", Failure.RECIPIENT_UNREACHABLE),
    ("chat_write_forbidden", Failure.RECIPIENT_UNREACHABLE),
    ("group chat was deactivated", Failure.RECIPIENT_UNREACHABLE),
)
_CODES: dict[int, Failure] = {
    400: Failure.CONTENT_REJECTED,
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.RECIPIENT_UNREACHABLE,
    404: Failure.ACCOUNT_PROBLEM,  # there is no such bot: the token is wrong
    409: Failure.ACCOUNT_PROBLEM,  # somebody else polls with this token
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}


def refusal(status: int, headers: Mapping[str, str], body: Any, token: str = "") -> SendFailed:
    """The failure an error answer stands for (`ok`, `error_code`, `description`, `parameters`)."""
    data = mapping(body)
    code = integer(data.get("error_code")) or status
    said = _words(text(data.get("description")) or f"Telegram answered {status}.", token)
    more = mapping(data.get("parameters"))
    moved_to = more.get("migrate_to_chat_id")
    if isinstance(moved_to, int):
        # Not sent, and it will be under the new id: try again there at once.
        return SendFailed(Failure.TEMPORARY, said, provider_code=str(code), retry_after_s=0, moved_to=str(moved_to))
    wait = number(more.get("retry_after")) or number(headers.get("retry-after"))
    return SendFailed(_failure(code, said), said, provider_code=str(code), retry_after_s=wait)


def _failure(code: int, said: str) -> Failure:
    if code >= 500:
        return Failure.TEMPORARY
    if code in (400, 403):
        lower = said.lower()
        named = next((failure for words, failure in _WORDS if words in lower), None)
        return named or _CODES[code]
    return _CODES.get(code, Failure.CONTENT_REJECTED if 400 <= code < 500 else Failure.UNKNOWN)


def _words(said: str, token: str) -> str:
    clean = said.replace(token, "[token]") if token else said
    return re.sub(r"/bot[^/\s]+", "/bot[token]", clean)[:_DETAIL_MAX]


def no_answer(failed: HttpFailed, *, repeatable: bool) -> SendFailed:
    """The failure when no whole answer came. Nothing is unclear about a call that may be repeated."""
    if failed.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(failed))
    if failed.reason == "too_large":
        return SendFailed(Failure.CONTENT_REJECTED if repeatable else Failure.UNCERTAIN, str(failed))
    if failed.sent and not repeatable:
        return SendFailed(Failure.UNCERTAIN, str(failed))
    return SendFailed(Failure.TEMPORARY, str(failed))


def multipart(parameters: Mapping[str, Any], uploads: Mapping[str, Upload]) -> tuple[str, bytes]:
    """Content type and body of a multipart/form-data request; values that are no text as JSON."""
    boundary = secrets.token_hex(16)
    parts: list[tuple[str, str | None, bytes]] = []
    for name, value in parameters.items():
        data = value.encode() if isinstance(value, str) else orjson.dumps(value)
        parts.append((f'form-data; name="{name}"', None, data))
    for name, upload in uploads.items():
        safe = re.sub(r'[\x00-\x1f\x7f"\\/]', "_", upload.name)
        parts.append((f'form-data; name="{name}"; filename="{safe}"', upload.media_type, upload.content))
    chunks = []
    for disposition, media_type, data in parts:
        kind = f"Content-Type: {media_type}\r\n" if media_type else ""
        chunks.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n".encode() + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(chunks) + f"--{boundary}--\r\n".encode()
