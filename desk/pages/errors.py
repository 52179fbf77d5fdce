"""What people read when something went wrong: what it was, and where to go on."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from aiohttp import web

from desk.auth import NOBODY, authenticate, is_script, local_path
from desk.i18n import N_
from desk.middleware import REQUEST_ID
from desk.problems import Problem, problem_response
from desk.render import formats_of, page

HEADINGS = {
    403: N_("That is not allowed"), 404: N_("Nothing is here"), 409: N_("Somebody was quicker"),
    413: N_("That is too much"),
    422: N_("Something is missing or wrong"), 429: N_("Slow down a little"), 503: N_("One moment, please"),
}  # fmt: skip


async def error_page(request: web.Request, problem: Problem) -> web.StreamResponse:
    """The page of a problem; scripts of ours get its sentence in the reader's language. Must not need the database:
    that may be what is away."""
    try:
        principal = await authenticate(request)
    except Exception:  # the page is drawn for nobody in particular rather than not at all
        principal = None
        request[NOBODY] = True
    formats = formats_of(request, principal)
    if is_script(request):
        told = replace(problem, detail=formats.text(problem.detail))
        return problem_response(told, request.get(REQUEST_ID, ""))
    heading = formats.text(HEADINGS.get(problem.status, N_("Something broke on our side")))
    back = local_path(urlsplit(request.headers.get("Referer", "")).path or "/")
    values = {"problem": problem, "heading": heading, "back": back, "request_id": request.get(REQUEST_ID, "")}
    response = await page(request, "error.html", values, status=problem.status)
    response.headers.update(problem.headers)
    return response
