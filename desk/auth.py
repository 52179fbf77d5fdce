"""Who is asking and may they: sessions and bearer tokens, CSRF, roles, channel scope. Every handler is marked by one of
`require(role, …)` or `public`; a route without a mark fails a test.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Literal
from urllib.parse import quote, unquote_plus, urlsplit

from aiohttp import web

from base.errors import Refused, Unauthenticated, WrongInput
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import ACCOUNTS, RUNTIME, base_url_of, runtime_of
from desk.store import Role, User
from desk.team.masking import COVER, looked_for, refusal

__all__ = [
    "ACCOUNTS", "PRINCIPAL", "RUNTIME", "Principal", "address_of", "authenticate", "csrf_of", "is_api", "is_script",
    "principal_of", "public", "require", "runtime_of",
]  # fmt: skip

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
BACK = N_("Something here is covered for you and would be replaced by its cover. Leave it out.")
COOKIE_AGE_S = 14 * 24 * 3600

#: Which roles a role may stand in for.
STANDS_FOR: dict[str, frozenset[str]] = {
    "admin": frozenset({"admin", "marketer", "agent", "viewer"}),
    "marketer": frozenset({"marketer", "viewer"}),
    "agent": frozenset({"agent", "viewer"}),
    "viewer": frozenset({"viewer"}),
}


@dataclass(frozen=True)
class Principal:
    """Who is asking: a person by session or a program by token. `channels` None: all of them."""

    id: str
    kind: Literal["user", "token"]
    role: Role
    channels: frozenset[str] | None
    name: str
    #: The person; None for a program.
    user: User | None = None
    #: What of customers is covered for them.
    masks: frozenset[str] = frozenset()
    #: The bot that a program is.
    bot_id: str | None = None

    def may(self, *roles: str) -> bool:
        """True when this role stands in for one of them."""
        return not STANDS_FOR[self.role].isdisjoint(roles)

    def may_everywhere(self, *roles: str) -> bool:
        """The same, for what counts on every channel: not for who is limited to some."""
        return self.channels is None and self.may(*roles)

    @property
    def reach(self) -> list[str] | None:
        """The channels in scope, in order, as stores are asked; None: all of them."""
        return None if self.channels is None else sorted(self.channels)

    def may_see(self, channel_id: str | None) -> bool:
        """True when things of this channel account are in scope; what belongs to no channel is everybody's."""
        return self.channels is None or channel_id is None or channel_id in self.channels


PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
#: Set when the principal came by cookie: its secret, from which the CSRF token is made.
SESSION: web.RequestKey[str] = web.RequestKey("session", str)
#: Set when it was looked up and there is nobody.
NOBODY: web.RequestKey[bool] = web.RequestKey("nobody", bool)


def principal_of(request: web.Request) -> Principal:
    """Who is asking, inside a handler marked with `require`."""
    return request[PRINCIPAL]


def is_api(request: web.BaseRequest) -> bool:
    """True where answers are JSON and errors are problems."""
    return request.path.startswith(("/api/", "/v1/"))


def is_script(request: web.BaseRequest) -> bool:
    """True when a script of ours asks: it wants a part of a page and errors as JSON, never a redirect."""
    return request.headers.get("HX-Request") == "true" or "X-Desk" in request.headers


# -- where from ----------------------------------------------------------------------------------------------------


def address_of(request: web.Request) -> str:
    """Who is at the other end: the connection's address, or the one named by proxies that the settings trust."""
    settings = getattr(runtime_of(request), "settings", None)
    trusted = tuple(getattr(settings, "trusted_proxies", ()))
    return client_of(request.remote or "unknown", request.headers.getall("X-Forwarded-For", []), trusted)


def client_of(peer: str, forwarded: Sequence[str], trusted: Sequence[str]) -> str:
    """`forwarded` read from its end for as long as whoever wrote the entry is trusted. What is no address ends it."""
    networks = [ipaddress.ip_network(each) for each in trusted]
    named = [each.strip() for header in forwarded for each in header.split(",")]
    while named and _is_in(peer, networks):
        said = named.pop()
        if _address(said) is None:
            break
        peer = said
    return peer


