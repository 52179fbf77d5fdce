"""From an error to an answer: status, stable code and a sentence; problem+json for programs, a page for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil

from aiohttp import web

from base.errors import (
    Conflict,
    NotFound,
    RapportError,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    WrongInput,
)
from base.mongo import UNAVAILABLE
from desk.i18n import N_
from inbox.guard import NewerMessages
from profiles.uses import InUse

#: The first that fits decides, so the narrower stand before the wider.
STATUS: tuple[tuple[type[RapportError], int], ...] = (
    (TooLarge, 413), (WrongInput, 422), (Unauthenticated, 401), (Refused, 403), (NotFound, 404), (Conflict, 409),
    (TooMany, 429), (Unavailable, 503), (RapportError, 500),
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """An error as it is shown."""

    status: int
    code: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    #: (kind, id, name) of what has to let go of it first.
    uses: tuple[tuple[str, str, str], ...] = ()
    #: Ids of the messages that came meanwhile.
    since: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


def problem_of(error: BaseException) -> Problem:
    """What to answer to `error`. Faults nobody foresaw become a bare 500: their text may hold a secret."""
    if isinstance(error, web.HTTPException):
        return _of_http(error)
    if isinstance(error, UNAVAILABLE):
        return Problem(503, "unavailable", "The database does not answer. Try again.", headers={"Retry-After": "2"})
    if not isinstance(error, RapportError):
        return Problem(500, "internal", "Something broke on our side. It has been logged.")
    status = next(status for family, status in STATUS if isinstance(error, family))
    errors = tuple((each.path, each.message) for each in getattr(error, "errors", ()))
    if isinstance(error, InUse):
        uses = tuple((each.kind, each.id, each.name) for each in error.uses)
        return Problem(status, error.code, str(error), uses=uses)
    since = tuple(error.since) if isinstance(error, NewerMessages) else ()
    return Problem(status, error.code, str(error), errors, _headers(error), since=since)


def _of_http(error: web.HTTPException) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    sentences = {
        404: N_("There is nothing here."),
        405: N_("This address does not take that method."),
        413: N_("That is more than is taken here."),
    }
    kept = {key: error.headers[key] for key in ("Allow",) if key in error.headers}
    code = codes.get(error.status, "http_error")
    return Problem(error.status, code, sentences.get(error.status, error.reason), headers=kept)


def _headers(error: RapportError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    wait_s = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(max(1, ceil(wait_s)))} if wait_s is not None else {}


def problem_response(problem: Problem, request_id: str = "") -> web.Response:
    """RFC 9457."""
    body: dict[str, object] = {
        "type": f"urn:rapport:{problem.code}", "title": problem.title, "status": problem.status,
        "detail": problem.detail, "code": problem.code,
    }  # fmt: skip
    if problem.errors:
        body["errors"] = [{"path": path, "message": message} for path, message in problem.errors]
    if problem.uses:
        body["uses"] = [{"kind": kind, "id": each, "name": name} for kind, each, name in problem.uses]
    if problem.since:
        body["since"] = list(problem.since)
    if request_id:
        body["request_id"] = request_id
    return web.Response(
        status=problem.status, text=json.dumps(body, ensure_ascii=False), content_type="application/problem+json",
        headers=problem.headers,
    )  # fmt: skip
