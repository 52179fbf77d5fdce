"""One call of Tencent's servers: token, request, answer, and once more with a new token when the first is refused.

Tencent wants the access token in the query of the address, so no address ever leaves this file: neither in an error nor
in a log line (`base.http` names the host alone), and Tencent's words are cleaned of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import filetype

from base.http import HttpFailed
from channels.adapter import Http, HttpAnswer
from channels.failures import Failure, SendFailed
from channels.providers.tencent.failures import TOKEN_CODES, Codes, code_of, no_answer, no_token, refusal
from channels.providers.tencent.tokens import Fetched, Tokens
from channels.reading import Json, mapping, number, text
from channels.vocabulary import Attachment

FILE_TIMEOUT_S = 60.0
#: Asked of Tencent, not promised: a token lives for two hours.
_TOKEN_LIVES_S = 7200.0


@dataclass(frozen=True, repr=False)
class TokenCall:
    """How a token is asked for: https://…/stable_token by POST, or https://…/gettoken by GET. Holds the secret."""

    path: str
    query: Mapping[str, str]
    body: Json | None = None

    def forced(self) -> Json | None:
        """The body that asks for a new token although the present one has not ended."""
        return None if self.body is None else {**self.body, "force_refresh": True}


@dataclass(frozen=True, repr=False)
class Api:
    """The calls of one account. Holds its secret, so no repr shows a field."""

    http: Http
    tokens: Tokens
    base: str
    token_call: TokenCall
    secret: str
    codes: Codes
    timeout_s: float

    async def get(self, path: str, **query: str) -> Json:
        """Ask for an object. Raises `SendFailed`; `TEMPORARY` for a lost or unreadable answer."""
        return self._object(await self._ask("GET", path, query, lost=Failure.TEMPORARY), Failure.TEMPORARY)

    async def post(self, path: str, body: Json, *, lost: Failure = Failure.TEMPORARY, **query: str) -> Json:
        """Have something done, or ask by POST. `lost`: what a lost or unreadable answer means."""
        return self._object(await self._ask("POST", path, query, lost=lost, json=body), lost)

    async def page(self, path: str, body: Json, max_bytes: int) -> HttpAnswer:
        """The same with a large answer, whose bytes are wanted as they came."""
        answer = await self._ask("POST", path, {}, lost=Failure.TEMPORARY, json=body, max_bytes=max_bytes)
        self._object(answer, Failure.TEMPORARY)
        return answer

    async def upload(self, kind: str, name: str, media_type: str, content: bytes) -> str:
        """Lay a file down for three days; its id. A lost answer may be asked again: nobody sees the file."""
        content_type, body = multipart(name, media_type, content)
        answer = await self._ask(
            "POST", "/cgi-bin/media/upload", {"type": kind}, lost=Failure.TEMPORARY, data=body,
            headers={"Content-Type": content_type}, timeout_s=FILE_TIMEOUT_S,
        )  # fmt: skip
        media_id = text(self._object(answer, Failure.TEMPORARY).get("media_id"))
        if media_id is None:
            raise SendFailed(Failure.TEMPORARY, "Tencent took the file and named no id for it.")
        return media_id

    async def file(self, media_id: str, max_bytes: int) -> HttpAnswer:
        """An inbound file. An object with an error code instead of a file is a refusal."""
        answer = await self._ask(
            "GET", "/cgi-bin/media/get", {"media_id": media_id}, lost=Failure.TEMPORARY, max_bytes=max_bytes,
            timeout_s=FILE_TIMEOUT_S,
        )  # fmt: skip
        if answer.status != 200 or code_of(answer):
            raise refusal(answer, self.codes, (self.secret,))
        return answer

    def _object(self, answer: HttpAnswer, unreadable: Failure) -> Json:
        found = answer.json()
        if 200 <= answer.status < 300 and isinstance(found, dict):
            return found
        if 200 <= answer.status < 300:
            raise SendFailed(unreadable, "Tencent's answer could not be read.", provider_code=str(answer.status))
        raise refusal(answer, self.codes, (self.secret,))

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], *, lost: Failure, **more: Any
    ) -> HttpAnswer:  # fmt: skip
        """The answer, without an error code. A refused token is replaced once; nothing was carried out until then."""
        refused: str | None = None
        for last in (False, True):
            token = await self.tokens.get(self._key, self._fetch, refused=refused)
            hidden = (token, refused or "", self.secret)
            answer = await self._request(method, path, {**query, "access_token": token}, lost=lost, **more)
            code = code_of(answer)
            if code in TOKEN_CODES and not last:
                refused = token
            elif code:
                raise refusal(answer, self.codes, hidden)
            else:
                return answer
        raise AssertionError("unreachable")

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], *, lost: Failure, **more: Any
    ) -> HttpAnswer:  # fmt: skip
        try:
            return await self.http.request(
                method, f"{self.base}{path}?{urlencode(query)}", **{"timeout_s": self.timeout_s, **more}
            )
        except HttpFailed as failed:
            if failed.reason == "too_large":
                raise SendFailed(Failure.CONTENT_REJECTED, str(failed)) from None
            raise no_answer(failed, lost=lost) from None

    @property
    def _key(self) -> tuple[str, ...]:
        call = self.token_call
        return (self.base, *call.query.values(), *(str(each) for each in (call.body or {}).values()))

    async def _fetch(self, anew: bool) -> Fetched:
        call = self.token_call
        method, body = ("GET", None) if call.body is None else ("POST", call.forced() if anew else call.body)
        answer = await self._request(method, call.path, call.query, lost=Failure.TEMPORARY, json=body)
        found = mapping(answer.json())
        token = text(found.get("access_token"))
        if code_of(answer) or not 200 <= answer.status < 300:
            raise no_token(answer, self.codes, (self.secret,))
        if token is None:
            raise SendFailed(Failure.TEMPORARY, "Tencent's answer holds no token.", provider_code=str(answer.status))
        return Fetched(token, number(found.get("expires_in")) or _TOKEN_LIVES_S)


