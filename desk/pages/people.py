"""Settings → People: who works here, with what rights; invited, changed, switched off and on again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiDictProxy

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import is_id
from desk.accounts import Accounts
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import ACCOUNTS, runtime_of
from desk.render import language_of, page
from desk.store import ROLES, Role, User
from desk.team.letters import invitation
from desk.team.masking import MASK_WORDS, MASKS
from inbox.models import Actor

routes = web.RouteTableDef()
HERE = "/settings/people"
ROLE_WORDS: dict[str, str] = {
    "admin": N_("Administrator"), "marketer": N_("Marketer"), "agent": N_("Agent"), "viewer": N_("Viewer"),
}  # fmt: skip
ROLE_HINTS: dict[str, str] = {
    "admin": N_("may do everything, and let others in"),
    "marketer": N_("writes broadcasts, journeys, segments and templates"),
    "agent": N_("answers customers and keeps their profiles"),
    "viewer": N_("sees everything and changes nothing"),
}
#: State of a person → (words, tone of the mark).
STATES = {"off": (N_("Switched off"), "quiet"), "invited": (N_("Invited"), "warn"), "here": (N_("Active"), "good")}
Form = MultiDictProxy[str | bytes | bytearray | web.FileField]


def state_of(user: User) -> str:
    """`off`, `invited` (was never in, and has no password yet) or `here`. Pure."""
    came = user.has_password or user.last_seen_at is not None
    return "off" if not user.active else "here" if came else "invited"


@routes.get(HERE)
@require("admin")
async def people(request: web.Request) -> web.StreamResponse:
    """Everybody by name, and the form of an invitation."""
    refuse_scoped(reading(request))
    return await _list(request, {}, {})


@routes.post(HERE)
@require("admin")
async def invite(request: web.Request) -> web.StreamResponse:
    """Let somebody in, by a mail or by a link that is shown once."""
    refuse_scoped(reading(request))
    form, accounts = await read_form(request), request.config_dict[ACCOUNTS]
    texts = _texts(form)
    try:
        role, channels = await _rights(request, form)
        user, secret = await accounts.invite(texts["email"], texts["name"].strip()[:120], role, channels)
    except WrongInput as error:
        return await _list(request, texts, _faults(error))
    except Conflict as error:
        return await _list(request, texts, {"email": str(error)})
    return await _told(request, user, secret, texts.get("by", ""))


@routes.get(HERE + "/{user_id:usr_[0-9a-z]{26}}")
@require("admin")
async def person(request: web.Request) -> web.StreamResponse:
    """One colleague: rights, link, switching off."""
    refuse_scoped(reading(request))
    return await _one(request, await _user(request), None, {})


@routes.post(HERE + "/{user_id:usr_[0-9a-z]{26}}")
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Change name, role or channels; the way back stands on the page that follows."""
    refuse_scoped(reading(request))
    user, form = await _user(request), await read_form(request)
    texts, own = _texts(form), user.id == principal_of(request).id
    try:
        given: dict[str, Any] = {"name": _name(texts.get("name", ""))}
        if not own:
            given["role"], given["channels"] = await _rights(request, form)
            given["masks"] = sorted(set(MASKS) & {str(each) for each in form.getall("masks", [])})
        await request.config_dict[ACCOUNTS].change_person(principal_of(request).id, user, given)
        await runtime_of(request).agents.changed(user.id)
    except WrongInput as error:
        return await _one(request, user, texts, _faults(error))
    except Conflict as error:
        return await _one(request, user, texts, {"role": str(error)})
    reach = "all" if user.channels is None else "some"
    was = {"saved": "1", "name": user.name, "role": user.role, "reach": reach}
    query = urlencode([*was.items(), *(("channels", each) for each in sorted(user.channels or ())),
                       *(("masks", each) for each in sorted(user.masks))])  # fmt: skip
    raise web.HTTPSeeOther(f"{HERE}/{user.id}?{query}")


@routes.post(HERE + "/{user_id:usr_[0-9a-z]{26}}/link")
@require("admin")
async def link(request: web.Request) -> web.StreamResponse:
    """A new link for setting the password; former ones are void."""
    refuse_scoped(reading(request))
    user, form = await _user(request), await read_form(request)
    if not user.active:
        raise Conflict("Switch this person on first.")
    secret = await request.config_dict[ACCOUNTS].password_link(user.id)
    return await _told(request, user, secret, str(form.get("by", "")))


