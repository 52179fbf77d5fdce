"""What every answer gets: a request id, security headers, and errors turned into a problem or a page."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from base.errors import RapportError
from desk.auditing import audited
from desk.auth import is_api, is_script
from desk.live import position_of
from desk.problems import Problem, problem_of, problem_response
from desk.veiling import veiled

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Draws the error page; set by `desk.app` because the templates stand beside, not below.
ErrorPage = Callable[[web.Request, Problem], Awaitable[web.StreamResponse]]

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
NONCE: web.RequestKey[str] = web.RequestKey("nonce", str)
#: Where the stream stood before anything was read for this answer.
POSITION: web.RequestKey[int] = web.RequestKey("position", int)
ERROR_PAGE: web.AppKey[ErrorPage] = web.AppKey("error_page", Callable)  # type: ignore[arg-type]
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.:-]{8,64}")

#: A page may run our own scripts and the one inline block that carries the nonce; nothing else, from nowhere else.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take over a sane request id of a proxy or make one, and give it back."""
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if ACCEPTABLE_ID.fullmatch(given) else secrets.token_hex(8)
    request[NONCE] = secrets.token_urlsafe(16)
    request[POSITION] = position_of(request)
    return await handler(request)


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: reaches streams and static files too, which have sent their headers when they return."""
    headers = response.headers
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("X-Request-ID", request.get(REQUEST_ID, ""))
    headers.setdefault("Content-Security-Policy", PAGE_POLICY.format(nonce=request.get(NONCE, "none")))
    if "frame-ancestors 'none'" in headers["Content-Security-Policy"]:
        headers.setdefault("X-Frame-Options", "DENY")
    if response.content_type in ("text/html", "application/json", "application/problem+json"):
        headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of ours, of aiohttp and unforeseen ones become an answer; a redirect is none of them."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = problem_of(error)
    except RapportError as error:
        problem = problem_of(error)
    except Exception as error:
        if isinstance(error, ConnectionError) and has_left(request):
            log.info("the caller hung up", extra={"request_id": request.get(REQUEST_ID), "method": request.method})
            return web.Response(status=400)  # for nobody
        problem = problem_of(error)
        log_fault(request, problem, error)
    return await answer(request, problem)


def has_left(request: web.Request) -> bool:
    """True when nobody is at the other end any more: what broke off is not a fault of ours."""
    return request.transport is None or request.transport.is_closing()


def log_fault(request: web.Request, problem: Problem, error: Exception) -> None:
    """With its trace when it is a bug of ours, in one line when a server is away."""
    place = {"request_id": request.get(REQUEST_ID), "method": request.method, "path": request.path}
    if problem.status == 503:
        log.warning("a store does not answer", extra={**place, "error": type(error).__name__})
    else:
        log.error("unforeseen fault", extra=place, exc_info=error)


async def answer(request: web.Request, problem: Problem) -> web.StreamResponse:
    """The problem in the form the caller reads."""
    page = request.config_dict.get(ERROR_PAGE)
    accept = request.headers.get("Accept", "*/*")
    wants_page = "text/html" in accept or "*/*" in accept
    if page is None or is_api(request) or not (wants_page or is_script(request)):
        return problem_response(problem, request.get(REQUEST_ID, ""))
    return await page(request, problem)


MIDDLEWARES = (identify, answer_errors, audited, veiled)
