"""Coming in and going out: sign in, first administrator, set a password, language and theme, sign out."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from base.errors import Conflict, RapportError, Refused, TooMany, WrongInput
from desk.accounts import FIRST_ADMINISTRATOR
from desk.auditing import CAME_IN
from desk.auth import (
    address_of,
    authenticate,
    check_origin,
    cookie_name,
    drop_session_cookie,
    local_path,
    principal_of,
    public,
    require,
    served_by_https,
    set_session_cookie,
)
from desk.forms import read_form
from desk.i18n import LANGUAGES, ZONES
from desk.keys import ACCOUNTS, runtime_of
from desk.render import LANGUAGE_COOKIE, THEMES, page
from desk.store import User, fingerprint, session_id
from desk.team.oidc import AWAY_S as OIDC_AWAY_S
from desk.team.oidc import BACK as OIDC_BACK

routes = web.RouteTableDef()
CODE = "/sign-in/code"
OIDC_COOKIE = "rapport-oidc"
STATUS_OF: dict[type, int] = {WrongInput: 422, Conflict: 409, TooMany: 429}
YEAR_S = 365 * 24 * 3600


def who(request: web.Request) -> dict[str, str]:
    """Browser and address, for the list of sessions and the throttle."""
    return {"agent": request.headers.get("User-Agent", ""), "address": address_of(request)}


@routes.get("/")
@require("viewer")
async def home(request: web.Request) -> web.StreamResponse:
    """The inbox is where the day is."""
    raise web.HTTPSeeOther("/inbox")


@routes.get("/sign-in")
@public
async def sign_in_page(request: web.Request) -> web.StreamResponse:
    """The form; whoever is in already goes on."""
    following = local_path(request.query.get("next", "/"))
    if await authenticate(request) is not None:
        raise web.HTTPSeeOther(following)
    return await _sign_in_page(request, "")


@routes.post("/sign-in")
@public
async def sign_in(request: web.Request) -> web.StreamResponse:
    """A new session under a new id. Wrong, unknown and switched off sound the same."""
    check_origin(request)
    form = await read_form(request)
    email, following = str(form.get("email", ""))[:200], local_path(str(form.get("next", "/")))
    try:
        secret, user = await request.config_dict[ACCOUNTS].sign_in(email, str(form.get("password", "")), **who(request))
    except (Refused, TooMany) as error:
        values = {"message": str(error), "email": email, "next": following, "provider": await _provider(request)}
        status = 429 if isinstance(error, TooMany) else 403
        answer = await page(request, "entrance/sign_in.html", values, status=status)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(round(error.retry_after_s))
        return answer
    return await _come_in(request, secret, user, following, str(form.get("zone", "")))


async def _come_in(request: web.Request, secret: str, user: User, following: str, zone: str) -> web.StreamResponse:
    request[CAME_IN] = user.id
    old = request.cookies.get(cookie_name(request))
    store = request.config_dict[ACCOUNTS].store
    if old:
        await store.close_session(old)
    if zone in ZONES and user.time_zone != zone:
        await store.change_user(user.id, {"time_zone": zone})
    if await store.pending_user(secret) is not None:
        following = f"{CODE}?next={quote(following, safe='')}"
    response = web.Response(status=303, headers={"Location": following})
    set_session_cookie(request, response, secret)
    return response


@routes.get("/sign-in/oidc")
@public
async def oidc(request: web.Request) -> web.StreamResponse:
    """To the provider; the cookie remembers what was begun in this browser."""
    try:
        following, zone = local_path(request.query.get("next", "/")), request.query.get("zone", "")[:60]
        where, held = await runtime_of(request).oidc.begin(following, zone)
    except Refused as error:
        return await _sign_in_page(request, str(error), 403)
    response = web.Response(status=303, headers={"Location": where})
    response.set_cookie(
        OIDC_COOKIE, held, max_age=OIDC_AWAY_S, path="/sign-in", httponly=True, samesite="Lax",
        secure=served_by_https(request),
    )  # fmt: skip
    return response


@routes.get(OIDC_BACK)
@public
async def oidc_back(request: web.Request) -> web.StreamResponse:
    """Back from the provider, with its word for who this is."""
    runtime, accounts = runtime_of(request), request.config_dict[ACCOUNTS]
    try:
        vouched = await runtime.oidc.finish(request.cookies.get(OIDC_COOKIE, ""), request.query)
        provider = await runtime.oidc.provider()
        secret, user = await accounts.come_in_vouched(vouched, provider.domains if provider else (), **who(request))
    except Refused as error:
        answer: web.StreamResponse = await _sign_in_page(request, str(error), 403)
    else:
        answer = await _come_in(request, secret, user, local_path(vouched.following), vouched.zone)
    answer.del_cookie(OIDC_COOKIE, path="/sign-in")
    return answer


async def _sign_in_page(request: web.Request, message: str, status: int = 200, email: str = "") -> web.Response:
    following = local_path(request.query.get("next", "/"))
    values = {"message": message, "email": email, "next": following, "provider": await _provider(request)}
    return await page(request, "entrance/sign_in.html", values, status=status)


async def _provider(request: web.Request) -> str:
    """What the button of the provider says; empty without one."""
    oidc = getattr(runtime_of(request), "oidc", None)
    found = await oidc.provider() if oidc is not None else None
    return found.label if found else ""


@routes.get(CODE)
@public
async def code_page(request: web.Request) -> web.StreamResponse:
    """Who has given a password gives a code, or sets the second factor up that their role asks for."""
    return await _code_page(request, await _pending(request), request.query.get("next", "/"))


@routes.post(CODE)
@public
async def give_code(request: web.Request) -> web.StreamResponse:
    """A session that opens something, under a new id."""
    check_origin(request)
    form, user = await read_form(request), await _pending(request)
    request[CAME_IN] = user.id
    accounts, following = request.config_dict[ACCOUNTS], local_path(str(form.get("next", "/")))
    pending, code = request.cookies.get(cookie_name(request), ""), str(form.get("code", ""))[:60]
    codes: list[str] = []
    try:
        if await accounts.factors.of(user.id) is not None:
            secret = await accounts.pass_factor(pending, user, code, **who(request))
        else:
            secret, codes = await accounts.enrol_at_the_door(pending, user, code, **who(request))
    except (WrongInput, Conflict, TooMany) as error:
        return await _code_page(request, user, following, error)
    if codes:
        response = await page(request, "entrance/codes.html", {"codes": codes, "next": following})
    else:
        response = web.Response(status=303, headers={"Location": following})
    set_session_cookie(request, response, secret)
    return response


async def _pending(request: web.Request) -> User:
    """Who waits at the door. Anybody else begins with the password."""
    secret = request.cookies.get(cookie_name(request), "")[:200]
    found: User | None = await request.config_dict[ACCOUNTS].store.pending_user(secret) if secret else None
    if found is None:
        raise web.HTTPSeeOther("/sign-in")
    return found


async def _code_page(
    request: web.Request, user: User, following: str, error: RapportError | None = None
) -> web.StreamResponse:
    factors = request.config_dict[ACCOUNTS].factors
    enrolment = await factors.begin(user) if await factors.of(user.id) is None else None
    values = {
        "message": str(error) if error else "", "next": local_path(following),
        "drawn": Markup(enrolment.svg) if enrolment else "",  # noqa: S704 - our own drawing
        "secret": enrolment.secret if enrolment else "",
    }  # fmt: skip
    answer = await page(request, "entrance/code.html", values, status=STATUS_OF.get(type(error), 200))
    if isinstance(error, TooMany):
        answer.headers["Retry-After"] = str(round(error.retry_after_s))
    return answer


@routes.get("/welcome/{secret}")
@public
async def welcome_page(request: web.Request) -> web.StreamResponse:
    """The form behind a first-administrator or set-password link. Looking does not use it up."""
    found = await request.config_dict[ACCOUNTS].open_link(request.match_info["secret"])
    first = found.purpose == FIRST_ADMINISTRATOR
    values = {"first": first, "email": found.user.email if found.user else "", "name": "", "faults": {}}
    return await page(request, "entrance/welcome.html", values)


@routes.post("/welcome/{secret}")
@public
async def welcome(request: web.Request) -> web.StreamResponse:
    """Set the password and come in; a password too weak is told beside its field and leaves the link as it was."""
    check_origin(request)
    accounts, secret, form = request.config_dict[ACCOUNTS], request.match_info["secret"], await read_form(request)
    given = {name: str(form.get(name, ""))[:200] for name in ("email", "name")}
    try:
        session, user = await accounts.follow_link(secret, str(form.get("password", "")), **given, **who(request))
    except WrongInput as error:
        found = await accounts.open_link(secret)
        shown = found.user.email if found.user else given["email"]
        faults = {fault.path: fault.message for fault in error.errors}
        values: dict[str, Any] = {"first": found.user is None, "email": shown, "name": given["name"], "faults": faults}
        return await page(request, "entrance/welcome.html", values, status=422)
    return await _come_in(request, session, user, "/", str(form.get("zone", "")))


@routes.post("/sign-out")
@require("viewer")
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End this session, here and on the server."""
    secret = request.cookies.get(cookie_name(request), "")
    await request.config_dict[ACCOUNTS].store.close_session(secret)
    await runtime_of(request).browsers.signed_out(session_id(fingerprint(secret)))
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    drop_session_cookie(request, response)
    return response


@routes.post("/preferences")
@require("viewer")
async def preferences(request: web.Request) -> web.StreamResponse:
    """Language and theme of the person."""
    form = await read_form(request)
    change: dict[str, str] = {}
    if form.get("language") in LANGUAGES:
        change["language"] = str(form["language"])
    if form.get("theme") in THEMES:
        change["theme"] = str(form["theme"])
    await request.config_dict[ACCOUNTS].store.change_user(principal_of(request).id, change)
    response = web.Response(status=303, headers={"Location": local_path(str(form.get("back", "/")))})
    if "language" in change:
        _remember_language(request, response, change["language"])
    return response


@routes.post("/language")
@public
async def language(request: web.Request) -> web.StreamResponse:
    """The language of the door, before anybody is known."""
    check_origin(request)
    form = await read_form(request)
    response = web.Response(status=303, headers={"Location": local_path(str(form.get("back", "/sign-in")))})
    if form.get("language") in LANGUAGES:
        _remember_language(request, response, str(form["language"]))
    return response


def _remember_language(request: web.Request, response: web.Response, language: str) -> None:
    secure = served_by_https(request)
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_S, httponly=True, samesite="Lax", secure=secure)