@routes.post(HERE + "/{user_id:usr_[0-9a-z]{26}}/active")
@require("admin")
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch off, handing conversations over as chosen, or on again."""
    refuse_scoped(reading(request))
    user, form, runtime = await _user(request), await read_form(request), runtime_of(request)
    accounts, by = request.config_dict[ACCOUNTS], principal_of(request)
    on, to = form.get("active") == "on", str(form.get("to", ""))
    taker = await _taker(accounts, to, user) if not on and is_id(to, "usr") else None
    try:
        await accounts.change_person(by.id, user, {"active": on})
        await runtime.agents.changed(user.id)
    except (WrongInput, Conflict) as error:
        return await _one(request, user, None, {"active": str(error)})
    moved = 0
    if not on and to:
        moved = await runtime.leaving.hand_over(user.id, taker, Actor(by.id, by.name))
    query = urlencode({"switched": "on" if on else "off", "moved": moved})
    raise web.HTTPSeeOther(f"{HERE}/{user.id}?{query}")


@routes.post(HERE + "/{user_id:usr_[0-9a-z]{26}}/two-factor")
@require("admin")
async def reset_factor(request: web.Request) -> web.StreamResponse:
    """Take the second factor off somebody who has lost phone and codes; they are signed out everywhere."""
    refuse_scoped(reading(request))
    user = await _user(request)
    await request.config_dict[ACCOUNTS].reset_factor(user)
    raise web.HTTPSeeOther(f"{HERE}/{user.id}?reset=1")


@routes.post(HERE + "/rules/two-factor")
@require("admin")
async def require_factor(request: web.Request) -> web.StreamResponse:
    """Choose which roles come in with a second factor only."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    roles = frozenset(str(each) for each in form.getall("roles", [])) & frozenset(ROLES)
    accounts = request.config_dict[ACCOUNTS]
    before = await accounts.factors.required()
    await accounts.require_factor(roles)
    query = urlencode([("ruled", "1"), *(("before", each) for each in sorted(before))])
    raise web.HTTPSeeOther(f"{HERE}?{query}#rules")


@routes.post(HERE + "/rules/oidc")
@require("admin")
async def set_provider(request: web.Request) -> web.StreamResponse:
    """Set up, change or take down the provider by which people sign in."""
    refuse_scoped(reading(request))
    form, oidc = await read_form(request), runtime_of(request).oidc
    if form.get("act") == "take_down":
        await oidc.take_down()
        raise web.HTTPSeeOther(f"{HERE}?ruled=provider#provider")
    texts = {name: str(form.get(name, "")).strip()[:500] for name in ("issuer", "client_id", "label", "domains")}
    domains = [each for each in texts["domains"].replace(",", " ").lower().split() if each]
    secret = str(form.get("client_secret", "")).strip()[:500]
    try:
        await oidc.set_up(texts["issuer"], texts["client_id"], secret, texts["label"], domains)
    except WrongInput as error:
        return await _list(request, texts, {fault.path: fault.message for fault in error.errors})
    raise web.HTTPSeeOther(f"{HERE}?ruled=provider#provider")


# -- what was asked for ----------------------------------------------------------------------------------------------


def _texts(form: Form) -> dict[str, str]:
    texts = {name: str(form.get(name, ""))[:300] for name in ("email", "name", "role", "reach", "by")}
    return {**texts, "channels": ",".join(str(each) for each in form.getall("channels", []))[:8000]}


def _faults(error: WrongInput) -> dict[str, str]:
    return {fault.path: fault.message for fault in error.errors} or {"email": str(error)}


def _name(text: str) -> str:
    name = text.strip()[:120]
    if not name:
        raise WrongInput("A name is missing.", [FieldError("name", N_("Write a name."))])
    return name


async def _rights(request: web.Request, form: Form) -> tuple[Role, list[str] | None]:
    """Role and channels as the form says. Raises `WrongInput`."""
    role = str(form.get("role", ""))
    if role not in ROLES:
        raise WrongInput("There is no such role.", [FieldError("role", N_("Choose a role."))])
    if form.get("reach") != "some":
        return role, None
    known = {each.id for each in await runtime_of(request).channels.list()}
    chosen = sorted({str(each) for each in form.getall("channels", [])} & known)
    if not chosen:
        raise WrongInput("No channel.", [FieldError("channels", N_("Choose at least one channel, or all of them."))])
    return role, chosen