def _is_in(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


# -- cookies -------------------------------------------------------------------------------------------------------


def served_by_https(request: web.Request) -> bool:
    """True when people reach us by https: by the configured address, else by the connection itself."""
    base_url = base_url_of(request)
    return base_url.startswith("https://") if base_url else request.secure


def cookie_name(request: web.Request) -> str:
    """`__Host-` binds the cookie to this host and to https; browsers refuse it without."""
    return "__Host-rapport" if served_by_https(request) else "rapport"


def set_session_cookie(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        cookie_name(request), secret, max_age=COOKIE_AGE_S, path="/", httponly=True, samesite="Lax",
        secure=served_by_https(request),
    )  # fmt: skip


def drop_session_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take it away."""
    response.del_cookie(cookie_name(request), path="/", httponly=True, samesite="Lax", secure=served_by_https(request))


# -- who -----------------------------------------------------------------------------------------------------------


async def authenticate(request: web.Request) -> Principal | None:
    """Who is asking, looked up anew for every request: a closed session or revoked token is dead at once.

    A bearer token counts for the API only, and a wrong one is never passed over in favour of a cookie.
    """
    if PRINCIPAL in request:
        return request[PRINCIPAL]
    if request.get(NOBODY):
        return None
    found = await (_by_token(request) if _bearer(request) is not None else _by_session(request))
    if found is not None:
        request[PRINCIPAL] = found
    request[NOBODY] = found is None
    return found


def _bearer(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and is_api(request) else None


async def _by_token(request: web.Request) -> Principal | None:
    secret = _bearer(request) or ""
    if not secret or len(secret) > 200:
        return None
    token = await request.config_dict[ACCOUNTS].store.token(secret)
    if token is None:
        return None
    return Principal(token.id, "token", token.role, token.channels, token.name, bot_id=token.bot_id)


async def _by_session(request: web.Request) -> Principal | None:
    secret = request.cookies.get(cookie_name(request), "")
    if not secret or len(secret) > 200:
        return None
    user = await request.config_dict[ACCOUNTS].store.session_user(secret)
    if user is None:
        return None
    request[SESSION] = secret
    return principal_for(user)


def principal_for(user: User) -> Principal:
    """The principal a person acts as."""
    return Principal(user.id, "user", user.role, user.channels, user.name, user, user.masks)


# -- forgery -------------------------------------------------------------------------------------------------------


def csrf_of(request: web.Request) -> str:
    """The token forms and scripts send back; made from the session, so a new session has a new one."""
    secret = request.get(SESSION, "")
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()[:40] if secret else ""


def check_origin(request: web.Request) -> None:
    """Raise `Refused` when a browser says that another site made it ask. Programs send neither header."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:  # no page can forge it, and it is right where `Origin` is `null` (pages without a referrer)
        if site not in ("same-origin", "none"):
            raise Refused("This request came from another site.", code="cross_site")
        return
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {request.host, urlsplit(base_url_of(request)).netloc} - {""}
    if urlsplit(origin).netloc not in ours:
        raise Refused("This request came from another site.", code="cross_site")


async def _check_forgery(request: web.Request) -> None:
    if request.method in SAFE_METHODS or SESSION not in request:
        return
    check_origin(request)
    sent = request.headers.get(CSRF_HEADER)
    if sent is None and request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        sent = str((await read_form(request)).get(CSRF_FIELD, ""))
    if not hmac.compare_digest((sent or "").encode(), csrf_of(request).encode()):
        raise Refused("This page was open for too long. Load it again and repeat what you did.", code="csrf")


async def _heed_masks(request: web.Request, principal: Principal) -> None:
    """Raise `Refused` for what leads around the masks, `WrongInput` where something covered is sent back."""
    accept = request.headers.get("Accept", "")
    sentence = refusal(request.method, request.path, request.query, principal.masks, accept)
    if sentence is not None:
        raise Refused(sentence, code="masked")
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await read_form(request)
        refuse_covered(str(value) for value in form.values())
        refuse_looking([str(form.get("q", "")), unquote_plus(str(form.get("where", "")))], principal.masks)


def refuse_looking(words: Iterable[str], masks: frozenset[str]) -> None:
    """Raise `Refused` where somebody looks for what is covered for them: finding it would tell what it is."""
    sentence = looked_for(words, masks)
    if sentence is not None:
        raise Refused(sentence, code="masked")


def refuse_covered(texts: Iterable[str]) -> None:
    """Raise `WrongInput` when a text holds the mark of something covered: it would take the place of what is there."""
    if any(COVER in text for text in texts):
        raise WrongInput(BACK, code="masked")


# -- marks ---------------------------------------------------------------------------------------------------------


def public(handler: Handler) -> Handler:
    """Anybody may call this."""

    @wraps(handler)
    async def opened(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    opened.roles = frozenset()  # type: ignore[attr-defined]
    return opened


def check_token(request: web.Request, sent: str) -> None:
    """For handlers marked `streamed`: raise `Refused` unless the form was made by a page of this session."""
    if SESSION in request and not hmac.compare_digest(sent.encode(), csrf_of(request).encode()):
        raise Refused("This page was open for too long. Load it again and repeat what you did.", code="csrf")


def require(*roles: Role, streamed: bool = False) -> Callable[[Handler], Handler]:
    """Only for signed-in people and tokens whose role stands in for one of `roles`; `viewer` means everybody signed in.

    Unknown callers get 401 from the API and the sign-in page elsewhere; unsafe methods by cookie need the CSRF token.
    `streamed`: the body is too large to be read here; the handler calls `check_token` with the form's first field.
    """

    def mark(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            principal = await authenticate(request)
            if principal is None:
                return _to_sign_in(request)
            if streamed and CSRF_HEADER not in request.headers:
                check_origin(request)
            else:
                await _check_forgery(request)
            if not principal.may(*roles):
                raise Refused("Your role does not allow this.", code="forbidden")
            if principal.masks:
                await _heed_masks(request, principal)
            return await handler(request)

        guarded.roles = frozenset(roles)  # type: ignore[attr-defined]
        return guarded

    return mark


def _to_sign_in(request: web.Request) -> web.StreamResponse:
    if is_api(request):
        raise Unauthenticated("Sign in, or send a token: Authorization: Bearer …")
    where = "/sign-in"
    if request.method in ("GET", "HEAD") and request.path != "/":
        where += f"?next={quote(request.path_qs, safe='')}"
    if request.headers.get("HX-Request") == "true":
        return web.Response(status=200, headers={"HX-Redirect": where})
    raise web.HTTPSeeOther(where)


def local_path(value: str) -> str:
    """`value` when it is a path on this site, else the start page: never a way to another site."""
    safe = value.startswith("/") and not value.startswith(("//", "/\\")) and "\\" not in value
    return value if safe and value.isprintable() else "/"
