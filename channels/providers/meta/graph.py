"""The Graph API as all of Meta's channels use it: one call, one reading of its errors, one table of its codes.

https://developers.facebook.com/docs/graph-api/guides/error-handling (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from base.http import HttpFailed
from channels.adapter import Http, HttpAnswer
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.reading import Json, integer, mapping, number, text

#: Codes that mean the same on every platform of Meta. A platform adds its own.
GRAPH_CODES: Mapping[int, Failure] = {
    **dict.fromkeys((4, 17, 32, 613, 80007), Failure.RATE_LIMITED),
    **dict.fromkeys((1, 2), Failure.TEMPORARY),
    **dict.fromkeys((0, 3, 10, 190, 368, *range(200, 300)), Failure.ACCOUNT_PROBLEM),
    100: Failure.CONTENT_REJECTED,
}
#: (code, subcode) where the subcode changes the meaning: the object in the path is not there or not ours.
GRAPH_SUBCODES: Mapping[tuple[int, int], Failure] = {(100, 33): Failure.ACCOUNT_PROBLEM}

_STATUS: Mapping[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}
_DETAIL_LIMIT = 500


@dataclass(frozen=True)
class GraphError:
    """One error object, from an answer or from a webhook."""

    code: int | None
    subcode: int | None
    #: Meta's own words, the most telling first.
    detail: str
    #: The code as people look it up, `100/33` with its subcode.
    shown_code: str | None


#: What a platform makes of an error: its own table, refined where a code alone does not tell.
Judge = Callable[[GraphError], Failure | None]


def read_error(value: Any) -> GraphError:
    """An error object of whatever shape; what is missing stays None."""
    error = mapping(value)
    code, subcode = integer(error.get("code")), integer(error.get("error_subcode"))
    detail = (
        text(mapping(error.get("error_data")).get("details"))
        or text(error.get("error_user_msg"))
        or text(error.get("details"))
        or text(error.get("message"))
        or text(error.get("title"))
        or ""
    )
    shown = None if code is None else f"{code}/{subcode}" if subcode is not None else str(code)
    return GraphError(code, subcode, detail[:_DETAIL_LIMIT], shown)


def judge(error: GraphError, codes: Mapping[int, Failure] = GRAPH_CODES) -> Failure | None:
    """What the tables say of an error; None when they do not know its code."""
    if error.code is None:
        return None
    by_subcode = GRAPH_SUBCODES.get((error.code, error.subcode)) if error.subcode is not None else None
    return by_subcode or codes.get(error.code)


@dataclass(frozen=True)
class Graph:
    """Calls with one account's token. The token goes into a header only, never into an address or a message."""

    http: Http
    base: str
    version: str
    token: str
    judge: Judge = judge
    #: How long one call may take. Files get four times as long.
    timeout_s: float = 15.0

    def url(self, *path: str, **query: str) -> str:
        """An address below the version; every part is quoted."""
        parts = "/".join(quote(part, safe="") for part in path)
        return f"{self.base}/{self.version}/{parts}" + (f"?{urlencode(query)}" if query else "")

    async def get(self, *path: str, **query: str) -> Json:
        """Ask for an object. Raises `SendFailed`; a lost answer is TEMPORARY, for asking again harms nobody."""
        answer = await self._request("GET", self.url(*path, **query), lost=Failure.TEMPORARY)
        return self._object(answer, unreadable=Failure.TEMPORARY)

    async def post(self, *path: str, json: Json) -> Json:
        """Have something done. Raises `SendFailed`; UNCERTAIN when it may have been done without our knowing."""
        answer = await self._request("POST", self.url(*path), lost=Failure.UNCERTAIN, json=json)
        return self._object(answer, unreadable=Failure.UNCERTAIN)

    async def upload(self, *path: str, body: bytes, content_type: str) -> Json:
        """Post a file. A lost answer is TEMPORARY: a file that nobody refers to is forgotten after 30 days."""
        headers = {"Content-Type": content_type}
        answer = await self._request(
            "POST", self.url(*path), lost=Failure.TEMPORARY, data=body, headers=headers, timeout_s=4 * self.timeout_s
        )
        return self._object(answer, unreadable=Failure.TEMPORARY)

    async def download(self, url: str, max_bytes: int) -> HttpAnswer:
        """The bytes behind an address that needs our token. The caller has made sure whose address it is."""
        try:
            answer = await self.http.request(
                "GET", url, headers=self._authorization, timeout_s=4 * self.timeout_s, max_bytes=max_bytes
            )
        except HttpFailed as error:
            failure = Failure.TEMPORARY if error.is_passing else Failure.CONTENT_REJECTED
            raise SendFailed(failure, str(error)) from None
        if answer.status >= 400:
            raise self._refused(answer)
        return answer

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def _request(self, method: str, url: str, *, lost: Failure, **more: Any) -> HttpAnswer:
        headers = {**self._authorization, **more.pop("headers", {})}
        try:
            return await self.http.request(method, url, headers=headers, **{"timeout_s": self.timeout_s, **more})
        except HttpFailed as error:
            raise SendFailed(_unanswered(error, lost), str(error)) from None

    def _object(self, answer: HttpAnswer, *, unreadable: Failure) -> Json:
        found = answer.json()
        if 200 <= answer.status < 300 and isinstance(found, dict) and "error" not in found:
            return found
        if 200 <= answer.status < 300 and not isinstance(found, dict):
            raise SendFailed(unreadable, "Meta's answer could not be read.", provider_code=str(answer.status))
        raise self._refused(answer)

    def _refused(self, answer: HttpAnswer) -> SendFailed:
        found = answer.json()
        known = isinstance(found, dict) and "error" in found
        error = read_error(found["error"] if known else None)
        failure = self.judge(error) or _by_status(answer.status, answered=known)
        return SendFailed(
            failure,
            error.detail or CONSEQUENCES[failure].sentence,
            provider_code=error.shown_code or str(answer.status),
            retry_after_s=retry_after_s(answer, error) if CONSEQUENCES[failure].retry else None,
        )


#: Meta's pair limit is one message per six seconds; a spam limit lifts after hours, not seconds. (Error codes page.)
_OWN_WAIT_S: Mapping[int, float] = {131056: 6.0, 131048: 3600.0}


def retry_after_s(answer: HttpAnswer, error: GraphError) -> float | None:
    """How long Meta wants us to wait: its header, else what is known of the code; None when nobody says."""
    given = number(answer.headers.get("retry-after"))
    if given is not None and given >= 0:
        return given
    return _OWN_WAIT_S.get(error.code) if error.code is not None else None


def _unanswered(error: HttpFailed, lost: Failure) -> Failure:
    if error.sent:
        return lost
    # A private or malformed address is a fault of `api_base`: no number of tries mends it.
    return Failure.TEMPORARY if error.is_passing else Failure.ACCOUNT_PROBLEM


def _by_status(status: int, *, answered: bool) -> Failure:
    if status == 504 and not answered:
        return Failure.UNCERTAIN  # a gateway gave up waiting; what stands behind it may have gone on
    if status >= 500:
        return Failure.TEMPORARY
    return _STATUS.get(status, Failure.UNKNOWN)