async def outside_file(http: Http, url: str, max_bytes: int) -> HttpAnswer:
    """A file at an address that is nobody's secret, fetched without any token. Raises `SendFailed`."""
    try:
        answer = await http.request("GET", url, timeout_s=FILE_TIMEOUT_S, max_bytes=max_bytes)
    except HttpFailed as failed:
        lasting = failed.reason in ("refused_address", "bad_url", "too_large")
        raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
    if answer.status != 200:
        failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
        raise SendFailed(failure, f"The file's server answered {answer.status}.", provider_code=str(answer.status))
    return answer


async def laid_down(api: Api, file: Attachment, kind: str, max_bytes: int) -> str:
    """The id of an outbound file, uploaded as `kind` (image, voice, video, file)."""
    if file.content is None and not file.url:
        raise SendFailed(Failure.CONTENT_REJECTED, "A file of the message has neither an address nor content.")
    content = file.content
    if content is None:
        content = (await outside_file(api.http, file.url or "", max_bytes)).body
    if len(content) > max_bytes:
        raise SendFailed(Failure.CONTENT_REJECTED, f"The file is larger than {max_bytes} bytes.")
    name = file.file_name or (file.url or "").partition("?")[0].rpartition("/")[2] or kind
    media_type = file.media_type or filetype.guess_mime(content) or "application/octet-stream"
    return await api.upload(kind, name, media_type, content)


def multipart(name: str, media_type: str, content: bytes) -> tuple[str, bytes]:
    """Content type and body of a form with the one part `media`."""
    boundary = secrets.token_hex(16)
    safe = "".join("_" if char in '"\\/' or not char.isprintable() else char for char in name)[:120]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="media"; filename="{safe}"; '
        f"filelength={len(content)}\r\nContent-Type: {media_type}\r\n\r\n"
    )
    return f"multipart/form-data; boundary={boundary}", head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