async def _user(request: web.Request) -> User:
    user_id = request.match_info["user_id"]
    found: User | None = await runtime_of(request).users.user(user_id) if is_id(user_id, "usr") else None
    if found is None:
        raise NotFound("There is no such person.")
    return found


async def _taker(accounts: Accounts, to: str, leaving: User) -> User:
    found = await accounts.store.user(to)
    if found is None or not found.active or found.role not in ("admin", "agent") or found.id == leaving.id:
        raise WrongInput("This colleague cannot take conversations.")
    return found


# -- pages -----------------------------------------------------------------------------------------------------------


async def _told(request: web.Request, user: User, secret: str, way: str) -> web.StreamResponse:
    """The link goes out by mail, or is shown; it is shown too when the mail did not go."""
    runtime, by = runtime_of(request), principal_of(request)
    where = f"{runtime.settings.base_url}/welcome/{secret}"
    fault = None
    if way:
        language = user.language or language_of(request, by)
        house = runtime.settings.business_name
        fault = await runtime.letters.send(invitation(user.name, user.email, where, by.name, house, language), way)
        if fault is None:
            raise web.HTTPSeeOther(f"{HERE}/{user.id}?mailed=1")
    return await _one(request, user, None, {"mail": fault} if fault else {}, link=where)


async def _list(request: web.Request, texts: Mapping[str, str], faults: Mapping[str, str]) -> web.Response:
    runtime = runtime_of(request)
    channels = await runtime.channels.list()
    names = {each.id: each.name for each in channels}
    factors = request.config_dict[ACCOUNTS].factors
    holders = await factors.holders()
    rows = [
        {"user": each, "factor": each.id in holders, "state": state_of(each), "reach": _reach(each.channels, names)}
        for each in await runtime.users.users()
    ]
    provider = await runtime.oidc.provider()
    held = {**vars(provider), "domains": ", ".join(provider.domains)} if provider else {}
    values = {
        "inviting": bool(faults.keys() & {"email", "role", "channels"}), "held": texts if "issuer" in texts else held,
        "people": rows, "texts": texts, "faults": faults, "channels": channels, "ways": await runtime.letters.ways(),
        "chosen": _chosen(texts), "required": await factors.required(), "ruled": request.query.get("ruled", ""),
        "before": request.query.getall("before", []), "redirect_uri": runtime.oidc.redirect_uri,
        "provider": provider, **_words(),
    }  # fmt: skip
    return await page(request, "settings/people.html", values, status=422 if faults else 200)


async def _one(
    request: web.Request, user: User, texts: Mapping[str, str] | None, faults: Mapping[str, str], *, link: str = "",
) -> web.Response:  # fmt: skip
    runtime, query = runtime_of(request), request.query
    fresh = await runtime.users.user(user.id) or user
    held = {"name": fresh.name, "role": fresh.role, "reach": "all" if fresh.channels is None else "some"}
    shown = texts if texts is not None else {**held, "channels": ",".join(fresh.channels or ())}
    before = [(name, value) for name, value in query.items() if name in ("name", "role", "reach", "channels", "masks")]
    colleagues = [
        each
        for each in await runtime.users.users()
        if each.active and each.role in ("admin", "agent") and each.id != user.id
    ]
    values = {
        "person": fresh, "state": state_of(fresh), "texts": shown, "faults": faults, "link": link,
        "mask_words": MASK_WORDS, "own": user.id == principal_of(request).id, "channels": await runtime.channels.list(),
        "chosen": _chosen(shown), "ways": await runtime.letters.ways(), "colleagues": colleagues,
        "saved": "saved" in query and texts is None, "before": before, "mailed": "mailed" in query,
        "switched": query.get("switched", ""), "moved": _number(query.get("moved", "")),
        "factor": await request.config_dict[ACCOUNTS].factors.of(user.id), "reset": "reset" in query,
        "sessions": await runtime.users.sessions_of(user.id), **_words(),
    }  # fmt: skip
    return await page(request, "settings/person.html", values, status=422 if faults.keys() - {"mail"} else 200)


def _words() -> dict[str, Any]:
    return {"roles": ROLE_WORDS, "hints": ROLE_HINTS, "states": STATES}


def _chosen(texts: Mapping[str, str]) -> frozenset[str]:
    return frozenset(each for each in texts.get("channels", "").split(",") if each)


def _reach(channels: frozenset[str] | None, names: Mapping[str, str]) -> Sequence[str] | None:
    """Names of the channels somebody is limited to; None: all."""
    return None if channels is None else sorted(names.get(each, each) for each in channels)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
