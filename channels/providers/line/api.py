"""One call of the Messaging API: request and answer. The token goes into a header only.

https://github.com/line/line-openapi/blob/main/messaging-api.yml and
https://developers.line.biz/en/docs/messaging-api/retrying-api-request/ (read 2026-11-28)
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from base.http import HttpFailed
from channels.adapter import Account, Http, HttpAnswer
from channels.failures import Failure, SendFailed
from channels.providers.line.card import LineSettings
from channels.providers.line.failures import no_answer, refusal
from channels.reading import Json, identifier, items, mapping

#: Files come slowly; a video may have 200 MB.
FILE_TIMEOUT_S = 60.0
#: Any fixed name space will do: it only has to be ours and stay the same.
_KEYS = uuid.UUID("6f2d7f0e-4d0b-5c8e-9a5e-0d6b7a1c9f34")


class Taken(NamedTuple):
    """LINE has the messages of one push."""

    message_ids: tuple[str, ...]
    #: It had them already, from an earlier try with the same key.
    repeated: bool


def retry_key(key: str, part: int) -> str:
    """The UUID for one push of a message: the same for every try, so that LINE runs it once within 24 hours."""
    return str(uuid.uuid5(_KEYS, f"{key}/{part}"))


class LineApi:
    """The Messaging API for one account."""

    def __init__(self, http: Http, account: Account, timeout_s: float) -> None:
        self._settings: LineSettings = account.settings
        self._http = http
        self._timeout_s = timeout_s
        self._headers = {"Authorization": f"Bearer {self._settings.access_token.get_secret_value()}"}

    async def push(self, to: str, messages: Sequence[Json], key: str) -> Taken:
        """Up to five messages under one retry key. 409 says that an earlier try was accepted, which is a success."""
        body = {"to": to, "messages": list(messages)}
        answer = await self._ask(
            "POST", "/v2/bot/message/push", json=body, headers={"X-Line-Retry-Key": key}, lost=Failure.UNCERTAIN
        )
        if answer.status != 409 and not 200 <= answer.status < 300:
            raise refusal(answer)
        said = answer.json()
        if answer.status != 409 and not isinstance(said, dict):
            raise SendFailed(Failure.UNCERTAIN, "LINE's answer could not be read.", provider_code=str(answer.status))
        return Taken(_sent(answer, mapping(said), key), answer.status == 409)

    async def get(self, path: str) -> Json:
        """Ask for an object. Raises `SendFailed`; `TEMPORARY` for a lost or unreadable answer."""
        return _object(await self._ask("GET", path))

    async def put(self, path: str, body: Json) -> Json:
        """Set something that may be set again."""
        return _object(await self._ask("PUT", path, json=body))

    async def file(self, path: str, max_bytes: int) -> HttpAnswer:
        """Ask LINE's host for files. Any status comes back; only no answer raises."""
        try:
            return await self._http.request(
                "GET", f"{self._settings.files_from}{path}", headers=self._headers, timeout_s=FILE_TIMEOUT_S,
                max_bytes=max_bytes,
            )  # fmt: skip
        except HttpFailed as failed:
            if failed.reason == "too_large":
                raise SendFailed(Failure.CONTENT_REJECTED, str(failed)) from None
            raise no_answer(failed) from None

    async def _ask(
        self, method: str, path: str, *, lost: Failure = Failure.TEMPORARY, headers: dict[str, str] | None = None,
        **more: Any,
    ) -> HttpAnswer:  # fmt: skip
        try:
            return await self._http.request(
                method, f"{self._settings.api_base}{path}", headers={**self._headers, **(headers or {})},
                timeout_s=self._timeout_s, **more,
            )  # fmt: skip
        except HttpFailed as failed:
            raise no_answer(failed, lost=lost) from None


def _object(answer: HttpAnswer) -> Json:
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    found = answer.json()
    if not isinstance(found, dict):
        raise SendFailed(Failure.TEMPORARY, "LINE's answer could not be read.", provider_code=str(answer.status))
    return found


def _sent(answer: HttpAnswer, said: Json, key: str) -> tuple[str, ...]:
    """The ids of the messages; where LINE names none, the id of the request that it accepted."""
    named = tuple(found for each in items(said.get("sentMessages")) if (found := identifier(mapping(each).get("id"))))
    request = answer.headers.get("x-line-accepted-request-id") or answer.headers.get("x-line-request-id") or key
    return named or (f"request:{request}"[:200],)
