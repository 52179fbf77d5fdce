"""Tells the audit of every request that changed something, showed a customer or let somebody in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from base.errors import RapportError
from desk.auth import PRINCIPAL, SESSION, address_of
from desk.forms import FIELDS
from desk.keys import RUNTIME
from desk.problems import problem_of
from desk.store import fingerprint, session_id
from desk.team.audit import Act, AuditBook, area_of, ids_in, kind_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: The id of who came in by this request.
CAME_IN: web.RequestKey[str] = web.RequestKey("came_in", str)
#: In an answer, the id of what was made stands in front.
HEAD = 400


@web.middleware
async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Carry on, then tell what came of it; what is refused is told of, too."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        await tell(request, error.status, (error.headers.get("Location", ""),))
        raise
    except RapportError as error:
        await tell(request, problem_of(error).status, ())
        raise
    except Exception:
        await tell(request, 500, ())
        raise
    await tell(request, response.status, _made(response))
    return response


async def tell(request: web.Request, outcome: int, made: tuple[str, ...]) -> None:
    """Keep a row, where this request is one that is told of. `made`: texts that name what it led to."""
    principal = request.get(PRINCIPAL)
    what = name_of(request)
    if principal is None and CAME_IN not in request and not what.startswith("entrance."):
        return
    runtime = request.config_dict.get(RUNTIME)
    book: AuditBook | None = getattr(runtime, "audit", None)
    if book is None:
        return
    ids = ids_in((*request.match_info.values(), *(made if request.method != "GET" else ())))
    by_kind = principal.kind if principal else None
    kind = kind_of(request.method, what, by_kind, ids, outcome, request.query.get("q", ""))
    if kind is None:
        return
    secret = request.get(SESSION)
    by = request.get(CAME_IN) if kind == "sign_in" or principal is None else principal.id
    await book.note(
        Act(
            kind, what, area_of(request.path), by,
            by_kind or "user", session_id(fingerprint(secret)) if secret else None, address_of(request), outcome, ids,
            request.get(FIELDS, ()),
        )
    )  # fmt: skip


def name_of(request: web.Request) -> str:
    """What a request asks for: the operation of the API, else module and function of the page."""
    handler = request.match_info.handler
    operation = getattr(handler, "operation", None)
    if operation is not None:
        return str(operation)
    return f"{handler.__module__.rpartition('.')[2]}.{getattr(handler, '__name__', '')}"


def _made(response: web.StreamResponse) -> tuple[str, ...]:
    where = response.headers.get("Location", "")
    body = response.body if isinstance(response, web.Response) and response.status == 201 else None
    return (where, body[:HEAD].decode(errors="replace")) if isinstance(body, bytes) else (where,)
