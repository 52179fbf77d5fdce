"""One's own account: name, language, time zone, password, and where one is signed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from markupsafe import Markup

from base.errors import Conflict, NotFound, TooMany, WrongInput
from desk.accounts import Accounts
from desk.auth import SESSION, Principal, principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, ZONES
from desk.keys import ACCOUNTS, runtime_of
from desk.pages.telling_choice import HOOK_FAULT, choice_in, choice_values
from desk.render import page, reader_of
from desk.store import User, fingerprint, session_id
from desk.team.browsers import browser_words

routes = web.RouteTableDef()
HERE = "/account"
#: What a form did → what is said on the page that follows.
DONE = {
    "saved": N_("Saved."),
    "password": N_("The new password counts from now on. Everywhere else you are signed out."),
    "closed": N_("That session has ended."),
    "telling": N_("Saved. From now on you are told like this."),
    "pushed": N_("This browser is pushed to from now on."),
    "browser": N_("That browser is told nothing any more."),
    "others": N_("You are signed out everywhere but here."),
}


@routes.get(HERE)
@require("viewer")
async def account(request: web.Request) -> web.StreamResponse:
    """Who I am here."""
    return await _page(request, None, {})


@routes.post(HERE)
@require("viewer")
async def save(request: web.Request) -> web.StreamResponse:
    """Name, language and time zone."""
    user, form = _me(principal_of(request)), await read_form(request)
    texts = {name: str(form.get(name, "")).strip()[:120] for name in ("name", "language", "time_zone")}
    faults = {}
    if not texts["name"]:
        faults["name"] = N_("Write a name.")
    if texts["time_zone"] and texts["time_zone"] not in ZONES:
        faults["time_zone"] = N_("This is no time zone. One is Europe/Amsterdam, another Asia/Shanghai.")
    if faults:
        return await _page(request, texts, faults)
    change = {"name": texts["name"], "time_zone": texts["time_zone"] or None}
    if texts["language"] in LANGUAGES:
        change["language"] = texts["language"]
    await request.config_dict[ACCOUNTS].store.change_user(user.id, change)
    raise web.HTTPSeeOther(f"{HERE}?done=saved")


@routes.post(HERE + "/password")
@require("viewer")
async def password(request: web.Request) -> web.StreamResponse:
    """Another password, by who knows the old one."""
    user, form = _me(principal_of(request)), await read_form(request)
    old, new = str(form.get("old", "")), str(form.get("new", ""))
    try:
        await request.config_dict[ACCOUNTS].change_password(user, old, new, kept_secret=request[SESSION])
    except WrongInput as error:
        faults = {("new" if fault.path == "password" else fault.path): fault.message for fault in error.errors}
        return await _page(request, None, faults)
    except TooMany as error:
        return await _page(request, None, {"old": str(error)}, status=429)
    raise web.HTTPSeeOther(f"{HERE}?done=password")


@routes.post(HERE + "/two-factor")
@require("viewer")
async def two_factor(request: web.Request) -> web.StreamResponse:
    """Set the second factor up, move it, renew its recovery codes, switch it off: each by a password or a code."""
    user, form = _me(principal_of(request)), await read_form(request)
    act, code = str(form.get("act", "")), str(form.get("code", ""))[:60]
    accounts = request.config_dict[ACCOUNTS]
    try:
        if act == "begin":
            await _begin(accounts, user, str(form.get("password", "")))
        elif act == "cancel":
            await accounts.factors.take_back(user.id)
        elif act == "confirm":
            codes = await accounts.confirm_factor(user, code, kept_secret=request[SESSION])
            return await page(request, "recovery_codes.html", {"codes": codes})
        elif act == "codes":
            await accounts.check_code(user, code)
            return await page(request, "recovery_codes.html", {"codes": await accounts.factors.renew_codes(user.id)})
        elif act == "move":
            await accounts.check_code(user, code)
            await accounts.factors.begin(user)
        elif act == "remove":
            await _remove(accounts, user, code)
    except (WrongInput, Conflict, TooMany) as error:
        faults = {("known" if act == "begin" else "code"): str(error)}
        return await _page(request, None, faults, status=429 if isinstance(error, TooMany) else 422)
    raise web.HTTPSeeOther(f"{HERE}#factor")


async def _begin(accounts: Accounts, user: User, password: str) -> None:
    if await accounts.factors.of(user.id) is not None:
        raise Conflict(N_("You have a second factor already."))
    if user.has_password:  # who comes in by the provider alone has none to show
        await accounts.check_password(user, password)
    await accounts.factors.begin(user)


async def _remove(accounts: Accounts, user: User, code: str) -> None:
    if user.role in await accounts.factors.required():
        raise Conflict(N_("Your role asks for it, so it cannot be switched off."))
    await accounts.check_code(user, code)
    await accounts.factors.remove(user.id)


@routes.post(HERE + "/sessions/close")
@require("viewer")
async def close(request: web.Request) -> web.StreamResponse:
    """End one session, or all but this."""
    user, form = _me(principal_of(request)), await read_form(request)
    store, name = request.config_dict[ACCOUNTS].store, str(form.get("session", ""))
    if name == "others":
        await store.close_other_sessions(user.id, request[SESSION])
        raise web.HTTPSeeOther(f"{HERE}?done=others")
    await store.close_session_named(user.id, name)  # a second time there is nothing to end
    raise web.HTTPSeeOther(f"{HERE}?done=closed")


@routes.post(HERE + "/telling")
@require("viewer")
async def choose_telling(request: web.Request) -> web.StreamResponse:
    """What one is told, how, and when not."""
    user, form = _me(principal_of(request)), await read_form(request)
    choice, faults = choice_in(form, reader_of(request))
    if choice is None:
        return await _page(request, None, faults, telling=form)
    url = str(form.get("hook_url", "")).strip()
    try:
        await runtime_of(request).telling_choices.choose(
            user.id, choice, hook_url=url or None, keeps_hook="hook_gone" not in form
        )
    except WrongInput:
        return await _page(request, None, {"hook_url": HOOK_FAULT}, telling=form)
    raise web.HTTPSeeOther(f"{HERE}?done=telling#telling")


@routes.post(HERE + "/browsers/remove")
@require("viewer")
async def remove_browser(request: web.Request) -> web.StreamResponse:
    """A browser is pushed nothing any more."""
    user, form = _me(principal_of(request)), await read_form(request)
    await runtime_of(request).browsers.remove([str(form.get("browser", ""))], user.id)
    raise web.HTTPSeeOther(f"{HERE}?done=browser#telling")


def _me(principal: Principal) -> User:
    if principal.user is None:
        raise NotFound("Programs have no account page.")
    return principal.user


async def _page(
    request: web.Request, texts: Mapping[str, str] | None, faults: Mapping[str, str], *, status: int = 422,
    telling: Any = None,
) -> web.Response:  # fmt: skip
    """`telling`: the form about notifications as it was sent."""
    user, runtime = _me(principal_of(request)), runtime_of(request)
    this = session_id(fingerprint(request[SESSION]))
    chosen, browsers = await runtime.telling_choices.of(user.id), await runtime.browsers.of(user.id)
    held = {"name": user.name, "language": user.language or "", "time_zone": user.time_zone or ""}
    sessions = await request.config_dict[ACCOUNTS].store.sessions_of(user.id)
    factors = request.config_dict[ACCOUNTS].factors
    proposed = await factors.proposed(user)
    values: dict[str, Any] = {
        "factor": await factors.of(user.id), "asked": user.role in await factors.required(),
        "drawn": Markup(proposed.svg) if proposed else "",  # noqa: S704 - our own drawing
        "secret": proposed.secret if proposed else "", "me": user, "faults": faults,
        "texts": texts if texts is not None else held,
        "done": DONE.get(request.query.get("done", ""), ""), "zones": sorted(ZONES),
        "sessions": [(each, browser_words(each.agent)) for each in sessions],
        "this": this, "telling": choice_values(chosen, telling, browsers, this, reader_of(request)),
    }  # fmt: skip
    return await page(request, "account.html", values, status=status if faults else 200)
