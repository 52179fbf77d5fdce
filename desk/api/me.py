"""One's own account, for who is signed in: programs have none."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import Conflict, FieldError, NotFound, WrongInput
from desk.api.contract import Call, Operations, not_there
from desk.api.shapes import Body, Name, PageQuery, Patch, Time, View, page, sliced
from desk.auth import SESSION
from desk.i18n import LANGUAGES, ZONES
from desk.store import Role, SignedIn, User, fingerprint, session_id

operations = Operations("own account")


class MePatch(Patch):
    """What to change of oneself."""

    name: Name = ""
    language: str | None = Field(None, max_length=10)
    time_zone: str | None = Field(None, max_length=60)


class PasswordBody(Body):
    """One's own password, to show that it is oneself."""

    password: str = Field(min_length=1, max_length=256)


class CodeBody(Body):
    """A code of the app, or a recovery code. Each works once."""

    code: str = Field(min_length=1, max_length=40)


class FactorView(View):
    """One's own second factor. `required`: the role does not come in without."""

    on: bool
    since: Time | None
    recovery_codes_left: int
    required: bool


class EnrolmentView(View):
    """What an authenticator app needs, shown until it is confirmed."""

    secret: str
    uri: str


class RecoveryView(View):
    """Recovery codes, shown once."""

    recovery_codes: list[str]


class MeView(View):
    """Who is asking. A program has no mail address, language and time zone."""

    id: str
    kind: str
    name: str
    role: Role
    channels: list[str] | None
    email: str | None
    language: str | None
    time_zone: str | None


class SessionView(View):
    """A place where one is signed in."""

    id: str
    created_at: Time
    last_seen_at: Time
    expires_at: Time
    agent: str
    address: str
    current: bool


@operations("GET", "/me", roles=["viewer"], returns=MeView)
async def get_me(call: Call) -> Any:
    """Who is asking, a person or a program."""
    return _view(call, call.principal.user)


@operations("PATCH", "/me", roles=["viewer"], body=MePatch, returns=MeView)
async def change_me(call: Call) -> Any:
    """Change one's own name, language and time zone."""
    user, given = _person(call), call.body.given()
    if given.get("language") is not None and given["language"] not in LANGUAGES:
        raise WrongInput("We do not speak that.", [FieldError("language", f"is one of {', '.join(LANGUAGES)}")])
    if given.get("time_zone") is not None and given["time_zone"] not in ZONES:
        raise WrongInput("There is no such zone.", [FieldError("time_zone", "is a zone such as Europe/Amsterdam")])
    return _view(call, await call.accounts.store.change_user(user.id, given))


@operations("GET", "/me/sessions", roles=["viewer"], query=PageQuery, returns=list[SessionView])
async def list_my_sessions(call: Call) -> Any:
    """List where one is signed in, the last used first."""
    sessions = await call.accounts.store.sessions_of(_person(call).id)
    shown, following = sliced(sessions, lambda each: each.id, call.query)
    return page([_session_view(call, each) for each in shown], following)


@operations("DELETE", "/me/sessions/{id:ses}", roles=["viewer"])
async def close_my_session(call: Call) -> None:
    """End one of one's own sessions, at once."""
    if not await call.accounts.store.close_session_named(_person(call).id, call.path["id"]):
        raise not_there()


@operations("GET", "/me/two-factor", roles=["viewer"], returns=FactorView)
async def get_my_factor(call: Call) -> Any:
    """Whether one signs in with a second factor."""
    user, factors = _person(call), call.accounts.factors
    held, required = await factors.of(user.id), user.role in await factors.required()
    if held is None:
        return FactorView(on=False, since=None, recovery_codes_left=0, required=required)
    return FactorView(on=True, since=held.since, recovery_codes_left=held.codes_left, required=required)


@operations(
    "POST", "/me/two-factor", roles=["viewer"], body=PasswordBody, returns=EnrolmentView, status=201, shows_secret=True
)
async def begin_my_factor(call: Call) -> Any:
    """Begin to set up a second factor: a secret for an authenticator app. It counts once it is confirmed."""
    user = _person(call)
    if await call.accounts.factors.of(user.id) is not None:
        raise Conflict("There is a second factor already.")
    await call.accounts.check_password(user, call.body.password)
    return EnrolmentView.model_validate(await call.accounts.factors.begin(user))


@operations("POST", "/me/two-factor/confirm", roles=["viewer"], body=CodeBody, returns=RecoveryView, shows_secret=True)
async def confirm_my_factor(call: Call) -> Any:
    """Show that the app works. All other sessions end; the answer holds the recovery codes."""
    secret = call.request.get(SESSION)
    return RecoveryView(
        recovery_codes=await call.accounts.confirm_factor(_person(call), call.body.code, kept_secret=secret)
    )


@operations("POST", "/me/two-factor/remove", roles=["viewer"], body=CodeBody, status=204)
async def remove_my_factor(call: Call) -> None:
    """Sign in by password alone again, where the role allows it."""
    user, accounts = _person(call), call.accounts
    if user.role in await accounts.factors.required():
        raise Conflict("This role needs a second factor.", code="factor_required")
    await accounts.check_code(user, call.body.code)
    await accounts.factors.remove(user.id)


def _person(call: Call) -> User:
    if call.principal.user is None:
        raise NotFound("A program has no account of its own.")
    return call.principal.user


def _view(call: Call, user: User | None) -> MeView:
    who = call.principal
    return MeView(
        id=who.id, kind=who.kind, name=user.name if user else who.name, role=who.role,
        channels=None if who.channels is None else sorted(who.channels), email=user.email if user else None,
        language=user.language if user else None, time_zone=user.time_zone if user else None,
    )  # fmt: skip


def _session_view(call: Call, session: SignedIn) -> SessionView:
    this = session_id(fingerprint(call.request.get(SESSION, "")))
    return SessionView(**vars(session), current=session.id == this)
